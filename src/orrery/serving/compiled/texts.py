"""Texts as bags of words: counted with a dictionary, a row at a time.

Legend: m ids in all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from orrery.features.feature import Encoded
from orrery.features.forms import Bag
from orrery.features.tfidf import TfidfTransform
from orrery.features.tokens import UNSEEN, TokensTransform
from orrery.features.words import split_words
from orrery.serving.compiled.step import UnusualError, Values


class Texts:
    """Bags of words, as :class:`~orrery.features.tokens.TokensTransform` or ``TfidfTransform`` has them."""

    path = "compiled"

    def __init__(self, transform: TokensTransform | TfidfTransform) -> None:
        self.transform = transform
        rarity = transform.rarity if isinstance(transform, TfidfTransform) else [None] * len(transform.inputs)
        self._rarity = [None if column is None else column.tolist() for column in rarity]

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """A bag per column, of one row."""
        return self.many([[value] for value in values], 1)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """A bag per column."""
        found = zip(columns, self.transform.id_of, self._rarity, strict=True)
        return tuple(self._bag(texts, id_of, rarity) for texts, id_of, rarity in found)

    def _bag(self, texts: Values, id_of: Mapping[str, int], rarity: Sequence[float] | None) -> Bag:
        """The ids of each row in their order."""
        ids: list[int] = []
        weights: list[float] = []
        offsets = [0]
        for text in texts:
            if text:
                counts = self._counts(text, id_of, known_only=rarity is not None)
                row = sorted(counts)
                ids += row
                times = [counts[i] for i in row]
                weights += times if rarity is None else _weighed(row, times, rarity)
            elif text is not None and text.__class__ is not str:
                raise UnusualError
            offsets.append(len(ids))
        return Bag(np.array(offsets, np.int64), np.array(ids, np.int32), np.array(weights, np.float32))

    def _counts(self, text: object, id_of: Mapping[str, int], *, known_only: bool) -> dict[int, int]:
        if text.__class__ is not str:
            raise UnusualError
        counts: dict[int, int] = {}
        for word in split_words(str(text), self.transform.ngrams, self.transform.max_words):
            found = id_of.get(word, -1 if known_only else UNSEEN)
            if found >= 0:
                counts[found] = counts.get(found, 0) + 1
        return counts


def _weighed(ids: Sequence[int], times: Sequence[int], rarity: Sequence[float]) -> list[float]:
    """Counts times rarity, the row's length 1: summed in the order of ids, as the transform does."""
    weights = [n * rarity[i] for i, n in zip(ids, times, strict=True)]
    squares = 0.0
    for weight in weights:
        squares += weight * weight
    length = math.sqrt(squares)
    return [weight / length for weight in weights]
