"""From a model's URL to the model."""

from __future__ import annotations

from pathlib import Path

from orrery.estimators.model import Model
from orrery.registry.folder import open_registry as open_registry
from orrery.registry.url import ModelUrl


def load(url: str | Path, registry: str | Path | None = None, *, trust: bool = False) -> Model:
    """A published model (``models:/digits@champion``) or a saved one (a folder or zip file).

    Its example rows are replayed. ``trust``: see :meth:`Model.load`.
    Raises ModelNotFoundError, ModelFormatError, ReplayError.
    """
    parsed = ModelUrl.parse(str(url))
    if not parsed.name:
        return Model.load(parsed.path, trust=trust)
    return Model.load(open_registry(registry).get(parsed.name, parsed.which).path, trust=trust)
