"""Reading what was learnt back from a file: every value checked, because the file may be a stranger's.

All functions raise ModelFormatError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.errors import ModelFormatError, SettingsError
from orrery.spec import Spec


def broken(what: str) -> ModelFormatError:
    """The error for a feature whose saved state does not hold together."""
    return ModelFormatError(f"A saved feature is broken: {what}.", hint="The file was altered or cut short.")


def columns(values: Mapping[str, Any], name: str = "inputs") -> tuple[str, ...]:
    """Column names: at least one, none twice."""
    found = values.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(c, str) for c in found):
        raise broken(f"{name!r} is not a list of column names")
    if len(set(found)) < len(found):
        raise broken(f"{name!r} holds a column twice")
    return tuple(found)


def whole(values: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """An integer from ``low`` to ``high``, both included."""
    found = values.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
        raise broken(f"{name!r} is not an integer from {low} to {high}")
    return found


def real(values: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, both included."""
    found = values.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool) or not low <= found <= high:
        raise broken(f"{name!r} is not a number from {low} to {high}")
    return float(found)


def positions(values: Mapping[str, Any], name: str, below: int) -> list[int]:
    """Rising positions from 0, all ``below`` a number."""
    found = values.get(name)
    if not isinstance(found, list) or not set(map(type, found)) <= {int}:
        raise broken(f"{name!r} is not a list of positions")
    if sorted({*found} & {*range(below)}) != found:
        raise broken(f"{name!r} names columns that are not there")
    return found


def truth(values: Mapping[str, Any], name: str) -> bool:
    """True or false."""
    found = values.get(name)
    if not isinstance(found, bool):
        raise broken(f"{name!r} is neither true nor false")
    return found


def floats(arrays: Mapping[str, Any], name: str, size: int | None = None) -> NDArray[np.float64]:
    """Finite numbers, ``size`` of them where that is given."""
    found = np.array(_array(arrays, name, pa.float64(), size), np.float64)
    if not np.isfinite(found).all():
        raise broken(f"{name!r} holds NaN or infinity")
    return found


def integers(
    arrays: Mapping[str, Any], name: str, low: int, high: int, size: int | None = None
) -> NDArray[np.int64]:
    """Integers from ``low`` to ``high``, both included, ``size`` of them where that is given."""
    found = np.array(_array(arrays, name, pa.int64(), size), np.int64)
    if found.size and (found.min() < low or found.max() > high):
        raise broken(f"{name!r} is not within {low} to {high}")
    return found


def texts(arrays: Mapping[str, Any], name: str) -> list[str]:
    """Texts, none twice."""
    found: list[str] = _array(arrays, name, pa.string(), None).to_pylist()
    if len(set(found)) < len(found):
        raise broken(f"{name!r} holds a text twice")
    return found


def _array(arrays: Mapping[str, Any], name: str, kind: Any, size: int | None) -> Any:
    if name not in arrays:
        raise broken(f"{name!r} is not there")
    array = arrays[name]
    if array.type != kind or array.null_count:
        raise broken(f"{name!r} is not {kind} without nulls")
    if size is not None and len(array) != size:
        raise broken(f"{name!r} holds {len(array)} values where {size} belong")
    return array


def arrow_floats(values: NDArray[np.float64]) -> Any:
    """Numbers as they are saved."""
    return pa.array(np.ravel(values), pa.float64())


def arrow_texts(values: Sequence[str]) -> Any:
    """Texts as they are saved."""
    return pa.array(values, pa.string())


S = TypeVar("S", bound=Spec)


def settings(values: Mapping[str, Any], name: str, kind: type[S]) -> S:
    """Settings of a kind."""
    found = values.get(name)
    if not isinstance(found, dict):
        raise broken(f"{name!r} is not an object")
    try:
        return kind.from_dict(found)
    except SettingsError as error:
        raise broken(f"{name!r} cannot be: {error.message}") from None
