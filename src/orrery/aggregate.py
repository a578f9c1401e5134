"""Anything learnt by a pass over data: summarize a batch, merge two summaries, finish.

``merge`` is associative and commutative, so the result does not depend on how the rows were cut nor on
their order. Sums of floating-point numbers would break that by rounding; :class:`ExactSum` does not round
until it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)

RecordBatch = Any
"""``pyarrow.RecordBatch``: named here so that signatures read well without importing pyarrow."""


class Aggregate(Protocol[S, R_co]):
    """What is learnt from rows in one pass. A summary is a plain value that may travel between processes."""

    def summarize(self, batch: RecordBatch) -> S:
        """The summary of one batch; of an empty batch, the neutral one."""

    def merge(self, left: S, right: S) -> S:
        """The summary of both; changes neither."""

    def finish(self, summary: S) -> R_co:
        """What was learnt."""


def fold(aggregate: Aggregate[S, R_co], batches: Iterable[RecordBatch], empty: RecordBatch) -> R_co:
    """Run an aggregate over batches in this process; ``empty`` is a batch without rows."""
    summary = aggregate.summarize(empty)
    for batch in batches:
        summary = aggregate.merge(summary, aggregate.summarize(batch))
    return aggregate.finish(summary)


_EXPONENTS = 2100  # frexp of a double gives -1073..1024; shifted by 1074 they fit
_HALF = 27  # a 53-bit mantissa is cut into 26 high and 27 low bits


@dataclass(frozen=True)
class ExactSum:
    """The sum of doubles, exactly: one integer scaled by a power of two. Order and cut do not matter.

    Infinities and NaN are not numbers to be summed: the caller leaves them out.

    >>> tiny = ExactSum.of(np.array([1e16, 1.0, -1e16]))
    >>> tiny.value()
    1.0
    >>> ExactSum.of(np.array([0.1] * 10)).value()
    1.0
    """

    scaled: int = field(default=0)  # the sum times 2 ** (1074 + 53)

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """The exact sum of finite values, any shape."""
        flat = np.asarray(values, np.float64).ravel()
        total = 0
        for start in range(0, flat.size, 1 << 24):  # keeps every partial sum of half mantissas below 2**53
            total += cls._sum_chunk(flat[start : start + (1 << 24)])
        return cls(total)

    @staticmethod
    def _sum_chunk(flat: NDArray[np.float64]) -> int:
        mantissa, exponent = np.frexp(flat)
        shifted = mantissa * float(1 << 53)  # an integer, exactly
        high = np.floor(shifted / float(1 << _HALF))
        low = shifted - high * float(1 << _HALF)
        index = exponent.astype(np.int64) + 1074
        highs = np.bincount(index, weights=high, minlength=_EXPONENTS)
        lows = np.bincount(index, weights=low, minlength=_EXPONENTS)
        total = 0
        for i in np.flatnonzero((highs != 0) | (lows != 0)):
            total += ((int(highs[i]) << _HALF) + int(lows[i])) << int(i)
        return total

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.scaled + other.scaled)

    def value(self) -> float:
        """The nearest double."""
        return self.scaled / (1 << (1074 + 53))  # true division of integers rounds once
