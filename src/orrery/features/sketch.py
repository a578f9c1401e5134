"""Quantiles in bounded memory, the same however the rows are cut or ordered.

Each double is an integer whose order is that of the doubles. As long as there are few distinct values the
sketch counts each; beyond that it drops the lowest bits of all, just as many as needed. How many is decided
by the set of values alone, hence so is every quantile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

LIMIT = 4096
"""Distinct values kept: 64 KiB a column, and a rank read with about one part in four thousand."""

_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class Sketch:
    """How often each value occurs, values cut by ``shift`` low bits.

    >>> s = Sketch.of(np.arange(101.0))
    >>> s.quantiles(np.array([0.0, 0.5, 1.0]))
    array([  0.,  50., 100.])
    """

    shift: int = 0
    keys: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Of the finite values among these."""
        finite = values[np.isfinite(values)] + 0.0  # + 0.0: no minus zero
        bits = finite.view(np.int64)
        ordered = np.where(bits < 0, bits ^ _SIGN, bits)
        keys, counts = np.unique(ordered, return_counts=True)
        return cls(*_fit(0, keys, counts.astype(np.int64)))

    def __add__(self, other: Sketch) -> Sketch:
        shift = max(self.shift, other.shift)
        keys = np.concatenate([self.keys >> (shift - self.shift), other.keys >> (shift - other.shift)])
        return Sketch(*_fit(shift, *_group(keys, np.concatenate([self.counts, other.counts]))))

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values below which these shares of all lie (the lower of two neighbours); 0 where empty."""
        return self._values()[self._places(shares)] if self.keys.size else np.zeros(len(shares))

    def line(self, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """At most so many of the values, evenly spread by rank, and the rank of each, from 0 to 1.

        Rows of equal value share the rank in their middle. A single value 0 where empty.
        """
        if not self.keys.size:
            return np.zeros(1), np.full(1, 0.5)
        chosen = np.unique(self._places(np.arange(points) / (points - 1)))
        ends = np.cumsum(self.counts)
        if ends[-1] == 1:
            return self._values(), np.full(1, 0.5)
        ranks = (2 * ends - self.counts - 1) / (2 * (ends[-1] - 1))
        return self._values()[chosen], ranks[chosen]

    def _places(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which key stands at these shares of all rows."""
        ends = np.cumsum(self.counts)
        ranks = np.floor(shares * float(ends[-1] - 1)).astype(np.int64)
        return np.searchsorted(ends, ranks, side="right").astype(np.int64)

    def _values(self) -> NDArray[np.float64]:
        """The middle of each bucket."""
        ordered = self.keys << self.shift
        if self.shift:
            ordered = ordered | (np.int64(1) << np.int64(self.shift - 1))
        return np.where(ordered < 0, ordered ^ _SIGN, ordered).view(np.float64)


def _group(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    distinct, where = np.unique(keys, return_inverse=True)
    summed = np.zeros(len(distinct), np.int64)
    np.add.at(summed, where, counts)
    return distinct, summed


def _fit(
    shift: int, keys: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Drop as few low bits as bring the distinct keys (sorted) under the limit."""
    drop = 0
    while drop < 63 and 1 + np.count_nonzero(np.diff(keys >> drop)) > LIMIT:
        drop += 1
    if drop:
        keys, counts = _group(keys >> drop, counts)
    return shift + drop, keys, counts
