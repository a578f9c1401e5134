"""Iceberg tables at one snapshot, by ``pyiceberg``: from a metadata file, a table's folder, or a catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, remote
from orrery.data.masking import hide
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources import iceberg_files, lakes
from orrery.data.sources.iceberg_filters import bound
from orrery.errors import OrreryError, SettingsError, SourceError
from orrery.extras import require
from orrery.schema import Schema
from orrery.spec import stable_key


class Iceberg:
    """An Iceberg table: at a ``snapshot``, at a ``time``, or as it is now; a part is a data file.

    ``place`` is a ``*.metadata.json``, a table's folder, or ``iceberg://namespace.table`` with
    ``connection=``, which names the catalog: its address, and what pyiceberg wants to know in its query
    (``https://host?warehouse=…&token=…``, ``sqlite:///catalog.db?warehouse=…``). Deleted rows are left out;
    tables with equality deletes are refused. The snapshot is fixed when the table is first looked at.
    Files outside the table's own folder are read with ``outside`` only.
    """

    def __init__(
        self,
        place: str,
        snapshot: int | None = None,
        time: str | None = None,
        connection: str | None = None,
        outside: bool = False,
    ) -> None:
        self.place = place
        self.snapshot = snapshot
        self.time = time
        self.connection = connection
        self.outside = outside
        self.bytes_read = 0
        self._passing: dict[str, set[str]] = {}

    @cached_property
    def _table(self) -> Any:
        require("pyiceberg", "Reading an Iceberg table")
        with self._telling():
            if self.place.lower().startswith("iceberg://"):
                return self._from_catalog()
            from pyiceberg.catalog.noop import NoopCatalog
            from pyiceberg.table import StaticTable

            location = self._metadata()
            metadata, io = iceberg_files.static(location, lakes.file_io(self.place))
            name = ("static-table", location)
            table = StaticTable(name, metadata, location, io, NoopCatalog("static-table"))
            return self._bounded(table)

    def _from_catalog(self) -> Any:
        from pyiceberg.catalog import load_catalog

        if self.connection is None:
            raise SettingsError(
                f"{self.place} needs a catalog.", hint="Name it with connection=; see orrery.data.remote."
            )
        parts = urlsplit(remote.connection(self.connection, "https://host?warehouse=…&token=…"))
        settings = dict(parse_qsl(parts.query))
        uri = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        uri = f"{parts.scheme}://{parts.path}" if not parts.netloc else uri
        name = settings.pop("name", self.connection)
        settings = {"uri": uri, **settings}
        catalog = iceberg_files.careful(load_catalog(name, **settings), settings)
        table = catalog.load_table(self.place.partition("://")[2].replace("/", "."))
        table.metadata = iceberg_files.harmless(table.metadata)
        return self._bounded(table)

    def _bounded(self, table: Any) -> Any:
        """The table, whose files are opened only where they lie in its folder."""
        if not self.outside:
            root = table.metadata_location.rpartition("/")[0]
            root = root.rpartition("/")[0] if root.endswith(f"/{lakes.METADATA}") else root
            table.io = iceberg_files.Bounded(table.io, root, self.place)
        return table

    def _metadata(self) -> str:
        """The metadata file: the one named, or the newest of the table's folder."""
        bare = remote.bare(self.place)
        if bare.endswith(".metadata.json"):
            return str(files.local(bare).absolute()) if files.is_local(bare) else bare
        if files.is_local(bare):
            found = [str(path.absolute()) for path in (files.local(bare) / lakes.METADATA).glob("*.json")]
        else:
            system, path = remote.system_of(self.place)
            inside = system.ls(f"{path.rstrip('/')}/{lakes.METADATA}", detail=False)
            found = [str(system.unstrip_protocol(name)) for name in inside if str(name).endswith(".json")]
        newest = lakes.newest_metadata([name for name in found if name.endswith(".metadata.json")])
        if newest is None:
            raise SourceError(f"{files.shown(self.place)} has no metadata of an Iceberg table.")
        return newest

    @cached_property
    def _snapshot(self) -> int | None:
        """The number of the snapshot that is read; None for a table that has none yet. Raises SourceError."""
        snapshots = {s.snapshot_id: s.timestamp_ms for s in self._table.metadata.snapshots}
        if self.snapshot is not None:
            if self.snapshot not in snapshots:
                raise SourceError(
                    f"{self!r} has no snapshot {self.snapshot}; it has {sorted(snapshots)[:20]}."
                )
            return self.snapshot
        if self.time is not None:
            found = self._table.snapshot_as_of_timestamp(int(lakes.instant(self.time).timestamp() * 1000))
            if found is None:
                raise SourceError(f"{self!r} had no rows yet at {self.time}.")
            return int(found.snapshot_id)
        current = self._table.current_snapshot()
        return None if current is None else int(current.snapshot_id)

    def _scan(self, columns: Sequence[str] = ("*",), row_filter: Any = None) -> Any:
        """Of an older snapshot with the columns that it had, of the newest with those of the table."""
        chosen = {} if row_filter is None else {"row_filter": row_filter}
        if self._snapshot != self._table.metadata.current_snapshot_id:
            chosen["snapshot_id"] = self._snapshot
        return self._table.scan(selected_fields=tuple(columns), **chosen)

    @cached_property
    def _arrow(self) -> Any:
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        with self._telling():
            return pa.schema([_small(field) for field in schema_to_pyarrow(self._scan().projection())])

    def schema(self) -> Schema:
        """The columns of the snapshot."""
        return Schema.of(self._arrow)

    @cached_property
    def _tasks(self) -> dict[str, Any]:
        """How to read each data file, sorted by its name."""
        with self._telling():
            tasks = self._scan().plan_files()
        return {
            task.file.file_path: task for task in sorted(tasks, key=lambda task: str(task.file.file_path))
        }

    def partitions(self) -> Sequence[Partition]:
        """One part per data file."""
        return [
            Partition(
                i,
                {"path": path, "snapshot": self._snapshot},
                None if task.delete_files else int(task.file.record_count),
                int(task.file.file_size_in_bytes),
            )
            for i, (path, task) in enumerate(self._tasks.items())
        ]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one data file that are not deleted; nothing is opened where the manifests rule it out."""
        names = self._arrow.names
        path = str(partition.where["path"])
        if where is not None and path not in self._passed(where):
            return iter(())
        batches = self._batches(path, needed(names, columns, where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, path: str, wanted: list[str]) -> Iterator[RecordBatch]:
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan

        chosen = wanted or self._arrow.names[:1]
        schema = pa.schema([self._arrow.field(name) for name in chosen])
        table = self._table
        scan = ArrowScan(table.metadata, table.io, self._scan(chosen).projection(), AlwaysTrue())
        with self._telling():
            for batch in scan.to_record_batches([self._tasks[path]]):
                self.bytes_read += batch.nbytes
                yield batch.select(chosen).cast(schema)

    def _passed(self, where: str) -> set[str]:
        """The data files that the manifests do not rule out."""
        if where not in self._passing:
            found = bound(conditions.parse(where, tuple(self._arrow.names)), self._arrow)
            with self._telling():
                tasks = (
                    self._scan(row_filter=found).plan_files() if found is not None else self._tasks.values()
                )
                self._passing[where] = (
                    {task.file.file_path for task in tasks} if found is not None else set(self._tasks)
                )
        return self._passing[where]

    def count(self, where: str | None) -> int | None:
        """Rows, where the manifests tell."""
        rows = [part.rows for part in self.partitions()] if where is None else [None]
        return None if None in rows else sum(n for n in rows if n is not None)

    def pushed(self, where: str) -> str:
        """What data files are skipped by."""
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        return " and ".join(part.text for part in parts if bound(part, self._arrow) is not None)

    def fingerprint(self) -> str:
        """Of the table's own number, the snapshot's and the columns: a snapshot never changes."""
        return stable_key(str(self._table.metadata.table_uuid), self._snapshot, self._arrow.names)

    def to_dict(self) -> dict[str, Any]:
        """The address, and the snapshot that is read."""
        told: Mapping[str, Any] = {
            **{"connection": self.connection, "snapshot": self._snapshot},
            "outside": self.outside or None,
        }
        return {
            "place": files.shown(self.place),
            **{name: value for name, value in told.items() if value is not None},
        }

    def __repr__(self) -> str:
        return files.shown(self.place)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What pyiceberg says becomes SourceError that names the table."""
        try:
            yield
        except OrreryError:
            raise
        except Exception as error:  # pyiceberg's, fsspec's, Arrow's and the catalog's clients have one each
            text = (
                hide(" ".join(str(error).split()), f"{self.place}?connection={self.connection}")[:300]
                or type(error).__name__
            )
            equality = "equality delete" in text
            raise SourceError(
                f"The Iceberg table {files.shown(self.place)} cannot be read: {text}.",
                hint="Compact the table first (rewrite_data_files)." if equality else "",
            ) from None


def _small(field: Any) -> Any:
    """A field without Iceberg's numbers, and texts and lists as those of other places."""
    return pa.field(field.name, _small_type(field.type), field.nullable)


def _small_type(kind: Any) -> Any:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_small(kind.value_field).with_name("item"))
    if pa.types.is_struct(kind):
        return pa.struct([_small(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_small_type(kind.key_type), _small_type(kind.item_type))
    return kind
