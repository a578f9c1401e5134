"""What a column of another program is to Orrery, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Values = Callable[[str], Any]
"""Some values of a column as it is stored, by its name; None where there are none."""


@dataclass(frozen=True)
class Meaning:
    """A column as it is given, from how it is stored."""

    field: Any
    """The Arrow field that is given."""
    read: Callable[[Any, str], Any]
    """From values as they are stored, and the file's name, to values of the field. Raises SourceError."""
