"""This machine: threads of this process, and gangs of processes beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from orrery import settings
from orrery.data.passes import Cancelled, cores, gather, in_order
from orrery.engines.engine import Member, Plan, Slots, State
from orrery.engines.gang import Limits, run_gang
from orrery.engines.job import Each, Gang, Gather, Job, Map
from orrery.engines.lives import Berth
from orrery.errors import DeadlineError, EngineError, SlotsError


class LocalHandle:
    """A job in a thread of its own. It ends early by ``cancel``, at its next batch or item.

    ``settle_s``: how long one who gives up waits for the job to be gone.
    """

    def __init__(
        self, work: Callable[[threading.Event], Any], deadline_s: float | None, settle_s: float = 0.0
    ) -> None:
        self._work = work
        self._settle_s = settle_s
        self._until = None if deadline_s is None else time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._state = State.QUEUED
        self._result: Any = None
        self._error: BaseException | None = None
        # A daemon, so that work that never looks at the stop sign cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name="orrery-job", daemon=True)

    def start(self) -> LocalHandle:
        """Begin; returns at once."""
        self._thread.start()
        return self

    @property
    def state(self) -> State:
        """Where the job is in its life."""
        return self._state

    def result(self, timeout_s: float | None = None) -> Any:
        """The answer, or what the job raised. Ctrl-C, the deadline and ``timeout_s`` cancel the job."""
        until = min(
            (t for t in (self._until, _after(timeout_s)) if t is not None),
            default=None,
        )
        try:
            if not self._ended.wait(None if until is None else max(0.0, until - time.monotonic())):
                waited_s = self._deadline_s if timeout_s is None else timeout_s
                raise DeadlineError(
                    f"The local job was not done after {waited_s} s.",
                    hint="Give it a later deadline, or less to do.",
                )
        except (KeyboardInterrupt, DeadlineError):
            self.cancel()
            self._ended.wait(self._settle_s)
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Ask the job to stop; returns at once."""
        self._stop.set()

    def _run(self) -> None:
        self._state = State.RUNNING
        try:
            self._result = self._work(self._stop)
            self._state = State.SUCCEEDED
        except Cancelled:
            self._error = EngineError("The job was cancelled.")
            self._state = State.CANCELLED
        except BaseException as error:  # carried to whoever asks for the result
            self._error = error
            self._state = State.FAILED
        finally:
            self._ended.set()


def _after(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


class Local:
    """The engine of one machine: as many threads as there are cores.

    >>> LOCAL.submit(LOCAL.plan(Each(task=abs, items=[-1, 2, -3]))).result()
    [1, 2, 3]
    """

    def __init__(self, threads: int | None = None, limits: Limits | None = None) -> None:
        self.threads = threads
        self.limits = limits or Limits()
        self.taken = 0
        self.taking = threading.Lock()

    def slots(self) -> Slots:
        """Threads for maps and passes, or processes for gangs: one for each core."""
        total = self.threads or settings.slots() or cores()
        return Slots(free=max(0, total - self.taken), total=total)

    def room(self) -> int:
        """Slots that nobody uses now."""
        return self.slots().free

    def plan(self, job: Job) -> Plan:
        """What would be done. Raises SlotsError for a gang that is larger than the machine."""
        threads = self.slots().total
        if isinstance(job, Gang):
            self._check_room(job.workers, threads)
            each = f"start {job.workers} processes, which meet and run the task"
            return Plan("local", job, job.workers, (each if job.workers > 1 else "run the task here",))
        if isinstance(job, Each):
            workers = max(1, min(threads // max(1, job.resources.cpus), len(job.items)))
            return Plan("local", job, workers, (f"call the task on each of {len(job.items)} items",))
        what = "apply the task to" if isinstance(job, Map) else "summarize"
        return Plan("local", job, threads, (f"{what} every batch of {job.table!r}",))

    def submit(self, plan: Plan) -> LocalHandle:
        """Start it in a thread; a gang of several in processes. Raises SlotsError where others fill them."""
        job = plan.job
        if not isinstance(job, Gang) or (job.workers == 1 and job.elastic is None):
            return LocalHandle(lambda stop: _run(plan, stop), job.deadline_s).start()
        with self.taking:
            self._check_room(job.workers, self.slots().free)
            self.taken += job.workers
        return LocalHandle(lambda stop: self._run_gang(job, stop), None, settle_s=15.0).start()

    def gather(self, aggregate: Any, table: Any) -> Any:
        """The result of one pass over a table."""
        return self.submit(self.plan(Gather(aggregate, table))).result()

    def _run_gang(self, job: Gang, stop: threading.Event) -> list[Any]:
        with Berth(self, job.workers) as berth:
            return run_gang(job, stop, self.limits, berth)

    def _check_room(self, workers: int, room: int) -> None:
        if not 1 <= workers <= room:
            total = self.slots().total
            raise SlotsError(
                f"Asked for {workers} workers; {room} of this machine's {total} slots are free.",
                hint="Ask for fewer; or set ORRERY_SLOTS, where workers may share a core.",
            )


def _run(plan: Plan, stop: threading.Event) -> Any:
    job = plan.job
    if isinstance(job, Gang):
        return [job.task(Member())]
    if isinstance(job, Gather):
        return gather(job.aggregate, job.table.batches(), job.table.empty(), threads=plan.workers, stop=stop)
    items = job.items if isinstance(job, Each) else job.table.batches()
    return list(in_order(job.task, items, threads=plan.workers, stop=stop))


LOCAL = Local()
"""This machine."""
