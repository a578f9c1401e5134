"""Parquet's plain pages, read without a decoder: values as they lie in the file, straight to where they go.

Numbers and bytes of fixed size that are neither compressed, nor put into dictionaries, nor missing, lie in
their pages one after the other, and so do lists of one length. One ``preadv`` brings many columns, each to
its own row of a matrix; Arrow would copy them twice more. Whatever is not exactly so is left to Arrow. Pages
that carry a checksum are held against it. Legend: n rows, w columns of a matrix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader.columns import ROW_NUMBER, Dense, Layout, stride
from orrery.data.loader.pages import Pages, Values, check, pages_of

STEP_BYTES = 12 << 20
"""Read at a time: one row group of usual size; no more, so that memory stays bounded."""

_GAP = 8 << 10  # bytes that are rather read than jumped over
_MOST_VIEWS = 1000  # that one call may fill
_MOST_OPEN = 32
_LINE = 64  # bytes of a line of the processor's cache
_PHYSICAL = {"FLOAT": "f4", "DOUBLE": "f8", "INT32": "i4", "INT64": "i8"}


class Plain:
    """The plain row groups of local files. Safe among threads."""

    def __init__(self, paths: Sequence[Path | None], footers: Sequence[Any]) -> None:
        self._paths = paths
        self._footers = footers
        self._pages: dict[tuple[int, int, str], Pages | None] = {}
        self._schemas: dict[int, tuple[Any, dict[str, list[int]]]] = {}  # of files, and leaves by column
        self._idle: list[tuple[int, int]] = []
        self._spare: list[NDArray[np.uint8]] = []
        self._checked: dict[int, set[int]] = {}  # of each file the pages that are read in parts
        self._lock = Lock()

    def load(
        self,
        place: tuple[int, int],
        span: tuple[int, int],
        layout: Layout,
        out: Any,
        to: NDArray[Any],
        first: int,
    ) -> bool:
        """Write rows ``span`` of a row group to places of ``out``; False, with nothing done, if not plain."""
        if layout.ragged or self._paths[place[0]] is None:
            return False
        with self._opened(place[0]) as file:
            found = [
                _Part(part, pages) for part in layout.dense if (pages := self._of(file, place, part, layout))
            ]
            if len(found) < len(layout.dense):
                return False
            checked = self._checked.setdefault(place[0], set())
            step = max(1, STEP_BYTES // max(layout.row_bytes, 1))
            with self._memory(min(step, span[1] - span[0]), found) as memory:
                for low in range(span[0], span[1], step):
                    high = min(low + step, span[1])
                    places = to[low - span[0] : high - span[0]]
                    _load((file, checked), found, memory, (low, high), out, places, first + low - span[0])
        return True

    def _of(self, file: int, place: tuple[int, int], part: Dense, layout: Layout) -> list[Pages]:
        """The pages of each column of a part; none where one is not plain."""
        if part.key == ROW_NUMBER:
            return [np.empty((0, 5), np.int64)]
        found = []
        for name in part.names:
            key = (*place, name)
            if key not in self._pages:
                self._pages[key] = self._looked_up(file, place, name, layout.schema.field(name).type)
            pages = self._pages[key]
            if pages is None:
                return []
            found.append(pages)
        return found

    def _looked_up(self, file: int, place: tuple[int, int], name: str, kind: Any) -> Pages | None:
        footer = self._footers[place[0]]
        if place[0] not in self._schemas:
            self._schemas[place[0]] = footer.schema.to_arrow_schema(), _leaves(footer.schema)
        schema, leaves_of = self._schemas[place[0]]
        leaves = leaves_of.get(name, [])
        if len(leaves) != 1 or schema.names.count(name) != 1 or schema.field(name).type != kind:
            return None
        rows, chunk = footer.row_group(place[1]).num_rows, footer.row_group(place[1]).column(leaves[0])
        values = _values(footer.schema.column(leaves[0]), kind, rows)
        if values is None or chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            return None
        span = (chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size)
        return pages_of(file, span, values)

    @contextmanager
    def _opened(self, number: int) -> Iterator[int]:
        """A descriptor that no other thread uses."""
        with self._lock:
            at = next((i for i, idle in enumerate(self._idle) if idle[0] == number), None)
            file = self._idle.pop(at)[1] if at is not None else None
        if file is None:
            path = self._paths[number]
            assert path is not None
            file = os.open(path, os.O_RDONLY)
        try:
            yield file
        finally:
            with self._lock:
                self._idle.append((number, file))
                surplus = self._idle.pop(0) if len(self._idle) > _MOST_OPEN else None
            if surplus is not None:
                os.close(surplus[1])

    @contextmanager
    def _memory(self, rows: int, parts: Sequence[_Part]) -> Iterator[NDArray[np.uint8]]:
        """Memory for so many rows, kept for the next read: first touch costs more than reading."""
        size = sum(part.size(rows) for part in parts) + _LINE
        with self._lock:
            memory = self._spare.pop() if self._spare else None
        if memory is None or memory.nbytes < size:
            memory = np.empty(size, np.uint8)
        try:
            yield memory
        finally:
            with self._lock:
                self._spare.append(memory)

    def close(self) -> None:
        """Close every file that nobody reads now."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._checked.clear()
        for _, file in idle:
            os.close(file)


@dataclass(frozen=True)
class _Part:
    """A dense part, and the pages of its columns."""

    dense: Dense
    pages: list[Pages]

    def size(self, rows: int) -> int:
        """Of so many rows of all columns."""
        return 0 if self.dense.key == ROW_NUMBER else stride(rows, self.width) * len(self.pages)

    @property
    def width(self) -> int:
        """Bytes of a value."""
        return self.dense.row_bytes // len(self.pages)

    def columns(self, memory: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
        """Bytes [w, bytes of so many rows] in memory of ``size``."""
        return memory.reshape(len(self.pages), stride(rows, self.width))[:, : rows * self.width]


class _Wanted(NamedTuple):
    """A part of a page: where it begins in the file, the memory that it goes to, and the page."""

    place: int
    view: memoryview
    page: list[int]


def _load(
    file: tuple[int, set[int]],
    parts: Sequence[_Part],
    memory: NDArray[np.uint8],
    span: tuple[int, int],
    out: Any,
    places: NDArray[Any],
    first: int,
) -> None:
    rows, at = span[1] - span[0], -memory.ctypes.data % _LINE
    descriptor, checked = file
    filled: list[tuple[Dense, NDArray[Any]]] = []
    wanted: list[_Wanted] = []
    for part in parts:
        if part.dense.key == ROW_NUMBER:
            continue
        size = part.size(rows)
        columns = part.columns(memory[at : at + size], rows)
        filled.append((part.dense, columns))
        wanted += _wanted(part, columns, span)
        at += size
    read(descriptor, wanted)
    _check(descriptor, wanted, checked)
    for dense, columns in filled:
        dense.write(out[dense.key], places, columns.view(dense.dtype))
    for part in parts:
        if part.dense.key == ROW_NUMBER:
            part.dense.number(out[part.dense.key], places, first)


def _wanted(part: _Part, columns: NDArray[np.uint8], span: tuple[int, int]) -> Iterator[_Wanted]:
    """What is to be read: places in the file, the memory that they go to, their pages."""
    first, last = span[0] * part.width, span[1] * part.width
    for pages, column in zip(part.pages, columns, strict=True):
        view, end = memoryview(column), 0
        for page in pages.tolist():
            begin, end = end, end + page[1]
            low, high = max(begin, first), min(end, last)
            if high > low:
                yield _Wanted(page[0] + low - begin, view[low - first : high - first], page)


def _check(file: int, wanted: Sequence[_Wanted], checked: set[int]) -> None:
    """Hold pages against their checksums; one of which a part was read, once while the file is open."""
    for found in wanted:
        _, size, place, _, told = found.page
        if told >= 0 and len(found.view) == size:
            check(file, found.page, found.view)
        elif told >= 0 and place not in checked:
            check(file, found.page)
            checked.add(place)


def read(file: int, wanted: Sequence[_Wanted]) -> None:
    """Fill each view from its place in the file, with few calls. Raises ValueError where the file ends."""
    wanted = sorted(wanted, key=attrgetter("place"))
    between = memoryview(bytearray(_GAP))
    i = 0
    while i < len(wanted):
        start = end = wanted[i].place
        views: list[Any] = []
        while i < len(wanted) and 0 <= wanted[i].place - end <= _GAP and len(views) < _MOST_VIEWS:
            if wanted[i].place > end:
                views.append(between[: wanted[i].place - end])
            views.append(wanted[i].view)
            end = wanted[i].place + len(wanted[i].view)
            i += 1
        if os.preadv(file, views, start) != end - start:
            raise ValueError("it ends before its rows do")


def _leaves(schema: Any) -> dict[str, list[int]]:
    """The leaves of a file's schema by the column that they belong to."""
    found: dict[str, list[int]] = {}
    for i in range(len(schema)):
        found.setdefault(str(schema.column(i).path).split(".")[0], []).append(i)
    return found


def _values(column: Any, kind: Any, rows: int) -> Values | None:
    """What a leaf's pages hold, where Arrow's values are the file's, bit by bit."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    optional = column.max_definition_level > 0
    if pa.types.is_fixed_size_list(kind):
        width = _width(column, kind.value_type)
        if width is None or column.max_repetition_level != 1 or not kind.list_size:
            return None
        return Values(rows * kind.list_size, width, optional, kind.list_size)
    if column.max_repetition_level or column.max_definition_level > 1:
        return None
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        same = column.physical_type == "FIXED_LEN_BYTE_ARRAY"
        return Values(rows, int(kind.byte_width), optional) if same and kind.byte_width else None
    width = _width(column, kind)
    return None if width is None else Values(rows, width, optional)


def _width(column: Any, kind: Any) -> int | None:
    """Bytes of a number."""
    if column.physical_type not in _PHYSICAL or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    width = np.dtype(_PHYSICAL[column.physical_type]).itemsize
    return width if width == kind.bit_width // 8 else None
