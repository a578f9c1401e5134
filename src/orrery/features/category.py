"""Categories as codes, by a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Coded, Form, lift
from orrery.features.vocabulary import LIMIT, Counts, choose, count, merge_counts

MISSING, UNSEEN, FIRST = 0, 1, 2
"""The codes of a missing value, of one never seen (or too rare), and of the most frequent one."""


class CategoryTransform(Transform):
    """One CODE block: a position per column, ``sizes`` codes each."""

    kind = "category"
    form = Form.CODED

    def __init__(self, inputs: tuple[str, ...], words: Sequence[Sequence[str]]) -> None:
        self.inputs = inputs
        self.words = words  # per column, in the order of their codes
        self.code_of = [{word: FIRST + i for i, word in enumerate(column)} for column in words]
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs),
                role=Role.CODE,
                width=len(inputs),
                sizes=tuple(FIRST + len(column) for column in words),
                dtype="int32",
                names=inputs,
            ),
        )

    def apply(self, *columns: Coded) -> tuple[Encoded, ...]:
        """int32 [n, k]."""
        out = np.empty((len(columns[0].codes), len(columns)), np.int32)
        if len(out) == 1:  # one row of a request: numpy's calls would cost more than the work
            out[0] = [self._code(j, *column) for j, column in enumerate(columns)]
            return (out,)
        for j, ((codes, values), code_of) in enumerate(zip(columns, self.code_of, strict=True)):
            table = [code_of.get(value, UNSEEN) for value in values]
            table.append(MISSING)  # the code -1 finds the last one
            out[:, j] = np.array(table, np.int32)[codes]
        return (out,)

    def _code(self, j: int, codes: NDArray[np.int64], values: Sequence[str]) -> int:
        """Of a column's only row."""
        code = codes[0]
        return MISSING if code < 0 else self.code_of[j].get(values[code], UNSEEN)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The words of each column."""
        arrays = {
            name: state.arrow_texts(column) for name, column in zip(self.inputs, self.words, strict=True)
        }
        return {"inputs": list(self.inputs)}, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        return cls(inputs, [state.texts(arrays, name) for name in inputs])


class Category(Feature):
    """A code for each value: 0 missing, 1 unseen, 2 and up by frequency, then by name.

    >>> import pyarrow as pa
    >>> category = Category(columns=("city",))
    >>> fitted = category.finish(category.summarize(pa.record_batch({"city": ["Bern", "Rome", "Rome"]})))
    >>> fitted.apply(Coded(np.array([0, 1, 2, -1]), ["Rome", "Bern", "Oslo"]))[0].T
    array([[2, 3, 1, 0]], dtype=int32)
    """

    form: ClassVar[Form] = Form.CODED
    transform: ClassVar[type[Transform]] = CategoryTransform

    kind: Literal["category"] = "category"
    min_count: int = Field(default=1, ge=1)
    """Values that occur less often share the code of unseen ones."""
    max_size: int = Field(default=10_000, ge=1, le=LIMIT)
    """Values that have a code of their own, at most."""

    def summarize(self, batch: RecordBatch) -> list[Counts]:
        """How often each value occurs, per column."""
        return [count(lift(batch.column(name), Form.CODED, name), name) for name in self.columns]

    def merge(self, left: list[Counts], right: list[Counts]) -> list[Counts]:
        """Exact."""
        return [merge_counts(a, b, name) for a, b, name in zip(left, right, self.columns, strict=True)]

    def finish(self, summary: list[Counts]) -> CategoryTransform:
        """The words of each column."""
        return CategoryTransform(
            self.columns, [choose(counts, self.min_count, self.max_size) for counts in summary]
        )
