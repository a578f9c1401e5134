"""The confusion matrix: how much weight of each class was given each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.evaluation.metrics.metric import divide
from orrery.evaluation.scored import Outcome, read_scored
from orrery.evaluation.sums import CellSums


@dataclass(frozen=True)
class Matrix:
    """Weight by true class (down) and predicted class (across): [k, k]."""

    cells: NDArray[np.float64]

    @property
    def total(self) -> float:
        """All weight."""
        return float(self.cells.sum())

    def recalls(self) -> list[float | None]:
        """Per class: the share of it that was found; None for a class that does not occur."""
        return [divide(float(row[i]), float(row.sum())) for i, row in enumerate(self.cells)]

    def precisions(self) -> list[float | None]:
        """Per class: the share of its predictions that are right; None for a class never predicted."""
        return [divide(float(column[i]), float(column.sum())) for i, column in enumerate(self.cells.T)]

    def f1s(self) -> list[float | None]:
        """Per class: the harmonic mean of both; None for a class that neither occurs nor is predicted."""
        both = self.cells.sum(axis=0) + self.cells.sum(axis=1)
        return [divide(2 * float(self.cells[i, i]), float(both[i])) for i in range(len(both))]


@dataclass(frozen=True)
class Confusion:
    """Aggregate: scored batches -> :class:`Matrix`."""

    outcome: Outcome

    def summarize(self, batch: RecordBatch) -> CellSums:
        """Weight by cell, exactly."""
        scored = read_scored(batch, self.outcome)
        cells = scored.truth * len(self.outcome.labels) + scored.predicted
        return CellSums.of(cells, scored.weights()[:, None])

    def merge(self, left: CellSums, right: CellSums) -> CellSums:
        """Both."""
        return left + right

    def finish(self, summary: CellSums) -> Matrix:
        """The matrix."""
        k = len(self.outcome.labels)
        return Matrix(summary.dense(k * k)[:, 0].reshape(k, k))
