"""Where the values of a row lie while it waits: dense columns as records of bytes, all others as Arrow.

Dense are numbers, booleans, dates, times and fixed-size values that are never missing. Columns of one type
share a matrix, row by row. Legend: n rows, w columns of a matrix.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.errors import SchemaError, SourceError, UnknownColumnError, listing

CHUNK_ROWS = 4096
"""Rows that are turned from columns to rows at a time: they stay in the processor's second cache."""

_COLUMNS_BYTES = 12 << 20  # of columns that are brought together before they are turned to rows
_LINE = 64  # bytes of a line of the processor's cache

ROW_NUMBER = "\0row"
"""The dense column that holds each row's number in the table, where somebody asked for it."""


class Scratch:
    """Memory that is used again: first touch costs more than what is done with it."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def of(self, size_bytes: int) -> NDArray[np.uint8]:
        """Bytes that are good until the next call."""
        if self._memory.nbytes < size_bytes:
            self._memory = np.empty(size_bytes, np.uint8)
        return self._memory[:size_bytes]


class _Own(threading.local):
    """Of each thread."""

    def __init__(self) -> None:
        self.columns, self.rows = Scratch(), Scratch()


_own = _Own()


@dataclass(frozen=True)
class Dense:
    """Columns whose values of one row have a fixed size and lie side by side.

    ``shape`` is that of one row: ``(w,)`` for a matrix of w columns, ``()`` for one column.
    """

    key: str
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    matrix: bool = False
    """Whether it is handed out whole, under its key, rather than column by column."""

    @cached_property
    def row_bytes(self) -> int:
        """Of one row."""
        return int(self.dtype.itemsize * math.prod(self.shape))

    @cached_property
    def record(self) -> np.dtype[Any]:
        """One row as one value, which moves as a whole."""
        size = self.row_bytes
        return np.dtype(f"u{size}") if size in (1, 2, 4, 8) else np.dtype((np.void, size))

    def fill(self, out: NDArray[Any], places: NDArray[Any], table: Any, first: int) -> None:
        """Write a table's rows to places of ``out`` [records]; ``first`` is its first row's number."""
        if self.key == ROW_NUMBER:
            self.number(out, places, first)
            return
        plain_columns = [self._plain(table.column(name)) for name in self.names]
        done = 0
        if not self.names[1:]:
            for chunk in plain_columns[0].chunks:
                self.write(out, places[done : done + len(chunk)], values(chunk, self.dtype).reshape(1, -1))
                done += len(chunk)
            return
        width, most = self.dtype.itemsize, max(_COLUMNS_BYTES // self.row_bytes, 1)
        for batch in pa.Table.from_arrays(plain_columns, self._numbered).to_batches(most):
            size = stride(batch.num_rows, width)
            columns = _own.columns.of(size * len(self.names)).reshape(-1, size)
            columns = columns[:, : batch.num_rows * width].view(self.dtype)
            for i, column in enumerate(batch.columns):
                columns[i] = values(column, self.dtype)
            self.write(out, places[done : done + batch.num_rows], columns)
            done += batch.num_rows

    def number(self, out: NDArray[Any], places: NDArray[Any], first: int) -> None:
        """Write the numbers of rows from ``first`` on to places of ``out``."""
        scatter(out, places, np.arange(first, first + len(places), dtype=np.int64).view(self.record))

    def write(self, out: NDArray[Any], places: NDArray[Any], columns: NDArray[Any]) -> None:
        """Write columns [w, n values] to n places of ``out``, a few at a time: they stay in the cache."""
        if len(columns) == 1:
            scatter(out, places, columns.reshape(-1).view(self.record))
            return
        wanted = _wanted(places)
        if wanted is not None:
            places, columns = places[wanted], columns[:, wanted]
        rows = _own.rows.of(CHUNK_ROWS * self.row_bytes).view(self.dtype).reshape(CHUNK_ROWS, len(columns))
        for low in range(0, columns.shape[1], CHUNK_ROWS):
            block = rows[: columns.shape[1] - low]
            block[:] = columns[:, low : low + CHUNK_ROWS].T
            out[places[low : low + CHUNK_ROWS]] = block.reshape(-1).view(self.record)

    def _plain(self, column: Any) -> Any:
        """A column as numbers that lie side by side. Raises SourceError where one is missing."""
        if column.null_count:
            raise SourceError(
                f"A value of {listing(self.names)} is missing, though the place says that none is.",
                hint="Has it changed since it was opened?",
            )
        if self.dtype.kind in "fiu" and not isinstance(column.type, pa.BaseExtensionType):
            return column
        return pa.chunked_array([plain(chunk) for chunk in column.chunks] or [plain(_none(column.type))])

    @cached_property
    def _numbered(self) -> list[str]:
        return [str(i) for i in range(len(self.names))]


@dataclass(frozen=True)
class Layout:
    """All columns of a loader: dense ones in records, the others as Arrow."""

    schema: Any
    """Of all columns, in the order asked for."""
    dense: tuple[Dense, ...]
    ragged: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns to be read."""
        return list(self.schema.names)

    @property
    def row_bytes(self) -> int:
        """Of the dense columns."""
        return sum(part.row_bytes for part in self.dense)

    def rest(self, table: Any) -> Any:
        """The columns of a table that are not dense; None where all are."""
        return table.select(list(self.ragged)) if self.ragged else None


Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def layout(
    schema: Any,
    features: Sequence[str],
    missing: set[str],
    tensors: Tensors,
    *,
    numbered: bool = False,
) -> Layout:
    """How to hold columns of a schema; ``missing`` names those that may have nulls.

    ``features`` become one matrix. Raises SchemaError, UnknownColumnError.
    """
    for name in (*features, *tensors):
        if name not in schema.names:
            raise UnknownColumnError(name, schema.names)
    shapes = {name: shape for name in schema.names if (shape := _shape(schema.field(name), tensors))}
    kinds = {name: kind for name in schema.names if (kind := dtype_of(schema.field(name).type)) is not None}
    for name in missing:
        kinds.pop(name, None)
    dense = [_features(tuple(features), schema, kinds)] if features else []
    by_type: dict[Any, list[str]] = {}
    ragged = []
    for name in (name for name in schema.names if name not in features):
        if name in shapes and name not in missing:
            dense.append(Dense(name, (name,), *shapes[name]))
        elif name in kinds:
            by_type.setdefault(kinds[name], []).append(name)
        else:
            ragged.append(name)
    for dtype, names in by_type.items():
        dense.append(Dense(f"\0{dtype}", tuple(names), dtype, (len(names),)))
    if numbered:
        dense.append(Dense(ROW_NUMBER, (), np.dtype(np.int64), (1,)))
    return Layout(schema, tuple(dense), tuple(ragged))


def _features(names: tuple[str, ...], schema: Any, kinds: Mapping[str, Any]) -> Dense:
    odd = [name for name in names if name not in kinds]
    if odd:
        raise SchemaError(
            f"The features {listing(odd)} cannot lie in one matrix: they are no plain numbers, or some miss.",
            hint="Leave them out of features=; they are columns of their own then.",
        )
    types = {str(kinds[name]): name for name in names}
    if len(types) > 1:
        shown = ", ".join(f"{name!r} is {kind}" for kind, name in types.items())
        raise SchemaError(
            f"Features of one matrix are of one type, but {shown}.", hint="Cast them, or leave some out."
        )
    return Dense("features", names, kinds[names[0]], (len(names),), matrix=True)


def _shape(kind: Any, tensors: Tensors) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
    """Type and shape of a column of fixed-size values."""
    arrow = kind.type
    meta = kind.metadata or {}
    size = _bytes_of(arrow)
    if size is None:
        return None
    if kind.name in tensors:
        dtype, shape = np.dtype(tensors[kind.name][0]), tuple(tensors[kind.name][1])
    elif isinstance(arrow, pa.FixedShapeTensorType):
        dtype, shape = np.dtype(arrow.value_type.to_pandas_dtype()), tuple(arrow.shape)
    elif pa.types.is_fixed_size_list(arrow):
        dtype, shape = np.dtype(arrow.value_type.to_pandas_dtype()), (int(arrow.list_size),)
    elif b"orrery.dtype" in meta:
        dtype, shape = np.dtype(meta[b"orrery.dtype"].decode()), (-1,)
    else:
        dtype, shape = np.dtype(np.uint8), (size,)
    told = meta.get(b"orrery.shape")
    if kind.name not in tensors and told:
        shape = tuple(int(n) for n in told.split(b",") if n)
    if int(dtype.itemsize * np.prod(shape, dtype=np.int64)) != size:
        if kind.name in tensors:
            raise SchemaError(f"{kind.name!r} has {size} bytes in each row, not {dtype} of shape {shape}.")
        dtype, shape = np.dtype(np.uint8), (size,)
    return dtype, shape


def _bytes_of(kind: Any) -> int | None:
    """Bytes of one value, where all have equally many and they lie side by side."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_fixed_size_list(kind):
        inner = dtype_of(kind.value_type)
        plain_inner = inner is not None and not pa.types.is_boolean(kind.value_type)
        return int(kind.list_size) * inner.itemsize if inner is not None and plain_inner else None
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return int(kind.byte_width)
    return None


def dtype_of(kind: Any) -> np.dtype[Any] | None:
    """NumPy's type of a plain column; None for what is not dense."""
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    if pa.types.is_date32(kind):
        return np.dtype("datetime64[D]")
    if pa.types.is_date64(kind):
        return np.dtype("datetime64[ms]")
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return np.dtype(f"{'datetime' if pa.types.is_timestamp(kind) else 'timedelta'}64[{kind.unit}]")
    if pa.types.is_time(kind):
        return np.dtype(f"timedelta64[{kind.unit}]")
    return None


def _none(kind: Any) -> Any:
    return pa.array([], kind)


def plain(array: Any) -> Any:
    """A column as numbers that lie side by side: dates and times as whole numbers, booleans as bytes."""
    kind: Any = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(array.storage)
    if pa.types.is_boolean(kind):
        return array.cast(pa.uint8())
    if pa.types.is_date32(kind):
        return array.view(pa.int32()).cast(pa.int64())
    if pa.types.is_time32(kind):
        return array.view(pa.int32()).cast(pa.int64())
    if pa.types.is_temporal(kind):
        return array.view(pa.int64())
    return array


def scatter(out: NDArray[Any], places: NDArray[Any], records: NDArray[Any]) -> None:
    """Write records to places of ``out``; those whose place is below 0 nowhere.

    >>> out = np.zeros(3, np.int64)
    >>> scatter(out, np.array([2, -1, 0]), np.array([5, 6, 7]))
    >>> out.tolist()
    [7, 0, 5]
    """
    wanted = _wanted(places)
    if wanted is None:
        out[places] = records
    else:
        out[places[wanted]] = records[wanted]


def _wanted(places: NDArray[Any]) -> NDArray[np.int64] | None:
    """Which rows have a place; None where all have."""
    return np.flatnonzero(places >= 0) if len(places) and places.min() < 0 else None


def stride(rows: int, width: int) -> int:
    """Bytes from one column to the next: an odd number of lines, lest all fall on one place of the cache.

    >>> stride(16, 4), stride(1024, 8)
    (64, 8256)
    """
    return (-(-rows * width // _LINE) | 1) * _LINE


def values(array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values of a plain column in one row after the other, without a copy."""
    kind: Any = array.type
    if pa.types.is_fixed_size_list(kind):
        flat = plain(array.flatten())
        if flat.null_count:
            raise SourceError("A list of fixed size has values that are missing.")
        found: NDArray[Any] = flat.to_numpy(zero_copy_only=True).view(dtype)
        return found
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        data = np.frombuffer(array.buffers()[1], np.uint8)
        return data[array.offset * width : (array.offset + len(array)) * width].view(dtype)
    numbers: NDArray[Any] = array.to_numpy(zero_copy_only=True).view(dtype)
    return numbers
