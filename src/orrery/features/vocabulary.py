"""Counting distinct values and choosing the ones worth a number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orrery.errors import FitError
from orrery.features.forms import Coded

LIMIT = 2_000_000
"""Distinct values counted in one column: some 300 MB of memory at most, for words of usual length."""

Counts = dict[str, int]


def count(coded: Coded, column: str) -> Counts:
    """How often each value occurs; missing ones are not counted. Raises FitError beyond LIMIT."""
    times = np.bincount(coded.codes[coded.codes >= 0], minlength=len(coded.values)).tolist()
    counts: Counts = {}
    for value, n in zip(coded.values, times, strict=True):
        if n:  # two values may be spelt alike: 0.0 and -0.0
            counts[value] = counts.get(value, 0) + n
    return _bounded(counts, column)


def merge_counts(left: Mapping[str, int], right: Mapping[str, int], column: str) -> Counts:
    """The counts of both. Raises FitError beyond LIMIT."""
    few, many = sorted((left, right), key=len)
    counts = dict(many)
    for value, n in few.items():
        counts[value] = counts.get(value, 0) + n
    return _bounded(counts, column)


def choose(counts: Mapping[str, int], min_count: int, max_size: int) -> list[str]:
    """The most frequent values, equal counts by name.

    >>> choose({"b": 2, "a": 2, "c": 9, "rare": 1}, min_count=2, max_size=10)
    ['c', 'a', 'b']
    """
    kept = [(-n, value) for value, n in counts.items() if n >= min_count]
    return [value for _, value in sorted(kept)[:max_size]]


def _bounded(counts: Counts, column: str) -> Counts:
    if len(counts) > LIMIT:
        raise FitError(
            f"Column {column!r} has more than {LIMIT:,} distinct values, too many to count.",
            hint="Leave it out if it names rows, or use the feature 'hashing'.",
        )
    return counts
