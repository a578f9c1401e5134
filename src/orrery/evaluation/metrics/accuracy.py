"""Accuracy: the share of rows whose likeliest class is the true one."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.confusion import Confusion, Matrix
from orrery.evaluation.metrics.metric import Metric, divide


def accuracy(matrix: Matrix) -> float | None:
    """The weight on the diagonal over all weight."""
    return divide(float(matrix.cells.trace()), matrix.total)


ACCURACY = Metric(
    name="accuracy",
    title=Both("Accuracy", "准确率"),
    about=Both("Share of rows given the right class.", "预测类别正确的行所占的比例。"),
    better="higher",
    tally=Confusion,
    read=accuracy,
    share=True,
)
