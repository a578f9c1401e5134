"""Models of others predict; what they name is neither run nor read unless somebody says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orrery as ory
from orrery.errors import FeedbackError, SettingsError
from orrery.estimators.model import Model
from orrery.feedback.drift import fitted_on
from orrery.feedback.retrain import retrain

ROWS = [{"a": i / 4, "y": i / 2} for i in range(40)]


def made(tmp_path: Path) -> Path:
    """A model of rows that lie in a file."""
    ory.read(ROWS).write(tmp_path / "rows.csv")
    return ory.fit(ory.read(tmp_path / "rows.csv"), "y", learner="linear").save(tmp_path / "m")


def strange(folder: Path, change: Callable[[dict[str, Any]], None] = lambda card: None) -> Path:
    """The same model, as another machine would have written it."""
    card = json.loads((folder / "model.json").read_text())
    card["notes"].append("from elsewhere")
    change(card)
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def test_a_model_that_was_saved_here_is_known_wherever_it_is_copied_to(tmp_path: Path) -> None:
    folder = made(tmp_path)
    shutil.copytree(folder, tmp_path / "copy")
    model = Model.load(tmp_path / "copy")
    assert model.trusted
    assert fitted_on(model).count() == 40
    ory.publish(model, "m")
    assert ory.load("models:/m").trusted


def test_the_places_that_anothers_model_names_are_not_read(tmp_path: Path) -> None:
    folder = strange(made(tmp_path))
    model = Model.load(folder)
    assert not model.trusted
    assert round(model.predict({"a": 3.0})["prediction"]) == 6
    with pytest.raises(FeedbackError, match="trust=True"):
        fitted_on(model)
    assert fitted_on(Model.load(folder, trust=True)).count() == 40


def test_saving_anothers_model_again_makes_it_no_more_ours(tmp_path: Path) -> None:
    again = Model.load(strange(made(tmp_path))).save(tmp_path / "again")
    assert not Model.load(again).trusted


@pytest.mark.parametrize(
    "learner",
    [
        {"kind": "network", "module": "this_would_be:run"},
        {"kind": "network", "init_from": "/etc"},
        {"kind": "auto", "members": [{"kind": "network", "module": "this_would_be:run"}]},
    ],
    ids=["module", "init_from", "within"],
)
def test_the_code_and_files_that_anothers_model_names_are_not_used(
    tmp_path: Path, learner: dict[str, Any]
) -> None:
    folder = strange(made(tmp_path), lambda card: card["estimator"].update(learner=learner))
    model = Model.load(folder)
    with pytest.raises(SettingsError, match=r"would use what it names.*trust=True"):
        _ = model.estimator


def test_whoever_trusts_fits_it_again(tmp_path: Path) -> None:
    settings = {"kind": "network", "module": "this_would_be:run", "epochs": 1}
    folder = strange(made(tmp_path), lambda card: card["estimator"].update(learner=settings, features=None))
    with pytest.raises(SettingsError, match="no network factory 'this_would_be:run'"):
        Model.load(folder, trust=True).estimator.fit(ROWS)


def test_anothers_settings_that_name_nothing_may_be_fitted_again(tmp_path: Path) -> None:
    model = Model.load(strange(made(tmp_path)))
    assert round(model.estimator.fit(ROWS).predict({"a": 3.0})["prediction"]) == 6


def test_retraining_anothers_model_needs_trust(tmp_path: Path) -> None:
    ory.publish(Model.load(strange(made(tmp_path))), "m")
    with pytest.raises(FeedbackError, match="trust=True"):
        retrain("m", new=ory.read(ROWS))
    assert retrain("m", new=ory.read(ROWS), trust=True).trusted
    assert retrain("m", ory.read(ROWS), new=ory.read(ROWS)).trusted
