"""Text as bags of weighted words, rare words weighing more: for linear models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Bag, Form, lift
from orrery.features.tokens import count_texts
from orrery.features.vocabulary import LIMIT, Counts, choose, merge_counts
from orrery.features.words import make_bag, split_words


class TfidfTransform(Transform):
    """One BAG per column, each row of length 1 (L2). Unseen words are left out."""

    kind = "tfidf"
    form = Form.TEXT

    def __init__(
        self,
        inputs: tuple[str, ...],
        words: Sequence[Sequence[str]],
        rarity: Sequence[NDArray[np.float64]],
        ngrams: int,
        max_words: int,
    ) -> None:
        self.inputs = inputs
        self.words = words  # per column, in the order of their ids
        self.rarity = rarity  # per column, of each word
        self.ngrams = ngrams
        self.max_words = max_words
        self.id_of = [{word: i for i, word in enumerate(column)} for column in words]
        self.outputs = tuple(
            Output(
                name=block_name(self.kind, [name]),
                role=Role.BAG,
                sizes=(len(column),),
                dtype="float32",
                names=(name,),
            )
            for name, column in zip(inputs, words, strict=True)
        )

    def apply(self, *columns: list[str | None]) -> tuple[Encoded, ...]:
        """A bag per column."""
        bags = []
        for texts, id_of, rarity in zip(columns, self.id_of, self.rarity, strict=True):
            ids: list[int] = []
            lengths = []
            for text in texts:
                words = split_words(text, self.ngrams, self.max_words) if text else ()
                known = [id_of[word] for word in words if word in id_of]
                ids += known
                lengths.append(len(known))
            bags.append(_weigh(make_bag(ids, lengths, len(id_of)), rarity))
        return tuple(bags)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The words of each column, and how rare they are."""
        values = {"inputs": list(self.inputs), "ngrams": self.ngrams, "max_words": self.max_words}
        arrays = {}
        for name, words, rarity in zip(self.inputs, self.words, self.rarity, strict=True):
            arrays[f"words of {name}"] = state.arrow_texts(words)
            arrays[f"rarity in {name}"] = state.arrow_floats(rarity)
        return values, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        words = [state.texts(arrays, f"words of {name}") for name in inputs]
        rarity = [
            state.floats(arrays, f"rarity in {name}", len(column))
            for name, column in zip(inputs, words, strict=True)
        ]
        if any((column < 1).any() for column in rarity):
            raise state.broken("a word is less rare than one that is everywhere")
        ngrams = state.whole(values, "ngrams", 1, 5)
        return cls(inputs, words, rarity, ngrams, state.whole(values, "max_words", 1, 1_000_000))


class Tfidf(Feature):
    """Term frequency times inverse document frequency, smoothed, rows of length 1.

    ``idf = ln((1 + texts) / (1 + texts with the word)) + 1``, as scikit-learn's TfidfTransformer has it.

    >>> import pyarrow as pa
    >>> tfidf = Tfidf(columns=("said",), min_count=1)
    >>> fitted = tfidf.finish(tfidf.summarize(pa.record_batch({"said": ["one fish", "two fish"]})))
    >>> fitted.apply(["fish"])[0].weights
    array([1.], dtype=float32)
    """

    form: ClassVar[Form] = Form.TEXT
    transform: ClassVar[type[Transform]] = TfidfTransform

    kind: Literal["tfidf"] = "tfidf"
    min_count: int = Field(default=2, ge=1)
    """Words in fewer texts are left out."""
    max_size: int = Field(default=50_000, ge=1, le=LIMIT)
    """Words that have an id of their own, at most."""
    ngrams: int = Field(default=1, ge=1, le=5)
    """Runs of neighbouring words that count as words too."""
    max_words: int = Field(default=10_000, ge=1, le=1_000_000)
    """Words read of one text; the rest of it is left out."""

    def summarize(self, batch: RecordBatch) -> tuple[int, list[Counts]]:
        """Texts, and how many of them hold each word, per column."""
        columns = [lift(batch.column(name), Form.TEXT, name) for name in self.columns]
        return batch.num_rows, [count_texts(texts, self.ngrams, self.max_words) for texts in columns]

    def merge(
        self, left: tuple[int, list[Counts]], right: tuple[int, list[Counts]]
    ) -> tuple[int, list[Counts]]:
        """Exact."""
        pairs = zip(left[1], right[1], self.columns, strict=True)
        return left[0] + right[0], [merge_counts(a, b, name) for a, b, name in pairs]

    def finish(self, summary: tuple[int, list[Counts]]) -> TfidfTransform:
        """The words of each column, and how rare they are."""
        rows, columns = summary
        words = [choose(counts, self.min_count, self.max_size) for counts in columns]
        rarity = [
            np.array([math.log((1 + rows) / (1 + counts[word])) + 1.0 for word in chosen], np.float64)
            for counts, chosen in zip(columns, words, strict=True)
        ]
        return TfidfTransform(self.columns, words, rarity, self.ngrams, self.max_words)


def _weigh(bag: Bag, rarity: NDArray[np.float64]) -> Bag:
    """Counts times rarity, rows of length 1. Summed in the order of ids, so that each row stands alone."""
    weights = bag.weights.astype(np.float64) * rarity[bag.ids]
    n = len(bag.offsets) - 1
    rows = np.repeat(np.arange(n), np.diff(bag.offsets))
    length = np.sqrt(np.bincount(rows, weights * weights, minlength=n))
    return Bag(bag.offsets, bag.ids, (weights / length[rows]).astype(np.float32))
