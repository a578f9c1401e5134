"""AUC: the chance that a positive row is scored above a negative one (ties count half)."""

from __future__ import annotations

import numpy as np

from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, mean
from orrery.evaluation.metrics.ranking import Ranking, RankingTally


def auc(ranking: Ranking) -> float | None:
    """The area under the ROC curve by the trapezoidal rule; None unless both sides occur."""
    if not ranking.both:
        return None
    found = ranking.found()
    middle = found - ranking.positive / 2
    return float(np.dot(ranking.negative, middle) / (found[-1] * ranking.negative.sum()))


def mean_auc(rankings: list[Ranking]) -> float | None:
    """The plain mean over the classes, each against the rest."""
    return mean([auc(ranking) for ranking in rankings])


AUC = Metric(
    name="auc",
    title=Both("AUC", "AUC"),
    about=Both(
        "Chance that a true case ranks above another; 0.5 is guessing.",
        "正例得分高于反例的概率，0.5 等于瞎猜。",
    ),
    better="higher",
    tally=RankingTally,
    read=mean_auc,
)
