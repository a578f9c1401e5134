"""Folds: which rows to learn from and which to keep aside, in turn.

Decided by the rows' hashes, so that equal rows fall together and the order of the table does not matter.
Where nearly all rows are copies of a few, copies are told apart: else each fold would ask for rows unlike all
that it learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.schema import Kind
from orrery.training.feed import Feed

Rows = NDArray[np.int64]

SMALL, MEDIUM = 5_000, 20_000  # up to so many rows: five folds, three folds; above, one part held out

_FEW = 20  # distinct rows per fold, below which a table is one of copies


class Fold(NamedTuple):
    """Row numbers to learn from, and those kept aside to be predicted."""

    train: Rows
    held: Rows


def folds(feed: Feed, seed: int = 0, *, count: int | None = None) -> list[Fold]:
    """Folds of a feed, classes spread evenly; few rows give more folds, many rows one held-out fifth.

    One row cannot be folded: no folds.
    """
    count = count or (5 if feed.rows <= SMALL else 3 if feed.rows <= MEDIUM else 1)
    parts = 5 if count == 1 else min(count, feed.rows)
    place = deal(told_apart(feed.hashes, parts), parts, seed, _strata(feed))
    made = [Fold(np.flatnonzero(place != part), np.flatnonzero(place == part)) for part in range(parts)]
    made = [fold for fold in made if len(fold.train) and len(fold.held)]
    return made[:1] if count == 1 else made


def tenth(feed: Feed, seed: int = 0) -> Fold | None:
    """One part in ten kept aside; nothing where rows are too few."""
    place = deal(told_apart(feed.hashes, 10), 10, seed, _strata(feed))
    part = Fold(np.flatnonzero(place != 0), np.flatnonzero(place == 0))
    return part if len(part.train) >= 10 and len(part.held) else None


def sample(feed: Feed, most_rows: int, seed: int = 0) -> Feed:
    """The feed, or some of its rows, in their order, where it has more than ``most_rows``."""
    if feed.rows <= most_rows:
        return feed
    lowest = np.argsort(mix(feed.hashes, seed + 1), kind="stable")[:most_rows]
    return feed.subset(np.sort(lowest).astype(np.int64))


def held_rows(parts: Sequence[Fold]) -> Rows:
    """The rows that were kept aside in some fold, in the order of the folds."""
    return np.concatenate([part.held for part in parts])


def _strata(feed: Feed) -> NDArray[np.int64] | None:
    return feed.all().target if feed.target.kind is Kind.CATEGORY else None


def told_apart(hashes: NDArray[np.uint64], parts: int) -> NDArray[np.uint64]:
    """The hashes; where few are distinct, the copies of a row get hashes of their own.

    >>> np.unique(told_apart(np.array([7, 7, 9], np.uint64), 5)).size
    3
    """
    distinct, place, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    if len(distinct) == len(hashes) or len(distinct) >= _FEW * parts:
        return hashes
    order = np.argsort(place, kind="stable")
    copy = np.empty(len(hashes), np.uint64)
    copy[order] = np.arange(len(hashes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(hashes ^ mix(copy, 0) * (copy > 0), np.uint64)


def deal(
    hashes: NDArray[np.uint64], parts: int, seed: int, strata: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The part of each row: rows are ranked by mixed hash in their stratum and dealt out in turn."""
    mixed = mix(hashes, seed)
    strata = np.zeros(len(mixed), np.int64) if strata is None else strata
    order = np.lexsort((mixed, strata))
    ranked = mixed[order]
    fresh = np.ones(len(order), bool)  # equal rows share a rank
    fresh[1:] = (ranked[1:] != ranked[:-1]) | (strata[order][1:] != strata[order][:-1])
    part = np.empty(len(order), np.int64)
    part[order] = (np.cumsum(fresh) - 1) % max(parts, 1)
    return part


def mix(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Other hashes for another seed (the finalizer of splitmix64, Steele et al. 2014)."""
    step = (0x9E3779B97F4A7C15 * (seed + 1)) & 0xFFFF_FFFF_FFFF_FFFF
    z = hashes + np.uint64(step)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)
