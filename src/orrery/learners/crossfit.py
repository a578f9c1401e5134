"""Cross-validation of a learner: predictions of rows it had not seen, and settings that are settled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import numpy as np

from orrery.features.target import Target
from orrery.learners.folds import Fold, held_rows
from orrery.learners.learner import Learner
from orrery.learners.links import Scores, loss, loss_name
from orrery.training.events import Event
from orrery.training.feed import Feed
from orrery.training.world import World

L_co = TypeVar("L_co", bound=Learner, covariant=True)


@dataclass(frozen=True)
class CrossFit(Generic[L_co]):
    """One learner's answers for rows that its folds kept aside."""

    name: str
    """What it is called among others that were tried."""
    learner: L_co
    """With the settings that did best: ``fit`` on all rows does not search again."""
    scores: Scores
    """Answers [rows held, k], in the order of the folds."""
    loss: float
    settings: str = ""
    """What was found, for people: the penalty, the rounds."""

    def told(self, target: Target) -> str:
        """What was tried, in a line."""
        found = f"{self.name}: {loss_name(target)} {self.loss:.5g} out of fold"
        return f"{found}, {self.settings}" if self.settings else found


class Clock:
    """Says whether time is up: an observer that stops what runs late."""

    def __init__(self, limit_s: float) -> None:
        self.ends = time.monotonic() + limit_s
        self.limit_s = limit_s
        self.stopped = False

    def late(self, share: float = 1.0) -> bool:
        """Whether that share of the time has passed."""
        return time.monotonic() > self.ends - self.limit_s * (1.0 - share)

    def __call__(self, event: Event) -> Literal["stop"] | None:
        """Let training go on while there is time."""
        self.stopped = self.stopped or self.late()
        return "stop" if self.stopped else None


def never() -> bool:
    """No deadline."""
    return False


def cross_fit(
    learner: Learner, feed: Feed, parts: Sequence[Fold], world: World, clock: Clock
) -> CrossFit[Learner]:
    """Any learner, fold by fold; each fold's held rows decide when to stop, and are then predicted."""
    quiet = replace(world, folder=None)  # nothing to resume from: each fold is short
    scores = []
    for part in parts:
        fold = feed.subset(part.train, part.held)
        held = feed.take(part.held)
        scores.append(learner.fit(fold, quiet, clock).predict(held.blocks))
    rows, everything = held_rows(parts), feed.all()
    weight = None if everything.weight is None else everything.weight[rows]
    joined = np.concatenate(scores)
    value = loss(feed.target, everything.target[rows], joined, weight)
    return CrossFit(learner.kind, learner, joined, value)
