"""Several categories in one row, as a bag: tags, interests, parts bought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Bag, Form, lift
from orrery.features.vocabulary import LIMIT, Counts, choose, merge_counts
from orrery.features.words import make_bag

UNSEEN, FIRST = 0, 1
"""The ids of all labels without one of their own, and of the most frequent label."""


class LabelSetTransform(Transform):
    """One BAG per column, weights 1. A missing list is an empty bag."""

    kind = "labels"
    form = Form.LABELS

    def __init__(self, inputs: tuple[str, ...], words: Sequence[Sequence[str]]) -> None:
        self.inputs = inputs
        self.words = words  # per column, in the order of their ids
        self._ids = [{word: FIRST + i for i, word in enumerate(column)} for column in words]
        self.outputs = tuple(
            Output(
                name=block_name(self.kind, [name]),
                role=Role.BAG,
                sizes=(FIRST + len(column),),
                dtype="float32",
                names=("unseen", *column),
            )
            for name, column in zip(inputs, words, strict=True)
        )

    def apply(self, *columns: list[list[str] | None]) -> tuple[Encoded, ...]:
        """A bag per column."""
        bags = []
        for rows, id_of in zip(columns, self._ids, strict=True):
            found = [{id_of.get(label, UNSEEN) for label in row} if row else () for row in rows]
            bag = make_bag([i for row in found for i in row], [len(row) for row in found], FIRST + len(id_of))
            bags.append(Bag(bag.offsets, bag.ids, np.ones_like(bag.weights)))
        return tuple(bags)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The labels of each column."""
        arrays = {
            name: state.arrow_texts(column) for name, column in zip(self.inputs, self.words, strict=True)
        }
        return {"inputs": list(self.inputs)}, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        return cls(inputs, [state.texts(arrays, name) for name in inputs])


class LabelSet(Feature):
    """Lists of labels by a vocabulary: id 0 for all unseen ones, 1 and up by frequency, then by name.

    >>> import pyarrow as pa
    >>> labels = LabelSet(columns=("tags",))
    >>> fitted = labels.finish(labels.summarize(pa.record_batch({"tags": [["sea"], ["sea", "sun"]]})))
    >>> fitted.apply([["sun", "snow"]])[0].ids
    array([0, 2], dtype=int32)
    """

    form: ClassVar[Form] = Form.LABELS
    transform: ClassVar[type[Transform]] = LabelSetTransform

    kind: Literal["labels"] = "labels"
    min_count: int = Field(default=1, ge=1)
    """Labels in fewer rows share the id of unseen ones."""
    max_size: int = Field(default=10_000, ge=1, le=LIMIT)
    """Labels that have an id of their own, at most."""

    def summarize(self, batch: RecordBatch) -> list[Counts]:
        """How many rows hold each label, per column."""
        return [_count(lift(batch.column(name), Form.LABELS, name)) for name in self.columns]

    def merge(self, left: list[Counts], right: list[Counts]) -> list[Counts]:
        """Exact."""
        return [merge_counts(a, b, name) for a, b, name in zip(left, right, self.columns, strict=True)]

    def finish(self, summary: list[Counts]) -> LabelSetTransform:
        """The labels of each column."""
        words = [choose(counts, self.min_count, self.max_size) for counts in summary]
        return LabelSetTransform(self.columns, words)


def _count(rows: Sequence[list[str] | None]) -> Counts:
    return dict(Counter(label for row in rows if row for label in set(row)))
