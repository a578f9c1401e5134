"""Numbers as they are, for trees: nothing scaled, nothing imputed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.moments import Moments
from orrery.features.scale import seen_range, side_by_side, tame


class PlainTransform(Transform):
    """One NUMBER block; missing stays NaN, infinities become the largest and smallest value seen."""

    kind = "plain"
    form = Form.FLOAT

    def __init__(self, inputs: tuple[str, ...], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self.inputs = inputs
        self.low = low
        self.high = high
        self.outputs = (
            Output(name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(inputs), names=inputs),
        )

    def apply(self, *columns: NDArray[np.float64]) -> tuple[Encoded, ...]:
        """Float64 [n, k]; NaN where missing."""
        x = side_by_side(columns)
        if np.isinf(x).any():
            x = tame(x, self.low, self.high)
        return (np.ascontiguousarray(x),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The range seen."""
        arrays = {"low": state.arrow_floats(self.low), "high": state.arrow_floats(self.high)}
        return {"inputs": list(self.inputs)}, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        return cls(
            inputs, state.floats(arrays, "low", len(inputs)), state.floats(arrays, "high", len(inputs))
        )


class Plain(Feature):
    """Numbers side by side, missing ones kept as NaN.

    >>> import pyarrow as pa
    >>> plain = Plain(columns=("age",))
    >>> fitted = plain.finish(plain.summarize(pa.record_batch({"age": [20.0, 40.0]})))
    >>> fitted.apply(np.array([np.nan, np.inf]))[0]
    array([[nan],
           [40.]])
    """

    form: ClassVar[Form] = Form.FLOAT
    transform: ClassVar[type[Transform]] = PlainTransform

    kind: Literal["plain"] = "plain"

    def summarize(self, batch: RecordBatch) -> list[Moments]:
        """The range of each column."""
        return [Moments.of(lift(batch.column(name), Form.FLOAT, name), spread=False) for name in self.columns]

    def merge(self, left: list[Moments], right: list[Moments]) -> list[Moments]:
        """Exact."""
        return [a + b for a, b in zip(left, right, strict=True)]

    def finish(self, summary: list[Moments]) -> PlainTransform:
        """The range of each column."""
        low, high = np.array([seen_range(m) for m in summary]).T
        return PlainTransform(self.columns, low, high)
