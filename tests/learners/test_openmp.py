from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orrery.errors import MissingExtraError
from orrery.learners import openmp


def test_libraries_are_loaded_with_passive_waiting_and_nothing_stays_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with openmp.passive():
        assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in os.environ


def test_the_users_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    with openmp.passive():
        assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_threads_are_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert openmp.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert openmp.threads() >= 1


def test_a_missing_package_is_told_in_one_line() -> None:
    with pytest.raises(MissingExtraError, match="needs the package 'no_such_package'"):
        openmp.load("no_such_package", "This")


def test_the_library_itself_says_that_it_waits_passively() -> None:
    """GNU's OpenMP shows its settings when it is loaded, and is asked to."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_"))}
    code = "from orrery.learners.forest import library; library()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this OpenMP does not show its settings")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
