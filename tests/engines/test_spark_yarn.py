"""Spark on YARN: what ``spark_yarn.py`` found on a cluster of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.servers.yarn import Yarn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(960)]

HERE = Path(__file__).resolve()
WAIT_S = 600.0


def test_a_gang_on_yarn_learns_what_one_on_this_machine_does(yarn: Yarn, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.engines.spark_yarn"],
            cwd=HERE.parents[2],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, **yarn.variables(), "ORRERY_HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
            start_new_session=True,
        )
    try:
        out, _ = program.communicate(timeout=WAIT_S)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    assert program.returncode == 0, (tmp_path / "said").read_text()[-2_000:]
    found: dict[str, Any] = {line["name"]: line for line in map(json.loads, out.splitlines())}
    assert found["master"]["found"] == "yarn"
    assert found["equal"]["found"] <= 1e-5
    assert found["left"]["found"] == []
    _, alive = psutil.wait_procs(_of(yarn.folder), timeout=60)
    assert alive == [], "containers end with their application"


def _of(folder: Path) -> list[psutil.Process]:
    """The programs that run in the cluster's containers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and "MiniYarn" not in words:
            found.append(process)
    return found
