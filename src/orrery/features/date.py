"""Dates as numbers: how long ago, and where in the year, the week and the day.

Legend: n rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.features import state
from orrery.features.feature import Encoded, Feature, Output, Role, Transform, block_name
from orrery.features.forms import Form, lift
from orrery.features.moments import Moments
from orrery.features.scale import Scale

DAY_US = 86_400_000_000
_CYCLES = {"month": 12, "day": 31, "weekday": 7, "minute": 1440}
_PARTS = ("year", "month", "day", "weekday", "day of year", "hour")
# Looked up, not computed: a sine of an array may differ in its last bit from a sine of one number.
WAVES = {
    name: np.array([[f(2 * math.pi * i / period) for f in (math.sin, math.cos)] for i in range(period)])
    for name, period in _CYCLES.items()
}


class DateTransform(Transform):
    """One NUMBER block. Cyclic: scaled, never missing, with a flag. Otherwise raw parts, or NaN."""

    kind = "date"
    form = Form.TIME

    def __init__(
        self,
        inputs: tuple[str, ...],
        scale: Scale,
        clocks: Sequence[bool],
        flagged: Sequence[int],
        cyclic: bool,
    ) -> None:
        self.inputs = inputs
        self.scale = scale  # of the days since 1970, per column
        self.clocks = clocks  # whether a column has times of day
        self.flagged = flagged  # positions of the columns with an indicator
        self.cyclic = cyclic
        names = [
            name for column, clock in zip(inputs, clocks, strict=True) for name in self._names(column, clock)
        ]
        names += [f"{inputs[i]} is missing" for i in flagged]
        self.outputs = (
            Output(
                name=block_name(self.kind, inputs), role=Role.NUMBER, width=len(names), names=tuple(names)
            ),
        )

    def _names(self, column: str, clock: bool) -> list[str]:
        if not self.cyclic:
            return [f"{column} days", *(f"{column} {part}" for part in _PARTS if clock or part != "hour")]
        cycles = [name for name in _CYCLES if clock or name != "minute"]
        return [f"{column} days", *(f"{column} {name} {wave}" for name in cycles for wave in ("sin", "cos"))]

    def apply(self, *columns: NDArray[np.datetime64]) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        days = np.stack([_days(column) for column in columns], axis=1)
        missing = np.isnan(days)
        first = self.scale.apply(days) if self.cyclic else days
        blocks = []
        for j, (column, clock) in enumerate(zip(columns, self.clocks, strict=True)):
            gone = missing[:, j : j + 1]
            parts = _waves(column, clock) if self.cyclic else _numbers(column, clock)
            blocks += [first[:, j : j + 1], np.where(gone, 0.0 if self.cyclic else np.nan, parts)]
        return (np.concatenate([*blocks, missing[:, list(self.flagged)]], axis=1),)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The scale of the days, and which parts there are."""
        values = {
            "inputs": list(self.inputs),
            "clip": self.scale.clip,
            "clocks": [i for i, clock in enumerate(self.clocks) if clock],
            "flagged": list(self.flagged),
            "cyclic": self.cyclic,
        }
        return values, self.scale.arrays()

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        scale = Scale.from_arrays(arrays, len(inputs), state.real(values, "clip", 0.0, 1e308))
        clocks = {*state.positions(values, "clocks", len(inputs))}
        flagged = state.positions(values, "flagged", len(inputs))
        cyclic = state.truth(values, "cyclic")
        return cls(inputs, scale, [i in clocks for i in range(len(inputs))], flagged, cyclic)


class _Seen(NamedTuple):
    days: Moments
    clock: bool


class Date(Feature):
    """Days since 1970, and month, day, weekday and time of day as points on a circle, or as they are.

    >>> import pyarrow as pa
    >>> import datetime as dt
    >>> date = Date(columns=("sold",), cyclic=False)
    >>> sales = pa.record_batch({"sold": [dt.date(2026, 3, 1)]})
    >>> date.finish(date.summarize(sales)).apply(np.array(["2026-03-01"], "datetime64[us]"))[0]
    array([[2.0513e+04, 2.0260e+03, 3.0000e+00, 1.0000e+00, 6.0000e+00,
            6.0000e+01]])
    """

    form: ClassVar[Form] = Form.TIME
    transform: ClassVar[type[Transform]] = DateTransform

    kind: Literal["date"] = "date"
    cyclic: bool = True
    """Points on a circle, scaled, for networks and linear models; False: plain parts, for trees."""

    def summarize(self, batch: RecordBatch) -> list[_Seen]:
        """Moments of the days, and whether there are times of day, per column."""
        columns = [lift(batch.column(name), Form.TIME, name) for name in self.columns]
        return [_Seen(Moments.of(_days(c)), bool((_minutes(c[~np.isnat(c)]) != 0).any())) for c in columns]

    def merge(self, left: list[_Seen], right: list[_Seen]) -> list[_Seen]:
        """Exact."""
        return [_Seen(a.days + b.days, a.clock or b.clock) for a, b in zip(left, right, strict=True)]

    def finish(self, summary: list[_Seen]) -> DateTransform:
        """The scale of the days, and which parts there are."""
        flagged = [i for i, seen in enumerate(summary) if self.cyclic and seen.days.missing]
        scale = Scale.fit([seen.days for seen in summary])
        return DateTransform(self.columns, scale, [seen.clock for seen in summary], flagged, self.cyclic)


def _days(moments: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Days since 1970 [n], with fractions; NaN where missing."""
    return np.where(np.isnat(moments), np.nan, moments.view(np.int64).astype(np.float64) / DAY_US)


def _minutes(moments: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Minutes since midnight [n]."""
    return (moments.view(np.int64) % DAY_US) // 60_000_000


class _Calendar(NamedTuple):
    year: NDArray[np.int64]
    month: NDArray[np.int64]  # 0 to 11
    day: NDArray[np.int64]  # 0 to 30
    weekday: NDArray[np.int64]  # 0 is Monday
    day_of_year: NDArray[np.int64]  # 0 to 365


def _calendar(moments: NDArray[np.datetime64]) -> _Calendar:
    """The parts [n]; of 1970-01-01 where missing."""
    days = np.where(np.isnat(moments), np.datetime64(0, "us"), moments).astype("datetime64[D]")
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    number = days.astype(np.int64)
    return _Calendar(
        years.astype(np.int64) + 1970,
        months.astype(np.int64) % 12,
        number - months.astype("datetime64[D]").astype(np.int64),
        (number + 3) % 7,
        number - years.astype("datetime64[D]").astype(np.int64),
    )


def _waves(moments: NDArray[np.datetime64], clock: bool) -> NDArray[np.float64]:
    """Sine and cosine of each cycle, side by side."""
    parts = _calendar(moments)
    places = {"month": parts.month, "day": parts.day, "weekday": parts.weekday}
    if clock:
        places["minute"] = _minutes(moments)
    return np.concatenate([WAVES[name][place] for name, place in places.items()], axis=1)


def _numbers(moments: NDArray[np.datetime64], clock: bool) -> NDArray[np.float64]:
    """The parts as people count them, side by side: months and days from 1, Monday is 0."""
    parts = _calendar(moments)
    whole = (parts.year, parts.month + 1, parts.day + 1, parts.weekday, parts.day_of_year + 1)
    columns = [part.astype(np.float64) for part in whole]
    if clock:
        columns.append(_minutes(moments) / 60.0)
    return np.stack(columns, axis=1)
