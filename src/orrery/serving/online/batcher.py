"""The batcher: what arrived together is answered by one call of the model, and nothing ever waits for more.

All sockets that were readable in one turn of the event loop are read before a tick runs; the tick takes what
is pending then. With one caller a batch is its one row, at once; under load it is what came in while the last
batch ran, so batches grow with the load by themselves. There is no timer.

Each model has a lane of its own, and a tick is one batch of one lane; lanes take turns, so that a flood for
one model does not starve another. A quick model runs on the event loop's own thread, where a change of
threads would cost more than the model; a slow one runs in a thread of its lane, so that the loop and the
other lanes go on. Which it is, is measured as it runs.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from orrery.serving.route import Live
from orrery.serving.runner import UNKNOWN_S, Columns

Answers = list[dict[str, Any]]

MOST_ROWS = 256
"""Rows of one batch, whatever the model."""
_BATCH_S = 0.004  # of model time in one batch, once there is a choice: a batch of slow rows wins nothing
_INLINE_S = 0.0015  # a longer call would keep the event loop from reading
_QUICK_S = 0.0005  # of one row; a slower model gains by larger batches in its thread
_WAIT_S = 0.05  # a batch in a thread that waits no longer than that is as quick as its computing
_SWEEP_S = 0.02  # how often those who wait for a thread are asked whether they still do


class Place(Protocol):
    """Where answers go, or the error that there is instead of them: a future, or what is like one."""

    def done(self) -> bool:
        """Whether something is there."""

    def set_result(self, result: Answers, /) -> None:
        """The answers."""

    def set_exception(self, exception: BaseException, /) -> None:
        """An error."""


class _Job(NamedTuple):
    live: Live
    columns: Columns
    rows: int
    check: Callable[[], None]  # raises when nobody waits for the answer any more
    answers: Place
    aside: bool  # never on the event loop's thread


class Batcher:
    """Runs the models for all requests of a service. Used on the event loop's thread."""

    def __init__(self) -> None:
        self.batches = 0
        """Calls of models so far."""
        self._lanes: weakref.WeakKeyDictionary[Any, _Lane] = weakref.WeakKeyDictionary()
        self._turns: deque[_Lane] = deque()  # lanes with something pending, in the order of their turns
        self._running = False  # a tick is scheduled
        self._sweeping = False

    async def predict(
        self,
        live: Live,
        columns: Columns,
        rows: int,
        check: Callable[[], None],
        *,
        aside: bool = False,
    ) -> Answers:
        """The answers to at most ``MOST_ROWS`` rows; raises what ``check`` or the model raises."""
        answers: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self.put(live, columns, rows, check, answers, aside=aside)
        return await answers

    def put(
        self,
        live: Live,
        columns: Columns,
        rows: int,
        check: Callable[[], None],
        answers: Place,
        *,
        aside: bool = False,
    ) -> None:
        """Have rows answered in the next tick: ``answers`` is told then, and always."""
        lane = self._lanes.get(live.runner)
        if lane is None:
            lane = self._lanes[live.runner] = _Lane(live.runner.row_s)
        lane.pending.append(_Job(live, columns, rows, check, answers, aside))
        self._line_up(lane, asyncio.get_running_loop())

    def busy_s(self, live: Live) -> float:
        """For how long the batch that runs in a version's thread has run."""
        lane = self._lanes.get(live.runner)
        return 0.0 if lane is None or lane.began_s is None else time.perf_counter() - lane.began_s

    def close(self, wait_s: float = 20.0) -> bool:
        """End the threads after what they were asked; False if one did not end in time, and is left."""
        deadline = time.monotonic() + wait_s
        threads = [lane.thread for lane in self._lanes.values() if lane.thread is not None]
        for lane in self._lanes.values():
            lane.work.put(None)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _line_up(self, lane: _Lane, loop: asyncio.AbstractEventLoop) -> None:
        if not lane.waits and lane.began_s is None:
            lane.waits = True
            self._turns.append(lane)
        if self._turns and not self._running:
            self._running = True
            loop.call_soon(self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """One batch of the lane whose turn it is."""
        self._running = False
        lane = self._turns.popleft()
        lane.waits = False
        jobs = lane.taken()
        if jobs:
            self.batches += 1
            lane.began_s = time.perf_counter()
            if lane.is_quick(jobs):
                self._settle(loop, lane, jobs, lane.timed(jobs))
            else:
                lane.running = jobs
                lane.run(lambda: self._run_aside(loop, lane, jobs))
                self._sweep_later(loop)
        if lane.pending:
            self._line_up(lane, loop)
        elif self._turns and not self._running:
            self._running = True
            loop.call_soon(self._tick, loop)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_S, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of those who wait no longer, whatever the threads do."""
        self._sweeping = False
        for lane in list(self._lanes.values()):
            if lane.began_s is not None:
                for job in (*lane.running, *lane.pending):
                    _is_wanted(job)
                self._sweep_later(loop)

    def _run_aside(self, loop: asyncio.AbstractEventLoop, lane: _Lane, jobs: list[_Job]) -> None:
        found = lane.timed(jobs)
        with suppress(RuntimeError):  # the service has ended, and nobody waits
            loop.call_soon_threadsafe(self._settle, loop, lane, jobs, found)

    def _settle(
        self,
        loop: asyncio.AbstractEventLoop,
        lane: _Lane,
        jobs: Sequence[_Job],
        found: Sequence[Answers | Exception],
    ) -> None:
        lane.began_s, lane.running = None, []
        for job, answers in zip(jobs, found, strict=True):
            if job.answers.done():
                continue
            if isinstance(answers, Exception):
                job.answers.set_exception(answers)
            else:
                job.answers.set_result(answers)
        if lane.pending:
            self._line_up(lane, loop)  # what arrived meanwhile


class _Lane:
    """One model: what waits for it, what its rows cost, and its thread, once it needs one."""

    def __init__(self, row_s: float) -> None:
        self.pending: deque[_Job] = deque()
        self.waits = False
        """Whether its turn will come."""
        self.running: list[_Job] = []
        """What its thread works on."""
        self.began_s: float | None = None
        """When the batch that runs now began."""
        self.thread: threading.Thread | None = None
        self.work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._row_s = row_s
        weakref.finalize(self, self.work.put, None)  # the thread goes when the model does

    def run(self, batch: Callable[[], None]) -> None:
        """Run a batch in the lane's thread. It is a daemon: a model that hangs keeps no process alive."""
        if self.thread is None:
            self.thread = threading.Thread(target=_work, args=(self.work,), name="orrery-model", daemon=True)
            self.thread.start()
        self.work.put(batch)

    def is_quick(self, jobs: Sequence[_Job]) -> bool:
        """Whether a batch is done before the loop is missed."""
        if any(job.aside for job in jobs):
            return False
        return sum(job.rows for job in jobs) * self._row_s <= _INLINE_S

    def taken(self) -> list[_Job]:
        """The next batch: jobs in order, as many rows as pay."""
        # More rows cost less each, so what one row of few took may say too much of many: a quick model's
        # batches grow to what the loop can wait for, instead of going to its thread.
        most_s = _BATCH_S if self._row_s > _QUICK_S else _INLINE_S
        most_rows = max(1, min(MOST_ROWS, int(most_s / max(self._row_s, 1e-9))))
        jobs: list[_Job] = []
        rows = 0
        while self.pending:
            if jobs and rows + self.pending[0].rows > most_rows:
                break
            job = self.pending.popleft()
            if _is_wanted(job):
                jobs.append(job)
                rows += job.rows
        return jobs

    def timed(self, jobs: Sequence[_Job]) -> list[Answers | Exception]:
        """Answer a batch, and learn what its rows cost."""
        began_s, began_cpu_s = time.perf_counter(), time.thread_time()
        found = _answered(jobs)
        spent_s, cpu_s = time.perf_counter() - began_s, time.thread_time() - began_cpu_s
        if spent_s - cpu_s < _WAIT_S:
            spent_s = cpu_s  # it waited for the interpreter's lock: that is not the model's time
        row_s = spent_s / max(1, sum(job.rows for job in jobs))
        self._row_s = row_s if self._row_s == UNKNOWN_S else 0.8 * self._row_s + 0.2 * row_s
        return found


def _work(work: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    """The life of a lane's thread; it holds nothing of the lane while it waits."""
    while batch := work.get():
        batch()
        del batch


def _is_wanted(job: _Job) -> bool:
    if job.answers.done():
        return False  # its caller was cancelled
    try:
        job.check()
    except Exception as error:
        job.answers.set_exception(error)
        return False
    return True


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
