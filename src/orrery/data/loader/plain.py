"""Parquet's plain pages, read without a decoder: values as they lie in the file, straight to where they go.

Numbers and bytes of fixed size that are neither compressed, nor put into dictionaries, nor missing, lie in
their pages one after the other. One ``preadv`` brings many columns, each to its own row of a matrix; Arrow
would copy them twice more. Whatever is not exactly so is left to Arrow. Page headers are Thrift's compact
protocol (https://parquet.apache.org/docs/file-format/data-pages/). Legend: n rows, w columns of a matrix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader.columns import ROW_NUMBER, Dense, Layout, stride

STEP_BYTES = 12 << 20
"""Read at a time: one row group of usual size; no more, so that memory stays bounded."""

_WINDOWS = (512, 16 << 10)  # bytes in which a page's header is looked for; statistics may make it long
_GAP = 8 << 10  # bytes that are rather read than jumped over
_MOST_VIEWS = 1000  # that one call may fill
_MOST_OPEN = 32
_DEEPEST = 3  # structs within structs, in a page's header
_LINE = 64  # bytes of a line of the processor's cache
_DATA_PAGE, _PLAIN = 0, 0
_PHYSICAL = {"FLOAT": "f4", "DOUBLE": "f8", "INT32": "i4", "INT64": "i8"}

Pages = NDArray[np.int64]
"""[pages, 2]: where the values of each begin in the file, and how many they are."""


class Plain:
    """The plain row groups of local files. Safe among threads."""

    def __init__(self, paths: Sequence[Path | None], footers: Sequence[Any]) -> None:
        self._paths = paths
        self._footers = footers
        self._pages: dict[tuple[int, int, str], Pages | None] = {}
        self._schemas: dict[int, Any] = {}
        self._idle: list[tuple[int, int]] = []
        self._spare: list[NDArray[np.uint8]] = []
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
            step = max(1, STEP_BYTES // max(layout.row_bytes, 1))
            with self._memory(min(step, span[1] - span[0]), found) as memory:
                for low in range(span[0], span[1], step):
                    high = min(low + step, span[1])
                    places = to[low - span[0] : high - span[0]]
                    _load(file, found, memory, (low, high), out, places, first + low - span[0])
        return True

    def _of(self, file: int, place: tuple[int, int], part: Dense, layout: Layout) -> list[Pages]:
        """The pages of each column of a part; none where one is not plain."""
        if part.key == ROW_NUMBER:
            return [np.empty((0, 2), np.int64)]
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
        schema = self._schemas.get(place[0])
        if schema is None:
            schema = self._schemas[place[0]] = footer.schema.to_arrow_schema()
        leaf = next((i for i in range(footer.num_columns) if footer.schema.column(i).path == name), None)
        if leaf is None or schema.get_all_field_indices(name) != [leaf] or schema.field(leaf).type != kind:
            return None
        column, chunk = footer.schema.column(leaf), footer.row_group(place[1]).column(leaf)
        width = _width(column, kind)
        if width is None or chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            return None
        rows, optional = footer.row_group(place[1]).num_rows, column.max_definition_level > 0
        span = (chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size)
        return pages_of(file, span, rows, width, optional=optional)

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


def _load(
    file: int,
    parts: Sequence[_Part],
    memory: NDArray[np.uint8],
    span: tuple[int, int],
    out: Any,
    places: NDArray[Any],
    first: int,
) -> None:
    rows, at = span[1] - span[0], -memory.ctypes.data % _LINE
    filled: list[tuple[Dense, NDArray[Any]]] = []
    wanted: list[tuple[int, Any]] = []
    for part in parts:
        if part.dense.key == ROW_NUMBER:
            continue
        size = part.size(rows)
        columns = part.columns(memory[at : at + size], rows)
        filled.append((part.dense, columns))
        wanted += _wanted(part, columns, span)
        at += size
    read(file, wanted)
    for dense, columns in filled:
        dense.write(out[dense.key], places, columns.view(dense.dtype))
    for part in parts:
        if part.dense.key == ROW_NUMBER:
            part.dense.number(out[part.dense.key], places, first)


def _wanted(part: _Part, columns: NDArray[np.uint8], span: tuple[int, int]) -> Iterator[tuple[int, Any]]:
    """Where in the file rows lie, and the memory that they go to."""
    width = part.width
    for pages, column in zip(part.pages, columns, strict=True):
        view, begin = memoryview(column), 0
        for offset, count in pages.tolist():
            low, high = max(begin, span[0]), min(begin + count, span[1])
            if high > low:
                yield offset + (low - begin) * width, view[(low - span[0]) * width : (high - span[0]) * width]
            begin += count


def read(file: int, wanted: list[tuple[int, Any]]) -> None:
    """Fill each view from its place in the file, with few calls. Raises ValueError where the file ends."""
    wanted = sorted(wanted, key=lambda found: found[0])
    between = memoryview(bytearray(_GAP))
    i = 0
    while i < len(wanted):
        start = end = wanted[i][0]
        views: list[Any] = []
        while i < len(wanted) and 0 <= wanted[i][0] - end <= _GAP and len(views) < _MOST_VIEWS:
            if wanted[i][0] > end:
                views.append(between[: wanted[i][0] - end])
            views.append(wanted[i][1])
            end = wanted[i][0] + len(wanted[i][1])
            i += 1
        if os.preadv(file, views, start) != end - start:
            raise ValueError("it ends before its rows do")


def pages_of(
    file: int, span: tuple[int, int], rows: int, width: int, *, optional: bool = False
) -> Pages | None:
    """Where the values of a column's pages lie; None where they are not plain, or some are missing.

    ``width``: bytes of a value. ``optional``: whether levels, which tell what is missing, come before values.
    """
    at, done, found = span[0], 0, []
    while done < rows:
        told = _header(file, at)
        if told is None:
            return None
        header, begin = told
        size, data = header.get(3, -1), header.get(5)
        if header.get(1) != _DATA_PAGE or size != header.get(2) or not isinstance(data, dict):
            return None
        count = data.get(1)
        levels = 0
        if optional:
            levels = 4 + int.from_bytes(os.pread(file, 4, begin), "little")
        if data.get(2) != _PLAIN or not isinstance(count, int) or count < 1 or size != levels + count * width:
            return None
        found.append((begin + levels, count))
        at, done = begin + size, done + count
    return np.array(found, np.int64).reshape(-1, 2) if done == rows and at <= span[1] else None


def _header(file: int, at: int) -> tuple[dict[int, Any], int] | None:
    """A page's header by field number, and where it ends in the file."""
    for window in _WINDOWS:
        try:
            found, size = _struct(os.pread(file, window, at), 0)
        except IndexError:  # it is longer, or none
            continue
        except ValueError:
            return None
        return found, at + size
    return None


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, by field: whole numbers, truth, structs; bytes are left out."""
    found: dict[int, Any] = {}
    field = 0
    while head := data[at]:
        at += 1
        kind, jump = head & 15, head >> 4
        field += jump
        if not jump:
            field, at = _whole(data, at)
        if kind in (1, 2):
            found[field] = kind == 1
        elif kind in (4, 5, 6):
            found[field], at = _whole(data, at)
        elif kind == 8:
            size, at = _varint(data, at)
            at += size
        elif kind == 12 and depth < _DEEPEST:
            found[field], at = _struct(data, at, depth + 1)
        else:
            raise ValueError(f"a page's header holds no value of kind {kind}")
    return found, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _whole(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, which may be below 0."""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _width(column: Any, kind: Any) -> int | None:
    """Bytes of a value, where Arrow's value is the file's, bit by bit."""
    if column.max_repetition_level or column.max_definition_level > 1:
        return None
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return int(kind.byte_width) if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else None
    if column.physical_type not in _PHYSICAL or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    width = np.dtype(_PHYSICAL[column.physical_type]).itemsize
    return width if width == kind.bit_width // 8 else None
