"""Everything inferred is shown in full, and is what the fit uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import orrery as ory
from orrery.data.codecs import image as codec
from orrery.estimators.estimator import Estimator
from orrery.learners.network import Network

Rows = list[dict[str, Any]]


def numbers(rows: int = 200) -> Rows:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 3))
    return [{"a": a, "b": b, "c": c, "y": a - 2 * b + c * c} for a, b, c in x.tolist()]


def pictures(rows: int = 120) -> Rows:
    """Half bright, half dark, 6 pixels high and 5 wide."""
    return [
        {"photo": codec.encode_png(np.full((1, 6, 5), i % 2 * 200, np.uint8)), "light": str(i % 2)}
        for i in range(rows)
    ]


def test_auto_shows_the_members_that_it_tries_with_their_settings() -> None:
    said = Estimator(target="y").resolve(numbers()).to_dict()["learner"]
    assert [member["kind"] for member in said["members"]] == ["linear", "boosted", "boosted"]
    assert [m["random_splits"] for m in said["members"][1:]] == [False, True]
    assert {(m["learning_rate"], m["rows_per_leaf"]) for m in said["members"][1:]} == {(0.05, 10)}


def test_pictures_show_their_size_and_the_recipe_of_their_network() -> None:
    said = Estimator(target="light").resolve(pictures()).to_dict()
    (member,) = said["learner"]["members"]
    (feature,) = said["features"]
    assert (feature["height"], feature["width"]) == (6, 5)
    assert (member["kind"], member["recipe"]["epochs"]) == ("network", 60)


def test_a_network_shows_the_recipe_for_the_rows_that_are_not_held_out() -> None:
    rows = [*numbers(2000)]
    resolved = Estimator(target="y", learner=Network(batch_size=64)).resolve(rows).learner
    assert resolved == Network(batch_size=64).resolve(1800)
    assert resolved.to_dict()["recipe"]["batch_size"] == 64


@pytest.mark.parametrize(
    ("rows", "target", "learner"),
    [
        (numbers(), "y", "auto"),
        (numbers(), "y", "boosted"),
        (numbers(), "y", "linear"),
        pytest.param(pictures(), "light", "auto", marks=pytest.mark.slow),
    ],
)
def test_fitting_again_from_the_resolved_settings_gives_the_same_model(
    rows: Rows, target: str, learner: str
) -> None:
    model = ory.fit(rows, target, learner=learner)
    assert model.estimator == Estimator.from_dict({"target": target, "learner": learner}).resolve(rows)
    assert model.estimator.resolve(rows) == model.estimator
    again = Estimator.from_dict(model.estimator.to_dict()).fit(rows)
    assert again.predictor.files() == model.predictor.files()
    assert again.settings == model.settings
