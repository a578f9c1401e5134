"""Parts of a query read as of one moment, where no two connections can be made to see the same.

One connection keeps a transaction, and answers one query at a time. Who asks for another part while one is
being read has the rest of that one put on disk, so that any number of parts can be read side by side.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.sources.sql_retry import Lost

_log = logging.getLogger("orrery.data")

Open = Callable[[ExitStack], Any]
"""Opens a connection whose transaction sees one state; the stack closes it."""
Ask = Callable[[Any], Iterator[RecordBatch]]
"""The rows of a query by a connection; closing it leaves the connection fit for the next."""


class Moment:
    """One state of a database, seen by all who read its parts in this process.

    A transaction is kept open from the first read on, for as long as anybody holds one of the partitions. In
    other processes, each that receives a copy has a moment of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = 0
        self._link: Any = None
        self._closing: Any = None
        self._reading: _Reading | None = None

    def stream(self, open_: Open, ask: Ask) -> Iterator[RecordBatch]:
        """The rows of one query, as of this moment. Raises Lost where the connection is."""
        if self._process != os.getpid():  # a fork has neither the lock nor the connection
            self._lock, self._process, self._link, self._reading = threading.RLock(), os.getpid(), None, None
        reading: _Reading | None = None
        try:
            while True:
                with self._lock:
                    reading = reading or self._begun(open_, ask)
                    batch = self._next(reading)
                if batch is None:
                    return
                yield batch
        finally:
            with self._lock:
                self._end(reading)

    def _begun(self, open_: Open, ask: Ask) -> _Reading:
        if self._reading is not None:
            self._put_aside(self._reading)
        if self._link is None:
            stack = ExitStack()
            try:
                self._link = open_(stack)
            except BaseException:
                stack.close()
                raise
            self._closing = weakref.finalize(self, stack.close)
        self._reading = _Reading(ask(self._link))
        return self._reading

    def _next(self, reading: _Reading) -> RecordBatch | None:
        try:
            batch = reading.next()
        except BaseException as error:
            if reading is self._reading:
                self._failed(error)
            raise
        if batch is None and reading is self._reading:
            self._reading = None
        return batch

    def _put_aside(self, reading: _Reading) -> None:
        """What fails is told to whom the rows are for."""
        try:
            reading.put_aside()
        except Exception as error:
            reading.error = error
            self._failed(error)
        self._reading = None

    def _failed(self, error: BaseException) -> None:
        """The transaction is gone with its connection: those who read on see a later state."""
        self._reading = None
        self._link = None
        self._closing()
        if isinstance(error, Lost):
            _log.warning("A connection was lost; the parts that follow are read as they stand now.")

    def _end(self, reading: _Reading | None) -> None:
        if reading is None:
            return
        if reading is self._reading:
            try:
                reading.close()
                self._reading = None
            except Exception as error:
                self._failed(error)
        reading.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment)

    def __hash__(self) -> int:
        return hash(Moment)

    def __reduce__(self) -> tuple[type[Moment], tuple[()]]:
        return Moment, ()


class _Reading:
    """The rows of one query: from the connection, or from disk once another query wants it."""

    def __init__(self, rows: Any) -> None:
        self.rows: Any = rows
        self.error: Exception | None = None
        self.file: IO[bytes] | None = None

    def next(self) -> RecordBatch | None:
        batch: RecordBatch | None = next(self.rows, None)
        if batch is None and self.error is not None:
            raise self.error
        return batch

    def put_aside(self) -> None:
        """Read all that is left, to a file that has no name."""
        rows, self.rows = self.rows, iter(())
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the reading
        writer: Any = None
        try:
            for batch in rows:
                writer = writer or pa.ipc.new_stream(self.file, batch.schema)
                writer.write_batch(batch)
        finally:
            if writer is not None:
                writer.close()
                self.file.seek(0)
                self.rows = iter(pa.ipc.open_stream(self.file))

    def close(self) -> None:
        if hasattr(self.rows, "close"):
            self.rows.close()
        self.rows = iter(())
        if self.file is not None:
            self.file.close()
