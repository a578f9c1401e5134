"""The step that adds window features to a table.

DuckDB puts the events of each key in order, larger than memory too; what is computed over them is what a
service computes (:mod:`orrery.data.windows`), so that the values are equal by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from orrery.aggregate import RecordBatch
from orrery.data.carried import Carried, back
from orrery.data.sql import connect, first_line
from orrery.data.sql_tables import check_names
from orrery.data.steps import Map, Sql, positions, union_of
from orrery.data.windows import Event, Past, Value, Windows, key_text
from orrery.errors import SchemaError, SettingsError, listing

_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class WindowStep:
    """Adds the columns of some windows to every row, and keeps the rows in their order."""

    windows: Windows

    def schema(self, have: Any) -> Any:
        """The columns, then those that are added. Raises SchemaError, UnknownColumnError."""
        check_names(have)
        positions(have, self._needs)
        if twice := [name for name in self.windows.names if name in have.names]:
            raise SchemaError(f"The table has {listing(twice)} already.", hint="Give the window column=.")
        check_types(self.windows, have)
        return pa.schema([*have, *(pa.field(w.name, w.type) for w in self.windows.windows)])

    @property
    def _needs(self) -> tuple[str, ...]:
        extra = (self.windows.arrival,) if self.windows.arrival else ()
        return tuple(dict.fromkeys([*self.windows.needs, *extra]))

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """What is wanted of the rows themselves, and what the windows are computed from."""
        own = [name for name in wanted if name in have.names]
        return union_of(own, self._needs) if len(own) < len(wanted) else own

    def run(self, batches: Iterator[RecordBatch], have: Any, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """All rows, in their order, with the columns wanted."""
        added = [w for w in self.windows.windows if w.name in wanted]
        if not added:
            yield from batches
            return
        own = [name for name in wanted if name in have.names]
        fields = [have.field(name) for name in own]
        out = pa.schema([*fields, *(pa.field(w.name, w.type) for w in added)])
        with connect() as database:
            try:
                for rows in self._joined(database, batches, have, fields, [w.name for w in added]):
                    arrays = [back(rows.column(i), field.type) for i, field in enumerate(out)]
                    yield pa.RecordBatch.from_arrays(arrays, schema=out)
            except duckdb.Error as error:
                raise SettingsError(
                    f"The windows could not be computed: {first_line(error)}",
                    hint="Give it more memory: ORRERY_SQL__MOST_GIB.",
                ) from None

    def _joined(
        self, database: Any, batches: Iterator[RecordBatch], have: Any, fields: list[Any], added: list[str]
    ) -> Iterator[RecordBatch]:
        """Rows put down, the events of each kind of key looked through in order, and all joined again."""
        carried = Carried(fields)
        none = pa.RecordBatch.from_pylist([], schema=have)
        _keep(
            database,
            "rows",
            _laid_out(none, 0, carried, self.windows).schema,
            _numbered(batches, carried, self.windows),
        )
        joins: list[str] = []
        found: dict[str, str] = {}
        for k, by in enumerate(self.windows.keys):
            schema = _answer_schema(self.windows, by)
            _keep(database, f"found{k}", schema, _answers(database, self.windows, k))
            joins.append(f"join found{k} using (n)")
            found |= {self.windows.names[i]: f"found{k}.w{i}" for i in self.windows.looks(by).places}
        told = [f"rows.v{i}" for i in range(len(fields))] + [found[name] for name in added]
        query = f"select {', '.join(told)} from rows {' '.join(joins)} order by n"
        yield from database.sql(query).to_arrow_reader(_ROWS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "windows", **self.windows.to_dict()}


def windows_of(steps: Sequence[Any]) -> Windows | None:
    """The windows of a table's steps, where its columns are what they gave: no query or function came after.

    Raises SettingsError for a table to which windows were added twice.
    """
    found = [i for i, step in enumerate(steps) if isinstance(step, WindowStep)]
    if len(found) > 1:
        raise SettingsError("The table has windows twice.", hint="Give all of them to one windows().")
    if not found or any(isinstance(step, Sql | Map) for step in steps[found[0] :]):
        return None
    windows: Windows = steps[found[0]].windows
    return windows


def check_types(windows: Windows, have: Any) -> None:
    """Whether columns of these Arrow types can be what the windows say. Raises SchemaError."""
    texts = windows.texts()
    on = have.field(windows.on).type
    if not (pa.types.is_timestamp(on) or pa.types.is_date(on)):
        raise SchemaError(
            f"{windows.on!r} is {on}; windows need a date or a time of when an event happened.",
            hint="Cast it by sql(): select *, cast(day as timestamp) as time from this.",
        )
    for name in windows.columns:
        kind = have.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if name not in texts and not (number or pa.types.is_boolean(kind)):
            raise SchemaError(f"{name!r} is {kind}; it must be a number to be computed with.")
    for name in {column for by in windows.keys for column in by} | texts:
        if not _is_plain(have.field(name).type):
            raise SchemaError(
                f"{name!r} is {have.field(name).type}; what tells events apart is text, a whole number "
                "or a boolean."
            )


def _is_plain(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _numbered(batches: Iterator[RecordBatch], carried: Carried, windows: Windows) -> Iterator[RecordBatch]:
    start = 0
    for batch in batches:
        yield _laid_out(batch, start, carried, windows)
        start += batch.num_rows


def _laid_out(batch: RecordBatch, start: int, carried: Carried, windows: Windows) -> RecordBatch:
    """Rows for the database: columns ``v…``, place ``n``, time ``t``, order ``a``, id ``i``, keys, values."""
    columns, texts = carried.columns(batch), windows.texts()
    columns["n"] = pa.array(range(start, start + batch.num_rows), pa.int64())
    columns["t"] = _instants(batch.column(windows.on))
    columns["a"] = _order(batch.column(windows.arrival)) if windows.arrival else columns["t"]
    columns["i"] = _text(batch.column(windows.id)) if windows.id else pa.nulls(len(batch), pa.string())
    for k, by in enumerate(windows.keys):
        parts = [_text(batch.column(name)).to_pylist() for name in by]
        columns[f"k{k}"] = pa.array([key_text(part) for part in zip(*parts, strict=True)], pa.string())
    for x, name in enumerate(windows.columns):
        columns[f"x{x}"] = (_text if name in texts else _float)(batch.column(name))
    return pa.record_batch(columns)


def _instants(column: Any) -> Any:
    instant: Any = pa.timestamp("us", getattr(column.type, "tz", None))
    return column.cast(instant, safe=False).cast(pa.int64())


def _order(column: Any) -> Any:
    if pa.types.is_temporal(column.type):
        nano: Any = pa.timestamp("ns", getattr(column.type, "tz", None))
        return column.cast(nano).cast(pa.int64())
    return column.cast(pa.int64())


def _text(column: Any) -> Any:
    """Text as Python has it: ``True``, ``7``."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    return column.cast(pa.string())


def _float(column: Any) -> Any:
    if pa.types.is_decimal(column.type):  # Arrow's own cast is now and then one bit off the nearest double
        column = column.cast(pa.string())
    number = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(number), pa.scalar(None, pa.float64()), number)


def _keep(database: Any, name: str, schema: Any, batches: Iterator[RecordBatch]) -> None:
    """Put rows down in the database, which spills what does not fit."""
    database.register("coming", pa.RecordBatchReader.from_batches(schema, batches))
    database.execute(f"create table {name} as select * from coming")
    database.unregister("coming")


def _answer_schema(windows: Windows, by: tuple[str, ...]) -> Any:
    places = windows.looks(by).places
    return pa.schema([("n", pa.int64()), *((f"w{i}", windows.windows[i].type) for i in places)])


def _answers(database: Any, windows: Windows, k: int) -> Iterator[RecordBatch]:
    """The windows of one kind of key: its events by key and arrival, looked through one by one."""
    by = windows.keys[k]
    schema, looks = _answer_schema(windows, by), windows.looks(by)
    values = "".join(f", x{x}" for x in range(len(windows.columns)))
    query = f"select n, k{k}, t, i{values} from rows order by k{k}, a, t, n"
    key, past = None, Past(looks)
    for batch in database.cursor().sql(query).to_arrow_reader(_ROWS):
        places, keys, times, ids, *columns = (column.to_pylist() for column in batch.columns)
        found: list[tuple[Value, ...]] = []
        for i, name in enumerate(keys):
            if name is None or times[i] is None:
                found.append(looks.missing)
                continue
            if name != key:
                key, past = name, Past(looks)
            event: Event = (times[i], ids[i] or "", tuple(column[i] for column in columns))
            found.append(past.observe(event))
        arrays: list[Any] = [pa.array(places, pa.int64())]
        for column, field in zip(zip(*found, strict=True), list(schema)[1:], strict=True):
            arrays.append(pa.array(column, pa.float64()).cast(field.type))
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
