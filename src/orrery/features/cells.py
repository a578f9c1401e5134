"""Single values: how each is spelt or read, and which one could not be."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orrery.errors import BadRowError


def as_text(value: object) -> str:
    """The one spelling of a category: ``1``, ``1.0`` read as integers agree, ``True`` is ``true``.

    >>> as_text(1.0), as_text(1), as_text(True), as_text("a")
    ('1', '1', 'true', 'a')
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


class UnfitError(Exception):
    """One value cannot be lifted."""

    def __init__(self, row: int, value: object, reason: str = "") -> None:
        self.row, self.value, self.reason = row, value, reason


def each(values: Sequence[object], convert: Callable[[Any], Any], missing: object) -> list[Any]:
    """Each value converted. Raises UnfitError for the first that cannot be."""
    out = []
    for row, value in enumerate(values):
        try:
            out.append(missing if value is None else convert(value))
        except (TypeError, ValueError, OverflowError, UnicodeDecodeError):
            raise UnfitError(row, value) from None
        except BadRowError as error:
            raise UnfitError(row, value, error.message) from None
    return out


_NUMERAL = re.compile(
    r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
"""Numbers as text, just as Arrow reads them."""


def to_float(value: Any) -> float:
    """A number. Raises TypeError."""
    if isinstance(value, bool | int | float | decimal.Decimal | np.number | np.bool_):
        return float(value)
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        return float(value)
    raise TypeError


def to_category(value: Any) -> str:
    """A category's spelling. Raises TypeError."""
    if isinstance(value, list | dict):
        raise TypeError
    return as_text(value)
