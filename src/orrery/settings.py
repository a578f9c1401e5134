"""What the environment decides: a few variables, ``ORRERY_SECTION__KEY``, read when asked for."""

from __future__ import annotations

import os
from pathlib import Path

from orrery.errors import SettingsError


def home() -> Path:
    """Where Orrery keeps models, runs, caches and recorded predictions of a project.

    ``ORRERY_HOME``; by default ``.orrery`` in the current folder.
    """
    return Path(os.environ.get("ORRERY_HOME") or ".orrery")


def registry_url() -> str:
    """Where models are published: ``ORRERY_REGISTRY__URL``; by default a folder in :func:`home`."""
    return os.environ.get("ORRERY_REGISTRY__URL") or str(home() / "registry")


def record_most_bytes() -> int:
    """How much a model's recorded predictions may take on disk: ``ORRERY_RECORD__MOST_GIB``, by default 2.

    Raises SettingsError for what is not a positive number.
    """
    return _gib("ORRERY_RECORD__MOST_GIB", "2")


def sql_most_bytes() -> int:
    """How much memory a query here may take: ``ORRERY_SQL__MOST_GIB``, by default 2; more is spilt.

    Raises SettingsError for what is not a positive number.
    """
    return _gib("ORRERY_SQL__MOST_GIB", "2")


def _gib(variable: str, otherwise: str) -> int:
    text = os.environ.get(variable) or otherwise
    try:
        most_bytes = int(float(text) * (1 << 30))
    except (ValueError, OverflowError):
        most_bytes = 0
    if most_bytes <= 0:
        raise SettingsError(f"{variable} is {text!r:.40}; it has to be a positive number, in GiB.")
    return most_bytes


def device() -> str:
    """``ORRERY_DEVICE``: ``cpu``, ``cuda``, ``cuda:1``; ``auto``, the default, takes a GPU if any."""
    return os.environ.get("ORRERY_DEVICE") or "auto"


def progress() -> bool | None:
    """``ORRERY_PROGRESS`` switches progress bars on (1) or off (0); unset, terminals decide."""
    value = os.environ.get("ORRERY_PROGRESS")
    return None if value in {None, ""} else value not in {"0", "false", "no"}


def slots() -> int | None:
    """``ORRERY_SLOTS``: how many workers this machine has room for; by default one for each core.

    Raises SettingsError for what is not a positive number.
    """
    text = os.environ.get("ORRERY_SLOTS") or ""
    if text and not (text.isdigit() and int(text)):
        raise SettingsError(f"ORRERY_SLOTS is {text!r:.40}; it has to be a positive whole number.")
    return int(text) if text else None
