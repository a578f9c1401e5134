"""Lift: how many more positives the best-scored tenth of the rows holds than a tenth picked blindly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, mean
from orrery.evaluation.metrics.ranking import Ranking, RankingTally

Floats = NDArray[np.float64]


def gains(ranking: Ranking) -> tuple[Floats, Floats] | None:
    """Share of all rows picked, best first, and the share of all positives among them.

    Rows of one score are picked together. None unless both sides occur.
    """
    if not ranking.both:
        return None
    found, alarms = ranking.found(), ranking.alarms()
    picked = (found + alarms) / (found[-1] + alarms[-1])
    return np.append(0.0, picked), np.append(0.0, found / found[-1])


def lift(ranking: Ranking, share: float = 0.1) -> float | None:
    """The gain at a share of the rows, over that share."""
    curve = gains(ranking)
    return None if curve is None else float(np.interp(share, *curve)) / share


def mean_lift(rankings: list[Ranking]) -> float | None:
    """The plain mean over the classes, each against the rest."""
    return mean([lift(ranking) for ranking in rankings])


LIFT = Metric(
    name="lift",
    title=Both("Lift, top tenth", "提升度（前 10%）"),
    about=Both(
        "Positives in the best-scored tenth, against a blind pick.",
        "得分最高的十分之一里正例的倍数（与随机相比）。",
    ),
    better="higher",
    tally=RankingTally,
    read=mean_lift,
)
