from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SettingsError
from orrery.training.recipe import Recipe, learning_rate


@given(
    steps=st.integers(1, 200),
    warmup=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
)
def test_the_rate_stays_between_zero_and_the_highest(steps: int, warmup: float, schedule: str) -> None:
    recipe = Recipe.from_dict({"learning_rate": 0.5, "warmup": warmup, "schedule": schedule})
    rates = [learning_rate(recipe, step, steps) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)


def test_cosine_rises_then_falls() -> None:
    recipe = Recipe(learning_rate=1.0, warmup=0.2, schedule="cosine")
    rates = [round(learning_rate(recipe, step, 10), 3) for step in range(10)]
    assert rates == [0.5, 1.0, 1.0, 0.962, 0.854, 0.691, 0.5, 0.309, 0.146, 0.038]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="epochs"):
        Recipe.from_dict({"epochs": 0})
