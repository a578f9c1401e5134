"""Promise 5: kill it anywhere, start it again, and it ends with the same bits."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.network import build
from orrery.training.events import Event, Started, Step
from orrery.training.feed import Feed
from orrery.training.loop import train
from orrery.training.recipe import Recipe
from orrery.training.world import World

SCRIPT = Path(__file__).with_name("killed.py")
STEPS = 8 * 5


def start(folder: Path, steps: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], steps: Path, step: int) -> str:
    """Kill -9 once so many steps are done; what the run had said."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if steps.exists() and int(steps.read_text() or 0) >= step:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return said


@pytest.mark.slow
def test_killed_at_three_random_moments_it_ends_bit_equal(tmp_path: Path) -> None:
    undisturbed, _ = start(tmp_path / "whole", tmp_path / "steps").communicate()
    (tmp_path / "steps").unlink()
    moments = sorted(random.sample(range(1, STEPS - 2), 3))
    for nth, moment in enumerate(moments):
        said = kill_after(start(tmp_path / "killed", tmp_path / "steps"), tmp_path / "steps", moment)
        resumed = int(said.split()[2])
        assert resumed >= max(0, (0, *moments)[nth] - 1), (moments, said)
    said, _ = start(tmp_path / "killed", tmp_path / "steps").communicate()
    assert int(said.split()[2]) >= moments[-1] - 1
    assert said.split()[-1] == undisturbed.split()[-1], f"killed after steps {moments}"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stop=st.integers(1, 11),
    accumulate=st.sampled_from([1, 3]),
    averaging=st.sampled_from([0.0, 0.9]),
    optimizer=st.sampled_from(["adamw", "sgd"]),
)
def test_stopped_and_resumed_equals_never_stopped(
    feed: Feed,
    tmp_path_factory: pytest.TempPathFactory,
    stop: int,
    accumulate: int,
    averaging: float,
    optimizer: str,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe.from_dict(
        {
            "epochs": 4,
            "batch_size": 32,
            "accumulate": accumulate,
            "averaging": averaging,
            "optimizer": optimizer,
        }
    )

    def stopping(event: Event) -> str | None:
        return "stop" if isinstance(event, Step) and event.step == stop else None

    def run(world: World, observe: object) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = build(feed.outputs, feed.target, width=8, depth=1, dropout=0.3)
        train(module, CategoryDecoder(), feed, recipe, world, observe)  # type: ignore[arg-type]
        return module

    whole = run(World(), lambda event: None)
    run(World(folder=folder), stopping)
    events: list[Event] = []
    resumed = run(World(folder=folder), events.append)
    assert isinstance(events[0], Started)
    assert events[0].resumed_at_step == stop
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
