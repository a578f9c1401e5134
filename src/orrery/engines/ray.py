"""Ray: passes over its data sets on the cluster, and gangs in placement groups.

Rows stay where Ray has them. A gang is one placement group, which Ray gives whole or not at all. In each of
its bundles a task keeps one worker (:mod:`orrery.engines.keeper`) and calls back to this process, which
watches the workers as it would its own. Tasks, and not actors: Ray runs the next gang's in the same
processes, which have loaded torch already.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from itertools import islice
from typing import IO, Any

from orrery import settings
from orrery.data.sources.ray import RayData
from orrery.engines import freight, ray_data, ray_gang, ray_tasks, tasks
from orrery.engines.engine import Plan, Slots
from orrery.engines.fed import fed_by, fed_of
from orrery.engines.gang import Limits
from orrery.engines.job import Each, Gang, Gather, Job, Map, Resources
from orrery.engines.lives import Berth, lives
from orrery.engines.local import LOCAL, LocalHandle
from orrery.engines.ray_session import connected, speaking
from orrery.engines.remote import RemoteLife
from orrery.errors import SettingsError, SlotsError, did_you_mean, listing

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
_LAG_S = 1.0  # of Ray's own account of what runs
_LOOK_S = 0.05


class Ray:
    """The engine of a Ray cluster: the one of this program, of ``address``, or one on this machine.

    ``strategy``: how Ray places the workers of a gang, ``PACK``, ``SPREAD``, ``STRICT_PACK`` (one machine) or
    ``STRICT_SPREAD`` (a machine each). ``cpus``, ``gpus``: what each worker takes of Ray's resources;
    where ``gpus`` is None, one if there are enough for all.
    """

    holds = RayData

    def __init__(
        self,
        address: str | None = None,
        strategy: str = "PACK",
        cpus: int = 1,
        gpus: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.address = address
        self.strategy = strategy
        self.cpus = cpus
        self.gpus = gpus
        self.limits = limits or Limits()
        self.taken = 0
        self.taking = threading.Lock()

    @property
    def ray(self) -> Any:
        """Ray, connected. Raises EngineError where there can be none."""
        return connected(self.address)

    def slots(self) -> Slots:
        """Workers that could run at once, and how many of their places nobody uses."""
        return self._slots(self._need())

    def room(self) -> int:
        """Places that nobody uses, as Ray has it this moment; fewer, where its account lags."""
        need = self._need()
        return max(0, min(self._free(need), self._total(need) - self.taken))

    def plan(self, job: Job) -> Plan:
        """What would be done. Raises SlotsError for a gang that is larger than the cluster."""
        if isinstance(job, Gang):
            self._check(job)
            total = self._total(self._need(job))
            self._check_room(job, total, total)
            fed = " is fed its rows," if job.rows else ""
            step = (
                f"a placement group, {self.strategy}, of {job.workers} tasks; each keeps a worker, which{fed}"
            )
            return Plan("ray", job, job.workers, (f"{step} meets the others",))
        total = self._total(self._need())
        if isinstance(job, Each):
            count = len(job.items)
            return Plan("ray", job, min(total, count), (f"a task for each of {count} items",))
        here = "" if self.feeds(job.table) else " in this process, which reads it"
        what = "map_batches over" if isinstance(job, Map) else "summarize on the cluster, merge as a tree:"
        return Plan("ray", job, total, (f"{what} {job.table!r}{here}",))

    def submit(self, plan: Plan) -> LocalHandle:
        """Start it. Raises SlotsError where others fill the cluster."""
        job = plan.job
        if isinstance(job, Gang):
            freight.load(job.task).close()  # one that cannot travel is refused here
            with self.taking:
                slots = self._slots(self._need(job))
                self._check_room(job, slots.free, slots.total)
                self.taken += job.workers
            return LocalHandle(lambda stop: self._run_gang(job, stop), None, settle_s=30.0).start()
        if not isinstance(job, Each) and not self.feeds(job.table):
            return LOCAL.submit(LOCAL.plan(job))
        freight.load(job.aggregate if isinstance(job, Gather) else job.task).close()
        return LocalHandle(lambda stop: self._run(job, stop), job.deadline_s, settle_s=15.0).start()

    def gather(self, aggregate: Any, table: Any) -> Any:
        """The result of one pass over a table."""
        return self.submit(self.plan(Gather(aggregate, table))).result()

    def feeds(self, table: Any) -> bool:
        """Whether the table's rows are Ray's, and its steps look at no other row."""
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
                answers = ray_data.mapped(fed, tasks.mapping(job.task, *handed))
                return self._answers([block for block, _ in ray_data.run(answers, stop, ordered=True)])
            parts = ray_data.mapped(fed, tasks.summarizing(job.aggregate, *handed))
            found = [block for block, _ in ray_data.run(parts, stop)]
            blocks = ray_data.merged(self.ray, job.aggregate, found, stop)
            empty = job.aggregate.summarize(job.table.empty())
            return job.aggregate.finish(tasks.merged(job.aggregate, [empty, *self._answers(blocks)]))

    def _answers(self, blocks: list[Any]) -> list[Any]:
        found = [self.ray.get(block) for block in blocks]
        answers = (each for block in found if block.num_rows for each in block.column("answer").to_pylist())
        return [tasks.unpacked(answer, "Ray") for answer in answers]

    def _each(self, job: Each, stop: threading.Event) -> list[Any]:
        ray, need = self.ray, job.resources
        call = ray.remote(ray_tasks.call).options(num_cpus=need.cpus, num_gpus=need.gpus)
        task, most = ray.put(job.task), 2 * max(1, self._total(need))
        answers: list[Any] = []
        waiting: deque[Any] = deque()
        items = iter(job.items)
        try:
            while len(answers) < len(job.items):
                waiting += [call.remote(task, item) for item in islice(items, most - len(waiting))]
                ray_data.waited(ray, [waiting[0]], stop)
                answers.append(tasks.unpacked(ray.get(waiting.popleft()), "Ray"))
        finally:
            for each in waiting:
                ray.cancel(each, force=True)
        return answers

    def _run_gang(self, job: Gang, stop: threading.Event) -> list[Any]:
        with Berth(self, job.workers) as berth:
            return lives(job, partial(self._live, stop, berth), berth)

    def _live(self, stop: threading.Event, berth: Berth, job: Gang, task: IO[bytes]) -> list[Any]:
        with speaking():
            ray, need = self.ray, self._need(job)
            # Before the gang takes its places: the tasks that make the rows need some.
            rows = ray_data.shared(job.rows, job.workers, stop) if job.rows else [[]] * job.workers
            host = ray_gang.driver_address(ray)
        with ray_gang.placed(ray, job, need, self.strategy, self.limits.start_s, stop) as group:
            launch = partial(ray_gang.keep, ray, group, need, rows)
            return RemoteLife(job, self.limits, task, launch, host, host, berth.room).run(stop)

    def _need(self, job: Gang | None = None) -> Resources:
        """What a worker takes of Ray's resources."""
        asked = Resources() if job is None else job.resources
        gpus = asked.gpus or self.gpus
        if gpus is None:
            enough = job is not None and self.ray.cluster_resources().get("GPU", 0) >= job.workers
            gpus = 1 if enough and settings.device() != "cpu" else 0
        return Resources(max(asked.cpus, self.cpus), gpus)

    def _slots(self, need: Resources) -> Slots:
        total, until = self._total(need), time.monotonic() + _LAG_S
        while (busy := total - self._free(need)) > self.taken and time.monotonic() < until:
            time.sleep(_LOOK_S)
        return Slots(free=max(0, total - max(busy, self.taken)), total=total)

    def _total(self, need: Resources) -> int:
        with speaking():
            rooms = ray_gang.rooms(self.ray, need)
        if self.strategy == "STRICT_PACK":
            return max(rooms, default=0)
        return sum(map(bool, rooms)) if self.strategy == "STRICT_SPREAD" else sum(rooms)

    def _free(self, need: Resources) -> int:
        with speaking():
            return ray_gang.room_in(self.ray.available_resources(), need)

    def _check(self, job: Gang) -> None:
        if self.strategy not in STRATEGIES:
            raise SettingsError(
                f"strategy is {self.strategy!r}; it is one of {listing(STRATEGIES)}.",
                hint=did_you_mean(self.strategy, STRATEGIES),
            )

    def _check_room(self, job: Gang, room: int, total: int) -> None:
        if 1 <= job.workers <= room:
            return
        need, there = self._need(job), self.ray.cluster_resources()
        gpus = f" and {need.gpus} GPUs of {there.get('GPU', 0):g}" if need.gpus else ""
        raise SlotsError(
            f"Asked for {job.workers} workers; {room} of Ray's {total} slots are free.",
            hint=f"Each takes {need.cpus} of the cluster's {there.get('CPU', 0):g} CPUs{gpus}, placed by "
            f"{self.strategy}. Ask for fewer; or give Ray more machines.",
        )
