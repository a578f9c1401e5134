"""SQL on this machine, by DuckDB: conditions on batches, and queries on a whole table called ``this``.

The database lives in memory, and may open neither files nor the network: a query sees its table only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from orrery.aggregate import RecordBatch
from orrery.data.conditions import Condition
from orrery.errors import OrreryError, SchemaError, SettingsError, SourceError, did_you_mean, listing

THIS = "this"


def connect(file: str | None = None) -> Any:
    """A database in memory that can reach nothing else but ``file``, a database that is only read.

    Large sorts and joins spill to a scratch folder.
    """
    database = duckdb.connect(
        ":memory:",
        config={
            # Its own, made and removed when needed: what lies in the folder may be read by a query.
            "temp_directory": str(Path(tempfile.gettempdir()) / f"orrery-sql-{uuid4().hex}"),
            "python_enable_replacements": "false",
            # Nothing is fetched from the network, and the same extensions are there everywhere.
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    with suppress(duckdb.Error):  # without its time zones, DuckDB knows UTC only
        database.execute("set TimeZone = 'UTC'")
    if file is not None:
        literal = exp.Literal.string(file).sql(dialect="duckdb")
        database.execute(f"attach {literal} as file (type duckdb, read_only)")
        database.execute("use file")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database


def filtered(batches: Iterator[RecordBatch], condition: Condition) -> Iterator[RecordBatch]:
    """The rows for which the condition is true, in order."""
    names = {name: f"c{i}" for i, name in enumerate(condition.columns)}
    query = f"select coalesce(cast(({condition.sql('duckdb', names)}) as boolean), false) as keep from batch"
    with connect() as database:
        for batch in batches:
            columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
            if not columns:  # a constant condition
                columns, renamed = [pa.nulls(batch.num_rows)], ["c0"]
            else:
                renamed = list(names.values())
            seen = pa.Table.from_arrays(columns, names=renamed)
            keep = _ask(database, query, "batch", seen, condition.text)
            if keep.num_rows != batch.num_rows:
                raise SettingsError(f"{condition.text!r} gives not one answer per row, so it cannot filter.")
            yield batch.filter(keep.column(0).combine_chunks())


def _ask(database: Any, query: str, name: str, rows: Any, text: str) -> Any:
    """One query on one Arrow table."""
    database.register(name, rows)
    try:
        return database.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise SettingsError(f"{text!r} cannot be computed: {first_line(error)}") from None
    finally:
        database.unregister(name)


def check_query(text: str, dialect: str = "duckdb") -> Any:
    """The parsed query. Raises SettingsError unless it is one SELECT that reads nothing but ``this``."""
    try:
        trees = [tree for tree in sqlglot.parse(text, read=dialect) if tree is not None]
    except SqlglotError as error:
        raise SettingsError(f"The query {text!r} is not SQL: {first_line(error)}", hint=_EXAMPLE) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SettingsError(f"The query {text!r} must be one SELECT.", hint=_EXAMPLE)
    return trees[0]


def own_query(text: str, dialect: str) -> str:
    """A user's query of a database, as the user wrote it, fit to stand between brackets.

    Raises SettingsError where it is surely no SELECT; of what only the database understands, it will tell.
    """
    try:
        sqlglot.parse(text, read=dialect)
    except SqlglotError:
        pass
    else:
        check_query(text, dialect)
    text = text.strip().rstrip(";")
    return f"{text}\n" if "--" in text else text  # a comment must not swallow the bracket


_EXAMPLE = "Write it like: select kind, avg(size) as size from this group by kind."


def check_tables(tree: Any, text: str) -> None:
    """Raises SettingsError where a query reads any table but ``this`` and its own CTEs."""
    known = {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)} | {THIS}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or table.name.casefold() not in known or table.db:
            raise SettingsError(
                f"The query {text!r} reads {table.sql(dialect='duckdb')!r}; it may only read 'this'.",
                hint="Read the other place as a table of its own, and use union.",
            )


class Failed(Exception):  # noqa: N818 - carries an error out of DuckDB, and is unpacked at once
    """An error raised by the rows' own source while DuckDB was reading them."""


def run_query(
    batches: Iterator[RecordBatch], schema: Any, text: str, rows: int = 65_536
) -> Iterator[RecordBatch]:
    """The rows that a query on ``this`` gives, as they come."""
    check_names(schema)
    errors: list[BaseException] = []

    def watched() -> Iterator[RecordBatch]:
        # DuckDB turns an error of its input into text; keep the error itself.
        try:
            yield from (batch.cast(schema) if batch.schema != schema else batch for batch in batches)
        except BaseException as error:
            errors.append(error)
            raise

    with connect() as database:
        database.register(THIS, pa.RecordBatchReader.from_batches(schema, watched()))
        try:
            yield from database.sql(text).to_arrow_reader(rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if errors:
                raise errors[0] from None
            raise SettingsError(f"The query {text!r} failed: {first_line(error)}") from None


def query_schema(schema: Any, text: str) -> Any:
    """The columns that a query on ``this`` would give, found without rows."""
    check_names(schema)
    check_tables(check_query(text), text)
    with connect() as database:
        database.register(THIS, schema.empty_table())
        try:
            return database.sql(text).to_arrow_table().schema
        except duckdb.BinderException as error:
            raise SchemaError(f"The query {text!r} does not fit the table: {first_line(error)}") from None
        except duckdb.Error as error:
            raise SettingsError(f"The query {text!r} cannot run: {first_line(error)}") from None


def inlined(text: str, rows: str, dialect: str) -> str:
    """A query on ``this`` as one of a database, in its dialect; ``rows`` is the query behind ``this``."""
    tree = check_query(text, dialect)
    check_tables(tree, text)
    for table in list(tree.find_all(exp.Table)):
        if table.name.casefold() == THIS:
            inner = exp.Subquery(this=sqlglot.parse_one(rows, read=dialect))
            inner.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias or THIS)))
            table.replace(inner)
    return str(tree.sql(dialect=dialect))


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


def first_line(error: BaseException) -> str:
    """What an error says, without the drawing below it."""
    if isinstance(error, OrreryError):
        return error.message
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).replace("\x1b[4m", "").replace("\x1b[0m", "")


def chosen_table(wanted: str | None, names: Sequence[str], place: str) -> str:
    """The table of a database that was named, or its only one. Raises SettingsError, SourceError."""
    table = wanted if wanted is not None else (names[0] if len(names) == 1 else None)
    if table is None:
        raise SettingsError(f"{place} has the tables {listing(names)}.", hint="Name one with table=.")
    if table not in names:
        hint = did_you_mean(table, names)
        raise SourceError(f"{place} has no table {table!r}; it has {listing(names)}.", hint=hint)
    return table
