"""``fit(..., workers=n)``: several workers learn what one would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

import orrery as ory
from orrery.errors import SettingsError, SlotsError
from orrery.training.events import Ended, Event, Step


@pytest.fixture(autouse=True)
def two_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_SLOTS", "2")


def table(rows: int = 1_001) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 3))
    named = [{f"x{i}": float(v) for i, v in enumerate(row)} for row in x]
    return [{**row, "y": "up" if row["x0"] > row["x1"] else "down"} for row in named]


def weights(model: ory.Model) -> dict[str, Any]:
    return dict(load(model.predictor.files()["weights.safetensors"]))


def test_two_workers_learn_what_one_does_and_it_is_told() -> None:
    settings: dict[str, Any] = {
        "learner": "network",
        "epochs": 2,
        "batch_size": 77,
        "dropout": 0.0,
        "width": 16,
    }
    events: list[Event] = []
    alone = ory.fit(table(), "y", **settings)
    together = ory.fit(table(), "y", workers=2, observers=[events.append], **settings)
    for name, tensor in weights(alone).items():
        np.testing.assert_allclose(weights(together)[name], tensor, rtol=1e-5, atol=1e-5, err_msg=name)
    gang = together.lineage["gang"]
    assert gang["workers"] == 2
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert isinstance(events[-1], Ended)
    assert len(together.predict(table(5))) == 5


def test_a_learner_that_works_alone_says_so() -> None:
    model = ory.fit(table(60), "y", learner="linear", workers=2)
    assert any("works alone" in note for note in model.notes)
    assert "gang" not in model.lineage


def test_more_workers_than_slots_are_refused_before_anything_is_read() -> None:
    with pytest.raises(SlotsError, match=r"Asked for 3 workers; 2 of this machine's 2 slots are free"):
        ory.fit(table(60), "y", learner="network", workers=3)
    with pytest.raises(SettingsError, match="workers=0"):
        ory.fit(table(60), "y", workers=0)
    with pytest.raises(SettingsError, match="no engine 'sparc'"):
        ory.fit(table(60), "y", workers=2, engine="sparc")
