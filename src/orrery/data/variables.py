"""Environment variables in settings: filled in where they are used, and never stored.

What a process has filled in it remembers, so that whatever it writes down (a model's lineage, a run's
journal) says ``${VAR}`` again; reading a table from its lineage fills them in anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from orrery.data.masking import masked
from orrery.errors import SettingsError

_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}")
_SHORT = 4  # characters; what is shorter is no secret, and is met everywhere
_MOST = 10_000

_written: dict[str, str] = {}
"""Text as it was filled in -> as it was written."""
_names: dict[str, None] = {}
"""The variables that were filled in."""


def expand(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Values with ``${VAR}`` and ``${VAR:-otherwise}`` in their text replaced; ``$$`` is a dollar.

    Raises SettingsError for a variable that is not set.

    >>> expand({"place": "${FOLDER}/rows.csv", "rows": 5}, {"FOLDER": "/data"})
    {'place': '/data/rows.csv', 'rows': 5}
    """
    if isinstance(value, Mapping):
        return {key: expand(item, environment) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand(item, environment) for item in value]
    if not isinstance(value, str):
        return value
    text = _filled(value, os.environ if environment is None else environment)
    if environment is None:
        _remember(value, text)
    return text


def _filled(text: str, known: Mapping[str, str]) -> str:
    def one(found: re.Match[str]) -> str:
        name, otherwise = found[1], found[2]
        if name is None:
            return "$"
        if name in known:
            return known[name]
        if otherwise is None:
            raise SettingsError(
                f"The environment variable {name!r} is not set.",
                hint=f"Set it, or write ${{{name}:-otherwise}}.",
            )
        return str(otherwise)

    return _VARIABLE.sub(one, text)


def _remember(written: str, text: str) -> None:
    names = [found[1] for found in _VARIABLE.finditer(written) if found[1]]
    if not names:
        return
    _names.update(dict.fromkeys(names))
    _written.update({text: written, masked(text): written})
    while len(_written) > _MOST:
        del _written[next(iter(_written))]


def unfilled(value: Any) -> Any:
    """Plain values as they may be stored: what was filled in is a ``${VAR}`` again. ``expand`` undoes it."""
    if isinstance(value, Mapping):
        return {key: item if key == "step" else unfilled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unfilled(item) for item in value]
    return _unfilled(value) if isinstance(value, str) else value


def _unfilled(text: str) -> str:
    written = _written.get(text)
    if written is not None and _still(written, text):
        return written
    pieces = _pieces(text)
    if len(pieces) == 1 and not _VARIABLE.search(text):
        return text
    return "".join(f"${{{name}}}" if name else piece.replace("$", "$$") for piece, name in pieces)


def hidden(text: str) -> str:
    """A message in which the names of variables stand for what they hold."""
    return "".join(f"${{{name}}}" if name else piece for piece, name in _pieces(text))


def _still(written: str, text: str) -> bool:
    """Whether the environment is as it was when the text was filled in."""
    try:
        now = _filled(written, os.environ)
    except SettingsError:
        return False
    return text in (now, masked(now))


def _pieces(text: str) -> list[tuple[str, str]]:
    """A text cut where the value of a variable stands; with each piece the variable's name, if it is one."""
    held = {os.environ[name]: name for name in _names if len(os.environ.get(name, "")) >= _SHORT}
    if not held:
        return [(text, "")]
    values = "|".join(re.escape(value) for value in sorted(held, key=len, reverse=True))
    return [(piece, held.get(piece, "")) for piece in re.split(f"({values})", text)]
