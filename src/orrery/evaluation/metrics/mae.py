"""Mean absolute error: the mean distance between prediction and truth."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.errors import Errors, ErrorSums
from orrery.evaluation.metrics.metric import Metric, mean


def mae(sums: tuple[ErrorSums, ...]) -> float | None:
    """The mean absolute error, averaged over the numbers of a vector."""
    return mean([one.mae() for one in sums])


MAE = Metric(
    name="mae",
    title=Both("MAE", "平均绝对误差"),
    about=Both(
        "Mean distance from the truth, in the unit of the target.", "与真实值的平均距离（与目标同单位）。"
    ),
    better="lower",
    tally=Errors,
    read=mae,
)
