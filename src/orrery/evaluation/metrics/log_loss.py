"""Log loss: how surprised the model was by the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orrery.display import Both
from orrery.evaluation.metrics.average import Average, itself
from orrery.evaluation.metrics.metric import Metric
from orrery.evaluation.scored import Outcome, Scored
from orrery.schema import Kind

SMALLEST = float(np.finfo(np.float64).eps)
"""A probability of zero counts as this, so that one sure mistake is not infinitely bad."""


def row_losses(scored: Scored, outcome: Outcome) -> NDArray[np.float64]:
    """Minus the logarithm of the probability given to the truth [n]; for LABELS the mean over labels."""
    p = np.clip(scored.scores, SMALLEST, 1 - SMALLEST)
    if outcome.kind is Kind.CATEGORY:
        return np.asarray(-np.log(p[np.arange(len(p)), scored.truth]))
    given = np.where(scored.truth > 0.5, p, 1 - p)
    return np.asarray(-np.log(given).mean(axis=1)) if len(p) else np.zeros(0)


def log_loss_tally(outcome: Outcome) -> Average:
    """The mean of the row losses."""
    return Average(outcome, row_losses)


LOG_LOSS = Metric(
    name="log_loss",
    title=Both("Log loss", "对数损失"),
    about=Both("Surprise at the truth; 0 is perfect.", "模型对真实结果的“惊讶”程度，0 为最好。"),
    better="lower",
    tally=log_loss_tally,
    read=itself,
)
