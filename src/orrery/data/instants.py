"""Seconds since 1970 as dates and times that people read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_EPOCH = dt.datetime(1970, 1, 1)


def iso(seconds: float | None, kind: Any) -> str | None:
    """A moment as ISO 8601 in the form of its Arrow type; None where there is no such date.

    >>> iso(86_400.0, pa.date32()), iso(90_061.5, pa.timestamp("us", "UTC")), iso(61.0, pa.time32("s"))
    ('1970-01-02', '1970-01-02T01:01:01.500000+00:00', '00:01:01')
    """
    if seconds is None or pa.types.is_duration(kind):
        return None
    try:
        moment = _EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError:  # before the year 1, or after 9999
        return None
    if pa.types.is_date(kind):
        return moment.date().isoformat()
    if pa.types.is_time(kind):
        return moment.time().isoformat()
    return (moment.replace(tzinfo=dt.UTC) if kind.tz else moment).isoformat()


def dates(figures: Mapping[str, float | None], kind: Any) -> dict[str, str]:
    """Those figures that are dates or times, as ISO 8601; none of another type's."""
    if not pa.types.is_temporal(kind):
        return {}
    return {name: text for name, value in figures.items() if (text := iso(value, kind)) is not None}
