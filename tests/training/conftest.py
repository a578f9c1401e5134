"""Small feeds for the tests of training."""

from __future__ import annotations

import numpy as np
import pytest

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.schema import Kind
from orrery.training.feed import Feed


@pytest.fixture
def feed() -> Feed:
    """96 rows to learn from, 32 to validate on: the class is the sign of a sum that a code shifts."""
    chance = np.random.default_rng(42)
    numbers = chance.standard_normal((128, 2))
    codes = chance.integers(0, 3, (128, 1)).astype(np.int32)
    truth = (numbers.sum(1) + codes[:, 0] - 1 > 0).astype(np.int64)
    outputs = (
        Output(name="number:a,b", role=Role.NUMBER, width=2),
        Output(name="category:c", role=Role.CODE, width=1, sizes=(3,), dtype="int32"),
    )
    target = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("no", "yes"), width=2)
    whole = Feed.of(outputs, target, {"number:a,b": numbers, "category:c": codes}, truth)
    return whole.subset(np.arange(96), np.arange(96, 128))
