"""The Spark example, by its one command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import orrery as ory

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "spark"


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed")
def test_the_example_runs_by_one_command(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "demo.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "demo.py", "local[2]"],
        cwd=tmp_path,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "ORRERY_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "two workers read" in done.stdout
    model = ory.load(tmp_path / "visits-model")
    shop = {"customer": 1, "minutes": 15.0, "device": "shop", "usual": 8.0, "often": 15}
    assert model.predict(shop)["prediction"] == "yes"
    assert model.predict({**shop, "minutes": 1.0, "device": "desk"})["prediction"] == "no"
