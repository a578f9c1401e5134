"""The batcher: what arrived together is answered by one call of the model, and nothing ever waits for more.

All sockets that were readable in one turn of the event loop are read before a tick runs; the tick takes what
is pending then. With one caller a batch is its one row, at once; under load it is what came in while the last
batch ran, so batches grow with the load by themselves. There is no timer.

A quick model runs on the event loop's own thread, where a change of threads would cost more than the model; a
slow one runs in a thread, so that the loop goes on reading. Which it is, is measured as it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from orrery.serving.route import Live
from orrery.serving.runner import Columns

Answers = list[dict[str, Any]]

MOST_ROWS = 256
"""Rows of one batch, whatever the model."""
_BATCH_S = 0.004  # of model time in one batch, once there is a choice: a batch of slow rows wins nothing
_INLINE_S = 0.001  # a longer call would keep the event loop from reading


class _Job(NamedTuple):
    live: Live
    columns: Columns
    rows: int
    check: Callable[[], None]  # raises when nobody waits for the answer any more
    answers: asyncio.Future[Answers]


class Batcher:
    """Runs the model for all requests of a service, one batch at a time. Used on the event loop's thread."""

    def __init__(self) -> None:
        self.batches = 0
        """Calls of the model so far."""
        self._pending: deque[_Job] = deque()
        self._running = False  # a tick is scheduled, or a batch is on the model's thread
        self._cost = _Cost()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="orrery-model")

    async def predict(self, live: Live, columns: Columns, rows: int, check: Callable[[], None]) -> Answers:
        """The answers to at most ``MOST_ROWS`` rows; raises what ``check`` or the model raises."""
        loop = asyncio.get_running_loop()
        job = _Job(live, columns, rows, check, loop.create_future())
        self._pending.append(job)
        if not self._running:
            self._running = True
            loop.call_soon(self._tick, loop)
        return await job.answers

    def close(self) -> None:
        """End the model's thread, after what it was asked."""
        self._thread.shutdown()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._taken()
        if not jobs:
            self._running = False
            return
        self.batches += 1
        if self._cost.of(jobs[0].live, sum(job.rows for job in jobs)) <= _INLINE_S:
            self._settle(loop, jobs, self._cost.timed(jobs))
            return
        work = loop.run_in_executor(self._thread, self._cost.timed, jobs)
        work.add_done_callback(lambda done: self._settle(loop, jobs, done.result()))

    def _taken(self) -> list[_Job]:
        """The next batch: jobs for one version, in order, as many rows as pay."""
        jobs: list[_Job] = []
        rows = 0
        while self._pending:
            job = self._pending[0]
            if jobs and (job.live is not jobs[0].live or rows + job.rows > self._cost.most_rows(job.live)):
                break
            self._pending.popleft()
            if self._is_wanted(job):
                jobs.append(job)
                rows += job.rows
        return jobs

    def _is_wanted(self, job: _Job) -> bool:
        if job.answers.done():
            return False  # its caller was cancelled
        try:
            job.check()
        except Exception as error:
            job.answers.set_exception(error)
            return False
        return True

    def _settle(
        self, loop: asyncio.AbstractEventLoop, jobs: Sequence[_Job], found: Sequence[Answers | Exception]
    ) -> None:
        for job, answers in zip(jobs, found, strict=True):
            if job.answers.done():
                continue
            if isinstance(answers, Exception):
                job.answers.set_exception(answers)
            else:
                job.answers.set_result(answers)
        loop.call_soon(self._tick, loop)  # what arrived meanwhile


class _Cost:
    """What a row costs, as measured on the last batches of the version that answers."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._row_s = 1.0  # unknown: slow until seen otherwise

    def of(self, live: Live, rows: int) -> float:
        """Seconds that so many rows will take."""
        return rows * (self._row_s if live is self._live else 1.0)

    def most_rows(self, live: Live) -> int:
        """How many rows one batch should hold."""
        return max(1, min(MOST_ROWS, int(_BATCH_S / max(self.of(live, 1), 1e-9))))

    def timed(self, jobs: Sequence[_Job]) -> list[Answers | Exception]:
        """Answer a batch, and learn what its rows cost."""
        began_s = time.perf_counter()
        found = _answered(jobs)
        row_s = (time.perf_counter() - began_s) / max(1, sum(job.rows for job in jobs))
        live = jobs[0].live
        self._row_s = row_s if live is not self._live else 0.8 * self._row_s + 0.2 * row_s
        self._live = live
        return found


def _answered(jobs: Sequence[_Job]) -> list[Answers | Exception]:
    """Each job's answers, or its error: one that asks rubbish does not spoil what the others get."""
    try:
        return _together(jobs)
    except Exception as error:  # said to whom it belongs
        return [error] if len(jobs) == 1 else [answers for job in jobs for answers in _answered([job])]


def _together(jobs: Sequence[_Job]) -> list[Answers | Exception]:
    first = jobs[0]
    if len(jobs) == 1:
        return [first.live.runner.predict_columns(first.columns, first.rows)]
    columns = {name: [value for job in jobs for value in job.columns[name]] for name in first.columns}
    rows = sum(job.rows for job in jobs)
    answers = first.live.runner.predict_columns(columns, rows)
    parts: list[Answers | Exception] = []
    start = 0
    for job in jobs:
        parts.append(answers[start : start + job.rows])
        start += job.rows
    return parts
