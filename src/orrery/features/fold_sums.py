"""Counts and sums of a target per value of a column and fold: what a target mean is made of.

Legend: n rows, v distinct values, f folds, k classes, labels or numbers of the target. Place 0 is for missing
values, place 1 + i for word i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import ExactSum
from orrery.errors import FitError
from orrery.features.forms import Coded
from orrery.features.target import Target
from orrery.schema import Kind

CELLS = 20_000_000
"""Numbers kept for one column: 160 MiB."""

_EXPONENTS = 2100  # as in ExactSum
_HALF = 27


@dataclass(frozen=True)
class FoldSums:
    """Sums are whole numbers until :meth:`rounded`: of answers where they are 0 or 1, else as in ExactSum."""

    words: Sequence[str]  # [v]
    counts: NDArray[np.int64]  # [v + 1, f]
    sums: NDArray[Any]  # [v + 1, f, k]

    def merged(self, other: FoldSums, column: str) -> FoldSums:
        """Of both. Raises FitError where there are too many values."""
        place_of = {word: 1 + i for i, word in enumerate(self.words)}
        places = np.array([0, *(place_of.setdefault(w, 1 + len(place_of)) for w in other.words)], np.int64)
        size = 1 + len(place_of)
        _check_size(size * self.sums[0].size, column)
        counts = np.zeros((size, *self.counts.shape[1:]), np.int64)
        sums = np.zeros((size, *self.sums.shape[1:]), self.sums.dtype)
        counts[: len(self.counts)] = self.counts
        sums[: len(self.sums)] = self.sums
        counts[places] += other.counts
        sums[places] += other.sums
        return FoldSums(list(place_of), counts, sums)

    def rounded(self) -> FoldSums:
        """Words that occur, sorted; sums as the nearest doubles."""
        occurring = [i for i, word in enumerate(self.words) if self.counts[1 + i].any()]
        order = sorted(occurring, key=lambda i: self.words[i])
        places = np.array([0, *(1 + i for i in order)], np.int64)
        sums = self.sums[places]
        if sums.dtype == object:
            values = [ExactSum(scaled).value() for scaled in sums.ravel().tolist()]
            sums = np.array(values, np.float64).reshape(sums.shape)
        return FoldSums([self.words[i] for i in order], self.counts[places], sums.astype(np.float64))

    def means(self, smoothing: float) -> NDArray[np.float64]:
        """[v + 2, k]: each value's mean, drawn towards the mean of all; the last row is for unseen values."""
        count, total = self.counts.sum(axis=1)[:, None], self.sums.sum(axis=1)
        return _smooth(count, total, smoothing)

    def means_without(self, smoothing: float) -> NDArray[np.float64]:
        """[v + 2, f, k]: the same from all rows but those of one fold."""
        count = (self.counts.sum(axis=1, keepdims=True) - self.counts)[:, :, None]
        total = self.sums.sum(axis=1, keepdims=True) - self.sums
        return _smooth(count, total, smoothing)


def _smooth(count: NDArray[Any], total: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
    """Along the first axis; where there are no rows at all, the mean is 0."""
    everything = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1)
    each = (total + smoothing * everything) / (count + smoothing)
    return np.concatenate([each, everything[None]])


def fold_of(row_hashes: NDArray[np.uint64], folds: int) -> NDArray[np.int64]:
    """The fold [n] of each row, from the middle bits of its hash: splits of a table use the others."""
    return ((row_hashes >> np.uint64(16)) % np.uint64(folds)).astype(np.int64)


def is_binary(target: Target) -> bool:
    """Whether one class's share says all."""
    return target.kind is Kind.CATEGORY and len(target.labels) == 2


def as_columns(encoded: NDArray[Any], target: Target) -> NDArray[Any]:
    """The encoded target as [n, k]: int8 zeros and ones for classes and labels, else float64."""
    if is_binary(target):
        return encoded[:, None].astype(np.int8)
    if target.kind is Kind.CATEGORY:
        return np.asarray(encoded[:, None] == np.arange(len(target.labels)), np.int8)
    if target.kind is Kind.LABELS:
        return encoded.astype(np.int8)
    return encoded.reshape(len(encoded), target.width)


def add_up(coded: Coded, fold: NDArray[np.int64], truth: NDArray[Any], folds: int, column: str) -> FoldSums:
    """Of one batch. Raises FitError where there are too many values."""
    place_of = {word: 1 + i for i, word in enumerate(dict.fromkeys(coded.values))}
    size = 1 + len(place_of)
    _check_size(size * folds * truth.shape[1], column)
    table = np.array([*(place_of[value] for value in coded.values), 0], np.int64)
    cell = table[coded.codes] * folds + fold  # the code -1 finds the last one
    counts = np.bincount(cell, minlength=size * folds).reshape(size, folds)
    add = _whole_sums if truth.dtype == np.int8 else _exact_sums
    sums = [add(cell, truth[:, j], size * folds) for j in range(truth.shape[1])]
    return FoldSums(list(place_of), counts, np.stack(sums, axis=1).reshape(size, folds, -1))


def _whole_sums(cell: NDArray[np.int64], values: NDArray[Any], cells: int) -> NDArray[Any]:
    return np.bincount(cell, values, minlength=cells).astype(np.int64)


def _exact_sums(cell: NDArray[np.int64], values: NDArray[Any], cells: int) -> NDArray[Any]:
    """Integers [cells], scaled as in ExactSum: mantissas are added per cell and exponent."""
    mantissa, exponent = np.frexp(values)
    shifted = mantissa * float(1 << 53)
    high = np.floor(shifted / float(1 << _HALF))
    low = shifted - high * float(1 << _HALF)
    keys, where = np.unique(cell * _EXPONENTS + exponent + 1074, return_inverse=True)
    highs, lows = np.bincount(where, high).tolist(), np.bincount(where, low).tolist()
    sums = np.zeros(cells, object)
    for key, h, w in zip(keys.tolist(), highs, lows, strict=True):
        at, shift = divmod(key, _EXPONENTS)
        sums[at] += ((int(h) << _HALF) + int(w)) << shift
    return sums


def _check_size(cells: int, column: str) -> None:
    if cells > CELLS:
        raise FitError(
            f"Column {column!r} has too many distinct values for target means: they take {cells:,} numbers, "
            f"{CELLS:,} are allowed.",
            hint="Use fewer folds, or the feature 'hashing'.",
        )
