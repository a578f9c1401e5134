"""Window features of rows that come as Python values: what a request says, as events of the past it adds to.

A table of the past is read as the same events (:mod:`orrery.data.window_step`): the same text of a key, the
same microsecond, the same number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.data.windows import Event, Past, Value, Windows, key_text
from orrery.features.forms import Form, lift_values


@dataclass(frozen=True)
class Happened:
    """The events of some rows, in their order."""

    events: Sequence[Event | None]
    """None for a row without a time."""
    keys: Mapping[tuple[str, ...], Sequence[str | None]]
    """Whose each event is, for each of the windows' ``by``."""


def events_of(
    windows: Windows,
    columns: Mapping[str, Sequence[object]],
    rows: int,
    names: Sequence[str] | None = None,
) -> Happened:
    """Rows as events, called by their ids, or ``names`` where the windows have none.

    Raises BadRowError that names the value.

    >>> from orrery.data.windows import Window
    >>> seen = Windows(on="t", windows=(Window(how="count", over="1h", by="card"),))
    >>> events_of(seen, {"t": ["1970-01-01T00:00:01Z"], "card": [7]}, 1)
    Happened(events=[(1000000, '', ())], keys={('card',): ['1:7']})
    """
    times = lift_values(columns[windows.on], Form.TIME, windows.on)
    missing = np.isnat(times)
    instants = times.astype("datetime64[us]").astype(np.int64).tolist()
    ids: Sequence[str | None] = _texts(columns[windows.id]) if windows.id else names or [None] * rows
    texts = windows.texts()
    values = [
        _texts(columns[name]) if name in texts else _numbers(columns[name], name) for name in windows.columns
    ]
    given = list(zip(*values, strict=True)) if values else [()] * rows
    events = [None if missing[i] else (instants[i], ids[i] or "", given[i]) for i in range(rows)]
    keys = {
        by: [key_text(part) for part in zip(*(_texts(columns[n]) for n in by), strict=True)]
        for by in windows.keys
    }
    return Happened(events, keys)


def look_back(windows: Windows, columns: Mapping[str, Sequence[object]], rows: int) -> dict[str, list[Any]]:
    """The windows of rows that know of each other only: each counts those before it.

    Taken in the order of their times, as a table of the past takes them.
    """
    happened = events_of(windows, columns, rows)
    timed = [(event[0], i) for i, event in enumerate(happened.events) if event is not None]
    found: dict[str, list[Any]] = {name: [None] * rows for name in windows.names}
    for by in windows.keys:
        looks = windows.looks(by)
        pasts: dict[str, Past] = {}
        for _, i in sorted(timed):
            event, key = happened.events[i], happened.keys[by][i]
            if event is not None and key is not None:
                put(windows, looks.places, pasts.setdefault(key, Past(looks)).observe(event), found, i)
    return found


def put(
    windows: Windows,
    places: Sequence[int],
    answers: Sequence[Value],
    found: Mapping[str, list[Any]],
    row: int,
) -> None:
    """Write the answers of one event into the columns of their windows."""
    for place, answer in zip(places, answers, strict=True):
        window = windows.windows[place]
        found[window.name][row] = window.told(answer)


def values_of(column: Any) -> list[Any]:
    """An Arrow column as Python has its values; times to the microsecond."""
    if pa.types.is_timestamp(column.type):
        instants: Any = pa.timestamp("us", column.type.tz)
        column = column.cast(instants, safe=False)
    found: list[Any] = column.to_pylist()
    return found


def _texts(values: Sequence[object]) -> list[str | None]:
    return [None if value is None else value if isinstance(value, str) else _text(value) for value in values]


def _text(value: object) -> str:
    """JSON and forms know one sort of number: 7.0 is the text of 7."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(values: Sequence[object], name: str) -> list[float | None]:
    lifted: list[float] = lift_values(values, Form.FLOAT, name).tolist()
    return [None if math.isnan(value) else value for value in lifted]
