"""DuckDB databases: columns, conditions and queries are answered where the rows lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, sql
from orrery.data.rowhash import RowsHash
from orrery.data.rows import BATCH_ROWS, narrowed
from orrery.data.source import Partition
from orrery.data.sources.sql_database import Database
from orrery.data.sources.sql_types import Column
from orrery.data.sources.sqlite_types import quoted
from orrery.errors import SettingsError, SourceError, did_you_mean
from orrery.schema import Schema
from orrery.spec import stable_key

_AS_TEXT = ("ENUM", "INTERVAL", "UNION", "BIT", "TIME WITH TIME ZONE")
"""DuckDB types of which Orrery keeps the text."""


class DuckDb(Database):
    """The rows of a query, or of one table (``schema.table`` too), of a DuckDB file; one part."""

    dialect = "duckdb"

    def __init__(self, place: str, query: str | None = None, table: str | None = None) -> None:
        self.place = place
        self.query = query
        self.table = table
        self.bytes_read = 0

    @property
    def path(self) -> Path:
        """The file: three slashes begin a relative path, four an absolute one; or the plain path."""
        _, scheme, path = self.place.partition("://")
        return Path(path.removeprefix("/") if scheme else self.place)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """A connection that cannot write, nor reach other files. What DuckDB says becomes SourceError."""
        if not self.path.is_file():
            beside = [p.name for p in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            raise SourceError(f"There is no database {self.path}.", hint=did_you_mean(self.path.name, beside))
        try:
            with sql.connect(str(self.path)) as link:
                yield link
        except duckdb.Error as error:
            raise SourceError(f"{self.path}: {sql.first_line(error)}") from None

    @cached_property
    def _given(self) -> str:
        """The query as the user means it."""
        if self.query is not None and self.table is not None:
            raise SettingsError("Both query= and table= were given; allowed is one.")
        if self.query is not None:
            return sql.own_query(self.query, "duckdb")
        found = self._answers(
            "select case table_schema when 'main' then '' else table_schema || '.' end || table_name "
            "from information_schema.tables where table_catalog = current_database() order by 1"
        )
        names = [name for (name,) in found]
        table = sql.chosen_table(self.table, names, str(self.path))
        return "select * from " + ".".join(quoted(part) for part in table.split("."))

    @cached_property
    def rows(self) -> str:
        """The query, with the columns as Orrery keeps them."""
        found = self._answers(f"describe ({self._given})")
        texts = [quoted(str(name)) for name, kind, *_ in found if str(kind).startswith(_AS_TEXT)]
        changed = ", ".join(f"cast({name} as varchar) as {name}" for name in texts)
        return f"select * {f'replace ({changed}) ' if changed else ''}from ({self._given})"

    def _answers(self, query: str) -> Sequence[Sequence[Any]]:
        with self._open() as link:
            found: list[Any] = link.execute(query).fetchall()
        return found

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type, as Orrery keeps it."""
        return {name: Column(kind) for name, kind in zip(self._arrow.names, self._arrow.types, strict=True)}

    def _is_plain(self, condition: conditions.Condition) -> bool:
        # Conditions are written in DuckDB's own language.
        return True

    @cached_property
    def _arrow(self) -> Any:
        with self._open() as link:
            found = link.sql(f"select * from ({self.rows}) limit 0").to_arrow_table().schema
        return Schema.of(found).arrow()

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(self._arrow)

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they come; DuckDB picks columns and filters."""
        wanted = list(self._arrow.names if columns is None else columns)
        return narrowed(self._batches(wanted, self.pushed(where)), wanted, wanted, None, start)

    def _batches(self, wanted: list[str], where: str) -> Iterator[RecordBatch]:
        query = self._asked([quoted(name) for name in wanted] or ["true as one"], where, {})
        schema = pa.schema([self._arrow.field(name) for name in wanted])
        with self._open() as link:
            for batch in link.sql(query).to_arrow_reader(BATCH_ROWS):
                self.bytes_read += batch.nbytes
                yield batch.cast(schema) if wanted else batch.select([])

    def count(self, where: str | None) -> int | None:
        """Rows, counted by DuckDB."""
        return int(self._answers(f"select count(*) from ({self.rows}) this{self._exact(where)}")[0][0])

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> DuckDb | None:
        """The same database, answering a query on ``this``."""
        asked = self._inlined(query, columns, where)
        return DuckDb(self.place, query=asked) if asked is not None else None

    def fingerprint(self) -> str:
        """A hash of the rows; of a large database, of its file's size and time, and of the query."""
        if self.path.is_file() and self.path.stat().st_size > files.WHOLE:
            return stable_key(files.fingerprint([str(self.path)]), self._given)
        seen = RowsHash(self.schema())
        for batch in self.read(Partition(0)):
            seen.add(batch)
        return seen.key()

    def to_dict(self) -> dict[str, Any]:
        """The address and what is read of it."""
        settings = {"query": self.query, "table": self.table}
        return {"place": self.place, **{k: v for k, v in settings.items() if v is not None}}

    def __repr__(self) -> str:
        return self.place
