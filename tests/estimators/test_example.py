"""The example that travels with a model: small, and replayed to a stated tolerance."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import orrery as ory
from orrery.errors import ReplayError
from orrery.estimators.answer import answer_columns
from orrery.estimators.example import ROWS, replay, take_example
from orrery.estimators.signature import Signature
from orrery.features.target import Target
from orrery.schema import Kind, Schema

TARGET = Target(name="y", kind=Kind.NUMBER, type="double")


class Sum:
    """A model of a sort: it adds up how long things are, and may be off by a little."""

    def __init__(self, kinds: dict[str, Kind], schema: pa.Schema, off: float = 0.0) -> None:
        self.signature = Signature(inputs=Schema.of(schema).with_kinds(kinds), target=TARGET)
        self.example: pa.Table | None = None
        self.off = off

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes = [[float(len(str(v))) * (1 + self.off) for v in row.values()] for row in batch.to_pylist()]
        answers = answer_columns(TARGET, np.array(sizes).reshape(len(batch), -1).sum(axis=1, keepdims=True))
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *answers], schema=self.signature.answered(batch.schema)
        )


@pytest.mark.parametrize(("rows", "kept"), [(1, 1), (7, 7), (20, ROWS), (1000, ROWS)])
def test_rows_are_spread_over_the_batch(rows: int, kept: int) -> None:
    batch = pa.record_batch({"a": list(range(rows))})
    model = Sum({"a": Kind.NUMBER}, batch.schema)
    example = take_example(model, batch)
    assert len(example) == kept
    assert example.column("a").to_pylist()[0] == 0
    assert example.column("a").to_pylist()[-1] == rows - 1
    assert example.column_names == ["a", "prediction"]


def noise(side: int) -> bytes:
    """A picture that packs badly."""
    out = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def test_pictures_and_texts_are_made_small() -> None:
    batch = pa.record_batch({"text": ["word " * 50_000] * 30 + [None], "image": [noise(600)] * 30 + [None]})
    example = take_example(Sum({"text": Kind.TEXT, "image": Kind.IMAGE}, batch.schema), batch)
    assert example.nbytes < 2 << 20
    first = example.to_pylist()[0]
    assert len(first["text"]) <= 16 << 10
    assert max(Image.open(io.BytesIO(first["image"])).size) == 64
    assert "text" in example.column_names


@pytest.mark.parametrize(("off", "fine"), [(0.0, True), (1e-6, True), (1e-2, False), (float("nan"), False)])
def test_a_replay_allows_for_rounding_only(off: float, fine: bool) -> None:
    batch = pa.record_batch({"a": [1.5, 200.25, -3.0]})
    model = Sum({"a": Kind.NUMBER}, batch.schema)
    model.example = take_example(model, batch)
    other = Sum({"a": Kind.NUMBER}, batch.schema, off)
    other.example = model.example
    if fine:
        replay(other)
    else:
        with pytest.raises(ReplayError, match="example row 0 was"):
            replay(other)


def test_every_fit_takes_an_example_that_replays(mixed: list[dict[str, Any]]) -> None:
    model = ory.fit(mixed[:80], "stays", learner="linear", alpha=1.0)
    assert model.example is not None
    assert len(model.example) == ROWS
    replay(model)
