"""A fit that was killed goes on from where it was, and ends with the very same model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, os, signal, sys
import numpy as np
import orrery as ory
from orrery.training.events import Checkpoint, Started

kill_at = int(sys.argv[1])
saved = 0

def watch(event):
    global saved
    if isinstance(event, Started) and event.learner == "network":
        print("from step", event.resumed_at_step, flush=True)
    if isinstance(event, Checkpoint):
        saved += 1
        if saved == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

draw = np.random.default_rng(0)
x = draw.normal(size=(600, 4))
rows = [{**{f"x{i}": float(v) for i, v in enumerate(r)}, "y": "up" if r[0] * r[1] > 0 else "down"} for r in x]
model = ory.fit(rows, "y", learner="network", epochs=4, recipe={"checkpoint_s": 0}, observers=[watch])
files = model.predictor.files()
print("ended", hashlib.sha256(files["weights.safetensors"] + files["network.onnx"]).hexdigest())
"""


def run(home: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(kill_at)],
        capture_output=True,
        text=True,
        env={**os.environ, "ORRERY_HOME": str(home)},
    )


@pytest.mark.slow
def test_a_killed_fit_ends_bit_equal(tmp_path: Path) -> None:
    """Killed twice, in the middle of epochs; the same call goes on, with no folder named."""
    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    for kill_at in (2, 5):
        killed = run(tmp_path / "killed", kill_at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = run(tmp_path / "killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    first, last = resumed.stdout.splitlines()
    assert int(first.removeprefix("from step ")) > 0
    assert last == whole.stdout.splitlines()[-1]
    assert [p for p in (tmp_path / "killed").rglob("*") if p.is_file()] == []
