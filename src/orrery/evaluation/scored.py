"""What is evaluated: rows with the truth beside the scores that a model gave them.

A scored batch has the columns ``truth`` (CATEGORY: position among the labels; NUMBER: a number; LABELS and
VECTOR: a list of k numbers), ``scores`` (a list of k numbers; CATEGORY and LABELS: probabilities),
``weight`` where rows count unequally, and any others, by which to slice and which to show.

Legend: n rows, k scores per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.errors import SchemaError, UnknownColumnError
from orrery.schema import Kind

TRUTH, SCORES, WEIGHT = "truth", "scores", "weight"
LARGEST_WEIGHT = float(1 << 31)


@dataclass(frozen=True)
class Outcome:
    """What is predicted: its kind, its labels in the order of the scores, the name of its column.

    >>> Outcome(Kind.CATEGORY, ("no", "yes"), "churned").width
    2
    """

    kind: Kind
    labels: tuple[str | int | float | bool, ...] = ()
    name: str = ""

    @property
    def width(self) -> int | None:
        """Scores per row; None where only the rows can tell (a vector)."""
        return {Kind.NUMBER: 1, Kind.VECTOR: None}.get(self.kind, len(self.labels))

    @property
    def binary(self) -> bool:
        """Whether there are two classes, so that one score says all; the second label is the positive one."""
        return self.kind is Kind.CATEGORY and len(self.labels) == 2


@dataclass(frozen=True)
class Scored:
    """The arrays of one scored batch, checked."""

    truth: NDArray[Any]
    """CATEGORY int64 [n]; NUMBER [n, 1], LABELS and VECTOR [n, k] float64."""
    scores: NDArray[np.float64]
    """[n, k]."""
    weight: NDArray[np.float64] | None
    """[n], or None where every row counts one."""

    def __len__(self) -> int:
        return len(self.scores)

    def weights(self) -> NDArray[np.float64]:
        """[n]: the weights, or ones."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def predicted(self) -> NDArray[np.int64]:
        """CATEGORY: the position of the likeliest class [n]; of equals the first."""
        return self.scores.argmax(axis=1) if len(self) else np.zeros(0, np.int64)


def read_scored(batch: RecordBatch, outcome: Outcome) -> Scored:
    """The arrays of a scored batch. Raises SchemaError that names the column and what is wrong with it."""
    for name in (TRUTH, SCORES):
        if name not in batch.schema.names:
            raise UnknownColumnError(name, batch.schema.names)
    scores = _matrix(batch.column(SCORES), SCORES)
    if outcome.width is not None and scores.shape[1] != outcome.width and len(scores):
        raise SchemaError(
            f"The column 'scores' holds {scores.shape[1]} numbers per row, where {outcome.kind.value} "
            f"with {len(outcome.labels)} labels needs {outcome.width}."
        )
    weight = _weights(batch.column(WEIGHT)) if WEIGHT in batch.schema.names else None
    if outcome.kind is Kind.CATEGORY:
        return Scored(_codes(batch.column(TRUTH), outcome), scores, weight)
    truth = _matrix(batch.column(TRUTH), TRUTH)
    if truth.shape != scores.shape and len(scores):
        raise SchemaError(f"'truth' holds {truth.shape[1]} numbers per row, 'scores' {scores.shape[1]}.")
    return Scored(truth, scores, weight)


def _matrix(column: Any, name: str) -> NDArray[np.float64]:
    """Numbers or lists of numbers of one length as [n, k]."""
    if column.null_count:
        raise SchemaError(f"The column {name!r} is missing in {column.null_count} of {len(column)} rows.")
    if pa.types.is_fixed_size_list(column.type):
        flat, width = column.flatten(), column.type.list_size
    elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        flat, width = column.flatten(), len(column.flatten()) // max(len(column), 1)
        if any(len(row) != width for row in column):
            raise SchemaError(f"The lists of the column {name!r} are not all of one length.")
    else:
        flat, width = column, 1
    values: NDArray[np.float64] = flat.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():  # Arrow's nulls inside lists become NaN
        raise SchemaError(f"The column {name!r} holds NaN or infinity.")
    if values.size and np.abs(values).max() > 1e140:
        raise SchemaError(f"The column {name!r} holds numbers beyond 1e140, whose squares are no numbers.")
    return values.reshape(len(column), width)


def _codes(column: Any, outcome: Outcome) -> NDArray[np.int64]:
    if column.null_count:
        raise SchemaError(f"The column 'truth' is missing in {column.null_count} of {len(column)} rows.")
    codes: NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if codes.size and (codes.min() < 0 or codes.max() >= len(outcome.labels)):
        raise SchemaError(
            f"The column 'truth' holds positions from {codes.min()} to {codes.max()}, "
            f"but there are {len(outcome.labels)} labels."
        )
    return codes


def _weights(column: Any) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if weights.size and not (weights.min() >= 0 and weights.max() <= LARGEST_WEIGHT):  # NaN fails too
        raise SchemaError(
            f"The column 'weight' holds values from {weights.min():g} to {weights.max():g}; "
            f"weights are numbers from 0 to {LARGEST_WEIGHT:.0f}."
        )
    return weights
