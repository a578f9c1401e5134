"""Several workers for a learner: the gang that is started, what each worker does, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orrery.engines.engine import Again, Engine, Grown, Link, Lost, Member
from orrery.engines.job import Gang
from orrery.engines.lives import checked
from orrery.errors import SettingsError
from orrery.learners import openmp
from orrery.learners.learner import Learner, Predictor
from orrery.training.events import Epoch, Event, Observer, Step
from orrery.training.exchange.traffic import Traffic
from orrery.training.feed import Feed
from orrery.training.pushed import Pushed, pushed, read_there
from orrery.training.rows import Dealt, Rows
from orrery.training.world import Growing, World

RESTARTS = 2
"""How often a gang starts again from its last checkpoint when a worker is lost."""

WARM = (
    "torch",
    "torch.distributed",
    "torch._dynamo",  # every optimizer loads it, for seconds
    "orrery.networks.network",
    "orrery.training.loop",
    "onnx",
    "pandas",  # Arrow looks for it
)
"""Loaded once for all workers. Not what makes threads when it is loaded, as ONNX Runtime does."""

_TELL_S = 0.05  # between two messages of steps, at least


@dataclass
class GangCrew:
    """Starts a gang for each fit. ``facts`` and ``notes`` tell of the last one."""

    engine: Engine
    workers: int
    restarts: int = RESTARTS
    elastic: tuple[int, int] | None = None
    """The least and the most workers, where their number may change."""
    feed: str = "auto"
    """``push`` where the engine feeds rows to the workers, ``pull`` where they read the source."""
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises SettingsError, and SlotsError where so many workers cannot start; nothing is read yet."""
        self.elastic = checked(self.elastic, self.workers)
        if self.feed not in ("auto", "push", "pull"):
            raise SettingsError(f"feed={self.feed!r} is wrong; it is 'auto', 'push' or 'pull'.")
        self.engine.plan(Gang(len, self.workers))

    def told(self) -> list[str]:
        """What happened, a line each."""
        if self.facts:
            return self.notes
        return [*self.notes, f"workers={self.workers}: this learner works alone; no gang was started"]

    def fit(self, learner: Learner, rows: Feed | Rows, world: World, observe: Observer) -> Predictor:
        """The predictor that a gang of so many workers learns."""
        started = time.perf_counter()
        servers = world.exchange.servers
        least = self.elastic[0] if self.elastic is not None else self.workers
        if least <= servers:
            raise SettingsError(f"{least} workers are none that learn, where {servers} hold parameters.")
        if self.elastic is not None and not world.exchange.resizes:
            raise SettingsError(
                f"elastic={self.elastic} does not go with the exchange {world.exchange.to_dict()}.",
                hint="Choose compression='bf16', or none.",
            )
        handed, fed = self._handed(rows, servers)
        task = Shift(learner, handed, replace(world, crew=None, fixed=self.elastic is None))
        epochs: dict[int, int] = {}

        def listen(rank: int, told: Any) -> str | None:
            if isinstance(told, Lost | Grown):
                self._note(told)
                return None
            epochs.update((event.epoch, event.rows) for event in told if isinstance(event, Epoch))
            answers = [observe(event) for event in told]
            return "stop" if "stop" in answers else None

        gang = Gang(
            task,
            self.workers,
            restarts=self.restarts,
            elastic=self.elastic,
            listen=listen,
            logs=world.folder / "logs" if world.folder is not None else None,
            folder=world.folder,
            rows=fed,
            warm=WARM,
        )
        done: list[Done] = self.engine.submit(self.engine.plan(gang)).result()
        self.facts = _facts(done, len(done) - servers, time.perf_counter() - started)
        self.facts["rows_per_epoch"] = sorted(set(epochs.values()))
        predictor = done[0].predictor
        assert predictor is not None
        return predictor

    def _note(self, told: Lost | Grown) -> None:
        if isinstance(told, Grown):
            self.notes.append(f"the gang went on with {told.workers} workers from a checkpoint")
            return
        left = f"{told.restarts_left} more restarts are left"
        size = "" if self.elastic is None else f" with {told.workers} workers"
        self.notes.append(f"the gang started again{size} from its last checkpoint; {left}. {told.why}")

    def _handed(self, rows: Feed | Rows, servers: int) -> tuple[Feed | Dealt | Pushed, list[Any]]:
        """What the workers are handed, and what the engine feeds them besides."""
        if isinstance(rows, Feed):
            return rows, []
        if self.feed == "pull":
            rows = rows.pulled()
        # Finer where the number of workers may change, so that any number shares them evenly.
        parts = self.workers - servers if self.elastic is None else 2 * self.elastic[1]
        if self.feed == "push" and not rows.unordered:
            if not getattr(self.engine, "reads", False):
                raise SettingsError(
                    "feed='push' needs an engine that reads rows for its workers, as Spark does.",
                    hint="Here they read the source themselves: feed='pull'.",
                )
            return read_there(rows, parts)
        if self.feed == "pull" or not rows.unordered:
            return rows.dealt(parts, servers), []
        found = pushed(self.engine, rows)
        return (rows.feed(), []) if found is None else found


@dataclass(frozen=True)
class Done:
    """What one worker gives back."""

    predictor: Predictor | None
    read: int
    """Rows that it read and encoded itself."""
    traffic: Traffic
    seconds: float


@dataclass(frozen=True)
class Shift:
    """What one worker does: meet the others, take its part of the rows, learn."""

    learner: Learner
    rows: Feed | Dealt | Pushed
    world: World

    def __call__(self, member: Member) -> Done | Again:
        """Run inside a worker."""
        try:
            return self._work(member)
        except Growing:
            return Again()

    def _work(self, member: Member) -> Done:
        openmp.load("torch", "Learning with several workers")
        from orrery.training.exchange.group import device_of, joined

        began = time.perf_counter()
        device = device_of(self.world.device, member.local_rank)
        learning = member.size - self.world.exchange.servers
        world = replace(
            self.world,
            rank=member.rank,
            size=learning,
            serves=member.rank >= learning,
            device=device,
            traffic=Traffic(),
            folder=member.folder or self.world.folder,
            keep=member.link.keep if member.folder is not None and member.link is not None else None,
            stopping=lambda: member.link is not None and member.link.stopped,
            growing=lambda: member.link is not None and member.link.growing,
        )
        observe = _Telling(member.link if member.rank == 0 else None)
        with joined(member.meeting, member.rank, member.size, device):
            feed, read = self._feed(member, world.traffic)
            predictor = self.learner.work(feed, world, observe)
            feed.close()
        observe.flush()
        return Done(predictor, read, world.traffic, time.perf_counter() - began)

    def _feed(self, member: Member, traffic: Traffic) -> tuple[Feed, int]:
        if isinstance(self.rows, Feed):
            return self.rows, 0
        from torch import distributed

        return self.rows.feed(member, distributed.barrier, traffic)


class _Telling:
    """An observer inside a worker: the first sends events to the driver, steps a few at a time."""

    def __init__(self, link: Link | None) -> None:
        self.link = link
        self._events: list[Event] = []
        self._next = 0.0

    def __call__(self, event: Event) -> Literal["stop"] | None:
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


def _facts(done: Sequence[Done], learning: int, seconds: float) -> dict[str, Any]:
    done, workers = done[:learning], len(done)
    traffic = [one.traffic for one in done]
    steps = max(traffic[0].steps, 1)
    return {
        "workers": workers,
        "rows_read": [one.read for one in done],
        "steps": traffic[0].steps,
        "bytes_moved": sum(each.moved_bytes for each in traffic),
        "bytes_sent_per_step": round(max(each.sent_bytes for each in traffic) / steps),
        "exchange_share": round(max(t.waited_s / d.seconds for t, d in zip(traffic, done, strict=True)), 4),
        "seconds": round(seconds, 3),
    }
