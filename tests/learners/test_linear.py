from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners.linear import Linear
from orrery.schema import Kind
from orrery.training.events import Ended, Event
from orrery.training.feed import Feed
from orrery.training.world import World

Feeder = Callable[..., Any]


def silent(event: Event) -> None:
    """Watch nothing."""


def columns(x: Any, y: Any) -> tuple[dict[str, Any], dict[str, str]]:
    names = [f"x{i}" for i in range(x.shape[1])]
    return {n: x[:, i] for i, n in enumerate(names)} | {"y": y}, dict.fromkeys(names, "number")


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_coefficients_are_those_of_scikit_learn(feeder: Feeder, load: Callable[..., Any]) -> None:
    x, y = load(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    table, kinds = columns(x, y)
    learner = Linear(alpha=0.5)
    fed = feeder(table | {"w": weight}, learner, kinds | {"y": "category", "w": "number"}, weight="w")
    ours = learner.fit(fed.feed, World(), silent)
    scaled = StandardScaler().fit_transform(np.hstack(list(fed.feed.all().blocks.values())))
    theirs = LogisticRegression(C=2.0, tol=1e-9, max_iter=5000).fit(scaled, y, sample_weight=weight)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=2e-4)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, atol=2e-4)
    expected = theirs.predict_proba(scaled)
    np.testing.assert_allclose(ours.predict(fed.feed.all().blocks), expected, atol=2e-4)


def test_coefficients_of_numbers_are_those_of_ridge(feeder: Feeder) -> None:
    x, y = load_diabetes(return_X_y=True)
    table, kinds = columns(x, y)
    learner = Linear(alpha=3.0)
    fed = feeder(table, learner, kinds | {"y": "number"})
    ours = learner.fit(fed.feed, World(), silent)
    theirs = Ridge(alpha=3.0).fit(StandardScaler().fit_transform(x), y)
    np.testing.assert_allclose(ours.weights[:, 0], theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(ours.bias, [theirs.intercept_], rtol=1e-6)


def test_the_penalty_it_chooses_is_as_good_as_scikit_learns(feeder: Feeder) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    rows = np.random.default_rng(1).permutation(len(y))
    train, test = rows[:400], rows[400:]
    table, kinds = columns(x[train], y[train])
    fed = feeder(table, Linear(), kinds | {"y": "category"})
    predictor = Linear().fit(fed.feed, World(), silent)
    scale = StandardScaler().fit(x[train])
    with np.errstate(all="ignore"):
        theirs = LogisticRegressionCV(
            Cs=10, cv=5, scoring="neg_log_loss", max_iter=2000, l1_ratios=(0.0,), use_legacy_attributes=False
        ).fit(scale.transform(x[train]), y[train])
    ours = predictor.predict(fed.encode({f"x{i}": x[test, i] for i in range(x.shape[1])}))
    expected = roc_auc_score(y[test], theirs.predict_proba(scale.transform(x[test]))[:, 1])
    assert roc_auc_score(y[test], ours[:, 1]) > expected - 0.003


def test_weights_of_any_scale_choose_the_same_penalty(feeder: Feeder) -> None:
    x, y = load_iris(return_X_y=True)
    table, kinds = columns(x, y)
    kinds |= {"y": "category", "w": "number"}
    chosen = []
    for scale in (1.0, 1e-6):
        fed = feeder(table | {"w": np.full(len(y), scale)}, Linear(), kinds, weight="w")
        chosen.append(Linear().fit(fed.feed, World(), silent).alpha / scale)
    assert chosen[0] == pytest.approx(chosen[1])


def test_a_class_of_one_row_is_learnt_too(feeder: Feeder) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = np.where(x[:, 0] > 0, "a", "b").astype(object)
    y[17] = "rare"
    table, kinds = columns(x, y)
    fed = feeder(table, Linear(), kinds | {"y": "category"})
    scores = Linear().fit(fed.feed, World(), silent).predict(fed.feed.all().blocks)
    assert fed.target.labels == ("a", "b", "rare")
    assert np.isfinite(scores).all()
    assert scores[17, 2] > np.median(scores[:, 2])


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_are_learnt_with_caution(feeder: Feeder, rows: int) -> None:
    table, kinds = columns(np.arange(rows * 2.0).reshape(rows, 2), np.arange(rows * 1.0))
    fed = feeder(table, Linear(), kinds | {"y": "number"})
    scores = Linear().fit(fed.feed, World(), silent).predict(fed.feed.all().blocks)
    assert scores.shape == (rows, 1)
    assert np.isfinite(scores).all()


def test_raw_numbers_with_gaps_are_taken_as_they_come() -> None:
    """Features of the user's own may leave NaN, infinity and any scale."""
    chance = np.random.default_rng(3)
    x = chance.normal(size=(200, 3)) * [1.0, 1e12, 1e-12] + [0.0, 1e15, 5.0]
    y = x[:, 0] + (x[:, 1] - 1e15) / 1e12
    x[::7, 0], x[3, 1], x[5, 2] = np.nan, np.inf, 1e308
    target = Target(name="y", kind=Kind.NUMBER, type="double")
    feed = Feed.of([Output(name="x", role=Role.NUMBER, width=3)], target, {"x": x}, y)
    scores = Linear().fit(feed, World(), silent).predict({"x": x})[:, 0]
    assert np.isfinite(scores).all()
    whole = np.isfinite(x).all(axis=1) & (x[:, 2] < 1e300)
    assert np.corrcoef(scores[whole], y[whole])[0, 1] > 0.99


def test_bags_count_by_weight(feeder: Feeder) -> None:
    chance = np.random.default_rng(4)
    words = ["bad", "good", "so", "it", "was"]
    said = [" ".join(chance.choice(words, 6)) for _ in range(400)]
    y = ["+" if text.count("good") > text.count("bad") else "-" for text in said]
    fed = feeder({"said": said, "y": y}, Linear(), {"said": "text", "y": "category"})
    predictor = Linear().fit(fed.feed, World(), silent)
    right = (predictor.predict(fed.feed.all().blocks).argmax(axis=1) == fed.feed.all().target).mean()
    assert right > 0.95
    assert predictor.predict(fed.encode({"said": pa.array(["good", "", None, "bad"])})).shape == (4, 2)


def test_memory_is_bounded_and_it_says_so() -> None:
    x = np.random.default_rng(0).normal(size=(50_000, 5))
    target = Target(name="y", kind=Kind.NUMBER, type="double")
    feed = Feed.of([Output(name="x", role=Role.NUMBER, width=5)], target, {"x": x}, x[:, 0])
    seen: list[Event] = []
    predictor = Linear(alpha=1.0, memory_bytes=1 << 20).fit(feed, World(), seen.append)
    assert isinstance(seen[-1], Ended)
    assert seen[-1].notes == ("linear: learnt from 26,214 of 50,000 rows, to stay in memory",)
    assert np.abs(predictor.predict({"x": x})[:, 0] - x[:, 0]).max() < 0.01


def test_one_row_is_answered_at_once() -> None:
    """Forty columns in well under a millisecond; what was seen on two busy cores: 12 µs."""
    x = np.random.default_rng(0).normal(size=(500, 20))
    codes = np.random.default_rng(1).integers(0, 8, (500, 20)).astype(np.int32)
    target = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=(0, 1), width=2)
    outputs = [
        Output(name="x", role=Role.NUMBER, width=20),
        Output(name="c", role=Role.CODE, width=20, sizes=(8,) * 20),
    ]
    feed = Feed.of(outputs, target, {"x": x, "c": codes}, (x[:, 0] > 0).astype(np.int64))
    predictor = Linear(alpha=1.0).fit(feed, World(), silent)
    row = feed.take(np.array([0])).blocks
    taken = []
    for _ in range(300):
        start = time.perf_counter()
        predictor.predict(row)
        taken.append(time.perf_counter() - start)
    assert np.median(taken) < 500e-6


def test_any_number_of_rows_gives_the_same_bits(feeder: Feeder) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    for truth, kind in ((y, "category"), (x[:, 0], "number"), (x[:, 0].round(), "category")):
        table, kinds = columns(x[:, 1:], truth)
        fed = feeder(table, Linear(alpha=1.0, max_iterations=5), kinds | {"y": kind})
        predictor = Linear(alpha=1.0, max_iterations=5).fit(fed.feed, World(), silent)
        whole = predictor.predict(fed.feed.all().blocks)
        for first, last in ((0, 1), (1, 3), (3, 20), (20, 300), (300, 569)):
            some = predictor.predict(fed.feed.take(np.arange(first, last)).blocks)
            np.testing.assert_array_equal(some, whole[first:last])
