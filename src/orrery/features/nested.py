"""Values that hold others: numbers over time, named values, places. From Arrow and from Python alike."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.features.cells import UnfitError, as_text, each, to_category, to_float


def series_arrow(column: Any) -> list[NDArray[np.float64] | None]:
    """Float64 [t] of each row of a list column."""
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return series_values(column.to_pylist())
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


def series_values(values: Sequence[object]) -> list[NDArray[np.float64] | None]:
    """Float64 [t] of each value."""
    return each(values, _to_series, None)


def to_map(value: Any) -> dict[str, float | str]:
    """Named values, from an object, from pairs, or from Arrow's {key, value}; the missing ones left out."""
    pairs = value.items() if isinstance(value, dict) else map(_pair, value)
    if isinstance(value, str | bytes):
        raise TypeError
    found: dict[str, float | str] = {}
    for name, one in pairs:
        if one is None or one != one:
            continue
        number = isinstance(one, int | float | decimal.Decimal | np.number) and not isinstance(one, bool)
        found[as_text(name)] = float(one) if number else to_category(one)
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
    numbers = [math.nan if v is None else to_float(v.strip() if isinstance(v, str) else v) for v in value]
    if len(numbers) not in (1, 2):
        raise TypeError
    return tuple(numbers)


def point_values(values: Sequence[object]) -> NDArray[np.float64]:
    """Float64 [n, 2] or [n, 1]."""
    rows = each(values, _to_point, None)
    width = next((len(row) for row in rows if row is not None), 0)
    out = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            if len(row) != width:
                raise UnfitError(i, values[i])
            out[i] = row
    return out


def point_arrow(column: Any) -> NDArray[np.float64]:
    """Float64 [n, 2] or [n, 1] of a column."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return found[:, None]
    return point_values(column.to_pylist())
