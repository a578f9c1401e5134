"""Categories as the mean of what is to be predicted: for columns of very many values.

A row that was learnt from must not see its own answer, or the model would trust the column far too much.
So rows are cut into folds by a hash of their values, and in training each gets the means of the other folds
(Micci-Barreca 2001; cross-fitting as in scikit-learn's TargetEncoder).

Rows that are equal in every column the plan reads fall in one fold together: a column that stands alone
teaches nothing here. Legend: n rows, v distinct values, f folds, k classes, labels or numbers of the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from orrery.aggregate import RecordBatch
from orrery.data.rowhash import row_hashes
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.fold_sums import FoldSums, add_up, as_columns, fold_of, is_binary
from orrery.features.forms import Coded, Form, lift
from orrery.features.target import Target
from orrery.schema import Kind

_MISSING = 0  # the place of missing values; the words follow
_MOST_FOLDS = 100


class TargetMeanTransform(Transform):
    """One NUMBER block: k means per column. Unseen values get the mean of all rows."""

    kind = "target_mean"
    form = Form.CODED

    def __init__(
        self,
        inputs: tuple[str, ...],
        sums: Sequence[FoldSums],
        names: Sequence[str],
        smoothing: float,
        folded_by: tuple[str, ...],
    ) -> None:
        self.inputs = inputs
        self.sums = sums  # per column
        self.names = names  # of the k means, for people
        self.smoothing = smoothing
        self.folded_by = folded_by
        self.places = [{word: 1 + i for i, word in enumerate(s.words)} for s in sums]
        self.means = [s.means(smoothing) for s in sums]
        self._means_without = [s.means_without(smoothing) for s in sums]
        shown = tuple(f"{name} by {column}" for column in inputs for name in names)
        self.outputs = (
            Output(name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(shown), names=shown),
        )

    def _at(self, j: int, column: Coded) -> NDArray[np.int64]:
        """The place [n] of each row's value among what was learnt; the last one is for unseen values."""
        places = self.places[j]
        table = [places.get(value, len(places) + 1) for value in column.values]
        return np.array([*table, _MISSING], np.int64)[column.codes]  # the code -1 finds the last one

    def apply(self, *columns: Coded) -> tuple[Encoded, ...]:
        """Float64 [n, columns * k]."""
        blocks = [means[self._at(j, c)] for j, (means, c) in enumerate(zip(self.means, columns, strict=True))]
        return (np.concatenate(blocks, axis=1),)

    def apply_in_training(self, row_hashes: NDArray[np.uint64], *columns: Coded) -> tuple[Encoded, ...]:
        """The means of the folds that a row is not in."""
        blocks = []
        for j, (means, column) in enumerate(zip(self._means_without, columns, strict=True)):
            blocks.append(means[self._at(j, column), fold_of(row_hashes, means.shape[1])])
        return (np.concatenate(blocks, axis=1),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Counts and sums per column, value and fold."""
        arrays = {}
        for name, sums in zip(self.inputs, self.sums, strict=True):
            arrays[f"words of {name}"] = state.arrow_texts(sums.words)
            arrays[f"counts of {name}"] = pa.array(sums.counts.ravel(), pa.int64())
            arrays[f"sums of {name}"] = state.arrow_floats(sums.sums)
        values = {
            "inputs": list(self.inputs),
            "names": list(self.names),
            "folds": self.sums[0].counts.shape[1],
            "smoothing": self.smoothing,
            "folded_by": list(self.folded_by),
        }
        return values, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        names, folded_by = state.columns(values, "names"), state.columns(values, "folded_by")
        folds = state.whole(values, "folds", 2, _MOST_FOLDS)
        sums = []
        for name in inputs:
            words = state.texts(arrays, f"words of {name}")
            cells = (len(words) + 1) * folds
            counts = state.integers(arrays, f"counts of {name}", 0, 2**53, cells).reshape(-1, folds)
            totals = state.floats(arrays, f"sums of {name}", cells * len(names)).reshape(
                -1, folds, len(names)
            )
            sums.append(FoldSums(words, counts, totals))
        return cls(inputs, sums, names, state.real(values, "smoothing", 1e-9, 1e9), folded_by)


class TargetMean(Feature):
    """The mean of the target for each value of a column, drawn towards the mean of all where rows are few.

    >>> cities = pa.record_batch({"city": ["Bern", "Bern", "Rome"], "no": [1, 2, 3], "sold": [4.0, 6.0, 2.0]})
    >>> sold = Target(name="sold", kind="number", type="double")
    >>> feature = TargetMean(columns=("city",), target=sold, smoothing=1.0, folded_by=("city", "no"))
    >>> fitted = feature.finish(feature.summarize(cities))
    >>> fitted.apply(Coded(np.array([0, 1]), ["Rome", "Oslo"]))[0].T  # (2 + 1 * 4) / (1 + 1), and 4
    array([[3., 4.]])
    """

    form: ClassVar[Form] = Form.CODED
    transform: ClassVar[type[Transform]] = TargetMeanTransform

    kind: Literal["target_mean"] = "target_mean"
    target: Target
    """The column to predict. Of two classes, the second one's share is learnt; of more, each one's."""
    folds: int = Field(default=5, ge=2, le=_MOST_FOLDS)
    """Parts that the rows are cut into."""
    smoothing: float = Field(default=10.0, ge=1e-9, le=1e9)
    """The mean of all rows counts as much as so many rows of the value."""
    folded_by: tuple[str, ...] = ()
    """The columns whose values together decide a row's fold; a plan fills in all that it reads."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.target.name in self.columns or self.target.name in self.folded_by:
            raise ValueError(f"the target {self.target.name!r} is among the columns")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns, those that decide the fold, and the target."""
        return tuple(dict.fromkeys([*self.columns, *self.folded_by, self.target.name]))

    def beside(self, columns: tuple[str, ...]) -> Feature:
        """Folds by all columns that the plan reads, unless told otherwise."""
        return self if self.folded_by else self.replace(folded_by=columns)

    def summarize(self, batch: RecordBatch) -> list[FoldSums]:
        """Exact counts and sums of the target per column, value and fold. Raises TargetError."""
        truth = as_columns(self.target.encode(batch.column(self.target.name)), self.target)
        fold = fold_of(row_hashes(batch, self.folded_by or self.columns), self.folds)
        return [
            add_up(lift(batch.column(name), Form.CODED, name), fold, truth, self.folds, name)
            for name in self.columns
        ]

    def merge(self, left: list[FoldSums], right: list[FoldSums]) -> list[FoldSums]:
        """Exact."""
        return [a.merged(b, name) for a, b, name in zip(left, right, self.columns, strict=True)]

    def finish(self, summary: list[FoldSums]) -> TargetMeanTransform:
        """The means."""
        sums = [s.rounded() for s in summary]
        folded_by = self.folded_by or self.columns
        return TargetMeanTransform(self.columns, sums, self._names(), self.smoothing, folded_by)

    def _names(self) -> list[str]:
        target = self.target
        if target.kind in {Kind.CATEGORY, Kind.LABELS}:
            labels = target.labels[1:] if is_binary(target) else target.labels
            return [f"share of {label}" for label in labels]
        if target.kind is Kind.VECTOR:
            return [f"mean {target.name}[{i}]" for i in range(target.width)]
        return [f"mean {target.name}"]
