"""Dates: Python's own calendar for each value, and looked-up waves.

Legend: n rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from orrery.features.date import DAY_US, WAVES, DateTransform
from orrery.features.feature import Encoded
from orrery.serving.compiled.step import UnusualError, Values

_EPOCH = dt.datetime(1970, 1, 1)
_NAN = float("nan")


class Dates:
    """The parts of dates, as :class:`~orrery.features.date.DateTransform` has them."""

    path = "compiled"

    def __init__(self, transform: DateTransform) -> None:
        self.transform = transform
        scale, cyclic = transform.scale, transform.cyclic
        self._columns = [
            _Waves(fill, mean, std, scale.clip, clock) if cyclic else _Parts(clock)
            for fill, mean, std, clock in zip(
                scale.fill.tolist(), scale.mean.tolist(), scale.std.tolist(), transform.clocks, strict=True
            )
        ]

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """Float64 [1, width]."""
        return (np.array([self._row(values)], np.float64),)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Float64 [n, width]."""
        return (np.array([self._row(values) for values in zip(*columns, strict=True)], np.float64),)

    def _row(self, values: Values) -> list[float]:
        moments = [_moment(value) for value in values]
        out: list[float] = []
        for column, moment in zip(self._columns, moments, strict=True):
            out += column(moment)
        out += [float(moments[j] is None) for j in self.transform.flagged]
        return out


class _Waves:
    """One column as points on circles, the days scaled."""

    def __init__(self, fill: float, mean: float, std: float, clip: float, clock: bool) -> None:
        self._mean, self._std, self._clip = mean, std, clip
        self._clock = clock
        names = ("month", "day", "weekday", "minute")
        self._month, self._day, self._weekday, self._minute = (WAVES[name].tolist() for name in names)
        self._gone = [self._scaled(fill), *[0.0] * (8 if clock else 6)]

    def __call__(self, moment: dt.datetime | None) -> list[float]:
        if moment is None:
            return self._gone
        found: list[float] = [
            self._scaled(_days(moment)),
            *self._month[moment.month - 1],
            *self._day[moment.day - 1],
            *self._weekday[moment.weekday()],
        ]
        return found + self._minute[moment.hour * 60 + moment.minute] if self._clock else found

    def _scaled(self, days: float) -> float:
        return max(min((days - self._mean) / self._std, self._clip), -self._clip)


class _Parts:
    """One column as people count it."""

    def __init__(self, clock: bool) -> None:
        self._clock = clock
        self._gone = [_NAN] * (7 if clock else 6)

    def __call__(self, moment: dt.datetime | None) -> list[float]:
        if moment is None:
            return self._gone
        found: list[float] = [
            _days(moment),
            moment.year,
            moment.month,
            moment.day,
            moment.weekday(),
            moment.toordinal() - dt.date(moment.year, 1, 1).toordinal() + 1,
        ]
        return [*found, (moment.hour * 60 + moment.minute) / 60.0] if self._clock else found


def _moment(value: Any) -> dt.datetime | None:
    """A point in time, of UTC, None where it is missing. Raises UnusualError."""
    kind = value.__class__
    if value is None:
        return None
    if kind is str:
        value = dt.datetime.fromisoformat(value)
    elif kind is dt.date:
        return dt.datetime(value.year, value.month, value.day)
    elif kind is not dt.datetime:
        raise UnusualError
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    moment: dt.datetime = value
    return moment


def _days(moment: dt.datetime) -> float:
    """Days since 1970, with fractions."""
    gone = moment - _EPOCH
    return float(gone.days * DAY_US + gone.seconds * 1_000_000 + gone.microseconds) / DAY_US
