from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners.boosted import Boosted, BoostedPredictor
from orrery.schema import Kind
from orrery.training.events import Ended, Event, Step
from orrery.training.feed import Feed
from orrery.training.world import World

Feeder = Callable[..., Any]
TWO = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=(0, 1), width=2)


def silent(event: Event) -> None:
    """Watch nothing."""


def numbers(rows: int, seed: int = 0) -> Feed:
    """Two classes, told apart by a product."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(rows, 6))
    y = (x[:, 0] * x[:, 1] + 0.5 * chance.normal(size=rows) > 0).astype(np.int64)
    return Feed.of([Output(name="x", role=Role.NUMBER, width=6)], TWO, {"x": x}, y)


def test_trees_are_those_of_lightgbm_called_bare() -> None:
    feed = numbers(500)
    x, y = feed.all().blocks["x"], feed.all().target
    learner = Boosted(rounds=30, learning_rate=0.1, rows_per_leaf=20, l2=0.0, column_share=1.0)
    ours = learner.replace(random_splits=False).fit(feed, World(), silent).predict({"x": x})
    settings = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_col_wise": True}
    theirs = lightgbm.train(settings | {"min_data_per_group": 5}, lightgbm.Dataset(x, y), 30).predict(x)
    np.testing.assert_allclose(ours[:, 1], theirs, rtol=1e-12)


def test_defaults_are_as_good_as_lightgbms(feeder: Feeder) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    rows = np.random.default_rng(2).permutation(len(y))
    train, test = rows[:400], rows[400:]
    names = [f"x{i}" for i in range(x.shape[1])]
    table = {n: x[train, i] for i, n in enumerate(names)} | {"y": y[train]}
    fed = feeder(table, Boosted(), dict.fromkeys(names, "number") | {"y": "category"})
    predictor = Boosted().fit(fed.feed, World(), silent)
    ours = predictor.predict(fed.encode({n: x[test, i] for i, n in enumerate(names)}))[:, 1]
    bare = lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(x[train], y[train]), 100)
    assert roc_auc_score(y[test], ours) > roc_auc_score(y[test], bare.predict(x[test])) - 0.005


def test_held_out_rows_decide_when_to_stop() -> None:
    feed = numbers(600).subset(np.arange(400), np.arange(400, 600))
    seen: list[Event] = []
    predictor = Boosted(patience=10).fit(feed, World(), seen.append)
    steps = [event for event in seen if isinstance(event, Step)]
    best = int(np.argmin([event.loss for event in steps])) + 1
    assert len(steps) == best + 10
    assert predictor.describe()["trees"] == best


def test_an_observer_stops_it() -> None:
    def stop(event: Event) -> Literal["stop"] | None:
        seen.append(event)
        return "stop" if isinstance(event, Step) and event.step == 7 else None

    seen: list[Event] = []
    predictor = Boosted(rounds=100).fit(numbers(300), World(), stop)
    assert predictor.describe()["trees"] == 7
    assert isinstance(seen[-1], Ended)
    assert seen[-1].reason == "stopped by observer"


def test_categories_are_split_as_sets(feeder: Feeder) -> None:
    """Forty categories whose order means nothing: one set tells what no threshold could."""
    chance = np.random.default_rng(5)
    city = chance.integers(0, 40, 3000)
    good = chance.permutation(40) < 20
    y = np.where(good[city] ^ (chance.random(3000) < 0.05), "yes", "no")
    table = {"city": [f"city {c}" for c in city], "y": y}
    fed = feeder(table, Boosted(), {"city": "category", "y": "category"})
    scores = Boosted().fit(fed.feed, World(), silent).predict(fed.feed.all().blocks)
    assert (scores.argmax(axis=1) == fed.feed.all().target).mean() > 0.94


def test_many_categories_do_not_leak_their_target(feeder: Feeder) -> None:
    """A category for each few rows, and a target by chance: nothing may be learnt."""
    chance = np.random.default_rng(6)
    ids = chance.integers(0, 700, 2000)
    y = chance.integers(0, 2, 2000)
    table = {"id": [f"c{i}" for i in ids[:1500]], "y": y[:1500]}
    fed = feeder(table, Boosted(), {"id": "category", "y": "category"})
    predictor = Boosted().fit(fed.feed, World(), silent)
    scores = predictor.predict(fed.encode({"id": pa.array([f"c{i}" for i in ids[1500:]])}))
    chosen = scores[np.arange(500), y[1500:]]
    assert -np.log(chosen).mean() < 0.71  # log 2 is 0.693: a leak would be confident, and wrong


def test_long_tables_are_predicted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = numbers(500)
    predictor = Boosted(rounds=5).fit(feed, World(), silent)
    whole = predictor.predict(feed.all().blocks)
    monkeypatch.setattr("orrery.learners.boosted_predictor._CHUNK_BYTES", 8 * 6 * 7)
    np.testing.assert_array_equal(predictor.predict(feed.all().blocks), whole)


def test_sparse_and_dense_rows_agree(feeder: Feeder) -> None:
    chance = np.random.default_rng(4)
    words = np.array([f"w{i}" for i in range(400)])
    said = [" ".join(chance.choice(words, 8)) for _ in range(6000)]
    y = ["+" if "w1" in text.split() or "w2" in text.split() else "-" for text in said]
    learner = Boosted(rounds=30)
    fed = feeder({"said": said, "y": y}, learner, {"said": "text", "y": "category"})
    predictor = learner.fit(fed.feed, World(), silent)
    data = fed.feed.all()
    scores = predictor.predict(data.blocks)
    assert (scores.argmax(axis=1) == data.target).mean() > 0.97
    one = predictor.predict(fed.feed.take(np.array([3])).blocks)
    np.testing.assert_array_equal(one, scores[3:4])


def test_memory_is_bounded_and_it_says_so() -> None:
    seen: list[Event] = []
    Boosted(rounds=2, memory_bytes=1 << 20).fit(numbers(40_000), World(), seen.append)
    assert isinstance(seen[-1], Ended)
    assert seen[-1].notes[-1] == "boosted: learnt from 21,845 of 40,000 rows, to stay in memory"


def test_one_row_is_answered_at_once() -> None:
    """In well under a millisecond; what was seen on two busy cores: 15 µs for 200 trees of 40 columns."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(1000, 40))
    feed = Feed.of(
        [Output(name="x", role=Role.NUMBER, width=40)], TWO, {"x": x}, (x[:, 0] > 0).astype(np.int64)
    )
    predictor = Boosted(rounds=200).fit(feed, World(), silent)
    row, taken = {"x": x[:1]}, []
    for _ in range(300):
        start = time.perf_counter()
        predictor.predict(row)
        taken.append(time.perf_counter() - start)
    assert np.median(taken) < 500e-6


def test_answering_needs_neither_lightgbms_package_nor_scikit_learn() -> None:
    """Loading a saved model and answering loads the C library only."""
    feed = numbers(200)
    predictor = Boosted(rounds=3).fit(feed, World(), silent)
    files = {name: content.decode() for name, content in predictor.files().items()}
    code = (
        "import sys, numpy as np\n"
        "from orrery.learners.boosted import BoostedPredictor\n"
        "from orrery.features.target import Target\n"
        f"target = Target.from_dict({TWO.to_dict()!r})\n"
        f"files = {{name: text.encode() for name, text in {files!r}.items()}}\n"
        "print(BoostedPredictor.load(files, target).predict({'x': np.zeros((1, 6))}).tolist())\n"
        "assert not {'lightgbm', 'sklearn', 'pandas', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    expected = BoostedPredictor.load(predictor.files(), TWO).predict({"x": np.zeros((1, 6))})
    assert done.stdout.strip() == str(expected.tolist())
