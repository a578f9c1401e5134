"""Ray on three nodes, each with processes of its own: what ``ray_cluster.py`` found there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(960)]

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 900.0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each scenario's name -> what it found; nothing of the cluster is left."""
    folder = tmp_path_factory.mktemp("cluster")
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # Ray's sockets have short names
        with (folder / "said").open("wb") as said:
            program = subprocess.Popen(
                [sys.executable, "-m", "tests.engines.ray_cluster"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, "TMPDIR": short, "RAY_TMPDIR": short, "ORRERY_HOME": str(folder / "home")},
                start_new_session=True,
            )
        try:
            out, _ = program.communicate(timeout=WAIT_S)
        finally:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
    assert program.returncode == 0, (folder / "said").read_text()[-2_000:]
    lines = [line for line in out.splitlines() if line.startswith('{"name"')]  # Ray prints others
    return {line["name"]: line for line in map(json.loads, lines)}


def test_slots_are_told_in_numbers_of_the_clusters_resources(found: dict[str, Any]) -> None:
    many, packed, gpus = found["too_many"]["found"]
    assert many.startswith(
        "Asked for 4 workers; 3 of Ray's 3 slots are free. Each takes 1 of the cluster's 3"
    )
    assert packed.startswith("Asked for 2 workers; 1 of Ray's 1 slots are free.")
    assert "1 CPUs and 2 GPUs of 3" in gpus or "2 GPUs of 3" in gpus


def test_workers_are_spread_and_have_a_gpu_each(found: dict[str, Any]) -> None:
    ranks = found["ranks"]["found"]
    assert [(rank, size) for rank, size, *_ in ranks] == [(0, 2), (1, 2)]
    assert len({node for *_, node, _ in ranks}) == 2
    assert all(gpus.isdigit() for *_, gpus in ranks)


def test_a_script_is_told_where_the_others_are(found: dict[str, Any]) -> None:
    lines = found["launched"]["found"]
    assert len(lines) == 2
    assert len(set(lines)) == 1
    assert lines[0].count(":") >= 3


def test_weights_are_those_of_the_gang_on_this_machine(found: dict[str, Any]) -> None:
    assert found["equal"]["found"] == 0.0


@pytest.mark.parametrize("name", ["keeper", "stopped", "node"])
def test_who_is_lost_changes_nothing_in_the_end(found: dict[str, Any], name: str) -> None:
    calm, rough = found[name]["found"]["calm"], found[name]["found"]["rough"]
    assert [one["weights"] for one in rough] == [one["weights"] for one in calm]
    assert found[name]["found"]["recovery_s"] is not None


def test_nothing_is_left(found: dict[str, Any]) -> None:
    left = found["left"]["found"]
    assert (left["folders"], left["free"]) == ([], True)
    assert set(left["groups"]) <= {"REMOVED"}
