"""Fits by several workers: every kind of shard, each row once, and faults at every moment."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import orrery as ory
from orrery.engines.forks import FORKS
from orrery.errors import FitError, WorkerError
from orrery.training.events import Checkpoint, Epoch, Event, Started, Step

SETTINGS: dict[str, Any] = {"learner": "network", "epochs": 2, "batch_size": 64, "width": 8, "depth": 1}


@pytest.fixture(autouse=True)
def three_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_SLOTS", "3")


def columns(rows: int) -> dict[str, Any]:
    draw = np.random.default_rng(rows)
    x = draw.normal(size=(rows, 2))
    words = np.where(x[:, 1] > 0, "on and on", "off")
    return {"x": x[:, 0], "text": words, "y": np.where(x.sum(1) > 0, "up", "down")}


def parquet(tmp_path: Path, *sizes: int, group: int = 10_000) -> str:
    """A folder of files of so many rows each."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, size in enumerate(sizes):
        pq.write_table(pa.table(columns(size)), folder / f"{i}.parquet", row_group_size=group)
    return str(folder)


def answer(model: ory.Model) -> str:
    files = model.predictor.files()
    return hashlib.sha256(files["weights.safetensors"] + files["network.onnx"]).hexdigest()


Place = Callable[[Path], Any]
PLACES: dict[str, tuple[Place, int]] = {
    "1,001 rows in one row group": (lambda path: ory.read(parquet(path, 1_001)), 1_001),
    "uneven files": (lambda path: ory.read(parquet(path, 3, 400, 1, 30)), 434),
    "many small row groups": (lambda path: ory.read(parquet(path, 500, group=17)), 500),
    "rows in memory": (lambda path: columns(300), 300),
    "a condition that leaves one file empty": (
        lambda path: ory.read(parquet(path, 200, 200)).where("x > -10"),
        400,
    ),
    "a function of batches": (lambda path: ory.read(columns(200)).map(twice), 400),
    "a query, which one worker reads alone": (
        lambda path: (
            ory.read(parquet(path, 300)).map(twice).sql("select * from this where x > -10 order by x")
        ),
        600,
    ),
    "fewer rows than workers in the last batch": (lambda path: columns(129), 129),
}


def twice(batch: Any) -> Any:
    """Each row two times; a step that changes how many rows there are."""
    return pa.Table.from_batches([batch, batch])


@pytest.mark.parametrize("name", PLACES)
def test_each_row_is_read_once_and_learnt_from_once_in_an_epoch(name: str, tmp_path: Path) -> None:
    make, rows = PLACES[name]
    model = ory.fit(make(tmp_path), "y", workers=3, ignore=(), validation_share=0.0, **SETTINGS)
    gang = model.lineage["gang"]
    assert sum(gang["rows_read"]) == rows
    assert gang["rows_per_epoch"] == [rows]
    if "query" in name:
        assert gang["rows_read"] == [rows, 0, 0]
    else:
        assert max(gang["rows_read"]) <= rows // 3 + 1 or "batches" in name or "condition" in name


def test_a_batch_smaller_than_the_gang_and_weights() -> None:
    rows = {**columns(50), "w": np.arange(50) % 3}
    model = ory.fit(rows, "y", workers=3, weight="w", **{**SETTINGS, "batch_size": 2, "epochs": 1})
    assert model.lineage["gang"]["rows_per_epoch"] == [50]


def test_auto_lends_the_gang_to_its_network() -> None:
    members = ({"kind": "network", "epochs": 1, "width": 8}, {"kind": "linear"})
    model = ory.fit(columns(300), "y", learner="auto", members=members, workers=2, ignore=("text",))
    assert model.lineage["gang"]["workers"] == 2


def kill_a_worker(which: int = -1, how: int = signal.SIGKILL) -> None:
    assert FORKS._server is not None
    os.kill(sorted(child.pid for child in psutil.Process(FORKS._server.pid).children())[which], how)


LOW_RANK = {"kind": "allreduce", "compression": "powersgd", "start": 2}


@pytest.mark.parametrize("exchange", ["allreduce", {"kind": "average", "every": 3}, "sharded", LOW_RANK])
def test_a_gang_that_lost_workers_ends_bit_equal(exchange: Any) -> None:
    """Killed in the first step, in the middle of an epoch, while it saves; the budget is two restarts."""
    rows = columns(400)
    settings = {**SETTINGS, "recipe": {"checkpoint_s": 0.0, "epochs": 3, "batch_size": 64}}
    del settings["epochs"], settings["batch_size"]
    whole = ory.fit(rows, "y", workers=2, exchange=exchange, **settings)
    killed: list[int] = []
    resumed: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            resumed.append(event.resumed_at_step)
        at = event.step if isinstance(event, Step | Checkpoint) else 0
        if len(killed) == 0 and isinstance(event, Step) and at >= 1:
            killed.append(at)
            kill_a_worker(0)
        elif len(killed) == 1 and isinstance(event, Checkpoint) and at >= 9:
            killed.append(at)
            kill_a_worker(1)

    cut = ory.fit(rows, "y", workers=2, exchange=exchange, observers=[watch], **settings)
    assert answer(cut) == answer(whole)
    assert len(resumed) == 3
    assert sum("started again from its last checkpoint" in note for note in cut.notes) == 2


def test_a_gang_that_is_killed_between_epochs_and_while_it_writes_ends_bit_equal(tmp_path: Path) -> None:
    settings = {**SETTINGS, "width": 256, "recipe": {"checkpoint_s": 0.0, "epochs": 4, "batch_size": 64}}
    del settings["epochs"], settings["batch_size"]
    rows, killed, over = columns(400), list[str](), threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Epoch) and not killed:
            killed.append("between epochs")
            kill_a_worker(1)
            threading.Thread(target=kill_the_writer, daemon=True).start()

    def kill_the_writer() -> None:
        """The first worker, in the very moment in which its checkpoint is half there."""
        writing = tmp_path / "cut" / "checkpoint.writing"
        while not over.is_set():
            if writing.exists() and len(started) == 2:
                killed.append("while it wrote")
                kill_a_worker(0)
                return

    started: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Started):
            started.append(event.resumed_at_step)

    whole = ory.fit(rows, "y", workers=2, folder=tmp_path / "whole", **settings)
    cut = ory.fit(rows, "y", workers=2, folder=tmp_path / "cut", observers=[note, watch], **settings)
    over.set()
    assert killed == ["between epochs", "while it wrote"]
    assert len(started) == 3
    assert answer(cut) == answer(whole)


def test_the_budget_of_restarts_ends_in_a_clear_failure(tmp_path: Path) -> None:
    def watch(event: Event) -> None:
        if isinstance(event, Started):
            kill_a_worker()

    with pytest.raises(WorkerError, match=r"(?s)Worker \d of 2 .*SIGKILL.*started again 2 times; no more"):
        ory.fit(columns(300), "y", workers=2, observers=[watch], folder=tmp_path, **SETTINGS)


def test_half_a_checkpoint_is_never_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.writing").write_bytes(b"half")
    model = ory.fit(columns(200), "y", workers=2, folder=tmp_path, **SETTINGS)
    again = ory.fit(columns(200), "y", workers=2, folder=tmp_path, **SETTINGS)
    assert answer(model) == answer(again)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(FitError, match="cannot be read"):
        ory.fit(columns(200), "y", workers=2, folder=tmp_path, **SETTINGS)


def test_an_observer_stops_the_whole_gang_together() -> None:
    steps: list[int] = []

    def watch(event: Event) -> str | None:
        steps.append(event.step) if isinstance(event, Step) else None
        return "stop" if steps and steps[-1] >= 3 else None

    settings = {**SETTINGS, "epochs": 200}
    model = ory.fit(columns(400), "y", workers=2, observers=[watch], **settings)  # type: ignore[list-item]
    assert model.lineage["gang"]["steps"] < 1_000


SCRIPT = """
import os, signal, sys
sys.path.insert(0, os.getcwd())
from tests.learners.test_crew import SETTINGS, answer, columns
import orrery as ory
from orrery.training.events import Checkpoint, Started

kill_at, saved = int(sys.argv[1]), 0

def watch(event):
    global saved
    if isinstance(event, Started):
        print("from step", event.resumed_at_step, flush=True)
    if isinstance(event, Checkpoint):
        saved += 1
        if saved == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

settings = {**SETTINGS, "recipe": {"checkpoint_s": 0, "epochs": 2, "batch_size": 64}}
model = ory.fit(columns(400), "y", workers=2, observers=[watch], **settings)
print("ended", answer(model))
"""


@pytest.mark.slow
def test_a_killed_driver_goes_on_bit_equal_and_leaves_no_worker(tmp_path: Path) -> None:
    def run(home: str, kill_at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(kill_at)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "ORRERY_HOME": str(tmp_path / home), "ORRERY_SLOTS": "2"},
        )

    whole, killed = run("whole", 0), run("killed", 4)
    assert whole.returncode == 0, whole.stderr
    assert killed.returncode == -signal.SIGKILL
    resumed = run("killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    first, last = resumed.stdout.splitlines()
    assert int(first.removeprefix("from step ")) >= 4
    assert last == whole.stdout.splitlines()[-1]
