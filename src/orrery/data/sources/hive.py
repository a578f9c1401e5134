"""Folders named ``column=value``, as Hive and Spark write them: a column of all rows below.

Also many small files at once: they are read as few parts, so that what each part costs is paid seldom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, remote, sql
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.errors import SchemaError, SourceError
from orrery.schema import Schema, parse_type
from orrery.spec import stable_key

_MISSING = "__HIVE_DEFAULT_PARTITION__"
_MAGIC = re.compile(r"[*?\[{]")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""As whole numbers are written: what is written otherwise, ``01``, is a text, and stays it."""
_MANY = 64
_SMALL_BYTES = 1 << 20
_PART_BYTES = 4 << 20
_PART_FILES = 256
_BATCH_ROWS = 65_536
_BATCH_BYTES = 16 << 20


def of_folders(source: Any, types: Mapping[str, str]) -> dict[str, str]:
    """Those of some types that are of columns which folders name."""
    with suppress(SourceError):  # told again when it is read
        names = next(iter(_values(source).values()), {})
        return {name: kind for name, kind in types.items() if name in names}
    return {}


def _values(source: Any) -> dict[str, dict[str, str | None]]:
    """What the folders of each file name."""
    above = _above(remote.bare(source.place)) if source.folders_are_columns else None
    return {
        path: dict(_named(remote.bare(path))[above:] if above is not None else ()) for path in source.paths
    }


def in_folders(source: Any, types: Mapping[str, str] | None = None) -> Any:
    """A source of files; where they lie in folders named ``column=value``, with those columns.

    ``types`` are of such columns.
    """
    with suppress(SourceError):  # told again when it is read
        values = _values(source)
        names = list(next(iter(values.values()), {}))
        for path, found in values.items():
            if list(found) != names:
                raise SchemaError(
                    f"The folders of {files.shown(path)} name the columns {list(found)}, others {names}.",
                    hint="Every file must lie under folders of the same columns.",
                )
        return Hive(source, values, types or {}) if names or _many_small(source) else source
    return source


def _many_small(source: Any) -> bool:
    """Whether there are many files, and they are small."""
    if len(source.paths) < _MANY:
        return False
    sizes: list[int] = [now.size_bytes for now in source.versions().values()]
    return sum(sizes) < len(sizes) * _SMALL_BYTES


def _above(place: str) -> int:
    """How many of the folders that name columns are the place's own; of a glob, all are of its rows."""
    return 0 if _MAGIC.search(place) else len(_named(f"{place}/"))


def _named(path: str) -> list[tuple[str, str | None]]:
    """Column and value of each folder above a file that names both; None for a missing value."""
    folders = (part.partition("=") for part in path.replace("\\", "/").split("/")[:-1])
    return [
        (unquote(name), None if value == _MISSING else unquote(value))
        for name, equals, value in folders
        if name and equals
    ]


class Hive:
    """A source of files, and the columns that their folders name; whole numbers where all values are such.

    ``types`` pins some of them. Small files that lie behind each other are one part.
    """

    def __init__(
        self, inside: Any, values: dict[str, dict[str, str | None]], types: Mapping[str, str]
    ) -> None:
        self.inside = inside
        self.values = values
        self.types = dict(types)
        self.bad = getattr(inside, "bad", None)

    @property
    def bytes_read(self) -> int:
        """What was taken from the files."""
        return int(self.inside.bytes_read)

    @cached_property
    def _folders(self) -> Any:
        """One row per file: the values of its folders."""
        columns = {}
        for name in next(iter(self.values.values())):
            texts = pa.array([found[name] for found in self.values.values()], pa.string())
            columns[name] = self._pinned(name, texts) if name in self.types else _guessed(texts)
        return pa.table(columns).combine_chunks()

    def _pinned(self, name: str, texts: Any) -> Any:
        kind = parse_type(self.types[name])
        try:
            return texts.cast(kind)
        except (pa.ArrowException, ValueError) as error:
            text = str(error).splitlines()[0]
            raise SchemaError(f"The folders {name}=… of {self!r} are not all {kind}: {text}") from None

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self.values)}

    @cached_property
    def _schema(self) -> Schema:
        folders = Schema.of(self._folders.schema).fields
        named = {field.name for field in folders}
        own = [field for field in self.inside.schema().fields if field.name not in named]
        return Schema(fields=(*own, *folders))

    def schema(self) -> Schema:
        """The columns of the files, then those of the folders."""
        return self._schema

    def partitions(self) -> Sequence[Partition]:
        """Those of the files, small ones together."""
        parts: list[Partition] = []
        waiting: list[Partition] = []
        for part in self.inside.partitions():
            held = sum(p.size_bytes or 0 for p in waiting) + (part.size_bytes or _PART_BYTES)
            if waiting and (held > _PART_BYTES or len(waiting) >= _PART_FILES):
                parts.append(_together(len(parts), waiting))
                waiting = []
            waiting.append(part)
        return [*parts, _together(len(parts), waiting)] if waiting else parts

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part; nothing is opened of files whose folders rule the condition out."""
        names = self._schema.names
        wanted = needed(names, columns, where)
        batches = _joined(self._rows(partition, wanted, where))
        return narrowed(batches, names, columns, where, start)

    def _rows(self, partition: Partition, wanted: list[str], where: str | None) -> Iterator[RecordBatch]:
        """Rows of the files of a part that may fulfil a condition."""
        inside = self._split(where)[1] or None
        own = [name for name in wanted if name not in self._folders.schema.names]
        passing = self._passing(where)
        schema = pa.schema([self._schema[name].arrow() for name in wanted])
        for place in partition.where["parts"]:
            row = self._row_of[str(place["where"]["path"])]
            if passing[row]:
                part = Partition(0, place["where"], place["rows"])
                constant = self._folders.slice(row, 1)
                for batch in self.inside.rough(part, own, inside):
                    yield _with(batch, constant, schema)

    def _split(self, where: str | None) -> tuple[str, str]:
        """The parts of a condition that only look at folders, and only at the files."""
        if where is None:
            return "", ""
        folders = set(self._folders.schema.names)
        parts = [(p, set(p.columns)) for p in conditions.parse(where, self._schema.names).parts()]
        there = [p for p, names in parts if names and names <= folders]
        inside = [p for p, names in parts if names and not names & folders]
        first, second = (" and ".join(f"({p.sql('duckdb')})" for p in found) for found in (there, inside))
        return first, second

    def _passing(self, where: str | None) -> Sequence[bool]:
        """For each file, whether its folders may fulfil a condition."""
        text = self._split(where)[0]
        if not text:
            return [True] * len(self.values)
        if text not in self._kept:
            folders = self._folders
            condition = conditions.parse(text, tuple(folders.schema.names))
            numbered = folders.append_column("\0row", pa.array(range(len(self.values)))).to_batches()
            kept = {row for b in sql.filtered(iter(numbered), condition) for row in b.column(-1).to_pylist()}
            self._kept[text] = [row in kept for row in range(len(self.values))]
        return self._kept[text]

    @cached_property
    def _kept(self) -> dict[str, Sequence[bool]]:
        return {}

    def count(self, where: str | None) -> int | None:
        """Rows, where the files tell without being read."""
        count = getattr(self.inside, "count", None)
        return count(None) if count is not None and where is None else None

    def pushed(self, where: str) -> str:
        """What folders are skipped by, and what the files' own source can apply."""
        folders, inside = self._split(where)
        pushed = getattr(self.inside, "pushed", None)
        return " and ".join(filter(None, [folders, pushed(inside) if pushed is not None and inside else ""]))

    def fingerprint(self) -> str:
        """Of the files and of the folders' values."""
        return stable_key(self.inside.fingerprint(), list(self.values.values()))

    def to_dict(self) -> dict[str, Any]:
        """The address, and the options of the files."""
        plan: dict[str, Any] = self.inside.to_dict()
        types = {**plan.get("types", {}), **self.types}
        return {**plan, **({"types": types} if types else {})}

    def __repr__(self) -> str:
        return repr(self.inside)


def _guessed(texts: Any) -> Any:
    """Values of folders as whole numbers, where all are written as such."""
    whole = all(text is None or _WHOLE.fullmatch(text) for text in texts.to_pylist())
    return texts.cast(pa.int64()) if whole else texts


def _together(index: int, parts: Sequence[Partition]) -> Partition:
    """Some parts as one."""
    rows = [part.rows for part in parts]
    sizes = [part.size_bytes for part in parts]
    return Partition(
        index,
        {"parts": [{"where": dict(part.where), "rows": part.rows} for part in parts]},
        sum(n for n in rows if n is not None) if None not in rows else None,
        sum(n for n in sizes if n is not None) if None not in sizes else None,
    )


def _with(batch: RecordBatch, constant: Any, schema: Any) -> RecordBatch:
    """A batch of a file with the columns of its folders."""
    if not schema.names:
        return batch
    arrays = [
        pa.repeat(constant.column(name)[0], batch.num_rows)
        if name in constant.schema.names
        else batch.column(name)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _joined(batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
    """Small batches put together: what is done for each is done seldom."""
    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        if not batch.num_columns:  # which together would not know how many rows they have
            yield batch
            continue
        if waiting and (rows + batch.num_rows > _BATCH_ROWS or size + batch.nbytes > _BATCH_BYTES):
            yield _one(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if waiting:
        yield _one(waiting)


def _one(batches: list[Any]) -> RecordBatch:
    whole = pa.Table.from_batches(batches).combine_chunks()
    return whole.to_batches()[0] if whole.num_rows else batches[0]
