"""Folders named ``column=value``, as Hive and Spark write them: a column of all rows below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, remote, sql
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.errors import SchemaError, SourceError
from orrery.schema import Schema
from orrery.spec import stable_key

_MISSING = "__HIVE_DEFAULT_PARTITION__"
_MAGIC = re.compile(r"[*?\[]")
_WHOLE = re.compile(r"-?\d{1,18}")


def in_folders(source: Any) -> Any:
    """A source of files; where they lie in folders named ``column=value``, with those columns."""
    with suppress(SourceError):  # told again when it is read
        above = len(_named(_root(remote.bare(source.place))))
        values = {path: dict(_named(remote.bare(path))[above:]) for path in source.paths}
        names = list(next(iter(values.values())))
        for path, found in values.items():
            if list(found) != names:
                raise SchemaError(
                    f"The folders of {files.shown(path)} name the columns {list(found)}, others {names}.",
                    hint="Every file must lie under folders of the same columns.",
                )
        return Hive(source, values) if names else source
    return source


def _root(place: str) -> str:
    """The folder that a place is, or below which a glob looks."""
    before = _MAGIC.split(place)[0]
    return f"{place}/" if before == place else before.rpartition("/")[0] + "/"


def _named(path: str) -> list[tuple[str, str]]:
    """Column and value of each folder above a file that names both."""
    folders = (part.partition("=") for part in path.replace("\\", "/").split("/")[:-1])
    return [(unquote(name), unquote(value)) for name, equals, value in folders if name and equals]


class Hive:
    """A source of files, and the columns that their folders name; whole numbers where all values are such."""

    def __init__(self, inside: Any, values: dict[str, dict[str, str]]) -> None:
        self.inside = inside
        self.values = values
        self.bad = getattr(inside, "bad", None)
        self._kept: dict[str, set[str]] = {}

    @property
    def bytes_read(self) -> int:
        """What was taken from the files."""
        return int(self.inside.bytes_read)

    @property
    def _folders(self) -> Any:
        """One row per file: the values of its folders."""
        columns = {}
        for name in next(iter(self.values.values())):
            texts = [None if found[name] == _MISSING else found[name] for found in self.values.values()]
            whole = all(text is None or _WHOLE.fullmatch(text) for text in texts)
            columns[name] = pa.array(texts, pa.string()).cast(pa.int64() if whole else pa.string())
        return pa.record_batch(columns)

    def schema(self) -> Schema:
        """The columns of the files, then those of the folders."""
        folders = Schema.of(self._folders.schema).fields
        named = {field.name for field in folders}
        own = [field for field in self.inside.schema().fields if field.name not in named]
        return Schema(fields=(*own, *folders))

    def partitions(self) -> Sequence[Partition]:
        """Those of the files."""
        parts: Sequence[Partition] = self.inside.partitions()
        return parts

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part; none, and nothing opened, where its folders rule the condition out."""
        path, names = str(partition.where["path"]), self.schema().names
        if where is not None and path not in self._passing(where):
            return iter(())
        _, inside, rest = self._split(where)
        wanted = needed(names, columns, rest or None)
        folders = self._folders.slice(list(self.values).index(path), 1)
        own = [name for name in wanted if name not in folders.schema.names]
        batches = self.inside.read(partition, own, inside or None)
        return narrowed((_joined(b, folders, wanted) for b in batches), names, columns, rest or None, start)

    def _split(self, where: str | None) -> tuple[str, str, str]:
        """The parts of a condition that only look at folders, only at the files, and at both."""
        if where is None:
            return "", "", ""
        folders = set(self._folders.schema.names)
        parts = [(p, set(p.columns)) for p in conditions.parse(where, self.schema().names).parts()]
        there = [p for p, names in parts if names and names <= folders]
        inside = [p for p, names in parts if names and not names & folders]
        both = [p for p, _ in parts if p not in there and p not in inside]
        first, second, third = (
            " and ".join(f"({p.sql('duckdb')})" for p in found) for found in (there, inside, both)
        )
        return first, second, third

    def _passing(self, where: str) -> set[str]:
        """The files whose folders do not rule a condition out."""
        if where not in self._kept:
            folders, text = self._folders, self._split(where)[0]
            passing = list(self.values)
            if text:
                condition = conditions.parse(text, tuple(folders.schema.names))
                numbered = pa.RecordBatch.from_arrays(
                    [*folders.columns, pa.array(passing)], names=[*folders.schema.names, "\0path"]
                )
                kept: Any = next(sql.filtered(iter([numbered]), condition))
                passing = kept.column(folders.num_columns).to_pylist()
            self._kept[where] = set(passing)
        return self._kept[where]

    def count(self, where: str | None) -> int | None:
        """Rows, where the files tell without being read."""
        count = getattr(self.inside, "count", None)
        return count(None) if count is not None and where is None else None

    def pushed(self, where: str) -> str:
        """What folders are skipped by, and what the files' own source can apply."""
        folders, inside, _ = self._split(where)
        pushed = getattr(self.inside, "pushed", None)
        return " and ".join(filter(None, [folders, pushed(inside) if pushed is not None and inside else ""]))

    def fingerprint(self) -> str:
        """Of the files and of the folders' values."""
        return stable_key(self.inside.fingerprint(), list(self.values.values()))

    def to_dict(self) -> dict[str, Any]:
        """The address, and the options of the files."""
        plan: dict[str, Any] = self.inside.to_dict()
        return plan

    def __repr__(self) -> str:
        return repr(self.inside)


def _joined(batch: RecordBatch, folders: RecordBatch, wanted: Sequence[str]) -> RecordBatch:
    """A batch of a file with the columns of its folders."""
    if not wanted:
        return batch
    constant = {name: folders.column(name)[0] for name in folders.schema.names}
    arrays = [
        pa.repeat(constant[name], batch.num_rows) if name in constant else batch.column(name)
        for name in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(wanted))
