"""Numbers and categories: the columns that most tables are made of.

Legend: n rows, k columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from orrery.features.category import MISSING, UNSEEN, CategoryTransform
from orrery.features.feature import Encoded
from orrery.features.number import NumberTransform
from orrery.features.plain import PlainTransform
from orrery.features.scale import Scale, tame
from orrery.features.target_mean import TargetMeanTransform
from orrery.features.vector import VectorTransform
from orrery.serving.compiled.step import UnusualError, Values, numbers, spelt


class Scaled:
    """:class:`~orrery.features.scale.Scale` on an array that may be overwritten; the same operations."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self._least = -scale.clip

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers [n, k], scaled in their place."""
        scale = self.scale
        if not np.isfinite(x).all():
            x = np.where(np.isnan(x), scale.fill, tame(x, scale.low, scale.high))
        np.subtract(x, scale.mean, out=x)
        np.divide(x, scale.std, out=x)
        np.minimum(x, scale.clip, out=x)
        np.maximum(x, self._least, out=x)
        return x


class Numbers:
    """Numbers side by side, scaled, as :class:`~orrery.features.number.NumberTransform` has them."""

    path = "compiled"

    def __init__(self, transform: NumberTransform) -> None:
        self.transform = transform
        self._scaled = Scaled(transform.scale)

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """Float64 [1, width]."""
        return self._encoded(numbers(values)[None])

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        return self._encoded(_side_by_side(columns, rows))

    def _encoded(self, x: NDArray[np.float64]) -> tuple[Encoded, ...]:
        flagged = self.transform.flagged
        if not flagged.size:
            return (self._scaled(x),)
        gone = np.isnan(x.take(flagged, axis=1))
        return (np.concatenate((self._scaled(x), gone), axis=1),)


class Plain:
    """Numbers as they are, as :class:`~orrery.features.plain.PlainTransform` has them."""

    path = "compiled"

    def __init__(self, transform: PlainTransform) -> None:
        self.transform = transform

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """Float64 [1, k]."""
        return self._tamed(numbers(values)[None])

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Float64 [n, k]."""
        return self._tamed(_side_by_side(columns, rows))

    def _tamed(self, x: NDArray[np.float64]) -> tuple[Encoded, ...]:
        if np.isinf(x).any():
            x = tame(x, self.transform.low, self.transform.high)
        return (x,)


class Vectors:
    """One column of equally long lists of numbers."""

    path = "compiled"

    def __init__(self, transform: VectorTransform) -> None:
        self.transform = transform
        self._scaled = Scaled(transform.scale)
        self._gone = [math.nan] * transform.width

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """Float64 [1, width]."""
        return self.many([values], 1)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        width = self.transform.width
        vectors = [self._gone if v is None else v for v in columns[0]]
        if not width or not all(v.__class__ is list and len(v) == width for v in vectors):
            raise UnusualError
        x = numbers(list(chain.from_iterable(vectors))).reshape(rows, width)
        if not self.transform.indicator:
            return (self._scaled(x),)
        missing = np.isnan(x).all(axis=1, keepdims=True)
        return (np.concatenate((self._scaled(x), missing), axis=1),)


class Categories:
    """Codes by a vocabulary: a look into a dictionary for each value."""

    path = "compiled"

    def __init__(self, transform: CategoryTransform) -> None:
        self.transform = transform

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """int32 [1, k]."""
        pairs = zip(values, self.transform.code_of, strict=True)
        return (np.array([[_place(v, code_of, UNSEEN) for v, code_of in pairs]], np.int32),)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """int32 [n, k]."""
        out = np.empty((rows, len(columns)), np.int32)
        for j, (values, code_of) in enumerate(zip(columns, self.transform.code_of, strict=True)):
            out[:, j] = _places(values, code_of, UNSEEN)
        return (out,)


class TargetMeans:
    """Means by value: all columns' tables one below the other, found by one call."""

    path = "compiled"

    def __init__(self, transform: TargetMeanTransform) -> None:
        self.transform = transform
        self._table = np.concatenate(transform.means)
        sizes = [len(means) for means in transform.means]
        self._starts = [sum(sizes[:j]) for j in range(len(sizes))]
        self._columns = [
            (places, start, start + len(places) + 1)
            for places, start in zip(transform.places, self._starts, strict=True)
        ]

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """Float64 [1, k * means]."""
        found = [
            start + place if (place := _place(v, places, -1)) >= 0 else unseen
            for v, (places, start, unseen) in zip(values, self._columns, strict=True)
        ]
        return (self._table.take(found, axis=0).reshape(1, -1),)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Float64 [n, k * means]."""
        at = np.empty((rows, len(columns)), np.intp)
        for j, (values, (places, start, unseen)) in enumerate(zip(columns, self._columns, strict=True)):
            found = np.array(_places(values, places, -1), np.intp)
            at[:, j] = np.where(found >= 0, found + start, unseen)
        return (self._table.take(at, axis=0).reshape(rows, -1),)


def _place(value: Any, places: Mapping[str, int], unseen: int) -> int:
    """The place of one value; 0 of a missing one."""
    if value.__class__ is str:
        return places.get(value, unseen)
    text = spelt(value)
    return MISSING if text is None else places.get(text, unseen)


def _places(values: Values, places: Mapping[str, int], unseen: int) -> list[int]:
    """The places of a column: by one look each, where all are known by their text."""
    found = list(map(places.get, values))
    if None not in found:
        return cast("list[int]", found)
    return [_place(v, places, unseen) if at is None else at for v, at in zip(values, found, strict=True)]


def _side_by_side(columns: Sequence[Values], rows: int) -> NDArray[np.float64]:
    """Columns of numbers as one block [n, k], row by row in memory."""
    flat = numbers(list(chain.from_iterable(columns)))
    return np.ascontiguousarray(flat.reshape(len(columns), rows).T)
