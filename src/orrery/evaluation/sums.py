"""Sums that do not round until they are read, so that no cut or order of the rows changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import ExactSum

_LIMB = float(1 << 31)
_CHUNK = 1 << 21  # 2**31 * 2**21 < 2**53: sums of limbs stay exact in doubles


@dataclass(frozen=True)
class CellSums:
    """Sums of non-negative values up to 2**31 by cell; only cells that occur are held.

    A value is cut into a whole part and two limbs of 31 binary digits, each summed in integers: exact down
    to 2**-62.

    >>> CellSums.of(np.array([7, 3, 7]), np.array([[0.5], [1.0], [0.25]])).dense(8)[:, 0]
    array([0.  , 0.  , 0.  , 1.  , 0.  , 0.  , 0.  , 0.75])
    """

    cells: NDArray[np.int64]
    """[m], sorted, each once."""
    limbs: NDArray[np.int64]
    """[m, columns, 3]."""

    @classmethod
    def of(cls, cells: NDArray[np.int64], values: NDArray[np.float64]) -> Self:
        """From cells [n] and the values to be added there [n, columns]."""
        found, places = np.unique(cells, return_inverse=True)
        limbs = np.zeros((len(found), values.shape[1], 3), np.int64)
        for start in range(0, len(cells), _CHUNK):
            part, where = values[start : start + _CHUNK], places[start : start + _CHUNK]
            for j in range(values.shape[1]):
                for i, limb in enumerate(_cut(part[:, j])):
                    limbs[:, j, i] += np.bincount(where, limb, len(found)).astype(np.int64)
        return cls(found.astype(np.int64), limbs)

    def __add__(self, other: CellSums) -> CellSums:
        if not len(other.cells):
            return self
        if not len(self.cells):
            return other
        return CellSums(
            np.concatenate([self.cells, other.cells]), np.concatenate([self.limbs, other.limbs])
        ).grouped()

    def grouped(self) -> CellSums:
        """Equal cells made one."""
        order = np.argsort(self.cells, kind="stable")
        cells = self.cells[order]
        new = np.concatenate([[True], cells[1:] != cells[:-1]])
        limbs = self.limbs[order[new]]
        np.add.at(limbs, (np.cumsum(new) - 1)[~new], self.limbs[order[~new]])
        return CellSums(cells[new], limbs)

    def moved(self, cells: NDArray[np.int64]) -> CellSums:
        """The same sums under other cells, several of which may be equal."""
        return CellSums(cells, self.limbs).grouped() if len(cells) else self

    def values(self) -> NDArray[np.float64]:
        """The sums [m, columns] as the nearest doubles, but for the last digit."""
        limbs = self.limbs.astype(np.float64)
        return np.asarray((limbs[..., 2] / _LIMB + limbs[..., 1]) / _LIMB + limbs[..., 0])

    def dense(self, size: int) -> NDArray[np.float64]:
        """The sums of cells 0 to size - 1, as [size, columns]."""
        out = np.zeros((size, self.limbs.shape[1]))
        out[self.cells] = self.values()
        return out


def _cut(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    whole = np.floor(values)
    rest = (values - whole) * _LIMB
    middle = np.floor(rest)
    return whole, middle, np.rint((rest - middle) * _LIMB)


def exact_dot(*factors: NDArray[np.float64]) -> ExactSum:
    """The sum over rows of the product of the factors [n], with no rounding at all.

    Each product is kept as a value and its error (Dekker, "A floating-point technique for extending the
    available precision", 1971, section 5).

    >>> exact_dot(np.array([1e8 + 1]), np.array([1e8 - 1])).value() == 1e16 - 1
    True
    """
    terms = [np.asarray(factors[0], np.float64)]
    for factor in factors[1:]:
        terms = [part for term in terms for part in _product(term, factor)]
    total = ExactSum()
    for term in terms:
        total += ExactSum.of(term)
    return total


def _product(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _halves(a: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    big = a * 134217729.0  # 2**27 + 1
    high = big - (big - a)
    return high, a - high
