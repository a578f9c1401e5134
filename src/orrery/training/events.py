"""The five events of a training run, and the one signature of those who watch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on after a stop (``resumed_at_step`` is not 0)."""

    learner: str
    rows: int
    steps: int
    """Steps planned in all; 0 where the learner cannot tell."""
    epochs: int = 0
    resumed_at_step: int = 0


@dataclass(frozen=True)
class Step:
    """One step is done."""

    step: int
    epoch: int
    loss: float
    learning_rate: float = 0.0
    rows: int = 0
    """Of the batch."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the data is done; ``metrics`` are named ``train/loss``, ``validation/loss`` and so on."""

    epoch: int
    metrics: Mapping[str, float]
    best: bool = False
    rows: int = 0
    """That all workers together learnt from."""


@dataclass(frozen=True)
class Checkpoint:
    """The state was saved; training can go on from here."""

    step: int
    path: str


@dataclass(frozen=True)
class Ended:
    """Training is over."""

    reason: str
    """``finished``, ``stopped early``, ``stopped by observer`` …"""
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """What was tried and chosen, a line each."""


Event = Started | Step | Epoch | Checkpoint | Ended
Observer = Callable[[Event], Literal["stop"] | None]


def observe_all(observers: Sequence[Observer]) -> Observer:
    """One observer that asks all; any of them may stop the run."""

    def observe(event: Event) -> Literal["stop"] | None:
        answers = [observer(event) for observer in observers]
        return "stop" if "stop" in answers else None

    return observe
