"""MySQL, MariaDB and any database that SQLAlchemy reaches: columns, conditions and queries run there."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import sql
from orrery.data.conditions import Condition
from orrery.data.rowhash import RowsHash
from orrery.data.rows import narrowed, needed
from orrery.data.source import Estimate, Partition
from orrery.data.sources import sql_estimates
from orrery.data.sources.sql_address import Address
from orrery.data.sources.sql_batches import Rows, bare
from orrery.data.sources.sql_database import Database
from orrery.data.sources.sql_dialect import Dialect, dialect_of
from orrery.data.sources.sql_driver import Driver, array_of
from orrery.data.sources.sql_estimates import Row
from orrery.data.sources.sql_moment import Moment
from orrery.data.sources.sql_retry import resumed
from orrery.data.sources.sql_types import Column
from orrery.errors import SchemaError, SettingsError, SourceError, did_you_mean, listing
from orrery.extras import require
from orrery.spec import stable_key

_READ_TIMEOUT_S = 300.0


class Sql(Database):
    """The rows of a query or of one table (``schema.table`` too).

    Of ``mysql://``, ``mariadb://``, ``oracle+oracledb://``, ``mssql+pyodbc://``, or of any other URL of
    SQLAlchemy with ``sqlalchemy+`` before it.

    Types are those declared; ``types`` pins those that neither the driver nor a table's declaration tells.
    ``connection``, ``split_on``, ``parts`` and ``read_timeout_s`` are as with PostgreSQL. The parts of MySQL
    and MariaDB are of one state of their InnoDB tables, by one connection: those that are read side by side
    wait for each other on disk. With other databases each part is of the moment at which it is read, and
    there is no deadline for silence.
    """

    def __init__(
        self,
        place: str,
        query: str | None = None,
        table: str | None = None,
        connection: str | None = None,
        types: dict[str, str] | None = None,
        split_on: str | None = None,
        parts: int = 1,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        self.address = Address.of(place, connection)
        self.query = query
        self.table = table
        self.types = dict(types or {})
        self.split_on = split_on
        self.parts = parts
        self.read_timeout_s = read_timeout_s
        self.bytes_read = 0

    @property
    def place(self) -> str:
        """The address, with the password if it was given there."""
        return self.address.place

    @cached_property
    def _speech(self) -> Dialect:
        return dialect_of(self.address.full.partition("://")[0])

    @property
    def dialect(self) -> str:  # type: ignore[override]  # known by the address
        """Sqlglot's name of the database."""
        return self._speech.name

    @property
    def _driver(self) -> Driver:
        return Driver(self.address, self._speech, self.read_timeout_s)

    @cached_property
    def rows(self) -> str:
        """The query whose rows are read."""
        if (self.query is None) == (self.table is None):
            raise SettingsError(
                f"{self!r} takes query= or table=, one of them; the tables are {listing(self._tables())}."
            )
        if self.query is not None:
            return self._speech.kept(sql.own_query(self.query, self.dialect))
        return "select * from " + ".".join(self._quoted(part) for part in str(self.table).split("."))

    def _tables(self) -> list[str]:
        def ask(link: Any) -> list[str]:
            inspector = require("sqlalchemy", "Reading a database").inspect(link)
            return sorted([*inspector.get_table_names(), *inspector.get_view_names()])

        return self._driver.ask(ask)

    def _inspected(self, method: str) -> Any:
        """What SQLAlchemy finds declared of the table. Raises SourceError where there is no such table."""
        sqlalchemy, exc = (require(name, "Reading a database") for name in ("sqlalchemy", "sqlalchemy.exc"))
        schema, _, name = str(self.table).rpartition(".")
        # Of a column of MariaDB with a line end in its name; its type is told with the rows.
        warnings.filterwarnings("ignore", "Unknown (schema content|column definition)", exc.SAWarning)
        try:
            return self._driver.ask(
                lambda link: getattr(sqlalchemy.inspect(link), method)(name, schema=schema or None)
            )
        except exc.NoSuchTableError:
            pass
        tables = self._tables()
        hint = did_you_mean(str(self.table), tables)
        raise SourceError(f"{self!r} has no table {self.table!r}; it has {listing(tables)}.", hint=hint)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type and how it is asked for."""
        found = self._inspected("get_columns") if self.query is None and self.table is not None else []
        declared = {str(column["name"]): column["type"] for column in found}
        rows = self.rows
        return self._driver.ask(
            lambda link: self._speech.columns(link, rows, declared, self.types, str(self))
        )

    def _answers(self, query: str) -> Sequence[Sequence[Any]]:
        found: list[Any] = self._driver.ask(lambda link: link.exec_driver_sql(query).fetchall())
        return found

    def _declared(self) -> tuple[str | None, set[str]]:
        filled = {str(c["name"]) for c in self._inspected("get_columns") if not c["nullable"]}
        keys = list(self._inspected("get_pk_constraint")["constrained_columns"])
        unique = [i["column_names"] for i in self._inspected("get_indexes") if i["unique"]]
        single = {names[0] for names in [keys, *unique] if len(names) == 1}
        return keys[0] if len(keys) == 1 else None, {str(name) for name in single & filled}

    def _check_key(self, name: str) -> None:
        super()._check_key(name)
        if not self.columns[name].orders:
            raise SchemaError(
                f"{self!r} cannot be split on {name!r}: texts so long are sorted by their beginning only."
            )

    def _moment(self) -> Moment | None:
        return Moment() if self._speech.snapshot else None

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they come; what the database can filter, it filters."""
        names = list(self.columns)
        key = [partition.where["key"]] if "key" in partition.where else []
        wanted = list(dict.fromkeys([*needed(names, columns, where), *key]))
        batches = self._batches(partition.where, wanted, self.pushed(where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, part: Mapping[str, Any], wanted: list[str], where: str) -> Iterator[RecordBatch]:
        fields = [self._field(name) for name in wanted] or ["1 as one"]

        def make(found: Rows) -> tuple[RecordBatch, int]:
            return self._batch(found, wanted)

        def stream(last: Any) -> Iterator[RecordBatch]:
            return self._driver.stream(self._asked(fields, where, part, last), make, part.get("moment"))

        key = None if part.get("missing") else part.get("key")
        return resumed(self, stream, key, self._is_unique)

    def _field(self, name: str) -> str:
        column = self._quoted(name)
        form = self.columns[name].form
        return column if form == "{c}" else f"{form.format(c=column)} as {column}"

    def _batch(self, found: Rows, wanted: Sequence[str]) -> tuple[RecordBatch, int]:
        if not wanted:
            return bare(len(found)), 0
        columns = zip(wanted, zip(*found, strict=True), strict=True)
        arrays = [
            array_of(self, name, column, self.columns[name], self._speech.array) for name, column in columns
        ]
        batch = pa.RecordBatch.from_arrays(arrays, names=list(wanted))
        self.bytes_read += batch.nbytes
        return batch, batch.nbytes

    def _literal(self, value: Any) -> str:
        if isinstance(value, dt.datetime) and value.tzinfo is not None:  # the session's times are UTC
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return super()._literal(value)

    def _sql_of(self, condition: Condition) -> str:
        return self._speech.condition(condition, self.columns)

    def count(self, where: str | None) -> int | None:
        """Rows, counted by the database."""
        condition = self._exact(where)
        if condition is None:
            return None
        return int(self._answers(f"select count(*) from ({self.rows}) this{condition}")[0][0])

    def estimate(self, columns: Sequence[str] | None, where: str | None) -> Estimate:
        """What the database keeps of a table; nothing of a query, nor of databases that are not known."""
        tell = sql_estimates.OF.get(self.dialect)
        if self.table is None or tell is None:
            return Estimate()
        wanted = list(self.columns if columns is None else columns)
        asked = self._asked([self._field(name) for name in wanted] or ["1 as one"], self.pushed(where), {})
        row = Row({name: column.type for name, column in self.columns.items()}, wanted)
        return tell(self._answers, self.table, asked, row)

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> Sql | None:
        """The same database, answering a query on ``this``; None where only Orrery can tell its rows."""
        asked = self._inlined(query, columns, where)
        if asked is None:
            return None
        connection, limit = self.address.connection, self.read_timeout_s
        return Sql(self.place, asked, connection=connection, read_timeout_s=limit)

    def fingerprint(self) -> str:
        """A hash of the rows; computed by the server, whatever their order, where it can."""
        types = [(f.name, f.type) for f in self.schema().fields]
        forms = {name: self.columns[name].form.format(c=self._quoted(name)) for name in self.columns}
        if (hashed := self._speech.hash(forms)) is not None:
            found = self._answers(f"select count(*), {hashed} from ({self.rows}) this")[0]
            return stable_key(types, [str(value) for value in found])
        seen = RowsHash(self.schema())
        for part in self.partitions():
            for batch in self.read(part):
                seen.add(batch)
        return seen.key()

    def to_dict(self) -> dict[str, Any]:
        """The address without the password, and what is read there."""
        limit = self.read_timeout_s if self.read_timeout_s != _READ_TIMEOUT_S else None
        settings = {
            "query": self.query,
            "table": self.table,
            "connection": self.address.connection,
            "types": self.types or None,
            "split_on": self.split_on,
            "parts": self.parts if self.parts != 1 else None,
            "read_timeout_s": limit,
        }
        return {"place": self.address.shown, **{k: v for k, v in settings.items() if v is not None}}

    def __repr__(self) -> str:
        return str(self.address)
