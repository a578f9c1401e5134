"""Window features: what happened to the same key in the time before each event. Settings, and the arithmetic.

The rules, the same wherever they are computed, over a table of the past or beside a service:

- An event at time t counts the events of its key with a time in [t - over, t): never itself, nor one of the
  same instant, nor one of the future.
- Events count in the order in which they arrive: one that has not arrived yet is not known.
- An event more than ``late`` behind the newest of its key is too late: its windows are missing, and it does
  not count for others.
- An event whose id and time came before under the same key is a repeat: it is answered, and counts once.
- Without a time or a key the windows are missing. Where nothing happened ``count``, ``distinct`` and ``sum``
  are 0, all else is missing. Missing values do not count, but for ``count``, which counts events.

Sums are exact and rounded once, so they do not depend on the order of the events: the bits are equal.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from orrery.errors import SettingsError
from orrery.schema import Field, Kind
from orrery.spec import Spec

Value = float | str | None
"""Of an event's column: a number, or the text of what is told apart."""
Event = tuple[int, str, tuple[Value, ...]]
"""Time in µs since 1970, id or nothing, and the values of the columns that some window reads."""

_UNITS = {"ms": 1_000, "s": 10**6, "min": 60 * 10**6, "h": 3_600 * 10**6, "d": 86_400 * 10**6}
_UNITS["w"] = 7 * _UNITS["d"]


class Window(Spec):
    """One column: an aggregate over the events of the same key in the time before.

    >>> Window(how="sum", of="amount", over="1h", by="card").name
    'sum_amount_1h_by_card'
    """

    how: Literal["count", "sum", "mean", "min", "max", "last", "distinct"]
    of: str = ""
    """The column that is aggregated; none for ``count``."""
    over: str
    """How far back: ``90s``, ``10min``, ``1h``, ``7d``."""
    by: tuple[str, ...]
    """The columns that say whose events count."""
    column: str = ""
    """What the new column is called; by default it says what it is."""

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_more(cls, by: Any) -> Any:
        return (by,) if isinstance(by, str) else by

    @model_validator(mode="after")
    def _whole(self) -> Window:
        if (self.how == "count") == bool(self.of):
            raise ValueError("of= names the column that is aggregated, and only 'count' has none")
        if not self.by:
            raise ValueError("by= names at least one column")
        micros(self.over)
        return self

    @property
    def name(self) -> str:
        """Of the column that it adds."""
        return self.column or "_".join(filter(None, [self.how, self.of, self.over, "by", *self.by]))

    @property
    def type(self) -> Any:
        """The Arrow type of the column that it adds."""
        return pa.int64() if self.how in ("count", "distinct") else pa.float64()

    def told(self, value: Value) -> Any:
        """An answer as Python has it in a row: counts are whole."""
        return int(value) if value is not None and self.how in ("count", "distinct") else value


class Windows(Spec):
    """All windows of a table: its columns of time, id and arrival, and what is computed over them.

    >>> spent = Window(how="sum", of="amount", over="1h", by="card")
    >>> Windows(on="time", windows=(spent,)).needs
    ('time', 'card', 'amount')
    """

    on: str
    """The column that says when an event happened: a date or a timestamp."""
    windows: tuple[Window, ...] = Setting(min_length=1)
    id: str = ""
    """The column that names an event, so that a repeat counts once."""
    arrival: str = ""
    """The column by which events of the past are ordered as they arrived; by default none came late."""
    late: str = "1h"
    """How far behind the newest of its key an event may arrive."""

    @model_validator(mode="after")
    def _distinct_names(self) -> Windows:
        micros(self.late)
        if len(set(self.names)) < len(self.names):
            raise ValueError("two windows have the same name; give one of them column=")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns that are added."""
        return tuple(window.name for window in self.windows)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What is aggregated, each column once: the order of an event's values."""
        return tuple(dict.fromkeys(window.of for window in self.windows if window.of))

    @cached_property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The different ``by`` of the windows."""
        return tuple(dict.fromkeys(window.by for window in self.windows))

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that must be there to compute them, in a table of the past or in a request."""
        by = (column for key in self.keys for column in key)
        return tuple(dict.fromkeys([self.on, *filter(None, [self.id]), *by, *self.columns]))

    def texts(self) -> frozenset[str]:
        """The columns whose values are told apart and not computed with. Raises SettingsError for both."""
        told = {w.of for w in self.windows if w.how == "distinct"}
        if mixed := told & {w.of for w in self.windows if w.how not in ("distinct", "count")}:
            raise SettingsError(
                f"{min(mixed)!r} is counted by 'distinct' and computed with by another window.",
                hint="Give it twice, under two names.",
            )
        return frozenset(told)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns that are added, as a model reads them."""
        return tuple(Field(name=w.name, type=str(w.type), kind=Kind.NUMBER) for w in self.windows)

    def looks(self, by: tuple[str, ...]) -> Looks:
        """The arithmetic of the windows of one key."""
        chosen = [(i, w) for i, w in enumerate(self.windows) if w.by == by]
        steps = [
            (micros(w.over), self.columns.index(w.of) if w.of else 0, _AGGREGATES[w.how]) for _, w in chosen
        ]
        return Looks(tuple(i for i, _ in chosen), tuple(steps), micros(self.late))


class Looks:
    """Looks back over the events of one key. Made by :meth:`Windows.looks`."""

    def __init__(
        self,
        places: tuple[int, ...],
        steps: tuple[tuple[int, int, Callable[[list[Value]], Value]], ...],
        late: int,
    ) -> None:
        self.places = places
        """Which of all windows these are."""
        self.steps = steps
        self.late = late
        self.keeps = late + max(over for over, _, _ in steps)
        """How long before the newest an event is needed, in µs."""

    @property
    def missing(self) -> tuple[Value, ...]:
        """The answer where a window cannot be known."""
        return (None,) * len(self.steps)


class Past:
    """The events of one key that may count still, in the order of their times.

    >>> looks = Windows(on="t", windows=(Window(how="count", over="1s", by="k"),)).looks(("k",))
    >>> past = Past(looks)
    >>> [past.observe((time, "", ())) for time in (0, 400_000, 1_000_000)]
    [(0.0,), (1.0,), (2.0,)]
    """

    def __init__(self, looks: Looks, events: Sequence[Event] = ()) -> None:
        self.looks = looks
        self._times = [time for time, _, _ in events]  # ascending
        self._events = list(events)
        self._ids = {(time, name) for time, name, _ in events if name}

    def __len__(self) -> int:
        return len(self._times)

    @property
    def oldest(self) -> int:
        """The time of the oldest event that is kept; 0 for none."""
        return self._times[0] if self._times else 0

    def observe(self, event: Event) -> tuple[Value, ...]:
        """Its windows, before it is one of those that count."""
        if self.is_late(event[0]):
            return self.looks.missing
        answers = self.look(event[0])
        self.add(event)
        return answers

    def is_late(self, time: int) -> bool:
        """Whether an event of this time comes too late to be known."""
        return bool(self._times) and time < self._times[-1] - self.looks.late

    def look(self, time: int) -> tuple[Value, ...]:
        """The windows before a moment."""
        end = bisect_left(self._times, time)
        answers: list[Value] = []
        for over, place, aggregate in self.looks.steps:
            start = bisect_left(self._times, time - over, 0, end)
            if aggregate is _count:
                answers.append(float(end - start))
                continue
            values = [self._events[i][2][place] for i in range(start, end)]
            answers.append(aggregate([value for value in values if value is not None]))
        return tuple(answers)

    def add(self, event: Event) -> bool:
        """Let it count; False for a repeat."""
        time, name, _ = event
        if name and (time, name) in self._ids:
            return False
        place = bisect_right(self._times, time)
        self._times.insert(place, time)
        self._events.insert(place, event)
        if name:
            self._ids.add((time, name))
        self._forget()
        return True

    def _forget(self) -> None:
        """What no event to come can see goes, some at a time."""
        old = bisect_left(self._times, self._times[-1] - self.looks.keeps)
        if old * 2 > len(self._times) or old > 1_000:
            self._ids -= {(time, name) for time, name, _ in self._events[:old] if name}
            del self._times[:old]
            del self._events[:old]


def key_text(values: Sequence[object]) -> str | None:
    """One text of the values that say whose an event is; None where one is missing.

    >>> key_text(["4711", 3]), key_text(["4711", None])
    ('4:4711,1:3', None)
    """
    if any(value is None for value in values):
        return None
    texts = [value if isinstance(value, str) else str(value) for value in values]
    return ",".join(f"{len(text)}:{text}" for text in texts)


def micros(text: str) -> int:
    """A span of time in µs. Raises SettingsError.

    >>> micros("90s"), micros("1.5h")
    (90000000, 5400000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s|min|h|d|w)", text.strip())
    span = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not 0 < span < 1 << 53:
        raise SettingsError(f"{text!r} is no span of time.", hint='Write "90s", "10min", "1h", "7d", "2w".')
    return span


def _count(values: list[Any]) -> Value:
    return float(len(values))


def _sum(values: list[Any]) -> Value:
    return _total(values)


def _mean(values: list[Any]) -> Value:
    return _total(values) / len(values) if values else None


def _total(values: list[Any]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest number, or infinities of both signs
        return float(sum(values))


def _distinct(values: list[Any]) -> Value:
    return float(len(set(values)))


def _least(values: list[Any]) -> Value:
    return min(values, default=None)


def _most(values: list[Any]) -> Value:
    return max(values, default=None)


def _last(values: list[Any]) -> Value:
    return values[-1] if values else None


_AGGREGATES: dict[str, Callable[[list[Any]], Value]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _least,
    "max": _most,
    "last": _last,
    "distinct": _distinct,
}
