"""Blocks of every role, for the tests of networks."""

from __future__ import annotations

import pytest

from orrery.features.feature import Output, Role


@pytest.fixture
def outputs() -> tuple[Output, ...]:
    """Numbers, codes, a bag, a flat tensor and a picture; names as awkward as columns can be."""
    return (
        Output(name="number:a,b", role=Role.NUMBER, width=2),
        Output(name="category:城市 🏙", role=Role.CODE, width=2, sizes=(5, 9), dtype="int32"),
        Output(name="tokens:a.b c", role=Role.BAG, sizes=(20,)),
        Output(name="tensor:t", role=Role.TENSOR, shape=(3,), dtype="float32"),
        Output(
            name="image:i",
            role=Role.TENSOR,
            shape=(3, 9, 12),
            dtype="uint8",
            mean=(50.0,) * 3,
            std=(9.0,) * 3,
        ),
    )
