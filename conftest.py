"""What all tests share, those in docstrings too: a home of their own, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has its own ORRERY_HOME, and runs in its own empty folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ORRERY_HOME", str(folder))
    monkeypatch.setenv("ORRERY_PROGRESS", "0")
    monkeypatch.chdir(tmp_path)
    return folder
