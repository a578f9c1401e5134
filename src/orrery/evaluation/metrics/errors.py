"""Errors of numbers: exact weighted sums, from which RMSE, MAE and R² are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np

from orrery.aggregate import ExactSum, RecordBatch
from orrery.evaluation.metrics.metric import divide
from orrery.evaluation.scored import Outcome, read_scored
from orrery.evaluation.sums import exact_dot


@dataclass(frozen=True)
class ErrorSums:
    """Exact sums over the rows of one number: of weights, errors, and the truth."""

    weight: ExactSum
    error: ExactSum
    absolute: ExactSum
    squared: ExactSum
    truth: ExactSum
    truth_squared: ExactSum
    rows: int

    def __add__(self, other: ErrorSums) -> ErrorSums:
        return ErrorSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def mse(self) -> float | None:
        """Mean squared error."""
        return divide(self.squared.value(), self.weight.value())

    def mae(self) -> float | None:
        """Mean absolute error."""
        return divide(self.absolute.value(), self.weight.value())

    def bias(self) -> float | None:
        """Mean error: positive where predictions are too high."""
        return divide(self.error.value(), self.weight.value())

    def r2(self) -> float | None:
        """One minus the squared errors over those of the mean; None below two rows.

        The spread of the truth is taken from exact sums, so a large mean does not swallow it. A truth
        without spread gives 1 to perfect predictions and 0 to others.
        """
        if self.rows < 2 or not self.weight.scaled:
            return None
        spread = Fraction(self.truth_squared.scaled) - Fraction(self.truth.scaled**2, self.weight.scaled)
        if spread <= 0:
            return 0.0 if self.squared.scaled else 1.0
        return 1.0 - float(Fraction(self.squared.scaled) / spread)


@dataclass(frozen=True)
class Errors:
    """Aggregate: scored batches of NUMBER or VECTOR -> :class:`ErrorSums` for each number of a row."""

    outcome: Outcome

    def summarize(self, batch: RecordBatch) -> tuple[ErrorSums, ...]:
        """The sums of each number."""
        scored = read_scored(batch, self.outcome)
        w, truth = scored.weights(), scored.truth
        error = scored.scores - truth
        return tuple(
            ErrorSums(
                ExactSum.of(w),
                exact_dot(error[:, j], w),
                exact_dot(np.abs(error[:, j]), w),
                exact_dot(error[:, j], error[:, j], w),
                exact_dot(truth[:, j], w),
                exact_dot(truth[:, j], truth[:, j], w),
                len(scored),
            )
            for j in range(truth.shape[1])
        )

    def merge(self, left: tuple[ErrorSums, ...], right: tuple[ErrorSums, ...]) -> tuple[ErrorSums, ...]:
        """Both; a batch without rows may not know how many numbers there are."""
        if len(left) != len(right):
            return left if left and left[0].rows else right
        return tuple(a + b for a, b in zip(left, right, strict=True))

    def finish(self, summary: tuple[ErrorSums, ...]) -> tuple[ErrorSums, ...]:
        """The sums themselves: each metric reads its own."""
        return summary


def root(value: float | None) -> float | None:
    """The square root of what is known."""
    return None if value is None else math.sqrt(value)
