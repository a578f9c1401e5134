"""Which Arrow type a column of a database behind SQLAlchemy has: as declared, or by its first values."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from orrery.data import values
from orrery.errors import SchemaError, listing
from orrery.extras import require
from orrery.schema import parse_type


class Column(NamedTuple):
    """What a column becomes."""

    type: Any
    sort: str = ""
    """What it can be compared with at the server as here: ``number``, ``text``, ``time``, ``date``."""
    form: str = "{c}"
    """How it is asked for."""
    read: Callable[[Sequence[Any], Any], Any] | None = None
    """Makes an Arrow array of the driver's values and the type; raises where one does not fit."""
    orders: bool = True
    """Whether the server sorts by all of it."""


_DECLARED: Sequence[tuple[str, Any]] = (
    ("Boolean", pa.bool_()),
    ("SmallInteger", pa.int16()),
    ("Integer", pa.int64()),
    ("Interval", pa.duration("us")),
    ("Date", pa.date32()),
    ("Time", pa.time64("us")),
    ("JSON", pa.string()),
    ("Uuid", pa.string()),
    ("LargeBinary", pa.binary()),
    ("_Binary", pa.binary()),
    ("String", pa.string()),
)
"""SQLAlchemy's families of types -> Arrow."""


def declared(kind: Any) -> Any:
    """The Arrow type of a column as SQLAlchemy found it declared; None where only values can tell."""
    families = require("sqlalchemy.types", "Reading a database by SQLAlchemy")
    if isinstance(kind, families.ARRAY):
        item = declared(kind.item_type)
        return pa.list_(item) if item is not None and kind.dimensions in (None, 1) else None
    if isinstance(kind, families.DateTime):
        return pa.timestamp("us", "UTC" if kind.timezone else None)
    if isinstance(kind, families.Float):
        return pa.float64()
    if isinstance(kind, families.Numeric):
        return decimal_type(kind.precision, kind.scale or 0) if kind.precision else None
    return next((found for name, found in _DECLARED if isinstance(kind, getattr(families, name))), None)


def decimal_type(precision: int, scale: int) -> Any:
    """The decimal of so many digits; a text where Arrow has none so long."""
    if precision > 76:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def decide(
    names: Sequence[str],
    known: Mapping[str, Any],
    first: Sequence[Sequence[Any]],
    types: Mapping[str, str],
    place: str,
) -> dict[str, Column]:
    """Each column's type: as the user says, as declared (``known``), or by the query's ``first`` rows."""
    check_names(names)
    found: dict[str, Column] = {}
    for i, name in enumerate(names):
        if name in types:
            kind = parse_type(types[name])
        elif known.get(name) is not None:
            kind = known[name]
        else:
            kind = _inferred([row[i] for row in first], name, place)
        found[name] = Column(kind, _sort(kind))
    return found


def check_names(names: Sequence[str]) -> None:
    """Raises SchemaError where two columns have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(
            f"The query gives two columns named {listing(twice)}.", hint="Rename one: … as other."
        )


def array_of(found: Sequence[Any], kind: Any) -> Any:
    """A driver's values as an Arrow array. Raises ArrowException, ValueError … where one does not fit."""
    plain = [_plain(value, kind) for value in found]
    array, bad = values.to_array(plain, kind)
    if bad:
        raise ValueError(f"{found[bad[0]]!r} is not {kind}")
    return array


def _plain(value: Any, kind: Any) -> Any:
    """A driver's value as Arrow takes it."""
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    if pa.types.is_string(kind) and value is not None and not isinstance(value, (str, bytes)):
        return json.dumps(value) if isinstance(value, (dict, list, bool)) else str(value)
    if pa.types.is_boolean(kind) and value in (0, 1):
        return bool(value)
    if pa.types.is_decimal(kind) and isinstance(value, float):
        return decimal.Decimal(repr(value))
    return float(value) if pa.types.is_floating(kind) and isinstance(value, decimal.Decimal) else value


def _inferred(found: Sequence[Any], name: str, place: str) -> Any:
    given = [value for value in found if value is not None]
    kinds = {type(value) for value in given}
    if kinds <= {decimal.Decimal} and kinds:
        return pa.decimal128(38, max(0, *(-int(v.as_tuple().exponent) for v in given)))
    if kinds == {dt.datetime}:
        return pa.timestamp("us", "UTC" if any(value.tzinfo for value in given) else None)
    if kinds & {uuid.UUID, dict, memoryview, bytearray} or len(kinds) != 1:
        return pa.binary() if kinds & {memoryview, bytearray} else _mixed(given, name, place)
    return values.infer_type(given, name, place)


def _mixed(given: Sequence[Any], name: str, place: str) -> Any:
    if all(isinstance(value, (uuid.UUID, dict, list, str)) for value in given):
        return pa.string()
    return values.infer_type([float(v) if isinstance(v, decimal.Decimal) else v for v in given], name, place)


def _sort(kind: Any) -> str:
    """Numbers, dates and times are compared alike everywhere; texts are not."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_float64(kind):
        return "number"
    if pa.types.is_date(kind):
        return "date"
    return "time" if pa.types.is_timestamp(kind) and kind.tz is None else ""
