"""Which Arrow type each column of a PostgreSQL query has, and how the server is asked for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from orrery.aggregate import RecordBatch
from orrery.data.sources.sqlite_types import quoted
from orrery.errors import SchemaError, SourceError, listing

_NUMBER = {20: pa.int64(), 21: pa.int16(), 23: pa.int32(), 701: pa.float64()}
_TEXT = {25: pa.string(), 1043: pa.string()}
_TIME = {1114: pa.timestamp("us"), 1184: pa.timestamp("us", "UTC")}
_OTHER = {16: pa.bool_(), 17: pa.binary(), 700: pa.float32(), 1083: pa.time64("us")}
_DATE = {1082: pa.date32()}
_LISTS = {
    1000: pa.bool_(),
    1005: pa.int16(),
    1007: pa.int32(),
    1016: pa.int64(),
    1021: pa.float32(),
    1022: pa.float64(),
    1009: pa.string(),
    1015: pa.string(),
}
"""Type numbers of pg_type.dat -> Arrow."""

_NUMERIC = 1700


class Column(NamedTuple):
    """What a column becomes."""

    type: Any
    sort: str = ""
    """What it can be compared with at the server as here: ``number``, ``text``, ``time``, ``date``."""
    form: str = "{c}"
    """How it is asked for."""

    def asked(self, name: str) -> str:
        """The column in a SELECT."""
        return f"{self.form.format(c=quoted(name))} as {quoted(name)}"


def decide(link: Any, rows: str) -> dict[str, Column]:
    """Each column of the query, in order. Raises SchemaError where two have one name."""
    # Prepared, so that the server takes one statement only: the brackets may not be what they seem.
    described = link.execute(f"select * from ({rows}) as this limit 0", prepare=True).description
    names = [column.name for column in described]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(
            f"The query gives two columns named {listing(twice)}.", hint="Rename one: … as other."
        )
    return {column.name: _decide(link, rows, column) for column in described}


def _decide(link: Any, rows: str, column: Any) -> Column:
    kind = column.type_code
    for table, sort in ((_NUMBER, "number"), (_TEXT, "text"), (_TIME, "time"), (_DATE, "date"), (_OTHER, "")):
        if kind in table:
            return Column(table[kind], sort)
    if kind in _LISTS:
        return Column(pa.list_(_LISTS[kind]), "", _flat(column.name, "{c}"))
    if kind == 1231:  # numeric[]
        return Column(pa.list_(pa.float64()), "", _flat(column.name, "{c}::float8[]"))
    if kind == _NUMERIC:
        return _numeric(link, rows, column)
    return Column(pa.string(), "", "{c}::text")  # json, uuid, enumerations, ranges, addresses …


def _flat(name: str, form: str) -> str:
    """A list as it is asked for; no type of PostgreSQL tells of arrays in arrays, so the value has to."""
    text = f"{MARK}column {name!r} holds an array of arrays, which is no list;".replace("'", "''")
    text = text.replace("{", "{{").replace("}", "}}")
    # What fails is made of the row's own value, so that it is not computed before a row is seen.
    fails = f"array[('{text}' || left(({{c}})::text, 0))::int]"
    return f"case when array_ndims({{c}}) > 1 then array_fill(({form})[1], {fails}) else {form} end"


MARK = "orrery: "
"""Stands before what we make the server say of a value."""

_FITTING = {
    "date32": (-719_162, 2_932_896),
    "timestamp": (-62_135_596_800_000_000, 253_402_300_799_999_999),
    "time64": (0, 86_399_999_999),
}
"""Years 1 to 9999, and a day's microseconds: what Arrow's readers take for dates and times."""


def fitted(batch: RecordBatch, schema: Any, key: str | None, place: object) -> RecordBatch:
    """A batch with its columns' types. Raises SourceError that names the column where a value has none."""
    arrays = []
    for field in schema:
        column = batch.column(batch.schema.get_field_index(field.name))
        try:
            array = column.cast(field.type)
        except pa.ArrowInvalid as error:
            raise _unfit(place, field.name, str(error).splitlines()[0]) from None
        if bounds := _FITTING.get(str(field.type).partition("[")[0]):
            numbers: Any = array.cast(pa.int32() if pa.types.is_date32(field.type) else pa.int64())
            outside: Any = pc.or_(
                pc.less(numbers, pa.scalar(bounds[0])), pc.greater(numbers, pa.scalar(bounds[1]))
            )
            if (at := pc.index(outside, True).as_py()) >= 0:
                row = f" at {key} = {batch.column(key)[at].as_py()!r}" if key and key != field.name else ""
                said = f"a value{row} is infinity, before the year 1, after the year 9999, or the time 24:00"
                raise _unfit(place, field.name, said)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _unfit(place: object, name: str, said: str) -> SourceError:
    return SourceError(
        f"{place}: column {name!r}: {said}.",
        hint=f"Ask for it in a query: {quoted(name)}::text, or null where it has no such value.",
    )


def _numeric(link: Any, rows: str, column: Any) -> Column:
    """As declared; where nothing was, the precision that all values fit. A NaN is told when it is read."""
    if column.precision is not None and column.precision <= 76:
        precision, scale = column.precision, column.scale or 0
    else:
        name = quoted(column.name)
        finite = f"{name} is not null and {name} not in ('NaN', 'Infinity', '-Infinity')"
        whole, part = link.execute(
            f"select coalesce(max(length(trunc(abs({name}))::text)), 1), coalesce(max(scale({name})), 0) "
            f"from ({rows}) as this where {finite}"
        ).fetchone()
        precision, scale = whole + part, part
    if precision > 76:
        return Column(pa.string(), "", "{c}::text")
    decimal: Any = pa.decimal128 if precision <= 38 else pa.decimal256
    return Column(decimal(precision, scale), "number", "{c}::text")
