"""From a URL to a model that predicts."""

from __future__ import annotations

from pathlib import Path

import pytest

import orrery as ory
from orrery.errors import ModelFormatError, ModelNotFoundError
from orrery.registry.folder import FolderRegistry, open_registry


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small saved model."""
    rows = [{"x": float(i), "y": "a" if i < 20 else "b"} for i in range(40)]
    return ory.fit(rows, "y", learner="linear").save(tmp_path_factory.mktemp("model") / "m.zip")


@pytest.mark.parametrize("url", ["models:/m", "models:/m/1", "models:/m@champion", "models:/m@latest"])
def test_a_published_model_predicts_as_before(saved: Path, url: str) -> None:
    registry = open_registry()
    registry.publish(saved, "m")
    registry.alias("m", "champion", 1)
    row = {"x": 3.0}
    assert ory.load(url).predict(row) == ory.load(saved).predict(row)
    assert registry.get("m").lineage["created"] == ory.load(url).lineage["created"]


def test_another_registry_by_its_place(saved: Path, tmp_path: Path) -> None:
    from orrery.registry.load import load

    FolderRegistry(tmp_path / "other").publish(saved, "m")
    assert load("models:/m", tmp_path / "other").predict({"x": 39.0})["prediction"] == "b"
    with pytest.raises(ModelNotFoundError):
        load("models:/m")


def test_an_altered_version_is_not_opened(saved: Path) -> None:
    version = open_registry().publish(saved, "m")
    place = Path(version.path)
    place.write_bytes(place.read_bytes()[:-30])
    with pytest.raises(ModelFormatError):
        ory.load("models:/m")
