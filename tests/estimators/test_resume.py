"""A fit that was killed goes on from where it was, and ends with the very same model."""

from __future__ import annotations

import json
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


OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, name, width, classes):
        super().__init__()
        self.name, self.first, self.last = name, nn.Linear(width, 8), nn.Linear(8, classes)

    def forward(self, blocks):
        hidden = torch.relu(self.first(blocks[self.name]))
        return self.last(CHANGE)

def make(outputs, target):
    return Own(outputs[0].name, outputs[0].width, target.width)
"""


def test_edited_code_does_not_go_on_from_what_the_old_code_learnt(tmp_path: Path) -> None:
    """A run is interrupted, the user's own network is edited, and the same call begins anew."""
    script = """
import json, sys
import orrery as ory
from orrery.training.events import Epoch, Started

started = []

def watch(event):
    if isinstance(event, Started):
        started.append(event.resumed_at_step)
    if sys.argv[1] == "stop" and isinstance(event, Epoch) and event.epoch == 3:
        return "stop"

rows = [{"a": float(i), "y": "yes" if i % 7 > 3 else "no"} for i in range(200)]
try:
    ory.fit(rows, "y", learner="network", module="own:make", epochs=6, observers=[watch], folder=sys.argv[2])
except ory_error as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps(started))
""".replace("ory_error", "__import__('orrery.errors').errors.FitError")

    def run(change: str, word: str) -> object:
        (tmp_path / "own.py").write_text(OWN.replace("CHANGE", change))
        done = subprocess.run(
            [sys.executable, "-B", "-c", script, word, str(tmp_path / "run")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    assert run("hidden", "stop") == [0]
    resumed = run("hidden", "go")
    assert isinstance(resumed, list)
    assert resumed[0] > 0
    assert "another run" in str(run("-hidden", "go"))
