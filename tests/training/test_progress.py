from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from orrery.training.events import Checkpoint, Ended, Epoch, Event, Started, Step
from orrery.training.progress import Bars, JsonLines, TensorBoard, bars

EVENTS: list[Event] = [
    Started("network", rows=10, steps=2, epochs=1),
    Step(1, 0, 0.75, 0.1, 5),
    Step(2, 0, 0.5, 0.1, 5),
    Epoch(1, {"train/loss": 0.625, "validation/loss": 0.5}, best=True),
    Checkpoint(2, "run/checkpoint"),
    Ended("finished", 2, {"train/loss": 0.625}, ("a note",)),
]


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_tell_epochs_and_the_end(terminal: bool) -> None:
    out = io.StringIO()
    watch = Bars(Console(file=out, force_terminal=terminal, width=100))
    for event in EVENTS:
        watch(event)
    said = out.getvalue()
    assert "network epoch 1: train/loss 0.6250, validation/loss 0.5000" in said
    assert "network: finished after 2 steps" in said
    assert ("loss 0.5000" in said.replace("validation/loss 0.5000", "")) == terminal


def test_bars_are_taken_away_after_an_error() -> None:
    watch = Bars(Console(file=io.StringIO(), force_terminal=True))
    watch(EVENTS[0])
    watch.close()
    watch.close()


def test_bars_show_as_asked_then_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bars(False) is None
    assert bars(True) is not None
    assert bars() is None  # ORRERY_PROGRESS=0 in the tests
    monkeypatch.setenv("ORRERY_PROGRESS", "1")
    assert bars() is not None


def test_json_lines_hold_every_event(tmp_path: Path) -> None:
    watch = JsonLines(tmp_path / "run" / "curves.jsonl")
    for event in EVENTS:
        watch(event)
    lines = [json.loads(line) for line in watch.path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "step", "step", "epoch", "checkpoint", "ended"]
    assert [line["loss"] for line in lines[1:3]] == [0.75, 0.5]
    assert lines[3]["metrics"] == {"train/loss": 0.625, "validation/loss": 0.5}
    assert lines[5]["notes"] == ["a note"]


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    watch = TensorBoard(tmp_path)
    for event in EVENTS:
        watch(event)
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [point.value for point in found.Scalars("train/step_loss")] == [0.75, 0.5]
    assert [(point.step, point.value) for point in found.Scalars("validation/loss")] == [(2, 0.5)]
