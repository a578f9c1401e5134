"""Engines by name: those of other people, who name them by an entry point of an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orrery.engines.find import engine_of, engines
from orrery.engines.local import Local
from orrery.errors import SettingsError

ENGINE = '''
from orrery.engines.local import Local


class Loud(Local):
    """Somebody's engine: this machine, which says what it does."""

    def __init__(self):
        super().__init__(threads=2)

    def submit(self, plan):
        print(f"{plan.workers} of the loud", flush=True)
        return super().submit(plan)
'''
PROGRAM = """
import orrery as ory

print(ory.gang(lambda worker: worker.rank, workers=2, engine="loud"))
rows = [{"x": float(i), "y": 2.0 * i} for i in range(60)]
model = ory.fit(rows, "y", learner="network", epochs=1, engine="loud", workers=2, progress=False)
print(model.lineage["gang"]["workers"])
"""


def installed(folder: Path) -> None:
    """What ``pip install`` leaves: the package, and beside it what it tells of itself."""
    (folder / "loud.py").write_text(ENGINE)
    about = folder / "loud_engine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-engine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[orrery.engines]\nloud = loud:Loud\n")


def test_an_engine_of_another_package_runs_gangs_and_fits(tmp_path: Path) -> None:
    installed(tmp_path)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    assert [said[1], said[-1]] == ["[0, 1]", "2"]
    assert said.count("2 of the loud") >= 2


def test_a_name_that_nobody_has_is_told_with_those_that_are() -> None:
    assert isinstance(engine_of(None), Local)
    assert engines()["spark"] == "orrery.engines.spark:Spark"
    with pytest.raises(SettingsError, match=r"There is no engine 'locl'.*local"):
        engine_of("locl")
