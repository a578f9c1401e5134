"""Root mean squared error: a typical error in the unit of the target, large errors weighing more."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.errors import Errors, ErrorSums, root
from orrery.evaluation.metrics.metric import Metric, mean


def rmse(sums: tuple[ErrorSums, ...]) -> float | None:
    """The root of the mean squared error, averaged over the numbers of a vector."""
    return mean([root(one.mse()) for one in sums])


RMSE = Metric(
    name="rmse",
    title=Both("RMSE", "均方根误差"),
    about=Both(
        "Typical error, in the unit of the target; large ones weigh more.",
        "典型误差（与目标同单位），大误差影响更大。",
    ),
    better="lower",
    tally=Errors,
    read=rmse,
)
