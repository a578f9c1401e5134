"""A fitted linear model: a table of weights, looked up and added with NumPy alone.

Legend: n rows, D columns of the one-hot matrix, m raw scores per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.features.feature import Encoded, Output, Role
from orrery.features.forms import Bag
from orrery.features.target import Target
from orrery.learners import matrix, state
from orrery.learners.links import Scores, link, raw_width
from orrery.learners.solvers import Coefficients

_SHOWN = 50  # weights, to people
_CHUNK_ROWS = 8192  # bounds what a long table takes beside its blocks


class LinearPredictor:
    """Raw scores are ``(x - mean) / scale @ weights + bias``; a missing number counts as the mean.

    A row has the same answer to the last bit, alone or among others.

    >>> from orrery.features.feature import Output
    >>> from orrery.schema import Kind
    >>> target = Target(name="y", kind=Kind.NUMBER, type="double")
    >>> parts = matrix.spans([Output(name="x", role=Role.NUMBER)], one_hot=True)
    >>> double = Coefficients(np.array([[2.0]]), np.array([1.0]))
    >>> LinearPredictor(target, parts, double, np.zeros(1), np.ones(1)).predict({"x": np.array([[3.0]])})
    array([[7.]])
    """

    kind: ClassVar[str] = "linear"

    def __init__(
        self,
        target: Target,
        parts: tuple[matrix.Span, ...],
        found: Coefficients,
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        alpha: float = 0.0,
    ) -> None:
        self.target = target
        self.parts = parts
        self.weights = np.ascontiguousarray(found.weights)
        self.bias = found.bias
        self.mean, self.scale = mean, scale
        self.alpha = alpha
        self._lookups = [_lookup(span, self.weights, mean, scale) for span in parts]

    @property
    def reads(self) -> tuple[Output, ...]:
        """The blocks that it needs."""
        return tuple(span.output for span in self.parts)

    def predict(self, blocks: Mapping[str, Encoded]) -> Scores:
        """Answers [n, k]."""
        n = matrix.rows_in(blocks)
        if n <= _CHUNK_ROWS:
            return link(self.target, self._raw(blocks, n))
        pieces = []
        for start in range(0, n, _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, n)
            part = {name: matrix.slice_rows(block, start, stop) for name, block in blocks.items()}
            pieces.append(link(self.target, self._raw(part, stop - start)))
        return np.concatenate(pieces)

    def _raw(self, blocks: Mapping[str, Encoded], n: int) -> Scores:
        raw = np.empty((n, len(self.bias)))
        raw[:] = self.bias
        for lookup in self._lookups:
            lookup.add(blocks[lookup.name], raw)
        return raw

    def describe(self) -> dict[str, Any]:
        """What was learnt, for people: the largest weights by name, of standardised columns."""
        names = [label for span in self.parts for label in matrix.labels(span, one_hot=True)]
        order = np.argsort(-np.abs(self.weights).max(axis=1, initial=0), kind="stable")[:_SHOWN]
        weights = {names[i]: self.weights[i].tolist() for i in order}
        return {"kind": self.kind, "alpha": self.alpha, "bias": self.bias.tolist(), "weights": weights}

    def files(self) -> dict[str, bytes]:
        """``linear.json`` and ``linear.arrow``."""
        columns = {f"weight_{j}": pa.array(self.weights[:, j]) for j in range(len(self.bias))}
        outputs = [span.output.to_dict() for span in self.parts]
        return {
            "linear.json": state.write_json(outputs=outputs, bias=self.bias.tolist(), alpha=self.alpha),
            "linear.arrow": state.write_columns(
                {"mean": pa.array(self.mean), "scale": pa.array(self.scale), **columns}
            ),
        }

    @classmethod
    def load(cls, files: Mapping[str, bytes], target: Target) -> Self:
        """The predictor again. Raises ModelFormatError where sizes do not agree."""
        values = state.read_json(files, "linear.json")
        parts = matrix.spans(state.read_outputs(values.get("outputs"), "linear.json"), one_hot=True)
        columns = state.read_columns(files, "linear.arrow")
        rows = matrix.width(parts)

        def column(name: str) -> NDArray[np.float64]:
            if name not in columns:
                raise state.broken("linear.arrow", f"column {name!r} is missing")
            found = columns[name].to_numpy(zero_copy_only=False)
            return state.numbers(found, rows, "linear.arrow", f"column {name!r}")

        weights = np.stack([column(f"weight_{j}") for j in range(raw_width(target))], axis=1)
        bias = state.numbers(values.get("bias"), raw_width(target), "linear.json", "bias")
        scale = column("scale")
        if (scale <= 0).any():
            raise state.broken("linear.arrow", "column 'scale' has to be positive")
        alpha = state.numbers([values.get("alpha")], 1, "linear.json", "alpha")
        return cls(target, parts, Coefficients(weights, bias), column("mean"), scale, float(alpha[0]))


class _Numbers:
    """A block of numbers times its weights."""

    def __init__(self, span: matrix.Span, weights: Scores, mean: Scores, scale: Scores) -> None:
        self.name = span.output.name
        self._weights = weights[span.columns]
        self._mean, self._scale = mean[span.columns], scale[span.columns]

    def add(self, block: Any, raw: Scores) -> None:
        values = (block if block.ndim == 2 else block.reshape(len(block), -1)) - self._mean
        values /= self._scale
        present = np.isfinite(values)
        if not present.all():
            values[~present] = 0.0
        # A product per row, all of one shape: how BLAS rounds depends on how many rows it is given.
        raw += np.matmul(values[:, None, :], self._weights)[:, 0]


class _Codes:
    """The weight of each position's code."""

    def __init__(self, span: matrix.Span, weights: Scores) -> None:
        self.name = span.output.name
        self._weights = weights[span.columns]
        self._first = matrix.first_codes(span.output)

    def add(self, block: Any, raw: Scores) -> None:
        places = block + self._first
        if len(raw) == 1:
            parts = np.concatenate((raw, self._weights.take(places[0], axis=0)))
            raw[:] = np.add.accumulate(parts, axis=0)[-1]  # in the order of the loop below, to the same bit
            return
        for position in places.T:
            raw += self._weights.take(position, axis=0)


class _Ids:
    """The weights of a bag's ids, times how much each counts."""

    def __init__(self, span: matrix.Span, weights: Scores) -> None:
        self.name = span.output.name
        self._weights = weights[span.columns]

    def add(self, block: Any, raw: Scores) -> None:
        bag: Bag = block
        if not len(bag.ids):
            return
        parts = self._weights.take(bag.ids, axis=0) * bag.weights[:, None]
        if len(raw) == 1:  # one row of a request
            raw += np.add.reduceat(parts, (0,), axis=0)
            return
        filled = np.flatnonzero(np.diff(bag.offsets))  # reduceat has no notion of an empty row
        raw[filled] += np.add.reduceat(parts, bag.offsets[filled], axis=0)


def _lookup(span: matrix.Span, weights: Scores, mean: Scores, scale: Scores) -> _Numbers | _Codes | _Ids:
    if span.output.role is Role.CODE:
        return _Codes(span, weights)
    return _Ids(span, weights) if span.output.role is Role.BAG else _Numbers(span, weights, mean, scale)
