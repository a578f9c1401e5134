"""The digits example: the same rows each time, one result in Python and in YAML, and the demo to its end."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import orrery as ory

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
QUICK = {"kind": "network", "epochs": 2}


@pytest.fixture(autouse=True)
def example(tmp_path: Path) -> Path:
    """A copy of the example, with its database, in the current folder."""
    for path in EXAMPLE.iterdir():
        if path.suffix in {".py", ".yaml", ".md"}:
            shutil.copy(path, tmp_path)
    runpy.run_path(str(tmp_path / "prepare.py"), run_name="__main__")
    return tmp_path


def test_the_database_is_the_same_each_time(example: Path) -> None:
    rows = ory.read("sqlite:///digits.db", query="select * from digits").to_rows()
    (example / "digits.db").unlink()
    runpy.run_path(str(example / "prepare.py"), run_name="__main__")
    again = ory.read("sqlite:///digits.db", query="select * from digits").to_rows()
    assert again == rows
    assert len(rows) == 1797
    assert {row["label"] for row in rows} == set(range(10))
    assert rows[0]["image"].startswith(b"\x89PNG")


def test_the_flow_is_sound() -> None:
    assert ory.Flow.load("flow.yaml").check() == []


@pytest.mark.slow
def test_python_and_yaml_are_equal_to_the_last_digit() -> None:
    """The README's program and ``flow.yaml``; both with two passes over the rows only."""
    flow = ory.Flow.load("flow.yaml").with_settings({"model.learner": QUICK})
    run = flow.run()

    digits = ory.read("sqlite:///digits.db", query="select image, label from digits")
    train, test = digits.split(0.8, stratify="label", seed=7)
    model = ory.fit(train, target="label", learner="network", epochs=2)
    report = model.evaluate(test)

    assert run["parts.test"].to_rows() == test.to_rows()
    assert run["report"].metrics == report.metrics
    batch = next(iter(test.batches()))
    np.testing.assert_array_equal(run["model"].scores(batch), model.scores(batch))
    assert run["live"].decision.promoted


@pytest.mark.slow
def test_a_second_run_reuses_everything() -> None:
    flow = ory.Flow.load("flow.yaml").with_settings({"model.learner": QUICK})
    flow.run()
    again = {result.node: (result.state, result.reason) for result in flow.run().results}
    assert again["model"] == again["report"] == again["live"] == ("reused", "nothing changed")
    Path("report.html").unlink()
    third = {result.node: result.reason for result in flow.run().results}
    assert third["report"] == "what it left outside is gone"
    assert Path("report.html").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(example: Path, home: Path) -> None:
    """``kill -9`` while it learns, then the same command again: the same figures as a run never killed."""
    command = [sys.executable, "-m", "orrery.cli.main", "run", "--to", "report", "--output", "json"]
    command += ["--set", "model.learner={kind: network, epochs: 4}"]
    process = subprocess.Popen(command, cwd=example, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(home.glob("cache/*.work/checkpoint*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    again = json.loads(
        subprocess.run(command, cwd=example, capture_output=True, text=True, check=True).stdout
    )
    assert again["nodes"][2]["reason"] == "goes on where it was stopped"
    whole = subprocess.run(
        command,
        cwd=example,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ORRERY_HOME": "other"},
    )
    assert again["values"] == json.loads(whole.stdout)["values"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_twice(example: Path) -> None:
    first = demo(example)
    assert accuracy(first) >= 0.985
    for said in (
        "1,797",
        "first run",
        "http://127.0.0.1:",
        "is champion: log_loss",
        "version 2 reads the new scanner",
    ):
        assert said in first
    assert (example / "report.html").exists()
    assert (example / "comparison.html").exists()
    second = demo(example)
    assert "reused: nothing changed" in second
    assert "reused: version 2 has learnt from these rows already" in second


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_and_leaves_nothing(example: Path) -> None:
    command = [sys.executable, "demo.py"]
    process = subprocess.Popen(
        command,
        cwd=example,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "fit" in line and "runs" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "Nothing is left running" in rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 10
    while group_is_alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_is_alive(process.pid)


def demo(folder: Path) -> str:
    """Run the demo; what it printed."""
    done = subprocess.run(
        [sys.executable, "demo.py"], cwd=folder, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def accuracy(printed: str) -> float:
    """The test accuracy that the demo printed."""
    return float(printed.partition("test accuracy ")[2].split()[0])


def group_is_alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
