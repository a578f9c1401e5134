"""Forms: the plain NumPy shapes in which a transform meets a column, from Arrow or from Python values.

A transform never sees Arrow. Whoever feeds it *lifts* each column first: a batch of a million rows from
Arrow, or one row of a request from Python values; both give the same form, hence the same prediction.

Legend: n rows, d numbers in a vector.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.data.codecs import tensor
from orrery.errors import BadRowError, SchemaError


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


def as_text(value: object) -> str:
    """The one spelling of a category: ``1``, ``1.0`` read as integers agree, ``True`` is ``true``.

    >>> as_text(1.0), as_text(1), as_text(True), as_text("a")
    ('1', '1', 'true', 'a')
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


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
    except _UnfitError as unfit:
        raise bad_row(name, unfit.row, _reason(unfit, form)) from None


def lift_values(values: Sequence[object], form: Form, name: str) -> Lifted:
    """A form from Python values, as a request brings them. Raises BadRowError that names the value."""
    try:
        return _FROM_VALUES[form](values)
    except _UnfitError as unfit:
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


def _reason(unfit: _UnfitError, form: Form) -> str:
    return unfit.reason or f"{_short(unfit.value)} cannot be read as {form.value}."


class _UnfitError(Exception):
    def __init__(self, row: int, value: object, reason: str = "") -> None:
        self.row, self.value, self.reason = row, value, reason


def _each(values: Sequence[object], convert: Callable[[Any], Any], missing: object) -> list[Any]:
    out = []
    for row, value in enumerate(values):
        try:
            out.append(missing if value is None else convert(value))
        except (TypeError, ValueError, OverflowError, UnicodeDecodeError):
            raise _UnfitError(row, value) from None
        except BadRowError as error:
            raise _UnfitError(row, value, error.message) from None
    return out


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


_NUMERAL = re.compile(
    r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
"""Numbers as text, just as Arrow reads them."""


def _to_float(value: Any) -> float:
    if isinstance(value, bool | int | float | decimal.Decimal | np.number | np.bool_):
        return float(value)
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        return float(value)
    raise TypeError


def _float_values(values: Sequence[object]) -> NDArray[np.float64]:
    return np.array(_each(values, _to_float, math.nan), np.float64)


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


def _to_category(value: Any) -> str:
    if isinstance(value, list | dict):
        raise TypeError
    return as_text(value)


_ONLY = np.zeros(1, np.int64)
_ONLY.flags.writeable = False


def _coded_values(values: Sequence[object]) -> Coded:
    if len(values) == 1 and isinstance(values[0], str):  # one row of a request: nothing to look for
        return Coded(_ONLY, [values[0]])
    spelt = _each([None if v != v else v for v in values], _to_category, None)
    distinct = {v: i for i, v in enumerate(dict.fromkeys(v for v in spelt if v is not None))}
    codes = np.array([-1 if v is None else distinct[v] for v in spelt], np.int64)
    return Coded(codes, list(distinct))


# --- text, bytes


def _text_arrow(column: Any) -> list[str | None]:
    values: list[Any] = column.to_pylist()
    return [None if v is None else as_text(v) for v in values]


def _text_values(values: Sequence[object]) -> list[str | None]:
    return _each(values, _to_category, None)


def _bytes_arrow(column: Any) -> list[bytes | None]:
    if not (
        pa.types.is_binary(column.type)
        or pa.types.is_large_binary(column.type)
        or pa.types.is_fixed_size_binary(column.type)
        or pa.types.is_null(column.type)
    ):
        raise pa.ArrowTypeError("not bytes")
    out: list[bytes | None] = column.to_pylist()
    return out


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError


def _bytes_values(values: Sequence[object]) -> list[bytes | None]:
    return _each(values, _to_bytes, None)


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
    return np.array(_each(values, _to_time, np.datetime64("NaT")), "datetime64[us]")


# --- vector, labels


def _vector_arrow(column: Any) -> NDArray[np.float64]:
    if pa.types.is_fixed_size_list(column.type) and column.null_count == 0:
        flat = column.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float64).reshape(len(column), column.type.list_size)
    return _vector_values(column.to_pylist())


def _vector_values(values: Sequence[object]) -> NDArray[np.float64]:
    rows = _each(values, lambda v: np.asarray(v, np.float64).ravel(), None)
    width = next((len(r) for r in rows if r is not None), 0)
    out = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            if len(row) != width:
                raise _UnfitError(i, values[i], f"{len(row)} numbers where others have {width}.")
            out[i] = row
    return out


def _to_labels(value: Any) -> list[str]:
    if isinstance(value, str | bytes | dict):
        raise TypeError
    return [as_text(v) for v in value if v is not None]


def _labels_values(values: Sequence[object]) -> list[list[str] | None]:
    return _each(values, _to_labels, None)


# --- series, tensor, map, point


def _series_arrow(column: Any) -> list[NDArray[np.float64] | None]:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return _series_values(column.to_pylist())
    flat = column.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    rows = np.split(flat, np.cumsum(lengths)[:-1]) if len(column) else []
    return [
        row.copy() if there else None for row, there in zip(rows, column.is_valid().to_pylist(), strict=True)
    ]


def _to_series(value: Any) -> NDArray[np.float64]:
    if isinstance(value, str | bytes | dict):
        raise TypeError
    found = np.array(value, np.float64)
    if found.ndim != 1:
        raise TypeError
    return found


def _series_values(values: Sequence[object]) -> list[NDArray[np.float64] | None]:
    return _each(values, _to_series, None)


def _to_map(value: Any) -> dict[str, float | str]:
    """Named values, from an object, from pairs, or from Arrow's {key, value}; the missing ones left out."""
    pairs = value.items() if isinstance(value, dict) else map(_pair, value)
    if isinstance(value, str | bytes):
        raise TypeError
    found: dict[str, float | str] = {}
    for name, one in pairs:
        if one is None or one != one:
            continue
        number = isinstance(one, int | float | decimal.Decimal | np.number) and not isinstance(one, bool)
        found[as_text(name)] = float(one) if number else _to_category(one)
    return found


def _pair(item: Any) -> tuple[Any, Any]:
    name, one = (item["key"], item["value"]) if isinstance(item, dict) else item
    return name, one


_PLACE_NAMES = (("lat", "latitude", "纬度"), ("lon", "lng", "long", "longitude", "经度"))


def place_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Which two names are latitude and longitude, if any are.

    >>> place_names(["Lng", "Lat"]), place_names(["x", "y"])
    (('Lat', 'Lng'), None)
    """
    known = {name.lower(): name for name in names}
    found = [next((known[name] for name in spelt if name in known), "") for spelt in _PLACE_NAMES]
    return (found[0], found[1]) if all(found) else None


def _to_point(value: Any) -> tuple[float, ...]:
    if isinstance(value, dict):
        names = place_names(value)
        if names is None:
            raise TypeError
        value = [value[name] for name in names]
    elif isinstance(value, str):
        value = value.split(",") if "," in value else [value]
    elif isinstance(value, bool | int | float | decimal.Decimal | np.number):
        value = [value]
    numbers = [math.nan if v is None else _to_float(v.strip() if isinstance(v, str) else v) for v in value]
    if len(numbers) not in (1, 2):
        raise TypeError
    return tuple(numbers)


def _point_values(values: Sequence[object]) -> NDArray[np.float64]:
    rows = _each(values, _to_point, None)
    width = next((len(row) for row in rows if row is not None), 0)
    out = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            if len(row) != width:
                raise _UnfitError(i, values[i])
            out[i] = row
    return out


def _point_arrow(column: Any) -> NDArray[np.float64]:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _float_arrow(column)[:, None]
    return _point_values(column.to_pylist())


_FROM_ARROW: dict[Form, Callable[[Any], Lifted]] = {
    Form.FLOAT: _float_arrow,
    Form.CODED: _coded_arrow,
    Form.TEXT: _text_arrow,
    Form.BYTES: _bytes_arrow,
    Form.TIME: _time_arrow,
    Form.VECTOR: _vector_arrow,
    Form.LABELS: lambda column: _labels_values(column.to_pylist()),
    Form.SERIES: _series_arrow,
    Form.TENSOR: lambda column: _each(tensor.from_arrow(column), tensor.decode, None),
    Form.MAP: lambda column: _each(column.to_pylist(), _to_map, None),
    Form.POINT: _point_arrow,
}
_FROM_VALUES: dict[Form, Callable[[Sequence[object]], Lifted]] = {
    Form.FLOAT: _float_values,
    Form.CODED: _coded_values,
    Form.TEXT: _text_values,
    Form.BYTES: _bytes_values,
    Form.TIME: _time_values,
    Form.VECTOR: _vector_values,
    Form.LABELS: _labels_values,
    Form.SERIES: _series_values,
    Form.TENSOR: lambda values: _each(values, tensor.decode, None),
    Form.MAP: lambda values: _each(values, _to_map, None),
    Form.POINT: _point_values,
}
