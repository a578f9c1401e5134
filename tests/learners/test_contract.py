"""What every learner of tables has to hold, whatever it predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orrery.errors import ModelFormatError
from orrery.learners.auto import Auto, Blend
from orrery.learners.boosted import Boosted, BoostedPredictor
from orrery.learners.learner import Learner, Predictor
from orrery.learners.linear import Linear, LinearPredictor
from orrery.learners.links import loss, raw_width
from orrery.schema import Kind
from orrery.training.events import Ended, Event, Started
from orrery.training.world import World

LEARNERS: dict[str, tuple[Learner, type[Predictor]]] = {
    "linear": (Linear(), LinearPredictor),
    "boosted": (Boosted(most_rounds=40), BoostedPredictor),
    "auto": (Auto(members=(Linear(), Boosted(most_rounds=20))), Blend),
}


def silent(event: Event) -> None:
    """Watch nothing."""


def fitted(feeder: Any, mixed: Any, learner: Learner, **more: Any) -> tuple[Any, Predictor]:
    columns, kinds = mixed
    fed = feeder(columns, learner, kinds, **more)
    return fed, learner.fit(fed.feed, World(), silent)


@pytest.mark.parametrize("kind", LEARNERS)
def test_learns_more_than_the_mean(feeder: Any, mixed: Any, kind: str) -> None:
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    data = fed.feed.all()
    scores = predictor.predict(data.blocks)
    assert scores.shape == (300, fed.target.width)
    assert scores.dtype == np.float64
    table = (
        np.eye(fed.target.width)[data.target] if fed.target.kind is Kind.CATEGORY else data.target
    ).reshape(300, -1)
    guess = np.broadcast_to(table.mean(axis=0), scores.shape)
    assert loss(fed.target, data.target, scores) < 0.8 * loss(fed.target, data.target, guess)
    if fed.target.kind is Kind.CATEGORY:
        np.testing.assert_allclose(scores.sum(axis=1), 1.0)
    if fed.target.kind in (Kind.CATEGORY, Kind.LABELS):
        assert 0 <= scores.min() <= scores.max() <= 1


@pytest.mark.parametrize("kind", LEARNERS)
def test_files_give_the_same_bits(feeder: Any, mixed: Any, kind: str) -> None:
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    again = LEARNERS[kind][1].load(predictor.files(), fed.target)
    blocks = fed.feed.all().blocks
    np.testing.assert_array_equal(predictor.predict(blocks), again.predict(blocks))
    assert predictor.files() == again.files()


@pytest.mark.parametrize("kind", LEARNERS)
def test_one_row_says_what_many_rows_say(feeder: Any, mixed: Any, kind: str) -> None:
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    whole = predictor.predict(fed.feed.all().blocks)
    for row in range(40):
        one = predictor.predict(fed.feed.take(np.array([row])).blocks)
        np.testing.assert_array_equal(one, whole[row : row + 1])


@pytest.mark.parametrize("kind", LEARNERS)
def test_missing_and_unseen_values_have_an_answer(feeder: Any, mixed: Any, kind: str) -> None:
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    rows = {f"x{i}": pa.array([None, np.inf, -1e300, 0.0], pa.float64()) for i in range(4)}
    scores = predictor.predict(fed.encode(rows | {"city": pa.array([None, "Atlantis", "", "city 1"])}))
    assert scores.shape == (4, fed.target.width)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", LEARNERS)
def test_no_rows_have_no_answers(feeder: Any, mixed: Any, kind: str) -> None:
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    assert predictor.predict(fed.feed.take(np.zeros(0, np.int64)).blocks).shape == (0, fed.target.width)


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_same_seed_gives_the_same_bits(feeder: Any, mixed: Any, kind: str) -> None:
    first, second = (fitted(feeder, mixed, LEARNERS[kind][0])[1].files() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_row_of_weight_zero_counts_for_nothing(feeder: Any, mixed: Any, kind: str) -> None:
    """Rows with a wrong target are outweighed: with them the model is as good as without."""
    columns, kinds = mixed
    wrong = {n: pa.concat_arrays([pa.array(c), pa.array(c)]) for n, c in columns.items() if n != "y"}
    y = pa.array(columns["y"]) if not isinstance(columns["y"], pa.Array) else columns["y"]
    wrong["y"] = pa.concat_arrays([y, y.take(np.roll(np.arange(300), 137))])
    wrong["w"] = np.repeat([1.0, 0.0], 300)
    learner = LEARNERS[kind][0]
    fed = feeder(wrong, learner, kinds | {"w": "number"}, weight="w")
    data = fed.feed.subset(np.arange(300)).all()
    scores = learner.fit(fed.feed, World(), silent).predict(data.blocks)
    plain, predictor = fitted(feeder, mixed, learner)
    known = plain.feed.all()
    least = loss(plain.target, known.target, predictor.predict(known.blocks))
    spread = 1.0 if fed.target.kind not in (Kind.NUMBER, Kind.VECTOR) else float(known.target.std())
    assert loss(fed.target, data.target, scores) < least + 0.15 * spread


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_events_tell_what_was_tried(feeder: Any, mixed: Any, kind: str) -> None:
    columns, kinds = mixed
    learner = LEARNERS[kind][0]
    seen: list[Event] = []
    learner.fit(feeder(columns, learner, kinds).feed, World(), seen.append)
    assert isinstance(seen[0], Started)
    assert isinstance(seen[-1], Ended)
    assert any("out of fold" in note for note in seen[-1].notes)


@pytest.mark.parametrize("kind", LEARNERS)
def test_spoilt_files_are_refused(feeder: Any, mixed: Any, kind: str) -> None:
    """Cut anywhere, or with a byte changed: a clear error, or a predictor that still answers."""
    fed, predictor = fitted(feeder, mixed, LEARNERS[kind][0])
    files, load = predictor.files(), LEARNERS[kind][1].load
    blocks = fed.feed.take(np.arange(3)).blocks

    def answers(spoilt: dict[str, bytes]) -> None:
        try:
            scores = load(spoilt, fed.target).predict(blocks)
        except ModelFormatError:
            return
        except (KeyError, ValueError, IndexError):
            return  # the file is a sound one of another model: its blocks are not these
        assert scores.shape == (3, fed.target.width)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def spoil(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(files)))
        content = files[name]
        at = data.draw(st.integers(0, len(content) - 1))
        byte = data.draw(st.integers(0, 255))
        answers(files | {name: content[:at]})
        answers(files | {name: content[:at] + bytes([byte]) + content[at + 1 :]})
        answers({n: c for n, c in files.items() if n != name})

    spoil()


def test_files_for_another_target_are_refused(feeder: Any, mixed: Any) -> None:
    fed, predictor = fitted(feeder, mixed, Linear(alpha=1.0))
    wider = fed.target.replace(width=fed.target.width + 3)
    assert raw_width(wider) > raw_width(fed.target)
    with pytest.raises(ModelFormatError, match=r"linear\.arrow.*missing"):
        LinearPredictor.load(predictor.files(), wider)
