"""Numbers, made equal in scale: for linear models and networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.moments import Moments
from orrery.features.scale import Scale, side_by_side
from orrery.features.sketch import Sketch


class NumberTransform(Transform):
    """One NUMBER block: the scaled columns, then a 0/1 for each column that had missing values."""

    kind = "number"
    form = Form.FLOAT

    def __init__(self, inputs: tuple[str, ...], scale: Scale, flagged: NDArray[np.int64]) -> None:
        self.inputs = inputs
        self.scale = scale
        self.flagged = flagged  # positions of the columns with an indicator
        names = (*inputs, *(f"{inputs[i]} is missing" for i in flagged))
        self.outputs = (
            Output(name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(names), names=names),
        )

    def apply(self, *columns: NDArray[np.float64]) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        x = side_by_side(columns)
        y = self.scale.apply(x)
        if self.flagged.size:
            y = np.concatenate([y, np.isnan(x[:, self.flagged])], axis=1)
        return (np.ascontiguousarray(y),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The scale, and which columns have an indicator."""
        values = {"inputs": list(self.inputs), "clip": self.scale.clip, "flagged": self.flagged.tolist()}
        return values, self.scale.arrays()

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        flagged = state.positions(values, "flagged", len(inputs))
        clip = state.real(values, "clip", 0.0, 1e308)
        return cls(inputs, Scale.from_arrays(arrays, len(inputs), clip), np.array(flagged, np.int64))


class Number(Feature):
    """Impute, say what was missing, standardise, clip: one block for many columns.

    >>> import pyarrow as pa
    >>> number = Number(columns=("age",))
    >>> ages = pa.record_batch({"age": [20.0, None, 40.0]})
    >>> number.finish(number.summarize(ages)).apply(np.array([20.0, np.nan, 60.0]))[0]
    array([[-1.,  0.],
           [ 0.,  1.],
           [ 3.,  0.]])
    """

    form: ClassVar[Form] = Form.FLOAT
    transform: ClassVar[type[Transform]] = NumberTransform

    kind: Literal["number"] = "number"
    impute: Literal["mean", "median", "zero"] = "mean"
    """What stands for a missing value."""
    indicator: bool = True
    """Add a 0/1 column that says "was missing", for columns where that happened."""
    standardise: bool = True
    """Subtract the mean and divide by the standard deviation."""
    clip: float = Field(default=10.0, gt=0, le=1e308)
    """Cut what is further from zero (after standardising)."""

    def summarize(self, batch: RecordBatch) -> list[tuple[Moments, Sketch | None]]:
        """Moments per column, and a sketch where the median is asked for."""
        out: list[tuple[Moments, Sketch | None]] = []
        for name in self.columns:
            values = lift(batch.column(name), Form.FLOAT, name)
            out.append((Moments.of(values), Sketch.of(values) if self.impute == "median" else None))
        return out

    def merge(
        self, left: list[tuple[Moments, Sketch | None]], right: list[tuple[Moments, Sketch | None]]
    ) -> list[tuple[Moments, Sketch | None]]:
        """Exact."""
        return [
            (a + b, s + t if s is not None and t is not None else None)
            for (a, s), (b, t) in zip(left, right, strict=True)
        ]

    def finish(self, summary: list[tuple[Moments, Sketch | None]]) -> NumberTransform:
        """The scale of each column."""
        moments = [m for m, _ in summary]
        fill = None
        if self.impute == "zero":
            fill = [0.0] * len(moments)
        elif self.impute == "median":
            fill = [float(s.quantiles(np.array([0.5]))[0]) for _, s in summary if s is not None]
        clip = self.clip if self.standardise else 1e308
        scale = Scale.fit(moments, fill, self.standardise, clip)
        flagged = [i for i, m in enumerate(moments) if self.indicator and m.missing]
        return NumberTransform(self.columns, scale, np.array(flagged, np.int64))
