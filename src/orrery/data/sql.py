"""SQL on this machine, by DuckDB: conditions on batches, and queries on a whole table called ``this``.

The database lives in memory, and may open neither files nor the network: a query sees its tables only. What
it keeps at a time stays under ``ORRERY_SQL__MOST_GIB``; larger sorts and joins go to a scratch folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from orrery.aggregate import RecordBatch
from orrery.data import sql_scratch
from orrery.data.conditions import Condition
from orrery.errors import OrreryError, SettingsError, SourceError, did_you_mean, listing
from orrery.settings import sql_most_bytes

THIS = "this"
LONG_NUMBERS = "Compute with numbers of more than 38 digits where they are, by query=, or cast them there."


def connect(file: str | None = None) -> Any:
    """A database in memory that can reach nothing else but ``file``, a database that is only read.

    Large sorts and joins spill to a scratch folder.
    """
    database = duckdb.connect(
        ":memory:",
        config={
            # Its own, made and removed when needed: what lies in the folder may be read by a query.
            "temp_directory": str(sql_scratch.folder()),
            "memory_limit": f"{sql_most_bytes()}B",
            "python_enable_replacements": "false",
            # Nothing is fetched from the network, and the same extensions are there everywhere.
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            # Of a stream no size is known; taken for small, it would be joined row against row.
            "asof_loop_join_threshold": "0",
        },
    )
    with suppress(duckdb.Error):  # without its time zones, DuckDB knows UTC only
        database.execute("set global TimeZone = 'UTC'")
    database.execute("set enable_progress_bar = false")  # it would be printed among a command's answers
    if file is not None:
        literal = exp.Literal.string(file).sql(dialect="duckdb")
        database.execute(f"attach {literal} as file (type duckdb, read_only)")
        database.execute("use file")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database


_of_process: dict[int, Any] = {}
"""The database that answers conditions, by process: its threads do not survive a fork."""


def _answering() -> Any:
    """A connection to this process's database for conditions; making a database takes far longer."""
    if os.getpid() not in _of_process:
        _of_process[os.getpid()] = connect()
    return _of_process[os.getpid()].cursor()


def filtered(batches: Iterator[RecordBatch], condition: Condition) -> Iterator[RecordBatch]:
    """The rows for which the condition is true, in order."""
    names = {name: f"c{i}" for i, name in enumerate(condition.columns)}
    query = f"select coalesce(cast(({condition.sql('duckdb', names)}) as boolean), false) as keep from batch"
    with _answering() as database:
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
    try:
        database.register(name, rows)
        return database.sql(query).to_arrow_table()
    except duckdb.NotImplementedException as error:
        raise SettingsError(f"{text!r} cannot be computed: {first_line(error)}", hint=LONG_NUMBERS) from None
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
    except RecursionError:
        raise SettingsError("The query has too many brackets within brackets.", hint=_EXAMPLE) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SettingsError(f"The query {text!r} must be one SELECT.", hint=_EXAMPLE)
    return trees[0]


def own_query(text: str, dialect: str) -> str:
    """A user's query of a database, as the user wrote it, fit to stand between brackets.

    Raises SettingsError where it is surely no SELECT; of what only the database understands, it will tell.
    """
    try:
        sqlglot.parse(text, read=dialect)
    except (SqlglotError, RecursionError):
        pass
    else:
        check_query(text, dialect)
    text = text.strip().rstrip(";")
    return f"{text}\n" if "--" in text else text  # a comment must not swallow the bracket


_EXAMPLE = "Write it like: select kind, avg(size) as size from this group by kind."


class Query(str):
    """The text of a query that a place answers, and the queries behind the other tables that it names."""

    tables: Mapping[str, str]

    @classmethod
    def of(cls, text: str, tables: Mapping[str, str]) -> Self:
        """``tables``: the name of another table -> its rows, as a query in the place's own words."""
        made = cls(text)
        made.tables = dict(tables)
        return made


def check_tables(tree: Any, text: str, others: Iterable[str] = ()) -> None:
    """Raises SettingsError where a query reads any table but ``this``, ``others`` and its own CTEs."""
    known = {THIS, *(name.casefold() for name in others)}
    known |= {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or table.name.casefold() not in known or table.db:
            raise SettingsError(
                f"The query {text!r} reads {table.sql(dialect='duckdb')!r}; it may only read "
                f"{listing(dict.fromkeys((THIS, *others)))}.",
                hint=f"Give another table by its name: table.sql(query, {table.name or 'other'}=read(…)).",
            )


def inlined(text: str, rows: str, dialect: str) -> str:
    """A query on ``this`` as one of a database, in its dialect; ``rows`` is the query behind ``this``."""
    queries = {THIS: rows, **(text.tables if isinstance(text, Query) else {})}
    tree = check_query(text, dialect)
    check_tables(tree, text, queries)
    behind = {name.casefold(): query for name, query in queries.items()}
    own = {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        name = table.name.casefold()
        if name in behind and name not in own:
            inner = exp.Subquery(this=sqlglot.parse_one(behind[name], read=dialect))
            inner.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias or table.name)))
            inner.set("joins", table.args.get("joins"))
            table.replace(inner)
    return str(tree.sql(dialect=dialect))


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
