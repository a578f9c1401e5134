"""Steps over a source: small frozen values. A table is a source and its steps.

Each step says which columns it reads, which columns it gives, and how batches flow through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, sql, sql_dialects, sql_needs
from orrery.data.sql_tables import Rows, query_schema, run_query
from orrery.errors import SchemaError, UnknownColumnError
from orrery.schema import Field, Kind

Batches = Iterator[RecordBatch]


class Step(Protocol):
    """One step."""

    def schema(self, have: Any) -> Any:
        """The Arrow schema after the step. Raises SchemaError where the step does not fit."""

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """Columns needed before the step, when ``wanted`` are needed after it."""

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """Batches with at least ``wanted``, from batches with what ``reads`` asked for, out of ``have``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with a ``step`` that names it."""


@dataclass(frozen=True)
class Select:
    """Some columns, in this order."""

    columns: tuple[str, ...]

    def schema(self, have: Any) -> Any:
        """The named fields. Raises UnknownColumnError."""
        places = positions(have, self.columns)
        return pa.schema([have.field(i) for i in places])

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """What is wanted after is what is needed before."""
        return list(wanted)

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """Nothing to do: columns are picked by name where they are used."""
        return batches

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "select", "columns": list(self.columns)}


@dataclass(frozen=True)
class Where:
    """The rows for which a condition is true."""

    condition: str

    def schema(self, have: Any) -> Any:
        """Unchanged; the condition's columns must be there."""
        self.parsed(have)
        return have

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """Adds the columns of the condition."""
        return union_of(wanted, self.parsed(have).columns)

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """Filtered."""
        return sql.filtered(batches, self.parsed(have))

    def parsed(self, have: Any) -> conditions.Condition:
        """The condition, checked against these columns."""
        return conditions.parse(self.condition, tuple(have.names))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "where", "condition": self.condition}


@dataclass(frozen=True)
class Kinds:
    """What some columns mean; the rows stay as they are."""

    kinds: tuple[tuple[str, Kind], ...]

    def schema(self, have: Any) -> Any:
        """The same fields, the kinds in their metadata. Raises UnknownColumnError."""
        positions(have, [name for name, _ in self.kinds])
        kinds = dict(self.kinds)
        fields = [Field.of(f).replace(kind=kinds[f.name]).arrow() if f.name in kinds else f for f in have]
        return pa.schema(fields)

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """What is wanted after is what is needed before."""
        return list(wanted)

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """Nothing to do."""
        return batches

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": "kinds", "kinds": {name: kind.value for name, kind in self.kinds}}


@dataclass(frozen=True, eq=False)
class Union:
    """The rows of another table of the same columns, after these."""

    other: Any

    def schema(self, have: Any) -> Any:
        """Unchanged. Raises SchemaError where the other's columns differ."""
        theirs = {f.name: f.type for f in self.other.schema.arrow()}
        ours = {f.name: f.type for f in have}
        if theirs != ours:
            differing = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
            told = [
                f"{n!r} is {ours.get(n, 'absent')} here and {theirs.get(n, 'absent')} there"
                for n in differing
            ]
            raise SchemaError(
                f"The tables have different columns: {'; '.join(told[:5])}.", hint="Select the same."
            )
        return have

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """What is wanted after is what is needed before."""
        return list(wanted)

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """These rows, then the others."""
        yield from batches
        yield from self.other.batches(columns=list(wanted))

    def asked(self, wanted: Sequence[str], have: Any) -> list[Any]:
        """The other table with only the columns wanted."""
        return [_less(self.other, wanted)]

    def tables(self) -> Sequence[Any]:
        """The other table."""
        return [self.other]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the other table whole."""
        return {**self.told(), "table": self.other.to_dict()}

    def told(self) -> dict[str, Any]:
        """Plain values without the other table."""
        return {"step": "union"}


@dataclass(frozen=True, eq=False)
class Sql:
    """A query on a table called ``this``, and on others by their names."""

    query: str
    others: tuple[tuple[str, Any], ...] = ()
    dialect: str | None = None
    """The SQL that the query is written in; None where it is that of the place that answers."""

    def schema(self, have: Any) -> Any:
        """The columns of the answer."""
        found = query_schema(self._schemas(have), self.text("duckdb", have))
        return self.with_meaning(found, have)

    def with_meaning(self, found: Any, have: Any) -> Any:
        """The columns of the answer; those that kept name and type mean what they meant."""
        for known in self._schemas(have).values():
            found = with_meaning(found, known)
        return found

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """The columns that the query names."""
        return list(self._needs(have)[sql.THIS].columns)

    def passing(self, have: Any) -> str | None:
        """What rows have to fulfil that the query does not leave out again."""
        return self._needs(have)[sql.THIS].where

    def asked(self, wanted: Sequence[str], have: Any) -> list[Any]:
        """The other tables with only the columns and rows that the query needs."""
        known = self._needs(have)
        return [_less(table, known[name].columns, known[name].where) for name, table in self.others]

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """The answer, once the query has seen what it needs."""
        names = self.reads(wanted, have)
        less = pa.schema([have.field(name) for name in names])
        tables = {sql.THIS: Rows(less, (b.select(names) for b in batches))}
        for (name, _), table in zip(self.others, self.asked(wanted, have), strict=True):
            tables[name] = Rows(table.schema.arrow(), table.batches())
        return run_query(tables, self.text("duckdb", have))

    def _needs(self, have: Any) -> dict[str, sql_needs.Need]:
        return sql_needs.needs(self.text("duckdb", have), self._schemas(have))

    def text(self, dialect: str, have: Any) -> str:
        """The query for a place of this dialect. Raises SettingsError where rows could differ there."""
        if self.dialect is None:
            return self.query
        return sql_dialects.translated(self.query, self.dialect, dialect, self._schemas(have))

    def _schemas(self, have: Any) -> dict[str, Any]:
        return {sql.THIS: have, **{name: table.schema.arrow() for name, table in self.others}}

    def tables(self) -> Sequence[Any]:
        """The other tables."""
        return [table for _, table in self.others]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; other tables whole."""
        others = {name: table.to_dict() for name, table in self.others}
        return {**self.told(), **({"tables": others} if others else {})}

    def told(self) -> dict[str, Any]:
        """Plain values without the other tables."""
        return {"step": "sql", "query": self.query, **({"dialect": self.dialect} if self.dialect else {})}


@dataclass(frozen=True, eq=False)
class Map:
    """A function of a record batch; it may change columns and rows."""

    function: Callable[[RecordBatch], RecordBatch]
    given: Any = None
    """The Arrow schema of what the function returns; without it, found by calling it."""
    table: Any = None
    """The table whose first rows the function is tried on, where no rows at all do not tell."""

    def schema(self, have: Any) -> Any:
        """As given, or as an empty batch comes out, or the first rows."""
        if self.given is not None:
            return self.given
        try:
            made = self._checked(self.function(empty(have))).schema
        except Exception:  # the function is the user's own, and may not expect an empty batch
            made = None
        if made is None or any(pa.types.is_null(f.type) for f in made):
            first = next(iter(self.table.batches(100)), None) if self.table is not None else None
            made = self._checked(self.function(empty(have) if first is None else first)).schema
        return with_meaning(made, have)

    def reads(self, wanted: Sequence[str], have: Any) -> list[str]:
        """All: what the function uses is its own business."""
        return list(have.names)

    def run(self, batches: Batches, have: Any, wanted: Sequence[str]) -> Batches:
        """Each batch through the function, then into the one schema."""
        after = self.schema(have)
        for batch in batches:
            made = self._checked(self.function(batch.select(have.names)))
            try:
                yield made if made.schema == after else made.select(after.names).cast(after)
            except (pa.ArrowException, KeyError) as error:
                raise SchemaError(
                    f"The function {name_of(self.function)} gave other columns than before: {error}",
                    hint=f"It should give {after.names}; pass schema= to say so.",
                ) from None

    def _checked(self, made: Any) -> Any:
        if isinstance(made, pa.Table):
            made = made.combine_chunks()
            made = made.to_batches()[0] if made.num_rows else empty(made.schema)
        if not isinstance(made, pa.RecordBatch):
            raise SchemaError(
                f"The function {name_of(self.function)} must return a pyarrow RecordBatch, "
                f"not {type(made).__name__}."
            )
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the function's name, and a hash of its code."""
        return {"step": "map", "function": name_of(self.function), "code": code_key(self.function)}


def tables_of(step: Step) -> Sequence[Any]:
    """The other tables that a step reads."""
    tables = getattr(step, "tables", None)
    return tables() if tables is not None else ()


def asked_of(step: Step, wanted: Sequence[str], have: Any) -> Sequence[Any]:
    """The other tables with only what the step needs of them, when ``wanted`` are needed after it."""
    asked = getattr(step, "asked", None)
    return asked(wanted, have) if asked is not None else tables_of(step)


def _less(table: Any, columns: Sequence[str], where: str | None = None) -> Any:
    """A table with fewer columns and rows."""
    table = table.where(where) if where is not None else table
    return table if list(columns) == list(table.schema.names) else table.select(list(columns))


def told(step: Step) -> dict[str, Any]:
    """What a step is, in plain values; without other tables, which may have no address."""
    tell: Callable[[], dict[str, Any]] = getattr(step, "told", step.to_dict)
    return tell()


def positions(have: Any, names: Sequence[str]) -> list[int]:
    """Where the columns lie in an Arrow schema. Raises UnknownColumnError."""
    places = {name: i for i, name in enumerate(have.names)}
    for name in names:
        if name not in places:
            raise UnknownColumnError(name, have.names)
    return [places[name] for name in names]


def with_meaning(schema: Any, before: Any) -> Any:
    """Columns that kept their name and type keep their kind and shape."""
    known = {field.name: field for field in before if field.metadata}
    fields = [
        known[f.name] if f.name in known and known[f.name].type == f.type and not f.metadata else f
        for f in schema
    ]
    return pa.schema(fields)


def union_of(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names of both, each once, in order."""
    return list(dict.fromkeys([*first, *second]))


def empty(schema: Any) -> RecordBatch:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def name_of(function: Callable[..., Any]) -> str:
    """``module:name`` of a function."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}:{name}"


def code_key(function: Callable[..., Any]) -> str:
    """A hash of what a function does: its code, constants, defaults and what it closes over."""
    seen = hashlib.sha256()

    def add(value: Any) -> None:
        code = getattr(value, "__code__", None)
        if code is not None:
            seen.update(code.co_code)
            add(code.co_names)
            add(code.co_consts)
            add(value.__defaults__)
            add([cell.cell_contents for cell in value.__closure__ or ()])
        elif hasattr(value, "co_code"):
            seen.update(value.co_code)
            add(value.co_consts)
        elif isinstance(value, (tuple, list)):
            for part in value:
                add(part)
        elif isinstance(value, (str, bytes, int, float, bool, type(None))):
            seen.update(repr(value).encode())
        else:
            seen.update(type(value).__qualname__.encode())

    add(function)
    return seen.hexdigest()[:20]
