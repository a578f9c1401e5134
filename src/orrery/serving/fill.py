"""The past of a model filled in from a table, before it answers for the first time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orrery import settings
from orrery.data.table import Table, read
from orrery.data.windows import Windows
from orrery.errors import SettingsError
from orrery.serving.past import Filled, PastStore
from orrery.serving.route import Route


def fill_pasts(routes: Iterable[Route], past: Any) -> list[str]:
    """Fill in what happened before, for every model that reads it; one line of each, for people.

    ``past`` is what :func:`orrery.read` takes. Raises SettingsError where no model reads windows, and what
    reading the table raises.
    """
    table = past if isinstance(past, Table) else read(past)
    told: list[str] = []
    for route in routes:
        found = (live.runner.signature.windows for live in route.open_versions())
        wanted = dict.fromkeys(windows for windows in found if windows is not None)
        with PastStore(route.name, settings.home().absolute()) as store:
            told += [_told(route.name, windows, store.fill(windows, table)) for windows in wanted]
    if not told:
        raise SettingsError(
            "There is a table of the past, and no model that reads what happened before.",
            hint="Leave it out, or fit the model on a table with windows().",
        )
    return told


def _told(name: str, windows: Windows, filled: Filled) -> str:
    by = "; ".join(", ".join(key) for key in windows.keys)
    if not filled.rows:
        return f"The past of {name} (by {by}) holds {filled.before:,} events: the table is not read again."
    kept = f"{filled.kept:,} of {filled.rows:,} rows count now"
    return f"The past of {name} (by {by}) is filled: {kept}, {filled.before:,} events were kept before."
