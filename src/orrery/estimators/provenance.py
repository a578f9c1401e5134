"""Whether a saved model was made here: only then are the code and the places that it names used unasked.

Saving leaves the SHA-256 of ``model.json``, which holds the digests of all other files, in
``<home>/made/``. A model that comes back with the same one, from wherever it was copied to, is ours. Of any
other, predicting runs nothing; fitting again could run a module that it names, or read a place.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orrery import settings
from orrery.errors import SettingsError, listing

_RUN_OR_READ = frozenset({"module", "init_from"})
"""Settings of learners that name code, or a file."""


def keep_made(card: bytes) -> None:
    """Remember a model by its ``model.json``; where the home cannot be written it counts as another's."""
    place = _place(card)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def was_made(card: bytes) -> bool:
    """Whether a model with this ``model.json`` was saved here."""
    with contextlib.suppress(OSError):
        return _place(card).is_file()
    return False


def check_harmless(recipe: Mapping[str, Any]) -> None:
    """Raises SettingsError where a recipe of another's names code that fitting would run, or a file."""
    if named := sorted({f"{name}={value!r:.200}" for name, value in _named(recipe)}):
        raise SettingsError(
            f"The model was not made here, and fitting it again would use what it names: {listing(named)}.",
            hint="If you know that to be yours, open it with trust=True: ory.load(place, trust=True).",
        )


def _named(values: object) -> Iterator[tuple[str, object]]:
    if isinstance(values, Mapping):
        for name, value in values.items():
            if name in _RUN_OR_READ and value is not None:
                yield name, value
            yield from _named(value)
    elif isinstance(values, list):
        for value in values:
            yield from _named(value)


def _place(card: bytes) -> Path:
    return settings.home() / "made" / hashlib.sha256(card).hexdigest()
