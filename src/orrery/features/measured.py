"""Features that measure each value: the same few numbers of every row, then standardised.

Legend: n rows, k numbers per row.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Lifted, lift
from orrery.features.moments import Moments
from orrery.features.scale import Scale
from orrery.spec import Spec


class Gauge(Spec):
    """Settings that say what is measured, and the measuring; kept with the model."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What is measured, for people."""

    def check(self) -> None:
        """Whether all is there that it takes; else MissingExtraError."""

    @abstractmethod
    def measure(self, inputs: tuple[str, ...], columns: tuple[Lifted, ...]) -> NDArray[np.float64]:
        """float64 [n, k]; NaN where nothing is to be measured. ``inputs`` are for messages."""


class MeasuredTransform(Transform):
    """One NUMBER block: what was measured, scaled; then a 0/1 if values were missing."""

    gauge_type: ClassVar[type[Gauge]]

    def __init__(self, inputs: tuple[str, ...], gauge: Gauge, scale: Scale, indicator: bool) -> None:
        self.inputs = inputs
        self.gauge = gauge
        self.scale = scale
        self.indicator = indicator
        shown = ",".join(inputs)
        names = [f"{shown} {name}" for name in gauge.names()]
        if indicator:
            names.append(f"{shown} is missing")
        self.outputs: tuple[Output, ...] = (
            Output(
                name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(names), names=tuple(names)
            ),
        )

    def apply(self, *columns: Lifted) -> tuple[Encoded, ...]:
        """float64 [n, width]. Raises BadRowError that names the row."""
        return (self._scaled(self.gauge.measure(self.inputs, columns)),)

    def _scaled(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        y = self.scale.apply(x)
        if self.indicator:
            y = np.concatenate([y, np.isnan(x).all(axis=1, keepdims=True)], axis=1)
        return np.ascontiguousarray(y)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is measured, and the scale of each number."""
        values = {
            "inputs": list(self.inputs),
            "gauge": self.gauge.to_dict(),
            "indicator": self.indicator,
            "clip": self.scale.clip,
        }
        return values, self.scale.arrays()

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError, and MissingExtraError for a package that measures."""
        gauge = state.settings(values, "gauge", cls.gauge_type)
        gauge.check()
        width = len(gauge.names())
        scale = Scale.from_arrays(arrays, width, state.real(values, "clip", 0.0, 1e308))
        return cls(state.columns(values), gauge, scale, state.truth(values, "indicator"))


class Measured(Feature):
    """Settings of a feature that measures; ``gauge`` says what."""

    transform: ClassVar[type[MeasuredTransform]]

    clip: float = Field(default=10.0, gt=0, le=1e308)
    """Cut what is further from zero, after standardising."""

    @abstractmethod
    def gauge(self) -> Gauge:
        """What is measured."""

    def measured(self, batch: RecordBatch) -> NDArray[np.float64]:
        """float64 [n, k] of a batch."""
        columns = tuple(lift(batch.column(name), self.form, name) for name in self.columns)
        return self.gauge().measure(self.columns, columns)

    def summarize(self, batch: RecordBatch) -> Any:
        """Rows without a value, and moments of each number."""
        return tally(self.measured(batch))

    def merge(self, left: Any, right: Any) -> Any:
        """Exact."""
        return add_tallies(left, right)

    def finish(self, summary: Any) -> MeasuredTransform:
        """The scale of each number."""
        missing, moments = summary
        gauge = self.gauge()
        return self.transform(self.columns, gauge, Scale.fit(moments, clip=self.clip), missing > 0)


Tally = tuple[int, list[Moments]]


def tally(x: NDArray[np.float64]) -> Tally:
    """Rows without a value, and moments of each column of ``x`` [n, k]."""
    return int(np.isnan(x).all(axis=1).sum()), [Moments.of(x[:, j]) for j in range(x.shape[1])]


def add_tallies(left: Tally, right: Tally) -> Tally:
    """Of the rows of both."""
    return left[0] + right[0], [a + b for a, b in zip(left[1], right[1], strict=True)]
