"""Scores in order, with the weight of positives and negatives at each: what ROC, PR, K-S and lift read.

With two classes the positive one is ranked; with more, or with labels, each against the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.evaluation.scored import Outcome, Scored, read_scored
from orrery.evaluation.sums import CellSums
from orrery.schema import Kind

SIZE_BYTES = 256 << 20
"""What a tally may hold. Beyond it scores are rounded, and the result says that it is no longer exact."""
ENTRY_BYTES = 56
STEPS = 1024  # of rounded log-odds per unit


@dataclass(frozen=True)
class Ranking:
    """One class against the rest: distinct scores, falling [m], and the weight at each of them [m]."""

    scores: NDArray[np.float64]
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    exact: bool = True

    def found(self) -> NDArray[np.float64]:
        """Positive weight at or above each score [m]."""
        return np.cumsum(self.positive)

    def alarms(self) -> NDArray[np.float64]:
        """Negative weight at or above each score [m]."""
        return np.cumsum(self.negative)

    @property
    def both(self) -> bool:
        """Whether there are positives and negatives: else there is nothing to rank."""
        return bool(self.positive.sum() > 0 and self.negative.sum() > 0)


@dataclass(frozen=True)
class Ranked:
    """The summary: per ranked class, weights by the bits of the score."""

    parts: tuple[CellSums, ...]
    exact: bool = True


@dataclass(frozen=True)
class RankingTally:
    """Aggregate: scored batches -> one :class:`Ranking` per class (two classes: one), or per label."""

    outcome: Outcome
    size_bytes: int = SIZE_BYTES

    @property
    def positives(self) -> list[int]:
        """Positions of the classes that are ranked."""
        return [1] if self.outcome.binary else list(range(len(self.outcome.labels)))

    def summarize(self, batch: RecordBatch) -> Ranked:
        """Weights of positives and negatives by score."""
        scored = read_scored(batch, self.outcome)
        return self._bounded(Ranked(tuple(self._part(scored, c) for c in self.positives)))

    def _part(self, scored: Scored, c: int) -> CellSums:
        w = scored.weights()
        is_it = scored.truth == c if self.outcome.kind is Kind.CATEGORY else scored.truth[:, c] > 0.5
        p = np.clip(scored.scores[:, c], 0.0, 1.0) + 0.0  # no -0.0
        bits = p.view(np.int64)  # of doubles that are not negative: in the same order as they
        return CellSums.of(bits, np.column_stack([w * is_it, w * ~is_it]))

    def merge(self, left: Ranked, right: Ranked) -> Ranked:
        """Both; if one is rounded, both are."""
        exact = left.exact and right.exact
        if not exact:
            left, right = _rounded(left), _rounded(right)
        return self._bounded(
            Ranked(tuple(a + b for a, b in zip(left.parts, right.parts, strict=True)), exact)
        )

    def finish(self, summary: Ranked) -> list[Ranking]:
        """The rankings, highest score first."""
        rankings = []
        for part in summary.parts:
            positive, negative = part.values()[::-1].T
            rankings.append(Ranking(part.cells.view(np.float64)[::-1], positive, negative, summary.exact))
        return rankings

    def _bounded(self, summary: Ranked) -> Ranked:
        held = sum(len(part.cells) for part in summary.parts) * ENTRY_BYTES
        return summary if held <= self.size_bytes else _rounded(summary)


def _rounded(summary: Ranked) -> Ranked:
    """Scores rounded to 1/1024 of a unit of log-odds: close together where probabilities are near 0 or 1."""
    if not summary.exact:
        return summary
    parts = []
    for part in summary.parts:
        p = np.clip(part.cells.view(np.float64), 1e-9, 1 - 1e-9)
        odds = np.round(np.log(p / (1 - p)) * STEPS) / STEPS
        parts.append(part.moved((1 / (1 + np.exp(-odds))).view(np.int64)))
    return Ranked(tuple(parts), exact=False)
