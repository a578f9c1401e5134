"""SQLite databases, by the standard library: read in place, types decided on the whole column."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from orrery.aggregate import RecordBatch
from orrery.data import files, sql, values
from orrery.data.conditions import Condition
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rowhash import RowsHash
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.sql_batches import Rows, bare, batches
from orrery.data.sources.sql_database import Database
from orrery.data.sources.sqlite_moment import Moment, connect
from orrery.data.sources.sqlite_types import Column, decide, quoted
from orrery.errors import SettingsError, SourceError, did_you_mean
from orrery.spec import stable_key


class Sqlite(Database):
    """The rows of a query, or of one table, of an SQLite file.

    SQLite lets each value have a type of its own, so the column's type is decided on all of its values;
    columns declared DATE, DATETIME, TIMESTAMP or BOOLEAN become such where every value allows it. A table
    with a single whole primary key comes in its order; with that or ``split_on``, in ``parts``, all of one
    moment in a process: who holds them keeps a transaction open, as a reader of all rows does.
    """

    dialect = "sqlite"

    def __init__(
        self,
        place: str,
        query: str | None = None,
        table: str | None = None,
        types: dict[str, str] | None = None,
        on_bad: OnBad = "stop",
        split_on: str | None = None,
        parts: int = 1,
    ) -> None:
        self.place = place
        self.query = query
        self.table = table
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)
        self.split_on = split_on
        self.parts = parts
        self.bytes_read = 0

    @property
    def path(self) -> Path:
        """The file: three slashes begin a relative path, four an absolute one; or the plain path."""
        _, scheme, path = self.place.partition("://")
        return Path(path.removeprefix("/") if scheme else self.place)

    @contextmanager
    def _open(self, moment: Moment | None = None) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write, of its own or a moment's. What SQLite says becomes SourceError."""
        if not self.path.is_file():
            beside = [p.name for p in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            raise SourceError(f"There is no database {self.path}.", hint=did_you_mean(self.path.name, beside))
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            link = moment.link(uri) if moment is not None else connect(uri)
            try:
                yield link
            finally:
                if moment is None:
                    link.close()
        except sqlite3.Error as error:
            raise SourceError(f"{self.path}: {error}.") from None

    @cached_property
    def rows(self) -> str:
        """The query whose rows are read."""
        if self.query is not None and self.table is not None:
            raise SettingsError("Both query= and table= were given; allowed is one.")
        if self.query is not None:
            return sql.own_query(self.query, "sqlite")
        return f"select * from {quoted(self._name)}"

    @cached_property
    def _name(self) -> str:
        """The table that is read."""
        found = self._answers("select name from sqlite_master where type in ('table', 'view')")
        names = sorted(name for (name,) in found if not name.startswith("sqlite_"))
        return sql.chosen_table(self.table, names, str(self.path))

    def _answers(self, query: str) -> Sequence[Sequence[Any]]:
        with self._open() as link:
            return link.execute(query).fetchall()

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type, decided on all of its values."""
        with self._open() as link:
            return decide(link, self.rows, str(self.path), self.types)

    def _declared(self) -> tuple[str | None, set[str]]:
        # Of all keys, only a whole primary key is sure to be filled.
        found = self._answers(f"pragma table_xinfo({quoted(self._name)})")
        keys = [(str(row[1]), str(row[2]).upper()) for row in found if row[5]]
        if len(keys) != 1 or keys[0][1] != "INTEGER":
            return None, set()
        return keys[0][0], {keys[0][0]}

    def _moment(self) -> Moment:
        return Moment()

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows as they come; what SQLite can filter, it filters."""
        names = list(self.columns)
        suspect = [name for name, column in self.columns.items() if column.suspect]
        wanted = list(dict.fromkeys([*needed(names, columns, where), *suspect]))
        # Bad rows are known by their number, so none may be left out before they are counted.
        batches = self._batches(wanted, "" if suspect else self.pushed(where), partition.where)
        return narrowed(batches, names, columns, where, start)

    def _batches(self, wanted: list[str], where: str, part: Mapping[str, Any]) -> Iterator[RecordBatch]:
        query = self._asked([quoted(name) for name in wanted] or ["1"], where, part)
        line = 1 + self._before(part)

        def make(found: Rows) -> tuple[RecordBatch, int]:
            nonlocal line
            batch, size = self._batch(found, wanted, line)
            self.bytes_read += size
            line += len(found)
            return batch, size

        with self._open(part.get("moment")) as link:
            cursor = link.execute(query)
            yield from batches(cursor.fetchmany, make)

    def _batch(self, found: Rows, wanted: list[str], line: int) -> tuple[RecordBatch, int]:
        if not wanted:
            return bare(len(found)), 0
        arrays, wrong = [], set()
        for name, column in zip(wanted, zip(*found, strict=True), strict=True):
            told = self.columns[name]
            array, bad = values.to_array(column, told.read_as)
            for i in bad:
                self.bad.report(str(self.path), line + i, name, column[i], f"is not {told.type}")
            wrong.update(bad)
            arrays.append(array if told.type == told.read_as else pc.cast(array, told.type))
        batch = pa.RecordBatch.from_arrays(arrays, names=wanted)
        size = batch.nbytes
        if wrong:
            batch = batch.filter(pa.array([i not in wrong for i in range(len(found))]))
        return batch, size

    def _before(self, part: Mapping[str, Any]) -> int:
        """How many rows lie before a part, where bad ones are known by their number."""
        suspect = any(column.suspect for column in self.columns.values())
        if not suspect or "key" not in part or not (part.get("missing") or part["from"] is not None):
            return 0
        earlier = {"key": part["key"], "from": None, "below": part.get("from")}
        return int(self._answers(self._asked(["count(*)"], "", earlier))[0][0])

    def _sorted_by(self, name: str) -> str:
        # A column may have been declared to compare without case.
        return f"{quoted(name)} collate binary" if self.columns[name].sort == "text" else quoted(name)

    def _sql_of(self, condition: Condition) -> str:
        return condition.sql(
            "sqlite", wrap=lambda column: exp.Collate(this=column, expression=exp.Var(this="BINARY"))
        )

    def count(self, where: str | None) -> int | None:
        """Rows, counted by SQLite; None where bad rows would be counted too."""
        condition = self._exact(where)
        if condition is None or any(column.suspect for column in self.columns.values()):
            return None
        return int(self._answers(f"select count(*) from ({self.rows}) this{condition}")[0][0])

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> Sqlite | None:
        """The same database, answering a query on ``this``; None where only Orrery can tell its rows."""
        asked = self._inlined(query, columns, where)
        if asked is None or any(self.columns[name].suspect for name in columns):
            return None
        return Sqlite(self.place, query=asked, on_bad=self.bad.on_bad)

    def fingerprint(self) -> str:
        """A hash of the rows; of a large database, of its file's size and time, and of the query."""
        if self.path.is_file() and self.path.stat().st_size > files.WHOLE:
            return stable_key(files.fingerprint([str(self.path)]), self.rows)
        seen = RowsHash(self.schema())
        for batch in self.read(Partition(0)):
            seen.add(batch)
        return seen.key()

    def to_dict(self) -> dict[str, Any]:
        """The address and what is read of it."""
        on_bad = self.bad.on_bad if self.bad.on_bad != "stop" else None
        settings = {"query": self.query, "table": self.table, "types": self.types or None, "on_bad": on_bad}
        return {"place": self.place, **{k: v for k, v in settings.items() if v is not None}}

    def __repr__(self) -> str:
        return self.place
