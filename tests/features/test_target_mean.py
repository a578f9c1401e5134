from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import orrery as ory
from orrery.errors import SettingsError, TargetError
from orrery.features.forms import Bag
from orrery.features.number import Number
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.features.target_mean import TargetMean
from orrery.schema import Kind

PRICE = Target(name="y", kind=Kind.NUMBER, type="double")


def plan_of(target: Target, values: dict[str, Any], **settings: Any) -> FeaturePlan:
    mean = TargetMean(columns=("c",), target=target, **settings)
    return FeaturePlan.fit([mean, Number(columns=("x",))], ory.read(values))


def means(plan: FeaturePlan, values: dict[str, Any], *, training: bool = False) -> np.ndarray[Any, Any]:
    found = plan.encode(pa.record_batch(values), training=training)["target_mean:c"]
    assert not isinstance(found, Bag)
    return found


def test_means_are_drawn_towards_the_mean_of_all() -> None:
    rows = {"c": ["a", "a", "b", None], "x": [1, 2, 3, 4], "y": [1.0, 3.0, 5.0, 11.0]}
    plan = plan_of(PRICE, rows, smoothing=2.0)
    found = means(plan, {"c": ["a", "b", None, "new"], "x": [0, 0, 0, 0]})
    assert found.ravel().tolist() == [(4 + 2 * 5) / 4, (5 + 2 * 5) / 3, (11 + 2 * 5) / 3, 5.0]
    assert plan.outputs[0].names == ("mean y by c",)


def test_each_class_has_its_share() -> None:
    target = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("p", "q", "r"), width=3)
    rows = {"c": ["a", "a", "b"], "x": [1, 2, 3], "y": ["p", "q", "r"]}
    found = means(plan_of(target, rows, smoothing=1e-9), {"c": ["a", "b"], "x": [0, 0]})
    np.testing.assert_allclose(found, [[0.5, 0.5, 0], [0, 0, 1]], atol=1e-8)
    two = target.replace(labels=("p", "q"), width=2)
    plan = plan_of(two, {**rows, "y": ["p", "q", "q"]})
    assert plan.outputs[0].names == ("share of q by c",)


def test_training_rows_do_not_see_their_own_answers() -> None:
    """Noise by 2,000 values of one or two rows each: naive means would explain most of it."""
    rng = np.random.default_rng(0)
    n = 4000
    rows = {
        "c": [f"v{i}" for i in rng.integers(0, 2000, n)],
        "x": rng.normal(size=n),
        "y": rng.normal(size=n),
    }
    plan = plan_of(PRICE, rows, smoothing=1.0)
    naive = np.corrcoef(means(plan, rows)[:, 0], rows["y"])[0, 1]
    honest = np.corrcoef(means(plan, rows, training=True)[:, 0], rows["y"])[0, 1]
    assert naive > 0.5
    assert abs(honest) < 0.08


def test_training_rows_still_see_what_there_is_to_learn() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    code = rng.integers(0, 100, n)
    rows = {"c": [f"v{i}" for i in code], "x": rng.normal(size=n), "y": code + rng.normal(size=n)}
    found = means(plan_of(PRICE, rows), rows, training=True)
    assert np.corrcoef(found[:, 0], rows["y"])[0, 1] > 0.99


def test_the_target_is_not_read_when_applied() -> None:
    plan = plan_of(PRICE, {"c": ["a", "b"], "x": [1, 2], "y": [1.0, 2.0]})
    assert plan.inputs == ("c", "x")
    assert plan.encode_values({"c": ["a"], "x": [1]}).keys() == {"target_mean:c", "number:x"}


def test_a_single_row() -> None:
    rows = {"c": ["a"], "x": [1], "y": [7.0]}
    plan = plan_of(PRICE, rows)
    assert means(plan, rows).tolist() == [[7.0]]
    assert means(plan, rows, training=True).tolist() == [[0.0]]


def test_a_target_with_missing_values_is_refused() -> None:
    with pytest.raises(TargetError, match="missing in 1 of 2"):
        plan_of(PRICE, {"c": ["a", "b"], "x": [1, 2], "y": [1.0, None]})


def test_the_target_cannot_be_among_the_columns() -> None:
    with pytest.raises(SettingsError, match="'y' is among the columns"):
        TargetMean.from_dict({"columns": ["y"], "target": PRICE.to_dict()})
