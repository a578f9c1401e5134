"""Tensors brought to one shape and one scale: for networks as they are, for other learners made small.

Legend: n rows, m values in all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, bad_row, lift
from orrery.features.moments import Moments
from orrery.features.resample import resample

Shape = tuple[int, ...]

_CLIP = 10.0
_MOST_VALUES = 1 << 24
_MOST_AXES = 8


class TensorTransform(Transform):
    """One TENSOR block, float32, of matrices [n, 1, h, w] and of [n, c, h, w]; else NUMBER [n, m].

    All values are scaled alike; a missing or empty tensor, and a value that is not finite, is the mean.
    Another shape with as many axes is resampled. Where no tensor was ever seen, nothing is known of any.
    """

    kind = "tensor"
    form = Form.TENSOR

    def __init__(self, inputs: tuple[str, ...], stored: Shape, shape: Shape, mean: float, std: float) -> None:
        self.inputs = inputs
        self.stored = stored  # the most common shape, in which flat lists are read
        self.shape = shape
        self.mean, self.std = mean, std
        name = block_name(self.kind, inputs)
        size = math.prod(shape)
        if len(shape) in (2, 3):
            block = shape if len(shape) == 3 else (1, *shape)
            zeros, ones = (0.0,) * block[0], (1.0,) * block[0]
            found = Output(name=name, role=Role.TENSOR, shape=block, dtype="float32", mean=zeros, std=ones)
        else:
            names = tuple(f"{inputs[0]}[{i}]" for i in range(size))
            found = Output(name=name, role=Role.NUMBER, width=size, names=names)
        self.outputs = (found,)

    def apply(self, *columns: list[NDArray[Any] | None]) -> tuple[Encoded, ...]:
        """float32 [n, c, h, w] or float64 [n, m]. Raises BadRowError for another number of axes."""
        out = np.zeros((len(columns[0]), *self.shape), np.float32)
        for i, value in enumerate(columns[0]):
            if value is not None and value.size and self.shape:
                out[i] = self._one(value, i)
        output = self.outputs[0]
        if output.role is Role.TENSOR:
            return (out.reshape(len(out), *output.shape),)
        return (out.reshape(len(out), output.width).astype(np.float64),)

    def _one(self, value: NDArray[Any], row: int) -> NDArray[np.float64]:
        x = np.asarray(value, np.float64)
        if x.ndim == 1 and len(self.stored) != 1 and x.size == math.prod(self.stored):
            x = x.reshape(self.stored)  # as JSON and Arrow's own rows have it
        if x.ndim != len(self.shape):
            found, wanted = list(x.shape), list(self.shape)
            raise bad_row(self.inputs[0], row, f"a tensor of the shape {found} where others are {wanted}.")
        with np.errstate(over="ignore", invalid="ignore"):
            y = (x - self.mean) / self.std
            y = np.clip(np.where(np.isfinite(y), y, 0.0), -_CLIP, _CLIP)
        for axis, points in enumerate(self.shape):
            if y.shape[axis] != points:
                y = np.moveaxis(resample(np.moveaxis(y, axis, 0), points), 0, axis)
        return y

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The shapes and the scale."""
        shapes = {"stored": list(self.stored), "shape": list(self.shape)}
        return {"inputs": list(self.inputs), **shapes, "mean": self.mean, "std": self.std}, {}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        shapes = [values.get("stored"), values.get("shape")]
        for shape in shapes:
            whole = isinstance(shape, list) and set(map(type, shape)) <= {int} and len(shape) <= _MOST_AXES
            if not whole or min(shape or [1]) < 1 or math.prod(shape or [1]) > _MOST_VALUES:
                raise state.broken("the shape of a tensor is not of this world")
        if len(inputs) != 1 or len(shapes[0] or ()) != len(shapes[1] or ()):
            raise state.broken("a tensor has one column, and keeps its axes")
        mean, std = state.real(values, "mean", -1e308, 1e308), state.real(values, "std", 1e-300, 1e308)
        return cls(inputs, tuple(shapes[0] or ()), tuple(shapes[1] or ()), mean, std)


@dataclass(frozen=True)
class Tensors:
    """How often each shape occurs, and the moments of all values."""

    shapes: Counter[Shape] = field(default_factory=Counter)
    moments: Moments = field(default_factory=Moments)


class Tensor(Feature):
    """Tensors of any type and shape: nested lists, Arrow's fixed-shape tensors, ``.npy`` bytes.

    >>> import pyarrow as pa
    >>> tensor = Tensor(columns=("field",))
    >>> fitted = tensor.finish(tensor.summarize(pa.record_batch({"field": [[[1.0, 3.0], [3.0, 1.0]]]})))
    >>> fitted.apply([np.array([[3.0, 3.0], [1.0, 1.0]])])[0]
    array([[[[ 1.,  1.],
             [-1., -1.]]]], dtype=float32)
    """

    form: ClassVar[Form] = Form.TENSOR
    transform: ClassVar[type[Transform]] = TensorTransform

    kind: Literal["tensor"] = "tensor"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    shape: Shape | None = Field(default=None, max_length=_MOST_AXES)
    """To which all are brought; unset, the most common one, made smaller until it has ``largest`` values."""
    largest: int = Field(default=1 << 20, ge=1, le=_MOST_VALUES)
    """Values of one row, at most, where the shape is learnt."""

    def summarize(self, batch: RecordBatch) -> Tensors:
        """Shapes, and moments of the values."""
        found = [t for t in lift(batch.column(self.columns[0]), self.form, self.columns[0]) if t is not None]
        full = [np.asarray(t, np.float64) for t in found if t.size and 0 < t.ndim <= _MOST_AXES]
        values = np.concatenate([t.ravel() for t in full]) if full else np.zeros(0)
        return Tensors(Counter(t.shape for t in full), Moments.of(values))

    def merge(self, left: Tensors, right: Tensors) -> Tensors:
        """Exact."""
        return Tensors(Counter({**left.shapes}) + right.shapes, left.moments + right.moments)

    def finish(self, summary: Tensors) -> TensorTransform:
        """The shape and the scale."""
        common = min(summary.shapes, key=lambda shape: (-summary.shapes[shape], shape), default=())
        shape = self.shape or _within(common, self.largest)
        stored = common if len(common) == len(shape) else shape
        mean, std = float(summary.moments.mean), float(summary.moments.std)
        return TensorTransform(self.columns, stored, shape, mean, std if std > 1e-300 else 1.0)


def _within(shape: Shape, largest: int) -> Shape:
    """The longest axis halved until there are few enough values."""
    axes = list(shape)
    while math.prod(axes) > largest:
        longest = max(range(len(axes)), key=lambda i: axes[i])
        axes[longest] = max(1, axes[longest] // 2)
    return tuple(axes)
