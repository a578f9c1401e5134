"""K-S: the widest gap between the score distributions of positives and negatives."""

from __future__ import annotations

import numpy as np

from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, mean
from orrery.evaluation.metrics.ranking import Ranking, RankingTally


def widest_gap(ranking: Ranking) -> tuple[float, float] | None:
    """The Kolmogorov-Smirnov statistic and the score where it is reached; None unless both sides occur."""
    if not ranking.both:
        return None
    found, alarms = ranking.found(), ranking.alarms()
    gaps = np.abs(found / found[-1] - alarms / alarms[-1])
    at = int(gaps.argmax())
    return float(gaps[at]), float(ranking.scores[at])


def mean_ks(rankings: list[Ranking]) -> float | None:
    """The plain mean over the classes, each against the rest."""
    gaps = [widest_gap(ranking) for ranking in rankings]
    return mean([gap[0] if gap else None for gap in gaps])


KS = Metric(
    name="ks",
    title=Both("K-S", "K-S"),
    about=Both("Widest gap between positives and negatives.", "正例与反例得分分布的最大差距。"),
    better="higher",
    tally=RankingTally,
    read=mean_ks,
)
