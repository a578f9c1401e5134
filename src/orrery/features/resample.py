"""Another number of points along the first axis: means where there are fewer, straight lines where more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resample(x: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """[m, ...] to [points, ...]; m is at least 1.

    >>> resample(np.array([1.0, 3.0, 5.0, 7.0]), 2), resample(np.array([1.0, 3.0]), 3)
    (array([2., 6.]), array([1., 2., 3.]))
    """
    m = len(x)
    if m == points:
        return x
    shape = (-1,) + (1,) * (x.ndim - 1)
    if m > points:
        starts = np.arange(points) * m // points
        counts = np.diff(np.append(starts, m)).reshape(shape)
        means: NDArray[np.float64] = np.add.reduceat(x, starts, axis=0) / counts
        return means
    place = np.linspace(0.0, m - 1.0, points)
    low = np.floor(place).astype(np.int64)
    part = (place - low).reshape(shape)
    high = np.minimum(low + 1, m - 1)
    lines: NDArray[np.float64] = x[low] * (1.0 - part) + x[high] * part
    return lines
