"""PostgreSQL: rows stream over as Arrow; columns, conditions and queries are handed to the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, remote, sql
from orrery.data.masking import hide, is_secret, masked
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.postgresql_types import Column, decide
from orrery.data.sources.sqlite_types import quoted
from orrery.errors import SettingsError, SourceError, listing
from orrery.extras import require
from orrery.schema import Schema
from orrery.spec import stable_key

_TIMEOUT_S = 15
_OPTIONS = "-c default_transaction_read_only=on -c timezone=UTC -c datestyle=ISO -c extra_float_digits=3"


class PostgreSql:
    """The rows of a query or of one table (``schema.table`` too); one part.

    ``connection="shop"`` takes the address, password included, from ``ORRERY_CONNECTION__SHOP``; so does
    ``postgresql://?connection=shop``. Without ORDER BY the server may give rows in any order.
    """

    def __init__(
        self, place: str, query: str | None = None, table: str | None = None, connection: str | None = None
    ) -> None:
        parts = _parts(place)
        asked = dict(parse_qsl(parts.query))
        self.connection = connection or asked.pop("connection", None)
        self.place = _joined(parts, parts.netloc, urlencode(asked))
        self.query = query
        self.table = table
        self.bytes_read = 0

    @property
    def _address(self) -> str:
        """The full address, with the password, and with limits on every wait."""
        place = self.place
        if self.connection is not None:
            place = remote.connection(self.connection, "postgresql://user:password@host/database")
        parts = _parts(place)
        limits = {
            "connect_timeout": str(_TIMEOUT_S),
            "tcp_user_timeout": str(_TIMEOUT_S * 1000),
            "keepalives_idle": str(_TIMEOUT_S),
            "application_name": "orrery",
            "options": _OPTIONS,
        }
        given = {**limits, **dict(parse_qsl(parts.query))}
        query = "&".join(f"{k}={_percent(v)}" for k, v in given.items())
        return _joined(parts, parts.netloc, query)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """What the server or the driver says becomes SourceError, without the password."""
        errors = (
            require("psycopg", "Reading PostgreSQL").Error,
            require("adbc_driver_manager", "Reading PostgreSQL").Error,
            pa.ArrowException,
            OSError,
        )
        try:
            yield
        except errors as error:
            text = hide(" ".join(str(error).split()), self._address)
            raise SourceError(
                f"{self!r}: {text}", hint="Is the server running, and may you read there?"
            ) from None

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """A plain connection, for questions about the rows."""
        psycopg = require("psycopg", "Reading PostgreSQL")
        with self._speaking(), psycopg.connect(self._address) as link:
            yield link

    @cached_property
    def rows(self) -> str:
        """The query whose rows are read."""
        if (self.query is None) == (self.table is None):
            raise SettingsError(
                f"{self!r} takes query= or table=, one of them; the tables are {self._tables()}."
            )
        if self.query is not None:
            return sql.own_query(self.query, "postgres")
        return "select * from " + ".".join(quoted(part) for part in str(self.table).split("."))

    def _tables(self) -> str:
        with self._asking() as link:
            found = link.execute(
                "select case table_schema when 'public' then '' else table_schema || '.' end || table_name "
                "from information_schema.tables "
                "where table_schema not in ('pg_catalog', 'information_schema') order by 1"
            ).fetchall()
        return listing(name for (name,) in found)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type and how it is asked for."""
        with self._asking() as link:
            return decide(link, self.rows)

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(pa.schema([pa.field(name, column.type) for name, column in self.columns.items()]))

    def partitions(self) -> Sequence[Partition]:
        """One part: all rows."""
        return [Partition(0)]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they stream over; what the server can filter, it filters."""
        names = list(self.columns)
        batches = self._batches(needed(names, columns, where), self.pushed(where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, wanted: list[str], where: str) -> Iterator[RecordBatch]:
        asked = ", ".join(self.columns[name].asked(name) for name in wanted) or "true as one"
        query = f"select {asked} from ({self.rows}) as this" + (f" where {where}" if where else "")
        schema = pa.schema([pa.field(name, self.columns[name].type) for name in wanted])
        dbapi = require("adbc_driver_postgresql.dbapi", "Reading PostgreSQL")
        with self._speaking(), dbapi.connect(self._address) as link, link.cursor() as cursor:
            cursor.execute(query)
            for batch in cursor.fetch_record_batch():
                self.bytes_read += batch.nbytes
                yield batch.cast(schema) if wanted else batch.select([])

    def count(self, where: str | None) -> int | None:
        """Rows, counted by the server."""
        condition = ""
        if where is not None:
            parsed = conditions.parse(where, tuple(self.columns))
            # A numeric NaN is a number to the server and missing here.
            changed = any(self.columns[name].form != "{c}" for name in parsed.columns)
            if changed or not parsed.is_plain(self._sorts()):
                return None
            condition = f" where {parsed.sql('postgres')}"
        with self._asking() as link:
            query = f"select count(*) from ({self.rows}) as this{condition}"
            return int(link.execute(query).fetchone()[0])

    def _sorts(self) -> dict[str, str]:
        return {name: column.sort for name, column in self.columns.items()}

    def pushed(self, where: str | None) -> str:
        """The parts of a condition that mean the same to the server."""
        if where is None:
            return ""
        parts = conditions.parse(where, tuple(self.columns)).parts()
        return " and ".join(f"({p.sql('postgres')})" for p in parts if p.is_plain(self._sorts()))

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> PostgreSql | None:
        """The same server, answering a query on ``this``; None where only Orrery can tell its rows."""
        rows = f"select {', '.join(quoted(name) for name in columns)} from ({self.rows}) as this"
        if where is not None:
            parsed = conditions.parse(where, tuple(self.columns))
            if not parsed.is_plain(self._sorts()):
                return None
            rows += f" where {parsed.sql('postgres')}"
        return PostgreSql(self.place, sql.inlined(query, rows, "postgres"), connection=self.connection)

    def fingerprint(self) -> str:
        """A hash of the rows, whatever their order; computed by the server."""
        with self._asking() as link:
            found = link.execute(
                "select count(*), coalesce(sum(hashtextextended(this::text, 0)::numeric), 0) "
                f"from ({self.rows}) as this"
            ).fetchone()
        return stable_key([(f.name, f.type) for f in self.schema().fields], [str(value) for value in found])

    def to_dict(self) -> dict[str, Any]:
        """The address without the password, and what is read there."""
        settings = {"query": self.query, "table": self.table, "connection": self.connection}
        return {"place": self._shown(), **{k: v for k, v in settings.items() if v is not None}}

    def _shown(self) -> str:
        parts = _parts(self.place)
        user, at, host = parts.netloc.rpartition("@")
        asked = [(k, v) for k, v in parse_qsl(parts.query) if not is_secret(k)]
        return _joined(parts, user.partition(":")[0] + at + host, urlencode(asked))

    def __repr__(self) -> str:
        return self._shown() if self.connection is None else f"postgresql connection {self.connection!r}"


def _parts(place: str) -> SplitResult:
    """The parts of an address. Raises SettingsError where it cannot be told where the password ends."""
    try:
        parts = urlsplit(place)
        odd = parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path or (parts.port or 0) < 0
    except ValueError:  # of the parts, or of the port
        odd = True
    if odd:
        raise SettingsError(
            f"The address {masked(place)} cannot be read.",
            hint="Write @ : / ? # [ ] in a password as %40 %3A %2F %3F %23 %5B %5D, or use connection=.",
        )
    return parts


def _joined(parts: SplitResult, netloc: str, query: str) -> str:
    """An address again; urllib would drop the slashes where no host is named."""
    return f"postgresql://{netloc}{parts.path}{'?' if query else ''}{query}"


def _percent(value: str) -> str:
    """As libpq reads it: a space is %20, not a plus."""
    return urlencode({"": value}).removeprefix("=").replace("+", "%20")
