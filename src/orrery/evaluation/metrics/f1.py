"""F1 of classes: the harmonic mean of precision and recall, averaged over classes."""

from __future__ import annotations

from orrery.display import Both
from orrery.evaluation.metrics.confusion import Confusion, Matrix
from orrery.evaluation.metrics.metric import Metric, mean


def f1_macro(matrix: Matrix) -> float | None:
    """The mean F1 of the classes that occur or are predicted."""
    return mean(matrix.f1s())


F1_MACRO = Metric(
    name="f1_macro",
    title=Both("F1, mean of classes", "F1（各类平均）"),
    about=Both(
        "Precision and recall in one number, every class counting the same.",
        "精确率与召回率合成的一个数，各类别权重相同。",
    ),
    better="higher",
    tally=Confusion,
    read=f1_macro,
)
