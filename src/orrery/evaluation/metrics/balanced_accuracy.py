"""Balanced accuracy: the mean over classes of the share that was found, so that small classes count."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.confusion import Confusion, Matrix
from orrery.evaluation.metrics.metric import Metric, mean


def balanced_accuracy(matrix: Matrix) -> float | None:
    """The mean recall of the classes that occur."""
    return mean(matrix.recalls())


BALANCED_ACCURACY = Metric(
    name="balanced_accuracy",
    title=Both("Balanced accuracy", "均衡准确率"),
    about=Both("Accuracy if every class were equally frequent.", "假设各类别同样多时的准确率。"),
    better="higher",
    tally=Confusion,
    read=balanced_accuracy,
    share=True,
)
