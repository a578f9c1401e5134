"""One pass over rows with several threads, bounded: at most two batches per thread are held."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from orrery.aggregate import Aggregate, RecordBatch

T = TypeVar("T")
R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - a signal between threads, which no user sees
    """Somebody asked the pass to stop."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    task: Callable[[T], R],
    items: Iterable[T],
    threads: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[R]:
    """``task`` of each item, in the items' order, several at a time. The first error ends all.

    >>> list(in_order(str.upper, ["a", "b"], threads=2))
    ['A', 'B']
    """
    threads = threads or cores()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="orrery-pass") as pool:
        try:
            for item in items:
                if stop is not None and stop.is_set():
                    raise Cancelled
                waiting.append(pool.submit(task, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                if stop is not None and stop.is_set():
                    raise Cancelled
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def gather(
    aggregate: Aggregate[Any, R],
    batches: Iterable[RecordBatch],
    empty: RecordBatch,
    threads: int | None = None,
    stop: threading.Event | None = None,
) -> R:
    """Summarize batches in threads, merge, finish; ``empty`` is a batch without rows."""
    summary = aggregate.summarize(empty)
    for part in in_order(aggregate.summarize, batches, threads, stop):
        summary = aggregate.merge(summary, part)
    return aggregate.finish(summary)
