"""Queries over whole tables, answered on this machine by DuckDB: ``this``, and others by their names.

A table that the query names once streams through; one that it names more often is first put down in the
database, which spills what does not fit into ``ORRERY_SQL__MOST_GIB``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from orrery.aggregate import RecordBatch
from orrery.data.sql import LONG_NUMBERS, check_query, check_tables, connect, first_line
from orrery.errors import SchemaError, SettingsError


@dataclass(frozen=True)
class Rows:
    """A table for a query: its Arrow schema, and its batches, which are asked for once."""

    schema: Any
    batches: Iterator[RecordBatch]


def run_query(tables: Mapping[str, Rows], text: str, rows: int = 65_536) -> Iterator[RecordBatch]:
    """The rows that a query on ``tables`` gives, as they come."""
    tree = check_query(text)
    errors: list[BaseException] = []
    with connect() as database:
        try:
            for name, table in tables.items():
                check_names(table.schema)
                batches = _watched(table, errors)
                reader = pa.RecordBatchReader.from_batches(table.schema, batches)
                _put(database, name, reader, streams=_streams(tree, name))
            with closing(database.sql(text).to_arrow_reader(rows)) as answer:
                yield from answer
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if errors:
                raise errors[0] from None
            raise SettingsError(
                f"The query {text!r} failed: {first_line(error)}",
                hint="Give it more memory: ORRERY_SQL__MOST_GIB." if _out_of_memory(error) else "",
            ) from None


def _watched(table: Rows, errors: list[BaseException]) -> Iterator[RecordBatch]:
    """DuckDB turns an error of its input into text; keep the error itself."""
    try:
        for batch in table.batches:
            yield batch.cast(table.schema) if batch.schema != table.schema else batch
    except BaseException as error:
        errors.append(error)
        raise


def _put(database: Any, name: str, reader: Any, streams: bool) -> None:
    quoted = exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
    if streams:
        database.register(name, reader)
        return
    database.register("orrery rows", reader)
    database.execute(f'create temp table {quoted} as select * from "orrery rows"')
    database.unregister("orrery rows")


def _streams(tree: Any, name: str) -> bool:
    """Whether the rows are surely asked for once: a common table expression may be run several times."""
    found = [table for table in tree.find_all(exp.Table) if table.name.casefold() == name.casefold()]
    return len(found) <= 1 and not any(table.find_ancestor(exp.CTE, exp.Lateral) for table in found)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, duckdb.OutOfMemoryException) or "memory" in str(error).lower()


def query_schema(schemas: Mapping[str, Any], text: str) -> Any:
    """The columns that a query on tables of these schemas would give, found without rows."""
    for schema in schemas.values():
        check_names(schema)
    check_tables(check_query(text), text, schemas)
    with connect() as database:
        try:
            for name, schema in schemas.items():
                database.register(name, schema.empty_table())
            return database.sql(text).to_arrow_table().schema
        except duckdb.BinderException as error:
            raise SchemaError(f"The query {text!r} does not fit the table: {first_line(error)}") from None
        except duckdb.Error as error:
            raise SettingsError(
                f"The query {text!r} cannot run: {first_line(error)}",
                hint=LONG_NUMBERS if isinstance(error, duckdb.NotImplementedException) else "",
            ) from None


def check_names(schema: Any) -> None:
    """SQL does not tell ``Age`` from ``age``. Raises SchemaError where two columns differ only so.

    And it knows no table without columns.
    """
    if not schema.names:
        raise SchemaError("The table has no columns, so no query can be asked of it.")
    seen: dict[str, str] = {}
    for name in schema.names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise SchemaError(
                f"The columns {other!r} and {name!r} differ only in case, which SQL does not see.",
                hint="Leave one out with without(), or rename it with map().",
            )
