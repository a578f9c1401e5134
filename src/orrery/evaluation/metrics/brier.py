"""Brier score: the squared distance between the probabilities and the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orrery.display import Both
from orrery.evaluation.metrics.average import Average, itself
from orrery.evaluation.metrics.metric import Metric
from orrery.evaluation.scored import Outcome, Scored


def row_distances(scored: Scored, outcome: Outcome) -> NDArray[np.float64]:
    """Squared distance per row [n]; with two classes that of the positive class alone (Brier 1950)."""
    truth = np.eye(len(outcome.labels))[scored.truth] if len(scored) else scored.scores
    gap = (scored.scores - truth) ** 2
    return np.asarray(gap[:, 1] if outcome.binary else gap.sum(axis=1))


def brier_tally(outcome: Outcome) -> Average:
    """The mean of the row distances."""
    return Average(outcome, row_distances)


BRIER = Metric(
    name="brier",
    title=Both("Brier score", "Brier 分数"),
    about=Both(
        "Squared distance of the probabilities from the truth; 0 is perfect.",
        "预测概率与真实结果的平方距离，0 为最好。",
    ),
    better="lower",
    tally=brier_tally,
    read=itself,
)
