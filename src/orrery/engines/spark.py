"""Spark: passes over data frames on its executors, and gangs in barrier stages.

Rows stay where Spark has them. A pass is summarized on the executors and merged as a tree there. A gang is
one barrier stage: each of its tasks keeps one worker (:mod:`orrery.engines.keeper`), is fed rows as Arrow
where the table is Spark's own, and calls back to this process, which watches them as it would its own.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, Protocol, runtime_checkable

from orrery.data.passes import Cancelled
from orrery.data.sources.spark import Spark as Frames
from orrery.engines import freight, tasks
from orrery.engines.engine import Plan, Slots
from orrery.engines.fed import Fed, fed_by, fed_of
from orrery.engines.gang import Limits
from orrery.engines.job import Each, Gang, Gather, Job, Map
from orrery.engines.keeper import Post
from orrery.engines.lives import Berth, lives
from orrery.engines.local import LOCAL, LocalHandle
from orrery.engines.remote import RemoteLife
from orrery.engines.spark_session import session_for, speaking, told
from orrery.engines.spark_tasks import keeping, reading
from orrery.errors import OrreryError, SlotsError

_REGISTER_S = 3.0  # for executors of a new session to be there
_PROMISED_S = 60.0  # for those that its settings ask for: YARN starts them one by one
_LAG_S = 1.0  # of Spark's own account of what runs
_CANCEL_S = 10.0
_WIDE = 8
"""Summaries that the driver merges itself, at most."""


@runtime_checkable
class Own(Protocol):
    """Rows that the task which keeps a worker reads for it."""

    def own(self, rank: int, workers: int) -> Iterator[Any]:
        """Record batches for one worker of so many."""


class Spark:
    """The engine of a Spark cluster: of a ``session``, of a ``master``'s, or of the session that is there."""

    holds = Frames
    reads = True
    """Its tasks can read rows elsewhere, and feed them to the worker that they keep."""

    def __init__(self, session: Any = None, master: str | None = None, limits: Limits | None = None) -> None:
        self.given = session
        self.master = master
        self.limits = limits or Limits()
        self.taken = 0
        self.taking = threading.Lock()

    @property
    def session(self) -> Any:
        """The session that jobs run in. Raises EngineError where there can be none."""
        if self.given is None:
            self.given = session_for(self.master)
        return self.given

    def slots(self) -> Slots:
        """Tasks that could run at once, and how many of them nobody uses."""
        total, until = self._total(), time.monotonic() + _LAG_S
        while (busy := self._busy()) > self.taken and time.monotonic() < until:
            time.sleep(0.05)
        return Slots(free=max(0, total - max(busy, self.taken)), total=total)

    def room(self) -> int:
        """Slots that nobody uses, as Spark has it this moment; fewer, where its account lags."""
        return max(0, self._total() - max(self._busy(), self.taken))

    def plan(self, job: Job) -> Plan:
        """What would be done. Raises SlotsError for a gang that is larger than the cluster."""
        if isinstance(job, Gang):
            self._check_room(job.workers, self._total(job.workers), self._total())
            fed = " is fed its rows," if job.rows else ""
            step = f"a barrier stage of {job.workers} tasks; each keeps a worker, which{fed} meets the others"
            return Plan("spark", job, job.workers, (step,))
        total = self._total()
        if isinstance(job, Each):
            return Plan(
                "spark", job, min(total, len(job.items)), (f"a task for each of {len(job.items)} items",)
            )
        here = "" if self.feeds(job.table) else " in this process, which reads it"
        what = "mapInArrow over" if isinstance(job, Map) else "summarize on the executors, merge as a tree:"
        return Plan("spark", job, total, (f"{what} {job.table!r}{here}",))

    def submit(self, plan: Plan) -> LocalHandle:
        """Start it. Raises SlotsError where others fill the cluster."""
        job = plan.job
        if isinstance(job, Gang):
            freight.load(job.task).close()  # one that cannot travel is refused here
            with self.taking:
                slots = self.slots()
                self._check_room(job.workers, slots.free, slots.total)
                self.taken += job.workers
            return LocalHandle(lambda stop: self._run_gang(job, stop), None, settle_s=30.0).start()
        if not isinstance(job, Each) and not self.feeds(job.table):
            return LOCAL.submit(LOCAL.plan(job))
        return LocalHandle(lambda stop: self._run(job, stop), job.deadline_s, settle_s=15.0).start()

    def gather(self, aggregate: Any, table: Any) -> Any:
        """The result of one pass over a table."""
        return self.submit(self.plan(Gather(aggregate, table))).result()

    def feeds(self, table: Any) -> bool:
        """Whether the table's rows are Spark's, and its steps look at no other row."""
        return fed_by(self, table) is not None

    def _run(self, job: Map | Gather | Each, stop: threading.Event) -> Any:
        with speaking():
            if isinstance(job, Each):
                return self._each(job, stop)
            pipeline = fed_by(self, job.table)
            assert pipeline is not None
            fed = fed_of(pipeline, pipeline.schema.names)
            handed = (pipeline.schemas[0], fed.names, pipeline.where, pipeline.steps)
            if isinstance(job, Map):
                found = self._collect(
                    _frame(fed).mapInArrow(tasks.mapping(job.task, *handed), tasks.ANSWER), stop
                )
                return [answer for _, answer in found]
            parts = _frame(fed).mapInArrow(tasks.summarizing(job.aggregate, *handed), tasks.ANSWER)
            found = [answer for _, answer in self._collect(self._tree(parts, job.aggregate), stop)]
            if not found:  # Spark runs no task where it sees that there are no rows
                found = [job.aggregate.summarize(job.table.empty())]
            return job.aggregate.finish(tasks.merged(job.aggregate, found))

    def _tree(self, parts: Any, aggregate: Any) -> Any:
        """Merge on the executors until few are left; each level takes the root of their number."""
        count = parts.rdd.getNumPartitions() if hasattr(parts, "_jdf") else _WIDE**2
        while count > _WIDE:
            count = math.ceil(math.sqrt(count))
            parts = parts.repartition(count).mapInArrow(tasks.merging(aggregate), tasks.ANSWER)
        return parts

    def _each(self, job: Each, stop: threading.Event) -> list[Any]:
        count = len(job.items)
        if not count:
            return []
        frame = self.session.range(0, count, 1, count)
        found = self._collect(frame.mapInArrow(tasks.calling(job.task, list(job.items)), tasks.ANSWER), stop)
        return [answer for _, answer in sorted(found, key=lambda row: row[0])]

    def _collect(self, frame: Any, stop: threading.Event) -> list[tuple[int, Any]]:
        """The answers of tasks, in the order of partitions. Raises what a task raised."""
        job = _SparkJob(self.session, frame.toArrow)
        while not job.done(0.1):
            if stop.is_set():
                job.end(0.0)
                raise Cancelled
        if (error := job.failed()) is not None:
            raise error
        rows = job.result.to_pydict()
        answers = [tasks.unpacked(answer, "an executor of Spark") for answer in rows["answer"]]
        return list(zip(rows["number"], answers, strict=True))

    def _run_gang(self, job: Gang, stop: threading.Event) -> list[Any]:
        with Berth(self, job.workers) as berth:
            return lives(job, partial(self._live, stop, berth), berth)

    def _live(self, stop: threading.Event, berth: Berth, job: Gang, task: IO[bytes]) -> list[Any]:
        until = time.monotonic() + self.limits.start_s
        while (total := self._total()) < job.workers:  # an executor that was lost comes again
            if stop.is_set():
                raise Cancelled
            if time.monotonic() > until:
                self._check_room(job.workers, total, total)
            time.sleep(0.1)
        host, bind = self._addresses()
        launch = partial(self._launch, job)
        return RemoteLife(job, self.limits, task, launch, host, bind, berth.room).run(stop)

    def _launch(self, job: Gang, post: Post) -> _SparkJob:
        with speaking():
            frame = self._stage(job).mapInArrow(keeping(post), "rank int", barrier=True)
        return _SparkJob(self.session, frame.collect)

    def _stage(self, job: Gang) -> Any:
        """As many partitions as workers: of the rows to feed, as Arrow streams, or of none."""
        if any(isinstance(fed, Own) for fed in job.rows or ()):
            each = self.session.range(0, job.workers, 1, job.workers)
            return each.mapInArrow(reading(job.rows, job.workers), "sort int, rows binary")
        frames = [
            _frame(fed).mapInArrow(tasks.shipping(i), "sort int, rows binary")
            for i, fed in enumerate(job.rows or ())
        ]
        if not frames:
            empty = self.session.range(0, job.workers, 1, job.workers)
            return empty.selectExpr("cast(null as int) as sort", "cast(null as binary) as rows").where(
                "id < 0"
            )
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.union(frame)
        return whole.repartition(job.workers)

    def _addresses(self) -> tuple[str, str]:
        """Where executors reach this process, and what it listens on."""
        conf = self.session.conf
        host = conf.get("spark.driver.host", "") or "127.0.0.1"
        return host, conf.get("spark.driver.bindAddress", "") or host

    def _total(self, wanted: int = 1) -> int:
        """Tasks that Spark would run at once; executors that are about to come are waited for, briefly."""
        with speaking():
            session, began = self.session, time.monotonic()
            if not hasattr(session, "_jsc"):  # Spark Connect tells its parallelism, and no more
                return int(session.range(1 << 20).selectExpr("spark_partition_id() as p").distinct().count())
            context = session.sparkContext._jsc.sc()
            profile = context.resourceProfileManager().defaultResourceProfile()
            until = began + _patience_s(context, wanted)
            while (
                total := int(context.maxNumConcurrentTasks(profile))
            ) < wanted and time.monotonic() < until:
                time.sleep(0.1)
        return total

    def _busy(self) -> int:
        if not hasattr(self.session, "_jsc"):
            return self.taken
        tracker = self.session.sparkContext.statusTracker()
        found = (tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds())
        return sum(stage.numActiveTasks for stage in found if stage is not None)

    def _check_room(self, workers: int, room: int, total: int) -> None:
        if not 1 <= workers <= room:
            raise SlotsError(
                f"Asked for {workers} workers; {room} of Spark's {total} slots are free.",
                hint="Ask for fewer; or give Spark more executors, or more cores for each.",
            )


class _SparkJob:
    """One action of Spark in a thread of its own, which can be cancelled."""

    def __init__(self, session: Any, action: Callable[[], Any]) -> None:
        self.session = session
        self.action = action
        self.result: Any = None
        self.error: BaseException | None = None
        self.name = f"orrery-{uuid.uuid4().hex}"
        self.classic = hasattr(session, "_jsc")
        self._thread = threading.Thread(target=self._run, name="orrery-spark", daemon=True)
        self._thread.start()

    def done(self, wait_s: float) -> bool:
        """Whether it has ended, waited for so long."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def failed(self) -> OrreryError | None:
        """Why it has ended by itself."""
        if self._thread.is_alive() or self.error is None:
            return None
        return self.error if isinstance(self.error, OrreryError) else told(self.error)

    def end(self, wait_s: float) -> None:
        """Wait so long for it to end by itself, then cancel it."""
        if self.done(wait_s):
            return
        if self.classic:
            self.session.sparkContext.cancelJobGroup(self.name)
        else:
            self.session.interruptTag(self.name)
        self.done(_CANCEL_S)

    def _run(self) -> None:
        try:
            if self.classic:
                self.session.sparkContext.setJobGroup(self.name, "orrery", interruptOnCancel=True)
            else:
                self.session.addTag(self.name)
            self.result = self.action()
        except BaseException as error:  # carried to whoever waits
            self.error = error


def _patience_s(context: Any, wanted: int) -> float:
    """How long executors for so many tasks are waited for: longer where the settings ask for enough."""
    if context.isLocal():
        return 0.0
    conf = context.conf()
    each = int(conf.get("spark.executor.cores", "1")) // int(conf.get("spark.task.cpus", "1"))
    promised = int(conf.get("spark.executor.instances", "0")) * each
    return _PROMISED_S if wanted <= promised else _REGISTER_S


def _frame(fed: Fed) -> Any:
    """The rows to feed, their columns by number: Spark takes a dot in a name for a member."""
    frame = fed.source._narrowed(fed.columns, fed.where)
    return frame.toDF(*(f"c{i}" for i in range(len(fed.names))))
