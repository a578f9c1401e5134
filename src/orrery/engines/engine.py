"""Where work runs: what every engine can be asked.

An engine says what could start now (:class:`Slots`), turns a job into a printable :class:`Plan` without
touching anything, and runs the plan behind a :class:`Handle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from orrery.engines.job import Job


class State(StrEnum):
    """The life of a job: queued, running, then one of the last three."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


@dataclass(frozen=True)
class Slots:
    """How many workers could start now, and how many there are when nothing runs."""

    free: int
    total: int


@dataclass(frozen=True)
class Plan:
    """What would run, where and how wide; a value that can be printed and compared."""

    engine: str
    job: Job
    workers: int
    steps: tuple[str, ...] = ()
    """What will happen, in order, for people."""

    def __str__(self) -> str:
        return "\n".join([f"{self.engine}: {self.workers} at a time", *(f"  {step}" for step in self.steps)])


class Link(Protocol):
    """A worker's way to whoever started the gang."""

    def tell(self, value: object) -> None:
        """A value for the gang's ``listen``."""

    @property
    def stopped(self) -> bool:
        """Whether ``listen`` asked to end."""

    @property
    def growing(self) -> bool:
        """Whether there is room for more workers, who join at the next checkpoint."""

    def keep(self, path: Path, needs: Sequence[str] = ()) -> None:
        """A file of ``Member.folder`` for the gang's folder, where it appears after those it needs."""


@dataclass(frozen=True)
class Member:
    """One worker's place in a gang."""

    rank: int = 0
    size: int = 1
    host: str = ""
    local_rank: int = 0
    """Its number among the gang's workers on this host."""
    meeting: str = ""
    """Where the workers meet: ``file:///…`` on one machine, ``tcp://host:port`` across several."""
    scratch: Path | None = None
    """A folder that the gang's workers on this host share; removed when the gang ends."""
    link: Link | None = None
    places: tuple[int, ...] = ()
    """For each rank the number of the machine that it is on; empty where all share one."""
    folder: Path | None = None
    """A copy of the gang's folder, where the driver's own cannot be reached."""
    addresses: tuple[str, ...] = ()
    """For each rank ``host:port`` where it may listen; empty on one machine."""


@dataclass(frozen=True)
class Lost:
    """What ``listen`` hears when a worker was lost and the gang starts again."""

    why: str
    restarts_left: int
    workers: int = 0
    """How many it goes on with."""


@dataclass(frozen=True)
class Grown:
    """What ``listen`` hears when a gang took workers in, at a checkpoint."""

    workers: int
    """How many there are now."""


class Again:
    """What a worker returns that has saved, and ends so that more can begin with it."""


class Handle(Protocol):
    """A job that was submitted."""

    @property
    def state(self) -> State:
        """Where the job is in its life."""

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the answer, and raise what the job raised. Raises DeadlineError."""

    def cancel(self) -> None:
        """Ask the job to stop; returns at once."""


class Engine(Protocol):
    """A place where work runs."""

    def slots(self) -> Slots:
        """What could start now."""

    def plan(self, job: Job) -> Plan:
        """What would be done; needs no cluster. Raises SlotsError where it can never start."""

    def submit(self, plan: Plan) -> Handle:
        """Start it."""

    def gather(self, aggregate: Any, table: Any) -> Any:
        """The result of one pass over a table: submit a Gather, wait for it."""
