"""Publish a model under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orrery.data.table import Table
from orrery.errors import RegistryError
from orrery.estimators.model import Model
from orrery.feedback.publish import Published
from orrery.feedback.publish import publish as publish_model
from orrery.flow.operator import operator
from orrery.registry.load import open_registry


def _is_published(settings: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    try:
        open_registry().get(settings["name"], outputs["value"].version.version)
    except RegistryError:
        return False
    return True


@operator(holds=_is_published)
def publish(model: Model, test: Table | None = None, *, name: str, note: str = "") -> Published:
    """Publish a model as the next version of a name; champion if it is the first, or better on the test rows.

    Args:
        model: The model to publish.
        test: Rows to compare it with the champion on.
        name: Small letters, digits, '.', '-' and '_'.
        note: A line for the list of versions.
    """
    return publish_model(model, name, test=test, note=note)
