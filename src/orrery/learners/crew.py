"""Several workers for a learner: the gang that is started, what each worker does, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orrery.engines.engine import Engine, Link, Lost, Member
from orrery.engines.job import Gang
from orrery.learners import openmp
from orrery.learners.learner import Learner, Predictor
from orrery.training.events import Event, Observer, Step
from orrery.training.feed import Feed
from orrery.training.world import World

RESTARTS = 2
"""How often a gang starts again from its last checkpoint when a worker is lost."""

WARM = ("torch", "torch.distributed", "orrery.networks.network", "orrery.training.loop", "onnx")
_TELL_S = 0.05  # between two messages of steps, at least


@dataclass
class GangCrew:
    """Starts a gang for each fit. ``facts`` and ``notes`` tell of the last one."""

    engine: Engine
    workers: int
    restarts: int = RESTARTS
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises SlotsError where so many workers cannot start, before anything is read."""
        self.engine.plan(Gang(len, self.workers))

    def told(self) -> list[str]:
        """What happened, a line each."""
        if self.facts:
            return self.notes
        return [*self.notes, f"workers={self.workers}: this learner works alone; no gang was started"]

    def fit(self, learner: Learner, rows: Feed, world: World, observe: Observer) -> Predictor:
        """The predictor that a gang of so many workers learns."""
        started = time.perf_counter()
        task = Shift(learner, rows, replace(world, crew=None))

        def listen(rank: int, told: Any) -> str | None:
            if isinstance(told, Lost):
                left = f"{told.restarts_left} more restarts are left"
                self.notes.append(f"the gang started again from its last checkpoint; {left}. {told.why}")
                return None
            answers = [observe(event) for event in told]
            return "stop" if "stop" in answers else None

        gang = Gang(
            task,
            self.workers,
            restarts=self.restarts,
            listen=listen,
            logs=world.folder / "logs" if world.folder is not None else None,
            warm=WARM,
        )
        done: list[Done] = self.engine.submit(self.engine.plan(gang)).result()
        self.facts = _facts(done, time.perf_counter() - started)
        predictor = done[0].predictor
        assert predictor is not None
        return predictor


@dataclass(frozen=True)
class Done:
    """What one worker gives back."""

    predictor: Predictor | None
    rows: int
    """That it looked at, in all epochs."""
    seconds: float


@dataclass(frozen=True)
class Shift:
    """What one worker does: meet the others, take its part of the rows, learn."""

    learner: Learner
    rows: Feed
    world: World

    def __call__(self, member: Member) -> Done:
        """Run inside a worker."""
        openmp.load("torch", "Learning with several workers")
        from orrery.training.exchange.group import device_of, joined

        began = time.perf_counter()
        device = device_of(self.world.device, member.local_rank)
        world = replace(
            self.world,
            rank=member.rank,
            size=member.size,
            device=device,
            stopping=lambda: member.link is not None and member.link.stopped,
        )
        observe = _Telling(member.link if member.rank == 0 else None)
        with joined(member.meeting, member.rank, member.size, device):
            predictor = self.learner.work(self.rows, world, observe)
        observe.flush()
        return Done(predictor, observe.rows, time.perf_counter() - began)


class _Telling:
    """An observer inside a worker: the first sends events to the driver, steps a few at a time."""

    def __init__(self, link: Link | None) -> None:
        self.link = link
        self.rows = 0
        self._events: list[Event] = []
        self._next = 0.0

    def __call__(self, event: Event) -> Literal["stop"] | None:
        if isinstance(event, Step):
            self.rows += event.rows
        if self.link is not None:
            self._events.append(event)
            if not isinstance(event, Step) or time.monotonic() >= self._next:
                self.flush()
        return None

    def flush(self) -> None:
        """Send what is kept."""
        if self.link is not None and self._events:
            self.link.tell(self._events)
            self._events = []
            self._next = time.monotonic() + _TELL_S


def _facts(done: Sequence[Done], seconds: float) -> dict[str, Any]:
    return {
        "workers": len(done),
        "rows_read": [one.rows for one in done],
        "seconds": round(seconds, 3),
    }
