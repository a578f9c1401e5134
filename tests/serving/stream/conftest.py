"""A small model to stream with."""

from __future__ import annotations

import pytest

import orrery as ory


@pytest.fixture(scope="session")
def tall() -> ory.Model:
    """Whether somebody is tall, by height and city."""
    rows = [
        {"height": float(h), "city": ["Lyon", "北京"][h % 2], "tall": "yes" if h > 170 else "no"}
        for h in range(140, 200)
    ]
    return ory.fit(rows, "tall", learner="linear", progress=False)
