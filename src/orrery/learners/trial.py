"""Trying learners on the same folds of the same rows, and deciding which of them answer."""

from __future__ import annotations

from collections.abc import Sequence

from orrery.errors import OrreryError
from orrery.learners import blend, matrix
from orrery.learners.boosted import Boosted
from orrery.learners.crossfit import Clock, CrossFit, cross_fit
from orrery.learners.folds import Fold, folds, held_rows
from orrery.learners.learner import Learner
from orrery.learners.linear import Linear
from orrery.learners.links import loss, loss_name
from orrery.training.events import Epoch, Observer
from orrery.training.feed import Feed
from orrery.training.world import World

TRIAL_ROWS = 100_000
_TRIAL_BYTES = 1 << 30  # of the matrix
_FEW_ROWS = 20  # too few to compare learners on
_SLOW_ROWS = 1_000  # up to so many, a network is trained three times to be compared, else once
_TIME_SHARE = 0.6  # the rest is for learning from all rows


def trial_rows(feed: Feed) -> int:
    """How many rows to compare learners on: fewer where they are wide."""
    parts, blocks = matrix.spans(feed.outputs, one_hot=False), feed.all().blocks
    dense, sparse = (matrix.size_bytes(parts, blocks, dense=dense) for dense in (True, False))
    need = max(min(dense, 4 * sparse), 1)
    return max(1, min(TRIAL_ROWS, feed.rows * _TRIAL_BYTES // need))


class Trial:
    """One comparison. ``notes`` tell what was tried, what was left out and why, and what was chosen."""

    def __init__(self, feed: Feed, world: World, clock: Clock, observe: Observer) -> None:
        self.feed = feed
        self.world = world
        self.clock = clock
        self.observe = observe
        self.notes: list[str] = []

    def choose(self, candidates: Sequence[Learner]) -> list[tuple[Learner, float]]:
        """Learners with settled settings, and how much each counts; the weights add up to 1."""
        parts = self._folds(candidates)
        if not parts:
            self.notes.append(f"auto: {self.feed.rows} rows are too few to compare learners on")
            return [(_cautious(candidates[0]), 1.0)]
        tried = self._try_all(candidates, parts)
        rows, everything = held_rows(parts), self.feed.all()
        truth = everything.target[rows]
        weight = None if everything.weight is None else everything.weight[rows]
        weights = blend.choose(self.feed.target, truth, [one.scores for one in tried], weight)
        value = loss(self.feed.target, truth, blend.mix([one.scores for one in tried], weights), weight)
        kept = [(one, float(w)) for one, w in zip(tried, weights, strict=True) if w > 0]
        named = " + ".join(f"{w:.2f} {one.name}" for one, w in kept)
        found = named if len(kept) > 1 else kept[0][0].name
        self.notes.append(f"chosen: {found}, {loss_name(self.feed.target)} {value:.5g} out of fold")
        return [(one.learner, w) for one, w in kept]

    def _folds(self, candidates: Sequence[Learner]) -> list[Fold]:
        """Fewer where a network takes part, whose every fold is a whole training."""
        slow = any(learner.holds_out for learner in candidates)
        count = None if not slow else 3 if self.feed.rows < _SLOW_ROWS else 1
        return folds(self.feed, self.world.seed, count=count) if self.feed.rows >= _FEW_ROWS else []

    def _try_all(self, candidates: Sequence[Learner], parts: list[Fold]) -> list[CrossFit[Learner]]:
        count = "one fifth held out" if len(parts) == 1 else f"{len(parts)} folds"
        self.notes.append(f"auto: compared on {self.feed.rows:,} rows, {count}")
        tried: list[CrossFit[Learner]] = []
        failed: OrreryError | None = None
        for learner in candidates:
            if tried and (self.clock.stopped or self._late()):
                self.notes.append(f"{learner.kind}: not tried, time was up")
                continue
            try:
                tried.append(self._try(learner, parts))
            except OrreryError as error:
                failed = error
                self.notes.append(f"{learner.kind}: left out. {error}")
                continue
            self.notes.append(tried[-1].told(self.feed.target))
            metrics = {f"{tried[-1].name}/{loss_name(self.feed.target)}": tried[-1].loss}
            best = tried[-1].loss <= min(one.loss for one in tried)
            self.clock.stopped |= self.observe(Epoch(len(tried), metrics, best=best)) == "stop"
        if not tried and failed is not None:
            raise failed
        return tried

    def _try(self, learner: Learner, parts: list[Fold]) -> CrossFit[Learner]:
        grouped = any(output.name.startswith(f"{learner.kind}/") for output in self.feed.outputs)
        view = self.feed.view(learner.kind if grouped else "")
        if isinstance(learner, Linear | Boosted):
            return learner.cross_fit(view, parts, self.world, self._late)
        return cross_fit(learner, view, parts, self.world, self.clock)

    def _late(self) -> bool:
        return self.clock.late(_TIME_SHARE)


def _cautious(learner: Learner) -> Learner:
    """Settings for rows so few that none can be kept aside."""
    return learner.replace(alpha=1.0) if isinstance(learner, Linear) and not learner.alpha else learner
