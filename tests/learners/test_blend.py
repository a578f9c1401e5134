from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from orrery.features.target import Target
from orrery.learners import blend
from orrery.learners.links import Scores, loss
from orrery.schema import Kind

NUMBER = Target(name="y", kind=Kind.NUMBER, type="double")
TWO = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=(0, 1), width=2)
TAGS = Target(name="y", kind=Kind.LABELS, type="list<item: string>", labels=("a", "b", "c"), width=3)


def case(target: Target, rows: int = 400) -> tuple[np.ndarray, list[Scores]]:
    """A truth, and three members that err apart."""
    chance = np.random.default_rng(0)
    if target.kind is Kind.NUMBER:
        truth = chance.normal(size=rows)
        return truth, [(truth + chance.normal(size=rows) * s)[:, None] for s in (0.5, 0.7, 3.0)]
    truth = chance.integers(0, 2, rows if target is TWO else (rows, 3)).astype(np.int64)
    members = []
    for noise in (1.0, 1.5, 20.0):
        yes = 1 / (1 + np.exp(-(truth - 0.5) * 3 + chance.normal(size=truth.shape) * noise))
        members.append(np.stack([1 - yes, yes], axis=1) if target is TWO else yes)
    return truth, members


@pytest.mark.parametrize("target", [NUMBER, TWO, TAGS], ids=lambda t: t.kind.value)
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_are_those_of_a_general_optimiser(target: Target, weighted: bool) -> None:
    truth, members = case(target)
    rows = np.random.default_rng(1).uniform(0.1, 3, len(truth)) if weighted else None
    ours = blend.best_weights(target, truth, members, rows)
    found = minimize(
        lambda w: loss(target, truth, blend.mix(members, w), rows),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-10,
    )
    assert loss(target, truth, blend.mix(members, ours), rows) <= found.fun + 1e-5
    assert ours.sum() == pytest.approx(1.0)
    assert (ours >= 0).all()


@pytest.mark.parametrize("target", [NUMBER, TWO, TAGS], ids=lambda t: t.kind.value)
def test_a_member_that_adds_nothing_is_left_out(target: Target) -> None:
    truth, members = case(target, 4000)
    weights = blend.choose(target, truth, members)
    assert weights[2] == 0.0
    assert weights[:2].min() > 0.05
    assert weights.sum() == pytest.approx(1.0)


def test_few_rows_draw_the_weights_together() -> None:
    truth, members = case(NUMBER, 30)
    assert blend.choose(NUMBER, truth, members)[2] > blend.best_weights(NUMBER, truth, members)[2]


def test_a_single_member_counts_for_all() -> None:
    truth, members = case(TWO)
    assert blend.choose(TWO, truth, members[:1]).tolist() == [1.0]
