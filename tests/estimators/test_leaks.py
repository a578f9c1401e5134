"""A column that gives the answer away is flagged; a merely good one is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import orrery as ory
from orrery.estimators.leaks import find_leaks
from orrery.features.target import Target
from orrery.schema import Kind

Rows = list[dict[str, Any]]

rng = np.random.default_rng(5)
WON = rng.random(400) < 0.3
PRICE = rng.normal(100, 20, 400)
CLASSES = Target(name="won", kind=Kind.CATEGORY, type="string", labels=("no", "yes"), width=2)
QUANTITY = Target(name="price", kind=Kind.NUMBER, type="double")


def leaks(column: Any, target: Target, kind: Kind) -> list[str]:
    truth = ["yes" if w else "no" for w in WON] if target is CLASSES else list(PRICE)
    table = ory.read([{"x": x, target.name: t} for x, t in zip(column, truth, strict=True)])
    return find_leaks(table, {"x": kind, target.name: target.kind}, target)


@pytest.mark.parametrize(
    ("column", "target", "kind", "flagged"),
    [
        ([float(w) for w in WON], CLASSES, Kind.NUMBER, True),
        (["paid" if w else None for w in WON], CLASSES, Kind.CATEGORY, True),
        ([float(w) + rng.normal() for w in WON], CLASSES, Kind.NUMBER, False),
        ([f"{i}" for i in range(400)], CLASSES, Kind.CATEGORY, False),
        (["same"] * 400, CLASSES, Kind.CATEGORY, False),
        (list(PRICE * 1.19), QUANTITY, Kind.NUMBER, True),
        (list(PRICE + rng.normal(0, 10, 400)), QUANTITY, Kind.NUMBER, False),
        ([None] * 399 + [1.0], QUANTITY, Kind.NUMBER, False),
    ],
)
def test_leaks_are_told_from_good_columns(
    column: list[Any], target: Target, kind: Kind, flagged: bool
) -> None:
    found = leaks(column, target, kind)
    assert bool(found) == flagged
    assert all("'x' alone foretells" in note for note in found)


def test_a_rare_class_does_not_look_like_a_leak() -> None:
    """With 1 in 200 positive, any column is right in 99.5 % of rows."""
    table = ory.read(
        [{"x": float(v), "won": "yes" if i % 200 == 0 else "no"} for i, v in enumerate(rng.normal(size=1000))]
    )
    assert find_leaks(table, {"x": Kind.NUMBER, "won": Kind.CATEGORY}, CLASSES) == []


def test_few_rows_say_nothing() -> None:
    table = ory.read([{"x": float(i), "price": float(i)} for i in range(20)])
    assert find_leaks(table, {"x": Kind.NUMBER, "price": Kind.NUMBER}, QUANTITY) == []


def test_a_fit_flags_the_leak(flowers: Rows) -> None:
    rows = [
        {**row, "code": {"setosa": 3, "versicolor": 1, "virginica": 2}[row["species"]]} for row in flowers
    ]
    model = ory.fit(rows, "species", learner="linear")
    assert [note for note in model.notes if "'code' alone foretells 'species'" in note]
