"""A model learns from every kind of column that there is, keeps what it learnt, and answers rows of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.media import clip, tone

import orrery as ory
from orrery.data.codecs import audio, image, tensor
from orrery.estimators.model import Model
from orrery.learners.linear import Linear
from orrery.learners.network import Network
from orrery.schema import Kind
from orrery.serving.online.described import sendable
from orrery.serving.online.values import columns_of, from_field
from orrery.serving.runner import Runner

N = 120
CHANCE = np.random.default_rng(0)
YES = CHANCE.random(N) < 0.5
NOISE = CHANCE.normal(0, 1, N)


def pictures() -> Any:
    grain = CHANCE.integers(0, 90, (N, 1, 8, 8))
    return pa.array(
        [image.encode_png((g + 90 * y).astype(np.uint8)) for g, y in zip(grain, YES, strict=True)]
    )


def sounds() -> Any:
    hertz = np.where(YES, 900, 400) + 100 * NOISE
    rates = CHANCE.choice([8000, 11025, 16000], N)
    return pa.array(
        [
            audio.encode(tone(h, 0.2, int(r), i), int(r), "FLAC" if i % 2 else "WAV")
            for i, (h, r) in enumerate(zip(hertz, rates, strict=True))
        ]
    )


def videos() -> Any:
    shades = np.clip(np.where(YES, 200, 90) + 20 * NOISE, 0, 255)
    return pa.array([clip(int(s), 16, 16, 0.4) for s in shades])


def tensors() -> Any:
    found = CHANCE.normal(0, 1, (N, 4, 6))
    found[YES, 1:3, 2:4] += 2.0
    return tensor.to_arrow(list(found.astype(np.float32)))


def ragged_tensors() -> Any:
    found = [CHANCE.normal(2.0 * y, 1, (3 + i % 3, 4)) for i, y in enumerate(YES)]
    return tensor.to_arrow(found)


def series() -> Any:
    lengths = CHANCE.integers(5, 40, N)
    return pa.array(
        [
            np.sin(np.arange(n) / 2) * NOISE[i] + (0.2 if YES[i] else -0.2) * np.arange(n)
            for i, n in enumerate(lengths)
        ]
    )


def sets() -> Any:
    return pa.array([[["sun", "sea"], ["fog"]][int(y)] + ["x", "y"][: i % 3] for i, y in enumerate(YES)])


def maps() -> Any:
    rows = [
        {"weight": float(y) + 0.2 * n, str(i % 5): 1.0}
        for i, (y, n) in enumerate(zip(YES, NOISE, strict=True))
    ]
    return pa.array(rows, pa.map_(pa.string(), pa.float64()))


def places() -> Any:
    far = [{"lat": 60.0 - 20 * y + n, "lon": 170.0 + 25 * y + n} for y, n in zip(YES, NOISE, strict=True)]
    return pa.array(far)


def vectors() -> Any:
    return pa.array(list(CHANCE.normal(0, 1, (N, 3)) + 3 * YES[:, None]))


COLUMNS: dict[str, tuple[Kind, Callable[[], Any]]] = {
    "number": (Kind.NUMBER, lambda: pa.array(YES + 0.2 * NOISE)),
    "category": (Kind.CATEGORY, lambda: pa.array([f"c{int(y)}{i % 2}" for i, y in enumerate(YES)])),
    "text": (
        Kind.TEXT,
        lambda: pa.array([f"it was {'good' if y else 'bad'} on day {i}" for i, y in enumerate(YES)]),
    ),
    "datetime": (Kind.DATETIME, lambda: pa.array([i + 400 * int(y) for i, y in enumerate(YES)], pa.date32())),
    "image": (Kind.IMAGE, pictures),
    "audio": (Kind.AUDIO, sounds),
    "video": (Kind.VIDEO, videos),
    "vector": (Kind.VECTOR, vectors),
    "tensor": (Kind.TENSOR, tensors),
    "tensor of many shapes": (Kind.TENSOR, ragged_tensors),
    "tensor of bytes": (
        Kind.TENSOR,
        lambda: pa.array([tensor.encode(np.full((2, 2), float(y))) for y in YES]),
    ),
    "set": (Kind.LABELS, sets),
    "map": (Kind.MAP, maps),
    "series": (Kind.SERIES, series),
    "geo": (Kind.GEO, places),
}
KEYS = {Kind.KEY}


def table_of(name: str) -> Any:
    answers = pa.array(["yes" if y else "no" for y in YES])
    return pa.table({"x": COLUMNS[name][1](), "other": pa.array(CHANCE.normal(0, 1, N)), "y": answers})


def test_every_kind_is_here() -> None:
    assert {kind for kind, _ in COLUMNS.values()} | KEYS == {*Kind}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_model_learns_from_a_kind(name: str, tmp_path: Path) -> None:
    kind, _ = COLUMNS[name]
    table = table_of(name)
    learner = Network(epochs=12) if kind in (Kind.IMAGE, Kind.VIDEO) else Linear()
    model = ory.fit(table.slice(0, 80), target="y", learner=learner)
    assert model.signature.inputs["x"].kind is kind
    test = table.slice(80)
    predicted = model.predict(test).column("prediction").to_pylist()
    right = np.mean([p == y for p, y in zip(predicted, test.column("y").to_pylist(), strict=True)])
    assert right >= 0.85
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    assert again.predict(test).equals(model.predict(test))
    answers_json(again, test)


def answers_json(model: Model, test: Any) -> None:
    """Rows of JSON are answered as the batch is, one by one and together."""
    runner = Runner(model)
    batch = model.predict(test).to_pylist()[:5]
    sent = [{k: sendable(row[k]) for k in ("x", "other")} for row in test.slice(0, 5).to_pylist()]
    rows = json.loads(json.dumps(sent))
    together = runner.predict_columns(columns_of(rows, model.signature), len(rows))
    alone = [runner.predict_columns(columns_of([row], model.signature), 1)[0] for row in rows]
    expected = [row["prediction"] for row in batch]
    assert [answer["prediction"] for answer in together] == expected
    assert [answer["prediction"] for answer in alone] == expected
    assert [answer["probability"] for answer in alone] == pytest.approx([row["probability"] for row in batch])
    field = model.signature.inputs["x"]
    typed = rows[0]["x"] if isinstance(rows[0]["x"], str) else json.dumps(rows[0]["x"])
    shown = {"x": [from_field(typed, field)], "other": [rows[0]["other"]]}
    assert runner.predict_columns(shown, 1)[0]["prediction"] == expected[0]
