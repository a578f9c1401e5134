"""Average precision: the area under the precision-recall curve, as a sum of steps."""

from __future__ import annotations

import numpy as np

from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, mean
from orrery.evaluation.metrics.ranking import Ranking, RankingTally


def average_precision(ranking: Ranking) -> float | None:
    """The sum over scores of the recall gained times the precision there; None without positives."""
    found, alarms = ranking.found(), ranking.alarms()
    if not len(found) or not found[-1] > 0:
        return None
    picked = found + alarms
    precision = found / np.where(picked > 0, picked, 1.0)
    return float(np.dot(ranking.positive, precision) / found[-1])


def mean_average_precision(rankings: list[Ranking]) -> float | None:
    """The plain mean over the classes, each against the rest."""
    return mean([average_precision(ranking) for ranking in rankings])


AVERAGE_PRECISION = Metric(
    name="average_precision",
    title=Both("Average precision", "平均精确率"),
    about=Both(
        "Precision over all thresholds; strict where positives are rare.",
        "各阈值下精确率的平均，正例稀少时更严格。",
    ),
    better="higher",
    tally=RankingTally,
    read=mean_average_precision,
)
