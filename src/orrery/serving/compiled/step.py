"""A step of a compiled plan: some columns of Python values in, the encoded blocks of one feature out.

A step knows the ordinary values of its kind of column. What is not ordinary, right or wrong, it leaves to the
general path, which is slower and says what is wrong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orrery.features.cells import as_text
from orrery.features.feature import Encoded, Transform
from orrery.features.forms import lift_values

Values = Sequence[Any]
"""One Python value per row."""

_NUMBERS = frozenset((float, int, bool, type(None)))
_SPELT = frozenset((int, bool, dt.datetime, dt.date))


class UnusualError(Exception):
    """A value that the quick way does not know; the general one does, or says what is wrong with it."""


class Step(Protocol):
    """One fitted feature, ready to answer."""

    path: str
    """``compiled``, or ``general``: how people are told."""

    @property
    def transform(self) -> Transform:
        """What it stands for."""

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """The blocks of one row: a value per column. Raises UnusualError."""

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """The blocks of some rows: their values per column. Raises UnusualError."""


class General:
    """Any feature, as :class:`~orrery.features.plan.FeaturePlan` applies it."""

    path = "general"

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def one(self, values: Values) -> tuple[Encoded, ...]:
        """One row is a batch of one."""
        return self.many([[value] for value in values], 1)

    def many(self, columns: Sequence[Values], rows: int) -> tuple[Encoded, ...]:
        """Lifted, then applied. Raises BadRowError."""
        named = zip(self.transform.inputs, columns, strict=True)
        lifted = [lift_values(values, self.transform.form, name) for name, values in named]
        return self.transform.apply(*lifted)


def numbers(values: Values) -> NDArray[np.float64]:
    """Numbers as an array; None is NaN. Raises UnusualError."""
    if not _NUMBERS.issuperset(map(type, values)):
        raise UnusualError
    return np.array(values, np.float64)


def spelt(value: Any) -> str | None:
    """A category's spelling, None where it is missing. Raises UnusualError.

    >>> spelt("a"), spelt(2.0), spelt(float("nan"))
    ('a', '2', None)
    """
    if value is None or value.__class__ is str:
        found: str | None = value
        return found
    if value.__class__ is float:
        return as_text(value) if value == value else None
    if value.__class__ in _SPELT:
        return as_text(value)
    raise UnusualError
