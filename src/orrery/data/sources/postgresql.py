"""PostgreSQL: rows stream over as Arrow; columns, conditions and queries are handed to the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import pyarrow as pa
from sqlglot import exp

from orrery.aggregate import RecordBatch
from orrery.data import sql
from orrery.data.conditions import Condition
from orrery.data.rows import narrowed, needed
from orrery.data.source import Draw, Estimate, Partition
from orrery.data.sources import ranges, sql_estimates
from orrery.data.sources.postgresql_server import Moment, Server
from orrery.data.sources.postgresql_types import Column, decide, fitted
from orrery.data.sources.sql_address import Address
from orrery.data.sources.sql_database import Database
from orrery.data.sources.sql_retry import resumed
from orrery.errors import SettingsError, SourceError, listing
from orrery.spec import stable_key

_UNIQUE = (
    "select a.attname, i.indisprimary from pg_index i "
    "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] "
    "where i.indrelid = %s::regclass and i.indisunique and i.indisvalid and i.indnkeyatts = 1 "
    "and i.indpred is null and a.attnotnull order by 2 desc"
)
_BOUNDS = (
    "select histogram_bounds::text::text[] from pg_stats s join pg_class c on c.relname = s.tablename "
    "and c.relnamespace::regnamespace::text = quote_ident(s.schemaname) "
    "where c.oid = %s::regclass and s.attname = %s"
)
_DRAWS = "select relkind in ('r', 'm') from pg_class where oid = %s::regclass"  # a table, a kept view
_SEED = 7
_READ_TIMEOUT_S = 300.0


class PostgreSql(Database):
    """The rows of a query or of one table (``schema.table`` too).

    ``connection="shop"`` takes the address, password included, from ``ORRERY_CONNECTION__SHOP``; so does
    ``postgresql://?connection=shop``. A table with a single whole primary key comes in its order; a query
    comes as the server gives it, unless ``split_on`` names a column. With either, ``parts`` ranges can be
    read at the same time, all of one state of the database within a process, and a lost connection is
    opened anew at the very next row. ``read_timeout_s`` bounds every silence, the first row's too.
    """

    dialect = "postgres"

    def __init__(
        self,
        place: str,
        query: str | None = None,
        table: str | None = None,
        connection: str | None = None,
        split_on: str | None = None,
        parts: int = 1,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        self.address = Address.of("postgresql:" + place.partition(":")[2], connection)
        self.query = query
        self.table = table
        self.split_on = split_on
        self.parts = parts
        self.read_timeout_s = read_timeout_s
        self.bytes_read = 0

    @property
    def place(self) -> str:
        """The address, with the password if it was given there."""
        return self.address.place

    @property
    def connection(self) -> str | None:
        """The name of the connection that holds the address."""
        return self.address.connection

    @property
    def _server(self) -> Server:
        return Server(self.address, self.read_timeout_s)

    @cached_property
    def rows(self) -> str:
        """The query whose rows are read."""
        if (self.query is None) == (self.table is None):
            raise SettingsError(
                f"{self!r} takes query= or table=, one of them; the tables are {self._tables()}."
            )
        if self.query is not None:
            return sql.own_query(self.query, "postgres")
        return f"select * from {self._name}"

    @property
    def _name(self) -> str:
        return ".".join(self._quoted(part) for part in str(self.table).split("."))

    def _tables(self) -> str:
        found = self._answers(
            "select case table_schema when 'public' then '' else table_schema || '.' end || table_name "
            "from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema') order by 1"
        )
        return listing(name for (name,) in found)

    def _answers(self, query: str, *values: str) -> Sequence[Sequence[Any]]:
        found: list[Any] = self._server.ask(
            lambda link: link.execute(query, values or None, prepare=True).fetchall()
        )
        return found

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type and how it is asked for."""
        rows = self.rows
        return self._server.ask(lambda link: decide(link, rows), written=self.query or "")

    def _declared(self) -> tuple[str | None, set[str]]:
        found = self._answers(_UNIQUE, self._name)
        primary = next((str(name) for name, is_primary in found if is_primary), None)
        return primary, {str(name) for name, _ in found}

    @cached_property
    def _cuts(self) -> list[Any]:
        """From the server's statistics of a table where it has them: they cost no pass over the rows."""
        key = self.key
        if key is not None and key.whole and self.table is not None and self.parts > 1:
            found = self._answers(_BOUNDS, self._name, key.name)
            bounds = [int(text) for text in (found[0][0] or ())] if found else []
            if len(bounds) > 2 * self.parts:
                return ranges.chosen(bounds, self.parts)
        return super()._cuts

    def _moment(self) -> Moment:
        return Moment()

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they stream over; what the server can filter, it filters."""
        names = list(self.columns)
        key = [partition.where["key"]] if "key" in partition.where else []
        wanted = list(dict.fromkeys([*needed(names, columns, where), *key]))
        batches = self._batches(partition, wanted, self.pushed(where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, partition: Partition, wanted: list[str], where: str) -> Iterator[RecordBatch]:
        part = partition.where
        fields = [self.columns[name].asked(name) for name in wanted] or ["true as one"]
        schema = pa.schema([pa.field(name, self.columns[name].type) for name in wanted])

        def stream(last: Any) -> Iterator[RecordBatch]:
            for batch in self._server.stream(self._asked(fields, where, part, last), part.get("moment")):
                self.bytes_read += batch.nbytes
                yield fitted(batch, schema, part.get("key"), self) if wanted else batch.select([])

        key = None if part.get("missing") else part.get("key")
        return resumed(self, stream, key, self._is_unique)

    def _literal(self, value: Any) -> str:
        # A text takes the type of the column that it is compared with.
        return super()._literal(str(value))

    def _is_plain(self, condition: Condition) -> bool:
        sorts = {name: column.sort for name, column in self.columns.items()}
        return condition.is_plain(sorts, likes=True)

    def _sql_of(self, condition: Condition) -> str:
        # Letter by letter, whatever the column's own collation takes for alike.
        tree = condition.tree.copy()
        for like in list(tree.find_all(exp.Like)):
            collation = exp.to_identifier("C", quoted=True)
            like.set("this", exp.Collate(this=like.this, expression=collation))
        return Condition(condition.text, condition.columns, tree).sql("postgres")

    def count(self, where: str | None) -> int | None:
        """Rows, counted by the server."""
        condition = self._exact(where)
        if condition is None:
            return None
        return int(self._answers(f"select count(*) from ({self.rows}) this{condition}")[0][0])

    def estimate(self, columns: Sequence[str] | None, where: str | None) -> Estimate:
        """What the server's planner expects, and the size of the tables that are read."""
        fields = [self.columns[name].asked(name) for name in (self.columns if columns is None else columns)]
        asked = self._asked(fields or ["true as one"], self.pushed(where), {})
        return sql_estimates.postgresql(self._answers, self._asked(["*"], "", {}), asked)

    def draw(self, rows: int, where: str | None) -> Draw | None:
        """Blocks of a table at random, always the same ones; None where the planner expects no more rows.

        Also None of a query, of a view, and on servers that only speak like PostgreSQL.
        """
        if self.table is None:
            return None
        condition = f" where {pushed}" if (pushed := self.pushed(where)) else ""
        with suppress(SourceError):
            passing = sql_estimates.planned(self._answers, f"select * from {self._name} this{condition}")
            if passing > rows and self._answers(_DRAWS, self._name)[0][0]:
                how = f"tablesample system ({100 * rows / passing:.6g}) repeatable ({_SEED})"
                query = f"select * from {self._name} {how}"
                found = PostgreSql(
                    self.place, query, connection=self.connection, read_timeout_s=self.read_timeout_s
                )
                found.columns = self.columns  # some types are those that all the rows need
                return Draw(found, how)
        return None

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> PostgreSql | None:
        """The same server, answering a query on ``this``; None where only Orrery can tell its rows."""
        asked = self._inlined(query, columns, where)
        if asked is None:
            return None
        return PostgreSql(self.place, asked, connection=self.connection, read_timeout_s=self.read_timeout_s)

    def fingerprint(self) -> str:
        """A hash of the rows, whatever their order; computed by the server."""
        found = self._answers(
            "select count(*), coalesce(sum(hashtextextended(this::text, 0)::numeric), 0) "
            f"from ({self.rows}) this"
        )
        return stable_key([(f.name, f.type) for f in self.schema().fields], [str(v) for v in found[0]])

    def to_dict(self) -> dict[str, Any]:
        """The address without the password, and what is read there."""
        limit = self.read_timeout_s if self.read_timeout_s != _READ_TIMEOUT_S else None
        settings = {
            "query": self.query,
            "table": self.table,
            "connection": self.connection,
            "split_on": self.split_on,
            "parts": self.parts if self.parts != 1 else None,
            "read_timeout_s": limit,
        }
        return {"place": self.address.shown, **{k: v for k, v in settings.items() if v is not None}}

    def __repr__(self) -> str:
        return str(self.address)
