"""Lists of numbers of one length: embeddings, readings, flattened pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.errors import SchemaError
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, bad_row, lift
from orrery.features.moments import Moments
from orrery.features.scale import Scale

_WIDEST = 1_000_000


class VectorTransform(Transform):
    """One NUMBER block: the vector, each position scaled; then a 0/1 if vectors were missing."""

    kind = "vector"
    form = Form.VECTOR

    def __init__(self, inputs: tuple[str, ...], scale: Scale, indicator: bool) -> None:
        self.inputs = inputs
        self.scale = scale
        self.indicator = indicator
        self.width = len(scale.mean)
        names = [f"{inputs[0]}[{i}]" for i in range(self.width)]
        if indicator:
            names.append(f"{inputs[0]} is missing")
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(names), names=tuple(names)
            ),
        )

    def apply(self, *columns: NDArray[np.float64]) -> tuple[Encoded, ...]:
        """Float64 [n, width]. Raises BadRowError for vectors of another length."""
        x = columns[0]
        missing = np.isnan(x).all(axis=1, keepdims=True)
        if self.width == 0:  # no vector was ever seen: nothing is known of any
            x = x[:, :0]
        elif x.shape[1] == 0:  # none of these rows has a vector
            x = np.full((len(x), self.width), np.nan)
        if x.shape[1] != self.width:
            reason = f"{x.shape[1]} numbers where the model takes {self.width}."
            raise bad_row(self.inputs[0], int(np.argmin(missing)), reason)
        y = self.scale.apply(x)
        return (np.ascontiguousarray(np.concatenate([y, missing], axis=1) if self.indicator else y),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The scale of each position."""
        values = {
            "inputs": list(self.inputs),
            "width": self.width,
            "indicator": self.indicator,
            "clip": self.scale.clip,
        }
        return values, self.scale.arrays()

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        if len(inputs) != 1:
            raise state.broken("a vector reads one column")
        width = state.whole(values, "width", 0, _WIDEST)
        scale = Scale.from_arrays(arrays, width, state.real(values, "clip", 0.0, 1e308))
        return cls(inputs, scale, state.truth(values, "indicator"))


class Vector(Feature):
    """A list of numbers per row, all of one length, standardised position by position.

    >>> import pyarrow as pa
    >>> vector = Vector(columns=("at",))
    >>> fitted = vector.finish(vector.summarize(pa.record_batch({"at": [[1.0, 2.0], [3.0, 2.0]]})))
    >>> fitted.apply(np.array([[3.0, 2.0]]))[0]
    array([[1., 0.]])
    """

    form: ClassVar[Form] = Form.VECTOR
    transform: ClassVar[type[Transform]] = VectorTransform

    kind: Literal["vector"] = "vector"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    standardise: bool = True
    """Subtract the mean and divide by the standard deviation, at each position."""
    clip: float = Field(default=10.0, gt=0, le=1e308)
    """Cut what is further from zero (after standardising)."""

    def summarize(self, batch: RecordBatch) -> tuple[int, list[Moments]]:
        """Rows without a vector, and moments per position; none for rows without any vector."""
        x: NDArray[np.float64] = lift(batch.column(self.columns[0]), Form.VECTOR, self.columns[0])
        missing = int(np.isnan(x).all(axis=1).sum())
        return missing, [Moments.of(x[:, j]) for j in range(x.shape[1])] if missing < len(x) else []

    def merge(
        self, left: tuple[int, list[Moments]], right: tuple[int, list[Moments]]
    ) -> tuple[int, list[Moments]]:
        """Exact. Raises SchemaError where the lengths differ."""
        missing = left[0] + right[0]
        if not left[1] or not right[1]:
            return missing, left[1] or right[1]
        if len(left[1]) != len(right[1]):
            raise _wrong_width(self.columns[0], len(right[1]), len(left[1]))
        return missing, [a + b for a, b in zip(left[1], right[1], strict=True)]

    def finish(self, summary: tuple[int, list[Moments]]) -> VectorTransform:
        """The scale of each position."""
        missing, moments = summary
        clip = self.clip if self.standardise else 1e308
        scale = Scale.fit(moments, None, self.standardise, clip)
        return VectorTransform(self.columns, scale, missing > 0)


def _wrong_width(column: str, found: int, expected: int) -> SchemaError:
    return SchemaError(
        f"Column {column!r} holds vectors of {found} numbers where others have {expected}.",
        hint="All vectors of a column must have one length.",
    )
