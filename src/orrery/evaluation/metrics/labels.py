"""Several labels per row: F1 over labels, Hamming loss, and rows with every label right.

A label counts as given where its probability is over one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.display import Both
from orrery.evaluation.metrics.metric import Metric, divide
from orrery.evaluation.scored import Outcome, read_scored
from orrery.evaluation.sums import CellSums


@dataclass(frozen=True)
class LabelTable:
    """Weight per label [k, 4] of (absent and not given, absent but given, missed, found); rows all right."""

    cells: NDArray[np.float64]
    all_right: float
    total: float

    def precisions(self) -> list[float | None]:
        """Per label: the share of what was given that is right."""
        return [divide(float(c[3]), float(c[3] + c[1])) for c in self.cells]

    def recalls(self) -> list[float | None]:
        """Per label: the share of what is true that was found."""
        return [divide(float(c[3]), float(c[3] + c[2])) for c in self.cells]

    def f1s(self) -> list[float]:
        """Per label: the harmonic mean of both; 0 where the label neither occurs nor is given."""
        return [divide(2 * float(c[3]), float(2 * c[3] + c[1] + c[2])) or 0.0 for c in self.cells]


@dataclass(frozen=True)
class LabelTally:
    """Aggregate: scored batches of LABELS -> :class:`LabelTable`."""

    outcome: Outcome

    def summarize(self, batch: RecordBatch) -> CellSums:
        """Weight by label and by what became of it; the last two cells are rows all right, and all rows."""
        scored = read_scored(batch, self.outcome)
        k, w = len(self.outcome.labels), scored.weights()
        truth, given = scored.truth > 0.5, scored.scores > 0.5
        cells = np.arange(k) * 4 + truth * 2 + given
        right = (truth == given).all(axis=1)
        return CellSums.of(
            np.concatenate([cells.ravel(), np.full(len(w), 4 * k), np.full(len(w), 4 * k + 1)]).astype(
                np.int64
            ),
            np.concatenate([np.repeat(w, k), w * right, w])[:, None],
        )

    def merge(self, left: CellSums, right: CellSums) -> CellSums:
        """Both."""
        return left + right

    def finish(self, summary: CellSums) -> LabelTable:
        """The table."""
        k = len(self.outcome.labels)
        dense = summary.dense(4 * k + 2)[:, 0]
        return LabelTable(dense[: 4 * k].reshape(k, 4), float(dense[4 * k]), float(dense[4 * k + 1]))


def subset_accuracy(table: LabelTable) -> float | None:
    """The share of rows with every label right."""
    return divide(table.all_right, table.total)


def hamming_loss(table: LabelTable) -> float | None:
    """The share of single decisions that are wrong."""
    return divide(float(table.cells[:, 1:3].sum()), float(table.cells.sum()))


def f1_micro(table: LabelTable) -> float | None:
    """F1 of all decisions together."""
    wrong, found = table.cells[:, 1:3].sum(), table.cells[:, 3].sum()
    return divide(float(2 * found), float(2 * found + wrong))


def f1_labels(table: LabelTable) -> float | None:
    """The mean F1 of the labels."""
    return divide(sum(table.f1s()), len(table.cells)) if table.total else None


SUBSET_ACCURACY = Metric(
    "accuracy",
    Both("Rows all right", "整行全对"),
    Both("Share of rows with every label right.", "所有标签都预测正确的行所占的比例。"),
    "higher",
    LabelTally,
    subset_accuracy,
    share=True,
)
F1_MICRO = Metric(
    "f1_micro",
    Both("F1, all decisions", "F1（微平均）"),
    Both("Precision and recall of all labels together.", "所有标签合在一起的精确率与召回率。"),
    "higher",
    LabelTally,
    f1_micro,
)
F1_LABELS = Metric(
    "f1_macro",
    Both("F1, mean of labels", "F1（宏平均）"),
    Both("The same per label, every label counting the same.", "逐个标签计算后平均，各标签权重相同。"),
    "higher",
    LabelTally,
    f1_labels,
)
HAMMING_LOSS = Metric(
    "hamming_loss",
    Both("Hamming loss", "汉明损失"),
    Both("Share of single decisions that are wrong.", "单个标签判断错误的比例。"),
    "lower",
    LabelTally,
    hamming_loss,
    share=True,
)
