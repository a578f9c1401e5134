"""Standardising numbers: fill what is missing, tame infinities, centre, scale, clip.

Legend: n rows, k numbers side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from orrery.features import state
from orrery.features.moments import Moments


@dataclass(frozen=True)
class Scale:
    """What is learnt for k numbers; each array is [k]. ``std`` is never 0; ``clip`` counts in it.

    >>> scale = Scale.fit([Moments.of(np.array([1.0, 3.0]))])
    >>> scale.apply(np.array([[1.0], [np.nan], [np.inf]]))
    array([[-1.],
           [ 0.],
           [ 1.]])
    """

    fill: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    clip: float

    @classmethod
    def fit(
        cls,
        moments: Sequence[Moments],
        fill: Sequence[float] | None = None,
        standardise: bool = True,
        clip: float = 10.0,
    ) -> Self:
        """From what was counted; what is missing becomes ``fill``, by default the mean."""
        mean = np.array([m.mean for m in moments])
        std = np.array([m.std or 1.0 for m in moments])
        low, high = np.array([seen_range(m) for m in moments]).reshape(-1, 2).T
        filled = mean if fill is None else np.array(fill, np.float64)
        if not standardise:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return cls(filled, low, high, mean, std, clip)

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers [n, k] scaled; NaN and infinities allowed."""
        if not np.isfinite(x).all():
            x = np.where(np.isnan(x), self.fill, tame(x, self.low, self.high))
        with np.errstate(over="ignore"):  # what overflows is clipped
            y = x - self.mean
            y /= self.std
        np.minimum(y, self.clip, out=y)
        np.maximum(y, -self.clip, out=y)
        return y

    def arrays(self) -> dict[str, Any]:
        """What is saved, but ``clip``."""
        names = ("fill", "low", "high", "mean", "std")
        return {name: state.arrow_floats(getattr(self, name)) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], size: int, clip: float) -> Self:
        """Checked. Raises ModelFormatError."""
        names = ("fill", "low", "high", "mean", "std")
        fill, low, high, mean, std = (state.floats(arrays, name, size) for name in names)
        if (std <= 0).any() or (low > high).any():
            raise state.broken("a scale is not positive, or a range is upside down")
        return cls(fill, low, high, mean, std, clip)


def seen_range(moments: Moments) -> tuple[float, float]:
    """The smallest and the largest finite value; zeros where there was none."""
    return (moments.low, moments.high) if moments.count else (0.0, 0.0)


def tame(x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Infinities become the largest and smallest value seen; NaN and all else stay."""
    return np.where(x == np.inf, high, np.where(x == -np.inf, low, x))


def side_by_side(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Columns [n] as one block [n, k] (a view whose columns are contiguous)."""
    return np.concatenate(columns).reshape(len(columns), len(columns[0])).T
