"""SQLite databases, by the standard library: read in place, types decided on the whole column."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files, sql, values
from orrery.data.quarantine import BadRows, OnBad
from orrery.data.rowhash import RowsHash
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources.sqlite_types import Column, decide, quoted
from orrery.errors import SettingsError, SourceError, did_you_mean
from orrery.schema import Schema
from orrery.spec import stable_key

_BATCH = 8_192
_BATCH_BYTES = 64 << 20
_FIRST = 64  # rows, until it is known how large they are


class Sqlite:
    """The rows of a query, or of one table, of an SQLite file; one part.

    SQLite lets each value have a type of its own, so the column's type is decided on all of its values;
    columns declared DATE, DATETIME, TIMESTAMP or BOOLEAN become such where every value allows it.
    """

    def __init__(
        self,
        place: str,
        query: str | None = None,
        table: str | None = None,
        types: dict[str, str] | None = None,
        on_bad: OnBad = "stop",
    ) -> None:
        self.place = place
        self.query = query
        self.table = table
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)
        self.bytes_read = 0

    @property
    def path(self) -> Path:
        """The file: three slashes begin a relative path, four an absolute one; or the plain path."""
        _, scheme, path = self.place.partition("://")
        return Path(path.removeprefix("/") if scheme else self.place)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. What SQLite says becomes SourceError."""
        if not self.path.is_file():
            beside = [p.name for p in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            raise SourceError(f"There is no database {self.path}.", hint=did_you_mean(self.path.name, beside))
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            link = sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)
            try:
                yield link
            finally:
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
        with self._open() as link:
            found = link.execute("select name from sqlite_master where type in ('table', 'view')").fetchall()
        names = sorted(name for (name,) in found if not name.startswith("sqlite_"))
        table = sql.chosen_table(self.table, names, str(self.path))
        return f"select * from {quoted(table)}"

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column's type, decided on all of its values."""
        with self._open() as link:
            return decide(link, self.rows, str(self.path), self.types)

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(pa.schema([(name, column.type) for name, column in self.columns.items()]))

    def partitions(self) -> Sequence[Partition]:
        """One part: all rows, in the order that SQLite gives them."""
        return [Partition(0)]

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
        batches = self._batches(wanted, "" if suspect else self.pushed(where))
        return narrowed(batches, names, columns, where, start)

    def _batches(self, wanted: list[str], where: str) -> Iterator[RecordBatch]:
        fields = ", ".join(quoted(name) for name in wanted) or "1"
        query = f"select {fields} from ({self.rows})" + (f" where {where}" if where else "")
        line = 1
        with self._open() as link:
            cursor = link.execute(query)
            rows = _FIRST
            while found := cursor.fetchmany(rows):
                batch, size = self._batch(found, wanted, line)
                self.bytes_read += size
                line += len(found)
                rows = max(1, min(_BATCH, _BATCH_BYTES * len(found) // max(size, 1)))
                yield batch

    def _batch(self, found: list[tuple[Any, ...]], wanted: list[str], line: int) -> tuple[RecordBatch, int]:
        if not wanted:
            return pa.record_batch({"": pa.nulls(len(found))}).select([]), 0
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

    def count(self, where: str | None) -> int | None:
        """Rows, counted by SQLite; None where bad rows would be counted too."""
        if where is not None or any(column.suspect for column in self.columns.values()):
            return None
        with self._open() as link:
            return int(link.execute(f"select count(*) from ({self.rows})").fetchone()[0])

    def pushed(self, where: str | None) -> str:
        """The parts of a condition that mean the same to SQLite: plain comparisons of numbers and texts."""
        if where is None:
            return ""
        sorts = {name: column.sort for name, column in self.columns.items()}
        parts = conditions.parse(where, tuple(self.columns)).parts()
        return " and ".join(f"({part.sql('sqlite')})" for part in parts if part.is_plain(sorts))

    def ask(self, query: str, columns: tuple[str, ...], where: str | None) -> Sqlite | None:
        """The same database, answering a query on ``this``; None where only Orrery can tell its rows."""
        told = [self.columns[name] for name in columns]
        parsed = conditions.parse(where, tuple(self.columns)) if where is not None else None
        sorts = {name: column.sort for name, column in self.columns.items()}
        if any(column.suspect for column in told) or (parsed is not None and not parsed.is_plain(sorts)):
            return None
        rows = f"select {', '.join(quoted(name) for name in columns)} from ({self.rows})"
        if parsed is not None:
            rows += f" where {parsed.sql('sqlite')}"
        asked = sql.inlined(query, rows, "sqlite")
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
