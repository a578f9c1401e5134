"""Spark with two executors, each a process of its own: what ``spark_cluster.py`` found there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(960)]

HERE = Path(__file__).resolve()
WAIT_S = 900.0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Each scenario's name -> what it found; nothing of the cluster is left."""
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("Spark needs Java, which is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "said").open("wb") as said:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.engines.spark_cluster"],
            cwd=HERE.parents[2],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "TMPDIR": str(folder), "ORRERY_HOME": str(folder / "home")},
            start_new_session=True,
        )
    try:
        out, _ = program.communicate(timeout=WAIT_S)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    assert program.returncode == 0, (folder / "said").read_text()[-2_000:]
    yield {line["name"]: line for line in map(json.loads, filter(None, out.splitlines()))}
    shutil.rmtree(HERE.parents[2] / "work", ignore_errors=True)


def test_slots_are_told_in_numbers(found: dict[str, Any]) -> None:
    assert found["too_many"]["error"] == "SlotsError"
    assert found["too_many"]["message"].startswith("Asked for 4 workers; 2 of Spark's 2 slots are free.")
    assert found["too_many"]["seconds"] < 5


def test_each_executor_keeps_a_worker(found: dict[str, Any]) -> None:
    ranks = found["ranks"]["found"]["ranks"]
    assert [(rank, size) for rank, size, _ in ranks] == [(0, 2), (1, 2)]
    assert len({server for *_, server in ranks}) == 2


def test_every_row_is_seen_once(found: dict[str, Any]) -> None:
    assert sum(count for count, _ in found["apart"]["found"]) == 1_001


def test_a_killed_executor_changes_nothing_in_the_end(found: dict[str, Any]) -> None:
    killed = found["killed"]["found"]
    assert [one["weights"] for one in killed["rough"]] == [one["weights"] for one in killed["calm"]]
    assert killed["recovery_s"] is not None


def test_a_gang_goes_on_with_the_executor_that_is_left(found: dict[str, Any]) -> None:
    for one in found["elastic"]["found"]:
        assert one["seen"] == [1_001] * 3
        assert one["sizes"][0] == 2
        assert one["sizes"][1] == 1


def test_weights_are_those_of_the_gang_on_this_machine(found: dict[str, Any]) -> None:
    assert found["equal"]["found"] <= 1e-5


def test_nothing_is_left(found: dict[str, Any]) -> None:
    assert found["left"]["found"] == []
