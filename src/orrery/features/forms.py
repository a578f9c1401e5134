"""Forms: the plain NumPy shapes in which a transform meets a column, from Arrow or from Python values.

A transform never sees Arrow. Whoever feeds it *lifts* each column first: a batch of a million rows from
Arrow, or one row of a request from Python values; both give the same form, hence the same prediction.

Legend: n rows, d numbers in a vector.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.data.codecs import tensor
from orrery.errors import BadRowError, SchemaError
from orrery.features.cells import UnfitError, each, to_category, to_float
from orrery.features.cells import as_text as as_text
from orrery.features.nested import point_arrow, point_values, series_arrow, series_values, to_map


class Form(StrEnum):
    """How a column is handed to a transform."""

    FLOAT = "float"
    """float64 [n]; missing is NaN."""
    CODED = "coded"
    """:class:`Coded`: each distinct value once, as text, and which row holds which."""
    TEXT = "text"
    """list of n ``str | None``."""
    BYTES = "bytes"
    """list of n ``bytes | None``."""
    TIME = "time"
    """datetime64[us] [n], UTC; missing is NaT."""
    VECTOR = "vector"
    """float64 [n, d]; a missing vector is a row of NaN."""
    LABELS = "labels"
    """list of n ``list[str] | None``."""
    SERIES = "series"
    """list of n float64 [t] or None; t differs from row to row."""
    TENSOR = "tensor"
    """list of n numeric arrays, of any shape, or None."""
    MAP = "map"
    """list of n ``dict[str, float | str] | None``."""
    POINT = "point"
    """float64 [n, 2], latitude and longitude in degrees, or [n, 1] of a column that holds one of them."""


class Coded(NamedTuple):
    """A column of categories: ``values[codes[i]]`` is row i's value; ``codes[i] == -1`` is missing."""

    codes: NDArray[np.int64]  # [n]
    values: list[str]


class Bag(NamedTuple):
    """Sparse rows: row i holds ``ids[offsets[i]:offsets[i+1]]`` with the weights beside them."""

    offsets: NDArray[np.int64]  # [n + 1], from 0
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]


Lifted = Any  # an NDArray, Coded, or a list, as the form says


def lift(column: Any, form: Form, name: str) -> Lifted:
    """A form from an Arrow array. ``name`` is the column's, for messages. Raises SchemaError."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    try:
        return _FROM_ARROW[form](column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SchemaError(
            f"Column {name!r} of type {column.type} cannot be read as {form.value}: {error}.",
            hint="Say what the column means with kinds={...}, or convert it first.",
        ) from None
    except UnfitError as unfit:
        raise bad_row(name, unfit.row, _reason(unfit, form)) from None


def lift_values(values: Sequence[object], form: Form, name: str) -> Lifted:
    """A form from Python values, as a request brings them. Raises BadRowError that names the value."""
    try:
        return _FROM_VALUES[form](values)
    except UnfitError as unfit:
        raise bad_row(name, unfit.row, _reason(unfit, form)) from None


def bad_row(column: str, row: int, reason: str) -> BadRowError:
    """One value cannot be read; ``row`` counts from 0 within the batch.

    >>> print(bad_row("image", 3, "not a picture."))
    row 3: Column 'image': not a picture.
    """
    error = BadRowError(f"Column {column!r}: {reason}", pointer=f"row {row}")
    error.column, error.row = column, row
    return error


def _short(value: object) -> str:
    text = repr(value[:80] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _reason(unfit: UnfitError, form: Form) -> str:
    return unfit.reason or f"{_short(unfit.value)} cannot be read as {form.value}."


# --- float


def _float_arrow(column: Any) -> NDArray[np.float64]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if pa.types.is_temporal(column.type):
        raise pa.ArrowTypeError("a date is not a number")
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_decimal(column.type):  # Arrow's own cast is now and then one bit off the nearest double
        column = column.cast(pa.string())
    wide = column.cast(pa.float64(), safe=False)
    out: NDArray[np.float64] = wide.to_numpy(zero_copy_only=False)
    return out


def _float_values(values: Sequence[object]) -> NDArray[np.float64]:
    return np.array(each(values, to_float, math.nan), np.float64)


# --- coded


def _coded_arrow(column: Any) -> Coded:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    # A dictionary may hold null or NaN: both are missing.
    values = [None if v is None or v != v else as_text(v) for v in encoded.dictionary.to_pylist()]
    if None in values:
        gone = np.array([v is None for v in values])
        codes = np.where((codes >= 0) & gone[codes], -1, codes)
    return Coded(codes, [v if v is not None else "" for v in values])


_ONLY = np.zeros(1, np.int64)
_ONLY.flags.writeable = False


def _coded_values(values: Sequence[object]) -> Coded:
    if len(values) == 1 and isinstance(values[0], str):  # one row of a request: nothing to look for
        return Coded(_ONLY, [values[0]])
    spelt = each([None if v != v else v for v in values], to_category, None)
    distinct = {v: i for i, v in enumerate(dict.fromkeys(v for v in spelt if v is not None))}
    codes = np.array([-1 if v is None else distinct[v] for v in spelt], np.int64)
    return Coded(codes, list(distinct))


# --- text, bytes


def _text_arrow(column: Any) -> list[str | None]:
    values: list[Any] = column.to_pylist()
    return [None if v is None else as_text(v) for v in values]


def _text_values(values: Sequence[object]) -> list[str | None]:
    return each(values, to_category, None)


def _bytes_arrow(column: Any) -> list[bytes | None]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        return _bytes_values(column.to_pylist())
    if not (
        pa.types.is_binary(column.type)
        or pa.types.is_large_binary(column.type)
        or pa.types.is_fixed_size_binary(column.type)
        or pa.types.is_null(column.type)
    ):
        raise pa.ArrowTypeError("not bytes")
    out: list[bytes | None] = column.to_pylist()
    return out


def _to_bytes(value: Any) -> bytes | None:
    if isinstance(value, dict) and "bytes" in value:  # {"bytes", "path"}, as data sets are published
        value = value["bytes"]
        if value is None:
            return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError


def _bytes_values(values: Sequence[object]) -> list[bytes | None]:
    return each(values, _to_bytes, None)


# --- time


def _time_arrow(column: Any) -> NDArray[np.datetime64]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _time_values(column.to_pylist())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
        column = pc.cast(column, pa.timestamp("us", "UTC")).view(pa.int64()).view(pa.timestamp("us"))
    out: NDArray[np.datetime64] = column.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
    return out.astype("datetime64[us]")


def _to_time(value: Any) -> Any:
    moment: Any = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(moment, dt.datetime):
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    elif not isinstance(moment, dt.date | np.datetime64):
        raise TypeError
    return np.datetime64(moment, "us")


def _time_values(values: Sequence[object]) -> NDArray[np.datetime64]:
    return np.array(each(values, _to_time, np.datetime64("NaT")), "datetime64[us]")


# --- vector, labels


def _vector_arrow(column: Any) -> NDArray[np.float64]:
    if pa.types.is_fixed_size_list(column.type) and column.null_count == 0:
        flat = column.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), column.type.list_size)
    return _vector_values(column.to_pylist())


def _vector_values(values: Sequence[object]) -> NDArray[np.float64]:
    rows = each(values, lambda v: np.asarray(v, np.float64).ravel(), None)
    width = next((len(r) for r in rows if r is not None), 0)
    out = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            if len(row) != width:
                raise UnfitError(i, values[i], f"{len(row)} numbers where others have {width}.")
            out[i] = row
    return out


def _to_labels(value: Any) -> list[str]:
    if isinstance(value, str | bytes | dict):
        raise TypeError
    return [as_text(v) for v in value if v is not None]


def _labels_values(values: Sequence[object]) -> list[list[str] | None]:
    return each(values, _to_labels, None)


_FROM_ARROW: dict[Form, Callable[[Any], Lifted]] = {
    Form.FLOAT: _float_arrow,
    Form.CODED: _coded_arrow,
    Form.TEXT: _text_arrow,
    Form.BYTES: _bytes_arrow,
    Form.TIME: _time_arrow,
    Form.VECTOR: _vector_arrow,
    Form.LABELS: lambda column: _labels_values(column.to_pylist()),
    Form.SERIES: series_arrow,
    Form.TENSOR: lambda column: each(tensor.from_arrow(column), tensor.decode, None),
    Form.MAP: lambda column: each(column.to_pylist(), to_map, None),
    Form.POINT: point_arrow,
}
_FROM_VALUES: dict[Form, Callable[[Sequence[object]], Lifted]] = {
    Form.FLOAT: _float_values,
    Form.CODED: _coded_values,
    Form.TEXT: _text_values,
    Form.BYTES: _bytes_values,
    Form.TIME: _time_values,
    Form.VECTOR: _vector_values,
    Form.LABELS: _labels_values,
    Form.SERIES: series_values,
    Form.TENSOR: lambda values: each(values, tensor.decode, None),
    Form.MAP: lambda values: each(values, to_map, None),
    Form.POINT: point_values,
}
