"""Calibration: when the model says 80 %, is it right in 80 % of the rows?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, divide
from orrery.evaluation.scored import Outcome, read_scored
from orrery.evaluation.sums import CellSums

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Ten equal bins of probability: weight, mean probability said, share that came true; each [10]."""

    weight: NDArray[np.float64]
    said: NDArray[np.float64]
    came_true: NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Aggregate: scored batches -> :class:`Reliability`.

    Two classes: of the positive one. More: of the likeliest class of each row (Guo et al., "On calibration
    of modern neural networks", 2017, section 2).
    """

    outcome: Outcome

    def summarize(self, batch: RecordBatch) -> CellSums:
        """By bin: weight, weighted probability, weight that came true."""
        scored = read_scored(batch, self.outcome)
        if self.outcome.binary:
            said, true = scored.scores[:, 1], scored.truth == 1
        else:
            said = scored.scores[np.arange(len(scored)), scored.predicted]
            true = scored.predicted == scored.truth
        said, w = np.clip(said, 0.0, 1.0), scored.weights()
        bins = np.searchsorted(np.linspace(0.0, 1.0, BINS + 1)[1:-1], said)
        return CellSums.of(bins.astype(np.int64), np.column_stack([w, w * said, w * true]))

    def merge(self, left: CellSums, right: CellSums) -> CellSums:
        """Both."""
        return left + right

    def finish(self, summary: CellSums) -> Reliability:
        """The bins; in an empty one everything is 0."""
        weight, said, true = summary.dense(BINS).T
        filled = np.where(weight > 0, weight, 1.0)
        return Reliability(weight, said / filled, true / filled)


def calibration_error(found: Reliability) -> float | None:
    """The weighted mean gap between what was said and what came true (the expected calibration error)."""
    gaps = float((found.weight * np.abs(found.said - found.came_true)).sum())
    return divide(gaps, float(found.weight.sum()))


CALIBRATION_ERROR = Metric(
    name="calibration_error",
    title=Both("Calibration error", "校准误差"),
    about=Both(
        "How far stated probabilities are from what came true.", "预测概率与实际发生比例之间的平均差距。"
    ),
    better="lower",
    tally=Calibration,
    read=calibration_error,
    share=True,
)
