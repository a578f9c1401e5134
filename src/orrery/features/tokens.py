"""Text as bags of word ids: for embeddings and linear models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.vocabulary import LIMIT, Counts, choose, merge_counts
from orrery.features.words import make_bag, split_words

UNSEEN, FIRST = 0, 1
"""The ids of all words without one of their own, and of the most frequent word."""


class TokensTransform(Transform):
    """One BAG per column; the weight is how often the word occurs. A missing text is an empty bag."""

    kind = "tokens"
    form = Form.TEXT

    def __init__(
        self, inputs: tuple[str, ...], words: Sequence[Sequence[str]], ngrams: int, max_words: int
    ) -> None:
        self.inputs = inputs
        self.words = words  # per column, in the order of their ids
        self.ngrams = ngrams
        self.max_words = max_words
        self.id_of = [{word: FIRST + i for i, word in enumerate(column)} for column in words]
        self.outputs = tuple(
            Output(
                name=block_name(self.kind, [name]),
                role=Role.BAG,
                sizes=(FIRST + len(column),),
                dtype="float32",
            )
            for name, column in zip(inputs, words, strict=True)
        )

    def apply(self, *columns: list[str | None]) -> tuple[Encoded, ...]:
        """A bag per column."""
        bags = []
        for texts, id_of in zip(columns, self.id_of, strict=True):
            ids: list[int] = []
            lengths = []
            for text in texts:
                words = split_words(text, self.ngrams, self.max_words) if text else ()
                ids += [id_of.get(word, UNSEEN) for word in words]
                lengths.append(len(words))
            bags.append(make_bag(ids, lengths, FIRST + len(id_of)))
        return tuple(bags)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The words of each column."""
        values = {"inputs": list(self.inputs), "ngrams": self.ngrams, "max_words": self.max_words}
        return values, {
            name: state.arrow_texts(column) for name, column in zip(self.inputs, self.words, strict=True)
        }

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        words = [state.texts(arrays, name) for name in inputs]
        return cls(
            inputs, words, state.whole(values, "ngrams", 1, 5), state.whole(values, "max_words", 1, 1_000_000)
        )


class Tokens(Feature):
    """Words by a vocabulary: id 0 for all unseen ones, 1 and up by how many texts hold the word.

    >>> import pyarrow as pa
    >>> tokens = Tokens(columns=("said",), min_count=1)
    >>> fitted = tokens.finish(tokens.summarize(pa.record_batch({"said": ["one fish", "two fish"]})))
    >>> fitted.apply(["fish fish new"])[0].ids
    array([0, 1], dtype=int32)
    """

    form: ClassVar[Form] = Form.TEXT
    transform: ClassVar[type[Transform]] = TokensTransform

    kind: Literal["tokens"] = "tokens"
    min_count: int = Field(default=2, ge=1)
    """Words in fewer texts share the id of unseen ones."""
    max_size: int = Field(default=20_000, ge=1, le=LIMIT)
    """Words that have an id of their own, at most."""
    ngrams: int = Field(default=1, ge=1, le=5)
    """Runs of neighbouring words that count as words too."""
    max_words: int = Field(default=10_000, ge=1, le=1_000_000)
    """Words read of one text; the rest of it is left out."""

    def summarize(self, batch: RecordBatch) -> list[Counts]:
        """How many texts hold each word, per column."""
        return [
            count_texts(lift(batch.column(name), Form.TEXT, name), self.ngrams, self.max_words)
            for name in self.columns
        ]

    def merge(self, left: list[Counts], right: list[Counts]) -> list[Counts]:
        """Exact."""
        return [merge_counts(a, b, name) for a, b, name in zip(left, right, self.columns, strict=True)]

    def finish(self, summary: list[Counts]) -> TokensTransform:
        """The words of each column."""
        words = [choose(counts, self.min_count, self.max_size) for counts in summary]
        return TokensTransform(self.columns, words, self.ngrams, self.max_words)


def count_texts(texts: Sequence[str | None], ngrams: int, max_words: int) -> Counts:
    """Word -> how many of the texts hold it."""
    counts: Counter[str] = Counter()
    for text in texts:
        if text:
            counts.update(set(split_words(text, ngrams, max_words)))
    return dict(counts)
