"""How well batches are mixed, as one number.

The worst case: rows of one row group are alike, and different from all others. p_g is the share of a batch
that comes from row group g. **E = 1 / Σ p_g²**, averaged over batches, is the effective number of row groups
in a batch: the inverse of Simpson's index (*Measurement of Diversity*, Nature 163, 1949). A full shuffle of R
row groups has E = R, no mixing E = 1. The variance of a batch's mean, divided by that under a full shuffle of
rows, is vr = 1 + (B - 1)(1/E - 1/R) / (1 - 1/R): the block variance of Xu and others, *In-Database Machine
Learning with CorgiPile: SGD without Full Data Shuffle*, SIGMOD 2022.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.data.loader.order import Block, Lane, Order

_BATCHES = 200  # looked at, evenly over the epoch


@dataclass(frozen=True)
class Quality:
    """How well an epoch is mixed.

    >>> print(Quality(effective=11.0, groups=80, size=1024))
    mixes E = 11.0 of 80 row groups; variance of a batch's mean 82.2 times that of a full shuffle
    """

    effective: float
    """E: row groups that are mixed in a batch."""
    groups: int
    """R: row groups in all."""
    size: int
    """B: rows of a batch."""

    @property
    def variance_ratio(self) -> float:
        """Vr, at worst: of rows that are alike within a row group. 1 is a full shuffle."""
        if self.groups < 2:
            return 1.0
        lost = 1 / min(max(self.effective, 1e-9), self.groups) - 1 / self.groups
        return 1 + (self.size - 1) * lost / (1 - 1 / self.groups)

    def __str__(self) -> str:
        worse = f"variance of a batch's mean {self.variance_ratio:.1f} times that of a full shuffle"
        return f"mixes E = {self.effective:.1f} of {self.groups} row groups; {worse}"


def measured(groups: Iterable[NDArray[Any]]) -> float:
    """E of batches as they came, from the row group of each row; without the bias of sampling.

    >>> round(measured([np.array([0, 0, 0, 0])]), 3), measured([np.array([0, 1, 2, 3])]) > 1e6
    (1.0, True)
    """
    found = []
    for batch in groups:
        if len(batch) > 1:
            shares = np.unique(batch, return_counts=True)[1] / len(batch)
            once = 1 / len(batch)
            found.append(1 / max((float(shares @ shares) - once) / (1 - once), 1e-9))
    return float(np.mean(found)) if found else 1.0


def expected(order: Order, epoch: int, origin: NDArray[np.int64]) -> Quality:
    """E by arithmetic, before anything is read; ``origin`` [groups of the order] is each one's row group."""
    groups = len(set(origin.tolist()))
    step = max(1, order.batches // _BATCHES)
    batches = np.arange(0, order.batches, step)
    shares = np.zeros((len(batches), int(origin.max(initial=-1)) + 1))
    for number in range(order.lanes):
        starts = [order.position(number, int(batch)) for batch in batches]
        widths = [order.width(number, order.length(int(batch))) for batch in batches]
        _add(shares, starts, widths, order.lane(epoch, number), origin)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    squares = (shares**2).sum(axis=1)
    effective = float(np.mean(1 / squares[squares > 0])) if (squares > 0).any() else 1.0
    return Quality(effective, groups, order.size)


def _add(
    shares: NDArray[Any], starts: list[int], widths: list[int], lane: Lane, origin: NDArray[np.int64]
) -> None:
    """A lane's part of some batches, of which it gives ``widths`` rows each, from ``starts`` on."""
    i = 0
    for block in lane.blocks():
        end = block.start + block.rows
        while i < len(starts) and starts[i] + widths[i] <= block.start:
            i += 1
        of_block = None
        for j in range(i, len(starts)):
            if starts[j] >= end:
                break
            rows = min(starts[j] + widths[j], end) - max(starts[j], block.start)
            if rows > 0:
                of_block = _of_block(block, lane, origin, shares.shape[1]) if of_block is None else of_block
                shares[j] += of_block * rows


def _of_block(block: Block, lane: Lane, origin: NDArray[np.int64], groups: int) -> NDArray[Any]:
    share = np.zeros(groups)
    for unit, taken in enumerate(block.takes, block.first):
        for piece in lane.units[unit]:
            share[origin[piece.group]] += taken / block.rows * piece.rows / lane.sizes[unit]
    return share
