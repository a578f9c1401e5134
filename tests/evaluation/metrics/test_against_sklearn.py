"""Every metric equals scikit-learn's to 1e-9, with ties and with weights; others equal their definition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from orrery.evaluation.metrics import METRICS
from orrery.evaluation.metrics.ranking import RankingTally
from orrery.evaluation.report import Report, evaluate
from orrery.evaluation.scored import Outcome
from orrery.schema import Kind

Make = Callable[..., pa.RecordBatch]
SEEDS = range(4)


def arrays(batch: pa.RecordBatch, kind: Kind) -> tuple[Any, Any, Any]:
    scores = np.stack(batch.column("scores").to_numpy(zero_copy_only=False))
    truth = batch.column("truth").to_numpy(zero_copy_only=False)
    if kind in {Kind.LABELS, Kind.VECTOR}:
        truth = np.stack(truth)
    weight = batch.column("weight").to_numpy() if "weight" in batch.schema.names else None
    return truth, scores, weight


def report(
    make: Make, outcome: Outcome, name: str, seed: int, weighted: bool
) -> tuple[Report, Any, Any, Any]:
    batch = make(name, 300 + 17 * seed, seed, weighted)
    halves = [batch.slice(0, 101), batch.slice(101)]
    return (evaluate(halves, outcome), *arrays(batch, outcome.kind))


def agree(expected: dict[str, float], found: dict[str, float]) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_two_classes(make: Make, outcomes: dict[str, Outcome], seed: int, weighted: bool) -> None:
    got, y, p, w = report(make, outcomes["binary"], "binary", seed, weighted)
    fpr, tpr, _ = sk.roc_curve(y, p[:, 1], sample_weight=w)
    agree(
        {
            "accuracy": sk.accuracy_score(y, p.argmax(1), sample_weight=w),
            "balanced_accuracy": sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w),
            "f1_macro": sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
            "log_loss": sk.log_loss(y, y_proba=p, sample_weight=w),
            "auc": sk.roc_auc_score(y, p[:, 1], sample_weight=w),
            "average_precision": sk.average_precision_score(y, p[:, 1], sample_weight=w),
            "brier": sk.brier_score_loss(y, p[:, 1], sample_weight=w),
            "ks": float(np.max(np.abs(tpr - fpr))),
        },
        got.metrics,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_more_classes(make: Make, outcomes: dict[str, Outcome], seed: int, weighted: bool) -> None:
    got, y, p, w = report(make, outcomes["classes"], "classes", seed, weighted)
    hot = np.eye(4)[y]
    agree(
        {
            "accuracy": sk.accuracy_score(y, p.argmax(1), sample_weight=w),
            "balanced_accuracy": sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w),
            "f1_macro": sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
            "log_loss": sk.log_loss(y, y_proba=p, sample_weight=w),
            "auc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro", sample_weight=w),
            "average_precision": sk.average_precision_score(hot, p, average="macro", sample_weight=w),
            "brier": sk.brier_score_loss(y, p, sample_weight=w),
        },
        got.metrics,
    )
    np.testing.assert_allclose(got.matrix, sk.confusion_matrix(y, p.argmax(1), sample_weight=w), atol=1e-9)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, p.argmax(1), sample_weight=w)
    np.testing.assert_allclose([c.precision for c in got.classes], precision, atol=1e-9)
    np.testing.assert_allclose([c.recall for c in got.classes], recall, atol=1e-9)
    np.testing.assert_allclose([c.f1 for c in got.classes], f1, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_labels(make: Make, outcomes: dict[str, Outcome], seed: int, weighted: bool) -> None:
    got, y, p, w = report(make, outcomes["labels"], "labels", seed, weighted)
    given = (p > 0.5).astype(int)
    agree(
        {
            "accuracy": sk.accuracy_score(y, given, sample_weight=w),
            "f1_micro": sk.f1_score(y, given, average="micro", sample_weight=w),
            "f1_macro": sk.f1_score(y, given, average="macro", sample_weight=w),
            "hamming_loss": sk.hamming_loss(y, given, sample_weight=w),
            "auc": sk.roc_auc_score(y, p, average="macro", sample_weight=w),
            "average_precision": sk.average_precision_score(y, p, average="macro", sample_weight=w),
            "log_loss": np.mean([sk.log_loss(y[:, j], y_proba=p[:, j], sample_weight=w) for j in range(3)]),
        },
        got.metrics,
    )


@pytest.mark.parametrize("name", ["number", "vector"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers(make: Make, outcomes: dict[str, Outcome], name: str, seed: int, weighted: bool) -> None:
    got, y, p, w = report(make, outcomes[name], name, seed, weighted)
    p = p[:, 0] if name == "number" else p
    agree(
        {
            "rmse": sk.root_mean_squared_error(y, p, sample_weight=w),
            "mae": sk.mean_absolute_error(y, p, sample_weight=w),
            "r2": sk.r2_score(y, p, sample_weight=w),
        },
        got.metrics,
    )


def test_r2_survives_a_large_mean() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(-8, 8, 500).astype(float)
    guess = small + rng.integers(-2, 3, 500)
    expected = sk.r2_score(small, guess)
    far = 2.0**40
    rows = pa.record_batch({"truth": small + far, "scores": pa.array([[g + far] for g in guess])})
    assert evaluate([rows], Outcome(Kind.NUMBER)).metrics["r2"] == pytest.approx(expected, rel=1e-12)


def test_a_truth_without_spread() -> None:
    rows = pa.record_batch({"truth": [2.0, 2.0], "scores": pa.array([[2.0], [2.0]])})
    worse = pa.record_batch({"truth": [2.0, 2.0], "scores": pa.array([[2.0], [3.0]])})
    assert [evaluate([b], Outcome(Kind.NUMBER)).metrics["r2"] for b in (rows, worse)] == [1.0, 0.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_bins(make: Make, outcomes: dict[str, Outcome], seed: int) -> None:
    got, y, p, _ = report(make, outcomes["binary"], "binary", seed, False)
    came, said = calibration_curve(y, p[:, 1], n_bins=10)
    assert got.calibration is not None
    filled = np.array(got.calibration.weight) > 0
    np.testing.assert_allclose(np.array(got.calibration.came_true)[filled], came, atol=1e-12)
    np.testing.assert_allclose(np.array(got.calibration.said)[filled], said, atol=1e-12)
    expected = np.average(np.abs(came - said), weights=np.array(got.calibration.weight)[filled])
    assert got.metrics["calibration_error"] == pytest.approx(expected, abs=1e-12)


def test_lift_by_hand() -> None:
    p = np.linspace(0.99, 0.01, 20)
    y = np.array([1, 1, 0, 1, *[0] * 16])
    rows = pa.record_batch({"truth": y, "scores": pa.array(np.column_stack([1 - p, p]).tolist())})
    got = evaluate([rows], Outcome(Kind.CATEGORY, ("no", "yes"))).metrics["lift"]
    assert got == pytest.approx((2 / 3) / 0.1)  # two rows of twenty hold two of three positives


@pytest.mark.parametrize("name", ["binary", "classes", "labels"])
def test_curves_of_scikit_learn(make: Make, outcomes: dict[str, Outcome], name: str) -> None:
    """The points drawn lie on the curve that scikit-learn finds."""
    got, y, p, w = report(make, outcomes[name], name, 1, True)
    for curve in got.curves["roc"]:
        c = [str(label) for label in got.labels].index(curve.label)
        is_it = y[:, c] if name == "labels" else (y == c)
        fpr, tpr, _ = sk.roc_curve(is_it, p[:, c], sample_weight=w, drop_intermediate=False)
        exact = set(zip(np.round(fpr, 6), np.round(tpr, 6), strict=True))
        assert set(curve.points) <= exact


def test_beyond_the_memory_scores_are_rounded_and_it_is_said(outcomes: dict[str, Outcome]) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 20_000)
    p = 1 / (1 + np.exp(-(rng.normal(size=20_000) + y)))
    scores = pa.FixedSizeListArray.from_arrays(pa.array(np.column_stack([1 - p, p]).ravel()), 2)
    batch = pa.record_batch({"truth": y, "scores": scores})
    auc = next(m for m in METRICS[Kind.CATEGORY] if m.name == "auc")
    results = []
    for cuts in ([0, 20_000], [0, 5, 7_000, 20_000]):
        tally = RankingTally(outcomes["binary"], size_bytes=500_000)
        whole = tally.summarize(batch.slice(0, 0))
        for a, b in pairwise(cuts):
            whole = tally.merge(whole, tally.summarize(batch.slice(a, b - a)))
        ranking = tally.finish(whole)
        assert not ranking[0].exact
        results.append(auc.read(ranking))
    assert results[0] == results[1]
    assert results[0] == pytest.approx(sk.roc_auc_score(y, p), abs=1e-4)
