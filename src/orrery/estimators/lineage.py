"""Where a model comes from, as plain values."""

from __future__ import annotations

import datetime as dt
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from orrery import __version__
from orrery.data.table import Table
from orrery.errors import OrreryError
from orrery.spec import Spec

PACKAGES = ("numpy", "pyarrow", "duckdb", "onnxruntime", "torch", "lightgbm", "scikit-learn")
"""Packages whose version may change what is learnt."""


def lineage_of(table: Table, estimator: Spec, rows: int, seconds: float) -> dict[str, Any]:
    """What is known of a fit: its data, settings, code, packages and time."""
    return {
        "data": plan_of(table),
        "rows_fingerprint": table.fingerprint(),
        "rows": rows,
        "estimator": estimator.key(),
        "orrery": __version__,
        "python": platform.python_version(),
        "packages": packages(),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
        "parent": None,
    }


def plan_of(table: Table) -> dict[str, Any] | None:
    """The table's source and steps, from which it can be read again; None for rows that lay in memory."""
    try:
        return table.to_dict()
    except OrreryError:
        return None


def packages() -> dict[str, str]:
    """Version of each package that matters and is installed; none is imported."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
