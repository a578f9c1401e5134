"""A saved model, as far as a registry looks at it: a folder with a model.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orrery.registry.folder import FolderRegistry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a saved model."""
    made = tmp_path / "saved"
    made.mkdir()
    card = {"metrics": {"accuracy": 0.9}, "lineage": {"rows": 150, "data": "abc"}}
    (made / "model.json").write_text(json.dumps(card), encoding="utf-8")
    (made / "weights.safetensors").write_bytes(b"\x00" * 1000)
    return made


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    """An empty registry."""
    return FolderRegistry(tmp_path / "registry", wait_s=5)
