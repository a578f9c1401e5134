"""Numbers over time, as many as there are in each row: what they are like, and the shape of their course.

Legend: t numbers in one row, k measured.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.features.forms import Form, Lifted
from orrery.features.measured import Gauge, Measured, MeasuredTransform
from orrery.features.resample import resample

_NAMES = (
    "length",
    "mean",
    "std",
    "minimum",
    "maximum",
    "median",
    "first",
    "last",
    "trend",
    "change",
    "repeat",
)


class SeriesGauge(Gauge):
    """Summary statistics, then the course at so many points, from which level and size are taken."""

    points: int = Field(default=32, ge=0, le=4096)

    def names(self) -> tuple[str, ...]:
        """The statistics, and the points by number."""
        return (*_NAMES, *(f"at {i}" for i in range(self.points)))

    def measure(self, inputs: tuple[str, ...], columns: tuple[Lifted, ...]) -> NDArray[np.float64]:
        """float64 [n, k]."""
        out = np.full((len(columns[0]), len(self.names())), np.nan)
        for i, series in enumerate(columns[0]):
            if series is not None:
                with np.errstate(all="ignore"):
                    found = self._of(series[np.isfinite(series)])
                out[i] = np.where(np.isfinite(found), found, np.nan)
        return out

    def _of(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [k] of finite numbers [t]."""
        if not len(x):
            return np.array([0.0] + [np.nan] * (len(self.names()) - 1))
        size = float(np.abs(x).max()) or 1.0
        y = x / size  # so that no square overflows
        mean, std = y.mean(), y.std()
        steps = np.diff(y)
        flat = (y - mean) / std if std > 1e-12 else np.zeros_like(y)
        time = np.linspace(-1.0, 1.0, len(y))
        trend = (time * flat).mean() if len(y) > 1 else 0.0
        change = np.abs(steps).mean() if len(steps) else 0.0
        repeat = (flat[1:] * flat[:-1]).mean() if len(steps) else 0.0
        edges = (y.min(), y.max(), np.median(y), y[0], y[-1])
        numbers = [len(y), mean * size, std * size, *(v * size for v in edges), trend, change * size, repeat]
        course = resample(flat, self.points) if self.points else flat[:0]
        return np.concatenate([np.array(numbers, np.float64), course])


class SeriesTransform(MeasuredTransform):
    """One NUMBER block: the statistics and the course."""

    kind = "series"
    form = Form.SERIES
    gauge_type = SeriesGauge


class Series(Measured):
    """Length, level, spread, trend, and the course at ``points``, of a list of numbers over time.

    What is not a finite number is left out of the series.

    >>> import pyarrow as pa
    >>> series = Series(columns=("pulse",), points=0)
    >>> fitted = series.finish(series.summarize(pa.record_batch({"pulse": [[1.0, 2.0], [3.0, 4.0, 5.0]]})))
    >>> fitted.apply([np.array([1.0, 2.0])])[0][0, :2]
    array([-1., -1.])
    """

    form: ClassVar[Form] = Form.SERIES
    transform: ClassVar[type[MeasuredTransform]] = SeriesTransform

    kind: Literal["series"] = "series"
    columns: tuple[str, ...] = Field(min_length=1, max_length=1)
    """One column."""
    points: int = Field(default=32, ge=0, le=4096)
    """How many points of the course are kept; 0 for the statistics alone."""

    def gauge(self) -> SeriesGauge:
        """What is measured."""
        return SeriesGauge(points=self.points)
