"""Python values as Arrow columns: the type decided on all of them, bad ones found one by one.

For places that give values without types: JSON, lists of dicts, SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from orrery.errors import SchemaError

SORTS = {bool: "bool", int: "int", float: "float", str: "text", bytes: "bytes", dict: "object", list: "list"}

TOLERATED = 0.05
"""Up to this share of values may be of another sort than the rest: those rows are bad, not the column."""


def sort_of(value: object) -> str:
    """The sort of one value, by which a column's type is decided."""
    return str(SORTS.get(type(value), type(value).__name__))


def infer_type(values: Sequence[Any], name: str, place: str) -> Any:
    """The Arrow type of a column. Raises SchemaError where the values are of several sorts.

    >>> infer_type([1, None, 2.5], "size", "rows")
    DataType(double)
    """
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            sort = sort_of(value)
            counts[sort] = counts.get(sort, 0) + 1
    if not counts:
        return pa.string()
    if set(counts) <= {"int", "float"}:
        return _number(values) if "float" not in counts else pa.float64()
    most = dominant(counts)
    if most is None:
        raise mixed(name, place, counts)
    kept = [v for v in values if v is not None and _is_sort(v, most)]
    try:
        found = pa.array(kept).type
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"The column {name!r} of {place} cannot be stored: {str(error).splitlines()[0]}.",
            hint=f"Give its type: types={{{name!r}: 'string'}}.",
        ) from None
    return pa.string() if pa.types.is_null(found) else found


def dominant(counts: dict[str, int]) -> str | None:
    """The sort that nearly all values are of, ``number`` standing for int and float; or None."""
    counts = dict(counts)
    numbers = counts.pop("int", 0) + counts.pop("float", 0)
    if numbers:
        counts["number"] = numbers
    sort = max(counts, key=lambda s: counts[s])
    total = sum(counts.values())
    return sort if total - counts[sort] <= TOLERATED * total else None


def mixed(name: str, place: str, counts: dict[str, int]) -> SchemaError:
    """The error of a column whose values are of several sorts."""
    found = ", ".join(f"{n:,} {sort}" for sort, n in sorted(counts.items(), key=lambda item: -item[1]))
    return SchemaError(
        f"The column {name!r} of {place} holds values of several sorts: {found}.",
        hint=f"Decide with types={{{name!r}: 'string'}}, or correct the rows.",
    )


def to_array(values: Sequence[Any], kind: Any) -> tuple[Any, list[int]]:
    """An Arrow array, and the positions of values that do not fit the type (missing in the array).

    >>> to_array([1, "x", None], pa.int64())[1]
    [1]
    """
    try:
        return _array(values, kind), []
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        bad = _bad_positions(values, kind, 0)
    wrong = set(bad)
    return _array([None if i in wrong else v for i, v in enumerate(values)], kind), bad


def _array(values: Sequence[Any], kind: Any) -> Any:
    if pa.types.is_string(kind):
        values = [v if v is None or isinstance(v, str) else _text(v) for v in values]
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if any(isinstance(v, (bool, str, bytes)) for v in values):
            raise TypeError("not a number")
        if pa.types.is_integer(kind) and any(isinstance(v, float) and not v.is_integer() for v in values):
            raise TypeError("not a whole number")  # Arrow would cut it off without a word
        if pa.types.is_floating(kind):
            if not all(_is_exact(v) for v in values if isinstance(v, int)):
                raise TypeError("a double would round it")
            values = [float(v) if isinstance(v, int) else v for v in values]
    elif pa.types.is_binary(kind) and any(isinstance(v, str) for v in values):
        raise TypeError("not bytes")
    elif any(isinstance(v, str) for v in values) and (
        pa.types.is_temporal(kind) or pa.types.is_decimal(kind)
    ):
        return pa.array(values, pa.string()).cast(kind)  # ISO 8601, or digits
    elif kind.num_fields and not all(_fits(v, kind) for v in values):
        raise TypeError("not whole numbers")
    return pa.array(values, kind)


def _fits(value: Any, kind: Any) -> bool:
    """Whether no number within a value of a nested type would lose its fraction."""
    if isinstance(value, float):
        return value.is_integer() or not pa.types.is_integer(kind)
    if isinstance(value, dict) and pa.types.is_struct(kind):
        inner = ((value.get(f.name), f.type) for f in kind)
        return all(_fits(v, t) for v, t in inner)
    if isinstance(value, (list, tuple)) and kind.num_fields and hasattr(kind, "value_type"):
        return all(_fits(v, kind.value_type) for v in value)
    return True


def _text(value: Any) -> str:
    """Numbers as text where the caller asked for text; anything deeper is not text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError("not text")


def _bad_positions(values: Sequence[Any], kind: Any, start: int) -> list[int]:
    """Halve until the bad values stand alone: few conversions where few are bad."""
    try:
        _array(values, kind)
        return []
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        if len(values) == 1:
            return [start]
    half = len(values) // 2
    return _bad_positions(values[:half], kind, start) + _bad_positions(values[half:], kind, start + half)


def _number(values: Sequence[Any]) -> Any:
    """The type that holds whole numbers without rounding one; text where there is none."""
    whole = [v for v in values if v is not None]
    if min(whole) >= -(2**63) and max(whole) < 2**63:
        return pa.int64()
    if min(whole) >= 0 and max(whole) < 2**64:
        return pa.uint64()
    return pa.float64() if all(_is_exact(v) for v in whole) else pa.string()


def _is_exact(whole: int) -> bool:
    try:
        return int(float(whole)) == whole
    except OverflowError:
        return False


def _is_sort(value: object, sort: str) -> bool:
    found = sort_of(value)
    return found == sort or (sort == "number" and found in {"int", "float"})
