"""Threads that write one shard each: rows are handed over one after the other, and never too many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Condition, Thread
from types import TracebackType
from typing import Any

from orrery.aggregate import RecordBatch

Task = Callable[[str, Iterator[RecordBatch]], None]
"""Writes the shard of a name."""

_THREADS = 4
_WAITING_BYTES = 128 << 20


class Crew:
    """Writes shards in threads; the first error stops all. As a context it ends when every shard is written.

    >>> with Crew(lambda name, batches: print(name, sum(b.num_rows for b in batches))) as crew:
    ...     crew.begin("first")
    first 0
    """

    def __init__(self, task: Task, threads: int = _THREADS, waiting_bytes: int = _WAITING_BYTES) -> None:
        self.task = task
        self.threads = threads
        self.waiting_bytes = waiting_bytes
        self._change = Condition()
        self._held = 0
        self._error: BaseException | None = None
        self._threads: list[Thread] = []
        self._busy = 0
        self._queue: SimpleQueue[Any] | None = None

    def begin(self, name: str) -> None:
        """Rows from here on are of another shard. Waits while too many are being written."""
        self._end()
        with self._change:
            self._change.wait_for(lambda: self._busy < self.threads or self._error is not None)
        self._check()
        queue: SimpleQueue[Any] = SimpleQueue()
        thread = Thread(target=self._write, args=(name, queue), name=f"orrery-shard-{name}", daemon=True)
        self._queue = queue
        with self._change:
            self._busy += 1
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def put(self, batch: RecordBatch) -> None:
        """Rows of the shard that was begun last. Waits while too many bytes are not written yet."""
        size = batch.nbytes
        with self._change:
            self._change.wait_for(
                lambda: not self._held or self._held + size <= self.waiting_bytes or self._error is not None
            )
            self._held += size
        self._check()
        if self._queue is not None:
            self._queue.put(batch)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._error = self._error or error
        self._end()
        for thread in self._threads:
            thread.join()
        if kind is None:
            self._check()

    def _end(self) -> None:
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self, name: str, queue: SimpleQueue[Any]) -> None:
        try:
            self.task(name, self._rows(queue))
        except BaseException as error:  # raised again where the rows come from
            with self._change:
                self._error = self._error or error
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify_all()

    def _rows(self, queue: SimpleQueue[Any]) -> Iterator[RecordBatch]:
        while (batch := queue.get()) is not None:
            if self._error is not None:
                break
            yield batch
            with self._change:
                self._held -= batch.nbytes
                self._change.notify_all()
        if self._error is not None:  # so that no half of a shard is taken for a whole
            raise self._error
