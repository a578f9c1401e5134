"""The past beside a service: the events of each key, durable, as long as a window can see them.

One SQLite file per model name, ``<home>/windows/<name>.sqlite``, which several processes may share: what one
of them wrote is there for all, and after ``kill -9``. What is computed is what a table of the past gives
(:mod:`orrery.data.windows`). Versions whose windows look at the same columns share their events.

Events are taken from the rows that are asked (but for those that ask not to be recorded), from a stream, or
from a table of the past (:meth:`PastStore.fill`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple, Self

from orrery import settings
from orrery.data.table import Table
from orrery.data.windows import Event, Looks, Past, Windows
from orrery.errors import ServingError
from orrery.features.past import Happened, events_of, put, values_of

_WAIT_S = 5.0  # for another process to end its turn
_FILL_ROWS = 1_000
_AHEAD = 86_400 * 10**6  # µs
_HELD_EVENTS = 200_000  # in memory, beside the file: about 60 MB

_log = logging.getLogger("orrery.serving")

_TABLES = """
create table if not exists spaces (space integer primary key, what text unique, keeps integer);
create table if not exists events (
  space integer, key text, time integer, n integer, id text, given text,
  primary key (space, key, time, n)
) without rowid;
"""


class Filled(NamedTuple):
    """What came of filling in a table of the past."""

    rows: int
    """That were read; none where events are kept already, and repeats could not be told."""
    kept: int
    """That count now and did not before; the others are repeats, came too late, or have no time or key."""
    before: int
    """Events that were kept before."""


class PastStore:
    """The events of one model's name. Used by one thread at a time.

    >>> import tempfile
    >>> from orrery.data.windows import Window
    >>> paid = Windows(on="time", windows=(Window(how="sum", of="eur", over="1h", by="card"),))
    >>> rows = {"time": ["2026-01-01T10:00Z", "2026-01-01T10:30Z"], "card": ["a", "a"], "eur": [5.0, 7.0]}
    >>> with tempfile.TemporaryDirectory() as home, PastStore("fraud", Path(home)) as past:
    ...     past.observe(paid, rows, 2)
    {'sum_eur_1h_by_card': [0.0, 5.0]}
    """

    def __init__(self, name: str, home: Path | None = None) -> None:
        self.name = name
        self.home = home
        self.late = 0
        """How often an event came too late to count, under one of its keys."""
        self.early = 0
        """How many events were more than a day ahead of this machine's clock: answered, and not kept."""
        self.kept = 0
        """How many events count that did not before."""
        self._database: sqlite3.Connection | None = None
        self._spaces: dict[Windows, list[_Space]] = {}
        self._shelf = _Shelf()
        self._written = -1  # SQLite's number for what other processes wrote

    @property
    def path(self) -> Path:
        """The file."""
        return (self.home or settings.home()) / "windows" / f"{self.name}.sqlite"

    def observe(
        self,
        windows: Windows,
        columns: Mapping[str, Sequence[object]],
        rows: int,
        *,
        keep: bool = True,
        ids: Sequence[str] | None = None,
    ) -> dict[str, list[Any]]:
        """The windows of some rows, a list per window; with ``keep`` the rows count for those to come.

        ``ids`` tell repeats where the windows name no column that does.
        Raises BadRowError for a value that is no time or number, ServingError where nothing can be kept.
        """
        (found,) = self.observe_all([(windows, columns)], rows, keep=keep, ids=ids)
        return found

    def observe_all(
        self,
        asked: Sequence[tuple[Windows, Mapping[str, Sequence[object]]]],
        rows: int,
        *,
        keep: bool = True,
        ids: Sequence[str] | None = None,
    ) -> list[dict[str, list[Any]]]:
        """The same for the windows of several versions, of one and the same rows: these count once."""
        happened = [events_of(windows, columns, rows, ids) for windows, columns in asked]
        found: list[dict[str, list[Any]]] = [
            {name: [None] * rows for name in windows.names} for windows, _ in asked
        ]
        with self._turn() as database:
            spaces = [self._spaces_of(database, windows) for windows, _ in asked]
            for row in range(rows):
                seen: list[_Seen] = []
                for (windows, _), own, out, events in zip(asked, spaces, found, happened, strict=True):
                    seen += self._look(database, windows, own, events, out, row)
                if keep and seen and self._is_near(seen[0].event[0]):
                    self.kept += self._add(database, seen)
        return found

    def holds(self, windows: Windows) -> int:
        """How many events are kept that these windows look at. Raises ServingError."""
        with self._turn() as database:
            numbers = {space.number for space in self._spaces_of(database, windows)}
            count = "select count(*) from events where space = ?"
            return sum(database.execute(count, (number,)).fetchone()[0] for number in numbers)

    def fill(self, windows: Windows, table: Table) -> Filled:
        """Keep the events of a table of the past that a window can see still.

        They are taken in the order in which they arrived, or happened. Where events are kept already and the
        windows have no id, by which repeats would be known, nothing is read.
        """
        before, kept = self.holds(windows), self.kept
        if before and not windows.id:
            return Filled(0, 0, before)
        names = [*windows.needs, *([windows.arrival] if windows.arrival in table.schema else [])]
        order = windows.arrival if windows.arrival in names else windows.on
        rows = 0
        # Sorted by DuckDB, which spills: a past may be larger than memory.
        ordered = table.select(*dict.fromkeys(names)).sql(f"select * from this order by {_quoted(order)}")
        for batch in ordered.batches():
            for start in range(0, batch.num_rows, _FILL_ROWS):
                part = batch.slice(start, _FILL_ROWS)
                given = {name: values_of(part.column(name)) for name in windows.needs}
                self.observe(windows, given, part.num_rows)
            rows += batch.num_rows
        return Filled(rows, self.kept - kept, before)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _look(
        self,
        database: sqlite3.Connection,
        windows: Windows,
        spaces: Sequence[_Space],
        happened: Happened,
        found: Mapping[str, list[Any]],
        row: int,
    ) -> Iterator[_Seen]:
        """Answer one row; what it is told is how to let it count afterwards."""
        event = happened.events[row]
        for space in spaces:
            key = happened.keys[space.by][row]
            if event is None or key is None:
                continue
            whose = id(space.looks), key
            past = self._shelf.get(whose)
            if past is None:
                past = Past(space.looks, list(_events(database, space.number, key)))
            self._shelf.put(whose, past)
            if past.is_late(event[0]):
                self.late += 1
                continue
            put(windows, space.looks.places, past.look(event[0]), found, row)
            yield _Seen(space.number, key, past, event)

    def _is_near(self, time: int) -> bool:
        """Whether an event may be of now: a clock that is wrong must not make all others of its key late."""
        if time <= time_ns() // 1_000 + _AHEAD:
            return True
        self.early += 1
        _log.warning("An event of %r is more than a day ahead of this clock, and does not count.", self.name)
        return False

    def _add(self, database: sqlite3.Connection, seen: Sequence[_Seen]) -> bool:
        """Let an event count under its keys; whether it did not before."""
        written: set[int] = set()
        for space, key, past, event in seen:
            oldest = past.oldest
            if past.add(event) and space not in written:
                written.add(space)
                _keep(database, space, key, event)
            if past.oldest > oldest:
                _forget(database, space, key)
        return bool(written)

    def _spaces_of(self, database: sqlite3.Connection, windows: Windows) -> list[_Space]:
        """The events that windows look at, for each of their keys; made, or kept longer, where need be."""
        if windows not in self._spaces:
            self._spaces[windows] = [_space(database, windows, by) for by in windows.keys]
        return self._spaces[windows]

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """One transaction: what it reads and writes is that of no other process."""
        try:
            if self._database is None:
                self._database = _opened(self.path)
            self._database.execute("begin immediate")
            (written,) = self._database.execute("pragma data_version").fetchone()
            if written != self._written:
                self._shelf = _Shelf()
                self._written = written
            try:
                yield self._database
                self._database.execute("commit")
            except BaseException:
                self._database.execute("rollback")
                self._spaces.clear()
                self._shelf = _Shelf()
                raise
        except (sqlite3.Error, OSError) as error:
            _log.error("What happened before cannot be kept in %s: %s", self.path, error)
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            )
            raise ServingError(
                f"What happened before cannot be kept for {self.name!r}: {error}.",
                hint="The file is damaged: move it away, and fill the past again (--past)."
                if damaged
                else "Free space in ORRERY_HOME, or set it to a place that can be written.",
            ) from error


class _Space(NamedTuple):
    """The events of one kind of key."""

    by: tuple[str, ...]
    looks: Looks
    number: int


def _space(database: sqlite3.Connection, windows: Windows, by: tuple[str, ...]) -> _Space:
    what, looks = json.dumps([windows.on, windows.id, windows.late, by, windows.columns]), windows.looks(by)
    _tell_gap(database, what, by, looks)
    database.execute(
        "insert into spaces (what, keeps) values (?, ?) "
        "on conflict (what) do update set keeps = max(keeps, excluded.keeps)",
        (what, looks.keeps),
    )
    (number,) = database.execute("select space from spaces where what = ?", (what,)).fetchone()
    return _Space(by, looks, number)


def _tell_gap(database: sqlite3.Connection, what: str, by: tuple[str, ...], looks: Looks) -> None:
    """Say where windows look at more than was kept for those before them."""
    found = database.execute("select keeps from spaces where what = ?", (what,)).fetchone()
    if found is None and database.execute("select 1 from events limit 1").fetchone():
        _log.warning("Of what the windows by %s look at nothing was kept: they begin empty.", ", ".join(by))
    elif found is not None and found[0] < looks.keeps:
        _log.warning("The windows by %s look further back than what was kept.", ", ".join(by))


class _Seen(NamedTuple):
    """An event that was answered under a key, and does not count yet."""

    space: int
    key: str
    past: Past
    event: Event


class _Shelf:
    """Keys asked lately, as far as memory goes; what other processes write empties it."""

    def __init__(self) -> None:
        self._pasts: OrderedDict[tuple[int, str], tuple[Past, int]] = OrderedDict()
        self._events = 0

    def get(self, whose: tuple[int, str]) -> Past | None:
        """The past of a key, if it is there; it is taken out."""
        past, events = self._pasts.pop(whose, (None, 0))
        self._events -= events
        return past

    def put(self, whose: tuple[int, str], past: Past) -> None:
        """Keep it; those that were not asked for longest go."""
        self._pasts[whose] = past, len(past)
        self._events += len(past)
        while self._events > _HELD_EVENTS and len(self._pasts) > 1:
            _, (_, events) = self._pasts.popitem(last=False)
            self._events -= events


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    # The log is written at every commit and synchronized seldom: it outlives the process, if not the power.
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    with closing(database.executescript(_TABLES)):
        return database


def _events(database: sqlite3.Connection, space: int, key: str) -> Iterator[Event]:
    asked = "select time, id, given from events where space = ? and key = ? order by time, n"
    for time, name, given in database.execute(asked, (space, key)):
        yield time, name, tuple(json.loads(given))


def _keep(database: sqlite3.Connection, space: int, key: str, event: Event) -> None:
    time, name, given = event
    database.execute(
        "insert into events select ?1, ?2, ?3, coalesce(max(n), 0) + 1, ?4, ?5 from events "
        "where space = ?1 and key = ?2 and time = ?3",
        (space, key, time, name, json.dumps(given)),
    )


def _forget(database: sqlite3.Connection, space: int, key: str) -> None:
    """What no event to come can see goes."""
    database.execute(
        "delete from events where space = ?1 and key = ?2 and time < "
        "(select max(time) from events where space = ?1 and key = ?2) - "
        "(select keeps from spaces where space = ?1)",
        (space, key),
    )
