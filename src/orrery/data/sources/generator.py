"""Rows that a program makes: a function that gives them, anything that can be iterated, an iterator."""

from __future__ import annotations

import errno
import itertools
import math
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import values
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.memory import Memory, is_rows, unaddressed
from orrery.data.sources.plain import PlainSource, as_row, is_picture, plain, unwrapped
from orrery.errors import OrreryError, SettingsError, SourceError
from orrery.schema import Field, Kind, Schema, parse_type

_LOOKED_AT = 1_000
"""Rows by which the types of columns are decided; ``types=`` decides without looking."""

_MOST_BYTES = 64 << 30


class Generated(PlainSource):
    """The rows that a function gives, anew each time; or those of anything that can be iterated again.

    >>> from orrery.data.table import read
    >>> read(lambda: ({"n": n} for n in range(3))).to_rows()
    [{'n': 0}, {'n': 1}, {'n': 2}]
    """

    def __init__(self, place: Any, types: Mapping[str, str] | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(place)
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)

    def _items(self) -> Iterator[Any]:
        made = self.place() if callable(self.place) else self.place
        if not isinstance(made, Iterable) or isinstance(made, (str, bytes, Mapping)):
            raise SettingsError(
                f"{self!r} gave a {type(made).__name__}.",
                hint="It should give rows: dicts, tuples, or record batches.",
            )
        return iter(made)

    @cached_property
    def _schema(self) -> Schema:
        items = self._items()
        try:
            return schema_of(_first(items), self.types)
        finally:
            _close(items)

    def schema(self) -> Schema:
        """The columns, decided by the first rows."""
        return self._schema

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """All rows, made anew."""
        items = self._items()
        try:
            for item in items:
                yield item if not _is_block(item) else Memory(item).table
        finally:
            _close(items)

    def to_dict(self) -> dict[str, Any]:
        """Rows that a program makes have no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        name = getattr(self.place, "__name__", type(self.place).__name__)
        return f"{name} in memory"


class Spilled(PlainSource):
    """The rows of an iterator, which gives them once: they are put down in a scratch file when first read.

    The file may grow to ``most_bytes``, 64 GB by default; it goes when nothing refers to the source any more.
    """

    def __init__(
        self,
        place: Any,
        types: Mapping[str, str] | None = None,
        on_bad: OnBad = "stop",
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        super().__init__(place)
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)
        self.most_bytes = most_bytes
        self._failed: BaseException | None = None

    @cached_property
    def _file(self) -> Path:
        """The scratch file with all rows. What went wrong when they were put down goes wrong each time."""
        if self._failed is not None:
            raise self._failed
        folder = Path(tempfile.mkdtemp(prefix="orrery-rows-"))
        weakref.finalize(self, _remove, folder)
        try:
            self._put_down(folder / "rows.arrow")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self._failed = SourceError(f"The rows of {self!r} were not read to the end.")
                raise
            self._failed = SourceError(
                f"The rows of {self!r} do not fit on the disk under {folder.parent}.",
                hint="Give a function that makes them anew: read(lambda: rows()).",
            )
            raise self._failed from None
        except BaseException as error:
            told = isinstance(error, OrreryError)
            self._failed = error if told else SourceError(f"The rows of {self!r} were not read to the end.")
            raise
        return folder / "rows.arrow"

    def _put_down(self, path: Path) -> None:
        once, schema = self._once()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as out:
            for batch in once:
                out.write_batch(batch)
                if file.tell() > self.most_bytes:
                    raise SourceError(
                        f"The rows of {self!r} take more than {self.most_bytes:,} bytes of scratch space.",
                        hint="Give a function that makes them anew, read(lambda: rows()), or most_bytes=.",
                    )

    def _once(self) -> tuple[Iterator[RecordBatch], Any]:
        if isinstance(self.place, pa.RecordBatchReader):
            schema = Schema.of(self.place.schema).arrow()
            return (batch.cast(schema) for batch in self.place), schema
        first = _first(self.place)
        source = Generated(itertools.chain(first, self.place), self.types, self.bad.on_bad)
        source.bad, source.__dict__["_schema"] = self.bad, schema_of(first, self.types)
        return source.read(Partition(0)), source.schema().arrow()

    @cached_property
    def _arrow(self) -> Any:
        with pa.memory_map(str(self._file)) as file, pa.ipc.open_file(file) as reader:
            return reader.schema

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(self._arrow)

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of the scratch file; only the columns wanted are looked at."""
        names = self._arrow.names
        return narrowed(self._stored(needed(names, columns, where)), names, columns, where, start)

    def _stored(self, wanted: list[str]) -> Iterator[RecordBatch]:
        with pa.memory_map(str(self._file)) as file, pa.ipc.open_file(file) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i).select(wanted)
                self.bytes_read += batch.nbytes
                yield batch

    def to_dict(self) -> dict[str, Any]:
        """Rows that a program makes have no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return f"{type(self.place).__name__} in memory"


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    folder.rmdir()


def _close(items: Iterator[Any]) -> None:
    close: Callable[[], None] | None = getattr(items, "close", None)
    if close is not None:
        close()


def _first(items: Iterator[Any]) -> list[Any]:
    """The first rows; of those that come in blocks, the first block."""
    first = list(itertools.islice(items, 1))
    if first and not _is_block(first[0]):
        first += itertools.islice(items, _LOOKED_AT - 1)
    return first


def _is_block(item: Any) -> bool:
    """Whether one item is many rows."""
    return is_rows(item) and not isinstance(item, (Mapping, list, tuple))


def schema_of(first: Sequence[Any], types: Mapping[str, str]) -> Schema:
    """The columns of rows of any form, from the first of them. Raises SchemaError."""
    if first and _is_block(first[0]):
        return Memory(first[0]).schema()
    rows = [as_row(row, i + 1) for i, row in enumerate(first)]
    names = dict.fromkeys([*(str(name) for row in rows for name in row), *types])
    return Schema(fields=tuple(_field(name, [row.get(name) for row in rows], types) for name in names))


def _field(name: str, found: Sequence[Any], types: Mapping[str, str]) -> Field:
    if name in types:
        return Field.of(pa.field(name, parse_type(types[name])))
    shapes = {tuple(value.shape) for value in found if hasattr(value, "shape")}
    if shapes and shapes != {()}:
        return _tensor(name, next(value for value in found if hasattr(value, "shape")), shapes)
    if any(is_picture(value) for value in found):
        return Field(name=name, type="binary", kind=Kind.IMAGE)
    kind = values.infer_type([plain(value) for value in found], name, "rows")
    return Field.of(pa.field(name, kind))


def _tensor(name: str, value: Any, shapes: set[tuple[int, ...]]) -> Field:
    """A column of arrays: of one shape a list of fixed size, of many a plain list, row after row."""
    item = pa.array(unwrapped(value).reshape(-1)[:0]).type
    if len(shapes) > 1:
        return Field.of(pa.field(name, pa.list_(item)))
    (shape,) = shapes
    kind = Kind.VECTOR if len(shape) == 1 else Kind.TENSOR
    return Field(name=name, type=str(pa.list_(item, math.prod(shape))), kind=kind, shape=shape)
