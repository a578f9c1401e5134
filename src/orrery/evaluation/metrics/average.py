"""The weighted mean of one value per row: what log loss, Brier score and the like have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import ExactSum, RecordBatch
from orrery.evaluation.metrics.metric import divide
from orrery.evaluation.scored import Outcome, Scored, read_scored
from orrery.evaluation.sums import exact_dot

Sums = tuple[ExactSum, ExactSum]


@dataclass(frozen=True)
class Average:
    """Aggregate: scored batches -> the weighted mean of ``value`` (one number per row), or None."""

    outcome: Outcome
    value: Callable[[Scored, Outcome], NDArray[np.float64]]

    def summarize(self, batch: RecordBatch) -> Sums:
        """The weighted sum and the weight."""
        scored = read_scored(batch, self.outcome)
        values, weights = self.value(scored, self.outcome), scored.weights()
        return exact_dot(values, weights), ExactSum.of(weights)

    def merge(self, left: Sums, right: Sums) -> Sums:
        """Both."""
        return left[0] + right[0], left[1] + right[1]

    def finish(self, summary: Sums) -> float | None:
        """The mean."""
        return divide(summary[0].value(), summary[1].value())


def itself(value: float | None) -> float | None:
    """A metric that is its tally."""
    return value
