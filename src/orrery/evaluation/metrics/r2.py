"""R²: the share of the variation of the target that the predictions explain."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.errors import Errors, ErrorSums
from orrery.evaluation.metrics.metric import Metric, mean


def r2(sums: tuple[ErrorSums, ...]) -> float | None:
    """R², averaged over the numbers of a vector."""
    return mean([one.r2() for one in sums])


R2 = Metric(
    name="r2",
    title=Both("R²", "R²（决定系数）"),
    about=Both(
        "Share of the target's variation that is explained; 1 is perfect.",
        "目标变化中被解释的比例，1 为最好。",
    ),
    better="higher",
    tally=Errors,
    read=r2,
)
