"""The point-in-time join: to each event the latest row of another table known then, by DuckDB's ASOF join.

The rules: a match is at or before the event, never after; of several rows of one time the last one in their
order; a row without a time or without what it is about matches nothing; every event stays, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orrery.aggregate import RecordBatch
from orrery.data.carried import Carried, back, out
from orrery.data.sql_tables import Rows, check_names, run_query
from orrery.data.steps import positions, union_of
from orrery.errors import SchemaError, SettingsError, listing

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FINE = ("s", "ms", "us", "ns")
_LEFT, _RIGHT = "events", "features"


@dataclass(frozen=True, eq=False)
class AsOf:
    """The step that adds columns of another table as they were known at each row's time."""

    other: Any
    on: str
    by: tuple[str, ...]
    tolerance: str | float | None = None
    columns: tuple[str, ...] | None = None

    def schema(self, have: Any) -> Any:
        """The columns, then those that are added. Raises SchemaError, SettingsError, UnknownColumnError."""
        theirs = self.other.schema.arrow()
        check_names(have)
        for schema in (have, theirs):
            positions(schema, (self.on, *self.by))
        if not self.by:
            raise SettingsError("as_of needs by=: the columns that say what the rows are about.")
        positions(theirs, self._added())
        twice = [name for name in self._added() if name in have.names]
        if twice:
            raise SchemaError(
                f"Both tables have the columns {listing(twice)}.",
                hint="Name those to add with columns=, or rename one by sql().",
            )
        for name in self.by:
            if _sort(have.field(name).type) != _sort(theirs.field(name).type):
                raise SchemaError(_differ(name, have, theirs), hint="Cast one of them by sql().")
        _unit(self.on, have, theirs)
        self._most(have)
        return pa.schema([*have, *(theirs.field(name).with_nullable(True) for name in self._added())])

    def _added(self) -> tuple[str, ...]:
        if self.columns is not None:
            return self.columns
        return tuple(n for n in self.other.schema.names if n not in (self.on, *self.by))

    def _most(self, have: Any) -> float | None:
        """The tolerance, in the unit in which times are compared."""
        unit = _unit(self.on, have, self.other.schema.arrow())
        if self.tolerance is None or not isinstance(self.tolerance, str):
            if self.tolerance is not None and unit is not None:
                raise SettingsError(f"The tolerance {self.tolerance} has no unit.", hint='Write it as "7d".')
            return self.tolerance
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h|d|w)", self.tolerance.strip())
        if found is None or unit is None:
            raise SettingsError(
                f"The tolerance {self.tolerance!r} is not how long ago a row of {self.on!r} may be.",
                hint='Write "7d", "12h", "30min", "90s", "2w"; a number where the column is one.',
            )
        return float(found[1]) * _UNITS[found[2]] * float(1000 ** _FINE.index(unit))

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """What is wanted of these rows, and what decides."""
        return union_of([name for name in wanted if name in have.names], (self.on, *self.by))

    def run(self, batches: Iterator[RecordBatch], have: Any, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """All rows, in their order, with the columns wanted."""
        theirs = self.other.schema.arrow()
        ours = self.reads(wanted, have)
        added = [name for name in wanted if name in self._added()]
        if not added:
            yield from batches
            return
        unit = _unit(self.on, have, theirs)
        left = _Matched([have.field(name) for name in ours], self.on, self.by, unit)
        named = self._named(wanted)
        right = _Matched([theirs.field(name) for name in named], self.on, self.by, unit)
        fields = pa.schema([have.field(n) if n in have.names else theirs.field(n) for n in wanted])
        query = self._query([ours.index(n) for n in wanted if n in ours], len(added), self._most(have))
        tables = {
            _LEFT: Rows(left.schema, left.rows(batches)),
            _RIGHT: Rows(right.schema, right.rows(self.other.batches(columns=named))),
        }
        names = [n for n in wanted if n in ours] + added
        for batch in run_query(tables, query):
            columns = dict(zip(names, batch.columns, strict=True))
            arrays = [back(columns[field.name], field.type) for field in fields]
            yield pa.RecordBatch.from_arrays(arrays, schema=fields)

    def _query(self, ours: Sequence[int], added: int, most: float | None) -> str:
        """The join; ``v…`` are columns, ``k…`` what rows are about, ``t`` the time, ``n`` the row's place."""
        keys = [f"k{i}" for i in range(len(self.by))]
        same = " and ".join(f"l.{key} = r.{key}" for key in keys)
        recent = f"r.t >= l.t - {most!r}" if most is not None else "true"
        told = [f"l.v{i}" for i in ours]
        told += [f"case when {recent} then r.v{i} end" for i in range(added)]
        last = f"row_number() over (partition by {', '.join((*keys, 't'))} order by n desc) = 1"
        return (
            f"select {', '.join(f'{v} as c{i}' for i, v in enumerate(told))} from {_LEFT} as l "
            f"asof left join (select * from {_RIGHT} where t is not null qualify {last}) as r "
            f"on {same} and l.t >= r.t order by l.n"
        )

    def _named(self, wanted: Sequence[str]) -> list[str]:
        """The columns of the other table that are read."""
        return union_of([name for name in wanted if name in self._added()], (self.on, *self.by))

    def asked(self, wanted: Sequence[str], have: Any) -> list[Any]:
        """The other table with only the columns that are read; none, where none is added."""
        if not any(name in self._added() for name in wanted):
            return []
        return [self.other.select(self._named(wanted))]

    def tables(self) -> Sequence[Any]:
        """The other table."""
        return [self.other]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the other table whole."""
        return {**self.told(), "table": self.other.to_dict()}

    def told(self) -> dict[str, Any]:
        """Plain values without the other table."""
        plain: dict[str, Any] = {"step": "as_of", "on": self.on, "by": list(self.by)}
        if self.tolerance is not None:
            plain["tolerance"] = self.tolerance
        return {**plain, **({"columns": list(self.columns)} if self.columns is not None else {})}


class _Matched:
    """Rows as they travel: columns ``v…``, what they are about ``k…``, the time ``t`` and the place ``n``."""

    def __init__(self, fields: list[Any], on: str, by: tuple[str, ...], unit: str | None) -> None:
        self.carried = Carried(fields)
        self.on = on
        self.by = by
        self.unit = unit

    @property
    def schema(self) -> Any:
        """The columns ``v…``, ``k…``, ``t`` and ``n``."""
        return self._row(pa.RecordBatch.from_pylist([], pa.schema(self.carried.fields)), 0).schema

    def rows(self, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        """Each batch as it travels."""
        start = 0
        for batch in batches:
            yield self._row(batch, start)
            start += batch.num_rows

    def _row(self, batch: RecordBatch, start: int) -> RecordBatch:
        columns = self.carried.columns(batch)
        for i, name in enumerate(self.by):
            columns[f"k{i}"] = out(batch.column(name))
        columns["t"] = _instants(batch.column(self.on), self.unit)
        columns["n"] = pa.array(range(start, start + batch.num_rows), pa.int64())
        return pa.record_batch(columns)


def _instants(column: Any, unit: str | None) -> Any:
    """Times as whole numbers of one unit; other values as they are, NaN as missing."""
    kind = column.type
    if unit is not None:
        instant: Any = pa.timestamp
        return column.cast(instant(unit, getattr(kind, "tz", None))).cast(pa.int64())
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    return column


def _unit(on: str, ours: Any, theirs: Any) -> str | None:
    """The unit in which two columns of times are compared without rounding; None for numbers."""
    kinds = [ours.field(on).type, theirs.field(on).type]
    sorts = [_sort(kind) for kind in kinds]
    if sorts[0] != sorts[1] or sorts[0] not in ("instant", "local time", "number"):
        raise SchemaError(
            f"{_differ(on, ours, theirs)} as_of needs two dates or times, or two numbers.",
            hint="Cast one of them by sql(): select *, cast(day as timestamp) as time from this.",
        )
    if sorts[0] == "number":
        return None
    return max((getattr(kind, "unit", "s") for kind in kinds), key=_FINE.index)


def _differ(name: str, ours: Any, theirs: Any) -> str:
    return f"{name!r} is {ours.field(name).type} here and {theirs.field(name).type} there."


def _sort(kind: Any) -> str:
    """What can be compared with what."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_timestamp(kind):
        return "instant" if kind.tz else "local time"
    if pa.types.is_date(kind):
        return "local time"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)
