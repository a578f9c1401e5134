"""Count, mean, spread and range of numbers, exact however the rows are cut or ordered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import ExactSum

_SCALE = 1074 + 53  # of the integer in an ExactSum
_NOTHING = ExactSum()
_SPLIT = float((1 << 27) + 1)
_LARGE = 2.0**500  # beyond it the square of a double may not be one


@dataclass(frozen=True)
class Moments:
    """Of the finite values; NaN counts as missing, infinities count for nothing.

    >>> both = Moments.of(np.array([1.0, 2.0])) + Moments.of(np.array([3.0, np.nan]))
    >>> both.mean, both.missing, both.high
    (2.0, 1, 3.0)
    """

    count: int = 0
    missing: int = 0
    total: ExactSum = _NOTHING
    squares: ExactSum = _NOTHING
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, values: NDArray[np.float64], spread: bool = True) -> Self:
        """Of one column; without ``spread``, only the counts and the range (quicker)."""
        finite = values[np.isfinite(values)]
        missing = int(np.count_nonzero(np.isnan(values))) if finite.size < values.size else 0
        if not finite.size:
            return cls(missing=missing)
        low, high = float(finite.min()) + 0.0, float(finite.max()) + 0.0  # + 0.0: no minus zero
        if not spread:
            return cls(finite.size, missing, low=low, high=high)
        return cls(finite.size, missing, ExactSum.of(finite), _squares(finite), low, high)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count,
            self.missing + other.missing,
            self.total + other.total,
            self.squares + other.squares,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def mean(self) -> float:
        """The nearest double; 0 where there are no values."""
        return self.total.scaled / (self.count << _SCALE) if self.count else 0.0

    @property
    def std(self) -> float:
        """Of the values as a whole population; 0 where they are all equal."""
        if not self.count or self.low == self.high:
            return 0.0
        # n * sum(x^2) - sum(x)^2 in integers: nothing cancels, however far the mean is from zero.
        scaled = ((self.count * self.squares.scaled) << _SCALE) - self.total.scaled**2
        return math.isqrt(max(scaled, 0)) / (self.count << _SCALE)


def _squares(finite: NDArray[np.float64]) -> ExactSum:
    """The exact sum of squares: each value is cut in two halves whose products are doubles (Dekker 1971)."""
    size = np.abs(finite)
    large = finite[size > _LARGE]
    x = finite[size <= _LARGE] if large.size else finite
    swollen = x * _SPLIT
    high = swollen - (swollen - x)
    low = x - high
    square = x * x
    error = low * low - ((square - high * high) - 2.0 * high * low)
    exact = ExactSum.of(square) + ExactSum.of(error)
    if large.size:
        exact = exact + ExactSum(sum(int(v) ** 2 for v in large.tolist()) << _SCALE)
    return exact
