"""Parts of an SQLite query read as of one moment: by one connection, in one transaction."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref


def connect(uri: str) -> sqlite3.Connection:
    """A connection that any thread may ask, one after the other."""
    return sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)


class Moment:
    """One state of the database, seen by all who read its parts in this process.

    A transaction is kept open from the first read on, for as long as anybody holds one of the partitions. In
    other processes, each that receives a copy has a moment of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._link: sqlite3.Connection | None = None

    def link(self, uri: str) -> sqlite3.Connection:
        """The connection that sees it. SQLite lets several threads and queries use it at a time."""
        if self._process != os.getpid():  # SQLite's connections do not survive a fork
            self._lock, self._process, self._link = threading.Lock(), os.getpid(), None
        with self._lock:
            if self._link is None:
                link = connect(uri)
                link.execute("begin")
                link.execute("select count(*) from sqlite_master").fetchone()  # from here on
                weakref.finalize(self, link.close)
                self._link = link
            return self._link

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment)

    def __hash__(self) -> int:
        return hash(Moment)

    def __reduce__(self) -> tuple[type[Moment], tuple[()]]:
        return Moment, ()
