"""The fraud example: payments whose fraud shows in what came before, and the whole story in one process."""

from __future__ import annotations

import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.servers.kafka import Kafka

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fraud"
FILES = ("demo.py", "draw.py", "wires.py")


def test_a_seed_always_gives_the_same_payments() -> None:
    payments: Any = runpy.run_path(str(EXAMPLE / "draw.py"))["payments"]
    rows = payments(3)
    assert rows == payments(3) != payments(3, seed=1)
    assert rows == sorted(rows, key=lambda row: row["arrival"])
    assert len({row["id"] for row in rows}) < len(rows), "some come twice"
    assert any(a["time"] > b["time"] for a, b in itertools.pairwise(rows)), "some come late"


def story(folder: Path, *arguments: str) -> str:
    """What the example prints."""
    for name in FILES:
        shutil.copy(EXAMPLE / name, folder)
    done = subprocess.run(
        [sys.executable, "demo.py", *arguments],
        cwd=folder,
        env={**os.environ, "ORRERY_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(said: str) -> None:
    """The story went as it should."""
    areas = [float(area) for area in re.findall(r"AUC (0\.\d+)", said)]
    bare, linear, boosted, before, changed, after = areas
    assert bare < linear < boosted
    assert boosted > 0.98
    assert changed < before - 0.03
    assert after > changed + 0.02
    assert re.search(r"0 of \d\d,\d\d\d windows differ", said)
    assert "promoted, version 3: all is well" in said
    assert "wait for their outcome" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_story_in_one_process(tmp_path: Path) -> None:
    check(story(tmp_path))
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_story_over_kafka(tmp_path: Path, kafka: Kafka) -> None:
    said = story(tmp_path, kafka.bootstrap)
    check(said)
    assert f"A stream of Kafka at {kafka.bootstrap}" in said
