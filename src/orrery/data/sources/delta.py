"""Delta tables at one version: the files that its log names, less the rows that it has deleted since.

Source: the Delta transaction log protocol (github.com/delta-io/delta, PROTOCOL.md), read by ``deltalake``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, remote
from orrery.data.source import Partition
from orrery.data.sources import delta_vectors, footer, lakes, widening
from orrery.data.sources.file import steady, version_of
from orrery.data.sources.parquet import Parquet
from orrery.errors import SettingsError, SourceError
from orrery.extras import require
from orrery.schema import Schema
from orrery.spec import stable_key

_READ = {"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening"}
"""What a table may ask of its readers."""
_WHOLE_TEXT = 32  # characters; the log cuts longer ones


class Delta(Parquet):
    """A Delta table: at a ``version``, at a ``time``, or as it is now; a part is a file.

    The version is fixed when the table is first looked at: what others write later is not seen. Columns that
    were added later are missing in older files. Files outside the table's own folder, as shallow clones have
    them, are read with ``outside`` only; so are files of deleted rows, if the log ever named one there.
    """

    folders_are_columns = False  # the log tells their values

    def __init__(
        self, place: str, version: int | None = None, time: str | None = None, outside: bool = False
    ) -> None:
        super().__init__(place.removeprefix("delta://"), "null")
        self.version = version
        self.time = time
        self.outside = outside

    @cached_property
    def _table(self) -> Any:
        if self.version is not None and self.time is not None:
            raise SettingsError("A Delta table is read at a version= or at a time=, not at both.")
        delta = require("deltalake", "Reading a Delta table")
        shown = files.shown(self.place)
        try:
            table = delta.DeltaTable(
                remote.bare(self.place), version=self.version, storage_options=lakes.object_store(self.place)
            )
            if self.time is not None:
                table.load_as_version(lakes.instant(self.time))
                self._check_time(table, lakes.instant(self.time))
        except (delta.exceptions.DeltaError, OSError, ValueError) as error:
            at = f" at version {self.version}" if self.version is not None else ""
            at = f" at {self.time}" if self.time is not None else at
            text = " ".join(str(error).split())[:300]
            raise SourceError(f"{shown} cannot be read as a Delta table{at}: {text}.") from None
        self._check(table)
        return table

    def _check_time(self, table: Any, asked: dt.datetime) -> None:
        """Raises SourceError for a time before the first version."""
        written = [int(one["timestamp"]) for one in table.history() if "timestamp" in one]
        if written and min(written) > asked.timestamp() * 1000:
            raise SourceError(f"{files.shown(self.place)} had no rows yet at {self.time}.")

    def _check(self, table: Any) -> None:
        """Raises SourceError for a table that would be read wrongly."""
        mapped = table.metadata().configuration.get("delta.columnMapping.mode", "none")
        asked = set(table.protocol().reader_features or ()) - _READ - {"columnMapping"}
        if '"variant"' not in table.schema().to_json():  # said of tables that have no such column too
            asked = {name for name in asked if not name.startswith("variant")}
        if mapped != "none" or asked:
            what = (
                f"maps its columns by {mapped}" if mapped != "none" else f"needs {', '.join(sorted(asked))}"
            )
            raise SourceError(
                f"The Delta table {files.shown(self.place)} {what}, which Orrery does not read.",
                hint="Write it to a table without that.",
            )

    @cached_property
    def _actions(self) -> dict[str, Mapping[str, Any]]:
        """What the log says of each file, sorted by the file's name."""
        rows = pa.table(self._table.get_add_actions(flatten=True)).to_pylist()
        return {self._address(row["path"]): row for row in sorted(rows, key=lambda row: str(row["path"]))}

    def _address(self, path: str) -> str:
        root, named = remote.bare(self.place).rstrip("/"), remote.connection_of(self.place)
        path = unquote(path)
        is_whole = re.match(r"/|[A-Za-z][A-Za-z0-9+.-]*:", path) is not None
        address = path if is_whole else f"{root}/{path}"
        if not self.outside and (is_whole or not lakes.is_inside(address, root)):
            raise lakes.outside(path, self.place)
        address = re.sub(r"^file:/(?!//)", "/", address)
        return remote.with_connection(address, named) if named else address

    @cached_property
    def paths(self) -> list[str]:
        """The files of the version."""
        return list(self._actions)

    def versions(self) -> dict[str, files.State]:
        """Files of a Delta table never change: the log tells their sizes."""
        return {path: files.State(int(row["size_bytes"])) for path, row in self._actions.items()}

    @cached_property
    def _stored(self) -> Any:
        return pa.schema([widening.usual(field) for field in pa.schema(self._table.schema())])

    def partitions(self) -> Sequence[Partition]:
        """One part per file."""
        return [
            Partition(i, {"path": path, "version": list(version)}, self._rows(path), version.size_bytes)
            for i, (path, version) in enumerate(self.versions().items())
        ]

    def _rows(self, path: str) -> int | None:
        rows = self._actions[path]["num_records"]
        return None if rows is None else int(rows) - self._kept(path).count(False)

    @cached_property
    def _deleted(self) -> dict[str, list[bool]]:
        """For files with deleted rows, which of their rows are kept, as far as the last deleted one."""
        if "deletionVectors" not in (self._table.protocol().reader_features or ()):
            return {}
        delta = require("deltalake", "Reading a Delta table")
        try:
            if not self.outside:
                delta_vectors.check(self.place, self._table.version())
            found = pa.table(self._table.deletion_vectors()).to_pylist()
        except (delta.exceptions.DeltaError, OSError, ValueError) as error:
            text = " ".join(str(error).split())[:300]
            raise SourceError(
                f"The deleted rows of {files.shown(self.place)} cannot be read: {text}."
            ) from None
        return {_file(unquote(row["filepath"])): row["selection_vector"] for row in found}

    def _kept(self, path: str) -> list[bool]:
        return self._deleted.get(_file(remote.bare(path)), [])

    def rough(self, partition: Partition, columns: Sequence[str], where: str | None) -> Iterator[RecordBatch]:
        """Rows of one file that are not deleted; nothing is opened where the log rules the condition out."""
        path, version = str(partition.where["path"]), version_of(partition.where)
        if where is not None:
            condition = conditions.parse(where, tuple(self._arrow.names))
            if footer.excludes(condition, self._told(path), self._arrow):
                return
        with self._telling(path):
            end = self._footer(path, version)
            there = end.schema.to_arrow_schema().names
            own = [name for name in columns if name in there] or there[:1]
            first = 0
            for group in range(end.num_row_groups):
                count = end.row_group(group).num_rows
                part = Partition(0, {**partition.where, "group": group}, count)
                kept = self._kept(path)[first : first + count]
                for batch in _less(steady(part, self._batches(part, own, where)), kept, count):
                    yield self._typed(self._with_folders(batch, path), columns, path)
                first += count

    def _told(self, path: str) -> footer.Bounds:
        """What the log says of a column in a file; of times, cut to milliseconds there, nothing."""
        row = self._actions[path]

        def bounds(name: str) -> footer.Range | None:
            if f"partition.{name}" in row:
                value = row[f"partition.{name}"]
                return footer.Range(value, value, int(value is None), 1)
            count = -1 if row["num_records"] is None else int(row["num_records"])
            least, most = row.get(f"min.{name}"), row.get(f"max.{name}")
            if most is None or _is_cut(least) or _is_cut(most):
                least = None
            nulls = row.get(f"null_count.{name}")
            return footer.Range(least, most, None if self._kept(path) else nulls, count)

        return bounds

    def _with_folders(self, batch: Any, path: str) -> Any:
        """A batch with the columns that are not in the files, but in the log."""
        row = self._actions[path]
        for name in self._table.metadata().partition_columns:
            kind = self._stored.field(name).type
            value = pa.scalar(row[f"partition.{name}"]).cast(kind)
            batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
        return batch

    @property
    def is_plain(self) -> bool:
        """No: rows may be deleted, and columns lie in the log."""
        return False

    def count(self, where: str | None) -> int | None:
        """Rows, where the log tells."""
        rows = [self._rows(path) for path in self.paths] if where is None else [None]
        return None if None in rows else sum(n for n in rows if n is not None)

    def schema(self) -> Schema:
        """The columns of the version."""
        return Schema.of(self._arrow)

    def fingerprint(self) -> str:
        """Of the table's own number and the version: a version never changes."""
        return stable_key(self._table.metadata().id, self._table.version())

    def to_dict(self) -> dict[str, Any]:
        """The address, and the version that is read."""
        told = {"place": files.shown(self.place), "version": self._table.version()}
        return {**told, "outside": True} if self.outside else told


def _is_cut(value: Any) -> bool:
    return isinstance(value, dt.datetime) or (isinstance(value, str) and len(value) >= _WHOLE_TEXT)


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def _less(batches: Iterator[Any], kept: list[bool], count: int) -> Iterator[Any]:
    """The rows of a row group that are kept; beyond the list all are."""
    if all(kept):
        yield from batches
        return
    whole = [*kept, *[True] * (count - len(kept))]
    first = 0
    for batch in batches:
        yield batch.filter(pa.array(whole[first : first + batch.num_rows], pa.bool_()))
        first += batch.num_rows
