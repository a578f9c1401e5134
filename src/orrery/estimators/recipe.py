"""The family of what can be fitted into a model, told apart by ``kind``; the estimator is its first member.

A model names what it came from by plain values, so it can be loaded and can predict without them being
understood: the learner's own packages need not be installed where a model only answers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from orrery import estimators
from orrery.errors import SettingsError, listing
from orrery.spec import Spec


class Recipe(Spec):
    """Settings that ``fit`` turns into a model."""

    kind: str


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values. Raises SettingsError that lists the kinds there are.

    >>> recipe_of({"kind": "estimator", "target": "price", "learner": "linear"}).kind
    'estimator'
    """
    table = dict(estimators.KINDS)
    for point in entry_points(group="orrery.estimators"):
        table.setdefault(point.name, point.value)
    kind = str(settings.get("kind"))
    if kind not in table:
        raise SettingsError(f"There is no estimator of kind {kind!r}; the kinds are {listing(table)}.")
    module, _, name = table[kind].partition(":")
    member: type[Recipe] = getattr(importlib.import_module(module), name)
    return member.from_dict(settings)
