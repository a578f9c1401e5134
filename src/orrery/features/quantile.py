"""Numbers by their rank: for skewed columns, where the mean and the spread say little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.scale import side_by_side
from orrery.features.sketch import Sketch

_TAIL = 1e-3  # the share beyond which the bell curve is cut: 3.09 standard deviations


@dataclass(frozen=True)
class Ranks:
    """A broken line from values to ranks: ``x`` strictly rising, at least one; straight beyond its ends."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ranks [n]; NaN where missing. Infinities count as the largest and smallest value seen."""
        if len(self.x) == 1:
            return np.where(np.isnan(values), np.nan, self.y[0])
        # Halves, because the difference of two doubles may overflow where that of their halves does not.
        x, v = self.x * 0.5, np.clip(values, self.x[0], self.x[-1]) * 0.5
        left = np.clip(np.searchsorted(x, v, side="right") - 1, 0, len(x) - 2)
        share = (v - x[left]) / (x[left + 1] - x[left])
        ranks: NDArray[np.float64] = self.y[left] + share * (self.y[left + 1] - self.y[left])
        return ranks


class QuantileTransform(Transform):
    """One NUMBER block: the ranks, then a 0/1 for each column that had missing values."""

    kind = "quantile"
    form = Form.FLOAT

    def __init__(
        self, inputs: tuple[str, ...], ranks: Sequence[Ranks], flagged: Sequence[int], middle: float
    ) -> None:
        self.inputs = inputs
        self.ranks = ranks
        self.flagged = flagged  # positions of the columns with an indicator
        self.middle = middle  # stands for missing values
        names = (*inputs, *(f"{inputs[i]} is missing" for i in flagged))
        self.outputs = (
            Output(name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(names), names=names),
        )

    def apply(self, *columns: NDArray[np.float64]) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        x = side_by_side(columns)
        y = side_by_side([ranks.apply(column) for ranks, column in zip(self.ranks, columns, strict=True)])
        y = np.where(np.isnan(x), self.middle, y)
        return (np.ascontiguousarray(np.concatenate([y, np.isnan(x[:, list(self.flagged)])], axis=1)),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The line of each column."""
        values = {"inputs": list(self.inputs), "flagged": list(self.flagged), "middle": self.middle}
        arrays = {}
        for name, ranks in zip(self.inputs, self.ranks, strict=True):
            arrays[f"values of {name}"] = state.arrow_floats(ranks.x)
            arrays[f"ranks of {name}"] = state.arrow_floats(ranks.y)
        return values, arrays

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        ranks = []
        for name in inputs:
            x = state.floats(arrays, f"values of {name}")
            if not x.size or (np.diff(x * 0.5) <= 0).any():
                raise state.broken("quantiles do not rise")
            ranks.append(Ranks(x, state.floats(arrays, f"ranks of {name}", len(x))))
        flagged = state.positions(values, "flagged", len(inputs))
        return cls(inputs, ranks, flagged, state.real(values, "middle", 0.0, 0.5))


class Quantile(Feature):
    """The rank of a number among those seen, spread like a bell curve or evenly from 0 to 1.

    >>> import pyarrow as pa
    >>> quantile = Quantile(columns=("pay",), spread="even")
    >>> fitted = quantile.finish(quantile.summarize(pa.record_batch({"pay": [1.0, 10.0, 1000.0]})))
    >>> fitted.apply(np.array([1.0, 10.0, 505.0, np.inf]))[0].T
    array([[0.  , 0.5 , 0.75, 1.  ]])
    """

    form: ClassVar[Form] = Form.FLOAT
    transform: ClassVar[type[Transform]] = QuantileTransform

    kind: Literal["quantile"] = "quantile"
    points: int = Field(default=200, ge=2, le=4000)
    """Quantiles that are kept; between them the line is straight."""
    spread: Literal["normal", "even"] = "normal"
    """How the ranks are spread."""
    indicator: bool = True
    """Add a 0/1 column that says "was missing", for columns where that happened."""

    def summarize(self, batch: RecordBatch) -> list[tuple[int, Sketch]]:
        """Missing values and a sketch, per column."""
        columns = [lift(batch.column(name), Form.FLOAT, name) for name in self.columns]
        return [(int(np.isnan(column).sum()), Sketch.of(column)) for column in columns]

    def merge(
        self, left: list[tuple[int, Sketch]], right: list[tuple[int, Sketch]]
    ) -> list[tuple[int, Sketch]]:
        """Exact."""
        return [(m + n, a + b) for (m, a), (n, b) in zip(left, right, strict=True)]

    def finish(self, summary: list[tuple[int, Sketch]]) -> QuantileTransform:
        """The line of each column."""
        flagged = [i for i, (missing, _) in enumerate(summary) if self.indicator and missing]
        middle = 0.5 if self.spread == "even" else 0.0
        return QuantileTransform(self.columns, [self._line(sketch) for _, sketch in summary], flagged, middle)

    def _line(self, sketch: Sketch) -> Ranks:
        values, ranks = sketch.line(self.points)
        apart = np.concatenate([[True], np.diff(values * 0.5) > 0])  # halves may meet among the tiniest
        values, ranks = values[apart], ranks[apart]
        if self.spread == "normal":
            bell = NormalDist()
            ranks = np.array([bell.inv_cdf(min(max(r, _TAIL), 1 - _TAIL)) for r in ranks.tolist()])
        return Ranks(values, ranks)
