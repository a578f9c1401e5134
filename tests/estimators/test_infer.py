"""What columns mean, from their types and values."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.media import clip, tone

import orrery as ory
from orrery.data.codecs import audio, tensor
from orrery.estimators.infer import infer
from orrery.schema import Kind


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), shade).save(out, "PNG")
    return out.getvalue()


N = 60
WORDS = ["red", "green", "blue"]
CASES: dict[str, tuple[Any, Kind | None]] = {
    "float": ([i / 7 for i in range(N)], Kind.NUMBER),
    "whole numbers": ([i % 7 for i in range(N)], Kind.NUMBER),
    "decimal": ([Decimal(i) / 4 for i in range(N)], Kind.NUMBER),
    "boolean": ([i % 2 == 0 for i in range(N)], Kind.CATEGORY),
    "few words": ([WORDS[i % 3] for i in range(N)], Kind.CATEGORY),
    "sentences": ([f"the {WORDS[i % 3]} car is number {i}" for i in range(N)], Kind.TEXT),
    "chinese and gaps": ([None if i % 5 == 0 else ["红", "绿"][i % 2] for i in range(N)], Kind.CATEGORY),
    "timestamp": ([dt.datetime(2024, 1, 1) + dt.timedelta(hours=i) for i in range(N)], Kind.DATETIME),
    "date": ([dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(N)], Kind.DATETIME),
    "dates as text": ([f"2024-01-{1 + i % 28:02d}" for i in range(N)], Kind.DATETIME),
    "picture": ([png(i) for i in range(N)], Kind.IMAGE),
    "other bytes": ([bytes([i, 0, 7]) for i in range(N)], None),
    "vector": ([[float(i), 1.0, 2.0] for i in range(N)], Kind.VECTOR),
    "ragged numbers": ([[0.5] * (i % 3 + 1) for i in range(N)], Kind.SERIES),
    "ragged whole numbers": ([[1] * (i % 3 + 1) for i in range(N)], Kind.LABELS),
    "matrix": ([[[0.5, 1.0], [i, 2.0]] for i in range(N)], Kind.TENSOR),
    "map": (pa.array([{"a": i} for i in range(N)], pa.map_(pa.string(), pa.int64())), Kind.MAP),
    "place": ([{"lat": i / 9, "lng": 1.0} for i in range(N)], Kind.GEO),
    "tensor": (tensor.to_arrow([np.full((2, 3), i) for i in range(N)]), Kind.TENSOR),
    "tensors of many shapes": (tensor.to_arrow([np.ones((2, 1 + i % 2)) * i for i in range(N)]), Kind.TENSOR),
    "npy": ([tensor.encode(np.full((2, 3), i)) for i in range(N)], Kind.TENSOR),
    "picture with its path": ([{"bytes": png(i), "path": f"{i}.png"} for i in range(N)], Kind.IMAGE),
    "sound": ([audio.encode(tone(200 + i, 0.02), 8000) for i in range(N)], Kind.AUDIO),
    "video": ([clip(i, 16, seconds=0.2) for i in range(N)], Kind.VIDEO),
    "tags": ([[WORDS[i % 3]] * (i % 2) for i in range(N)], Kind.LABELS),
    "struct": ([{"a": i} for i in range(N)], None),
    "all missing": ([None] * N, None),
    "one value": (["same"] * N, None),
    "customer_id": ([9_000 + 3 * i for i in range(N)], Kind.KEY),
    "customerId": ([9_000 + 3 * i for i in range(N)], Kind.KEY),
    "row number": (list(range(N)), Kind.KEY),
    "uuid": ([f"{i * 7919:08x}-aa" for i in range(N)], Kind.KEY),
    "valid": ([9_000 + 3 * i for i in range(N)], Kind.NUMBER),  # ends in "id", but is no key
}


@pytest.mark.parametrize("name", CASES)
def test_an_input_is_understood(name: str) -> None:
    values, expected = CASES[name]
    table = ory.read(pa.table({name: values, "y": [0.5 * i for i in range(N)]}))
    found = infer(table.schema, table.describe(), "y", {}, head=table.head(20).to_arrow())
    assert found.kinds.get(name) == expected
    assert (name in found.left_out) == (expected is None)
    assert found.kinds["y"] is Kind.NUMBER
    assert len(found.notes) == (expected in {None, Kind.KEY})


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("lat", "lon"),
        ("Latitude", "Longitude"),
        ("from_lat", "from_lng"),
        ("纬度", "经度"),
        ("pickupLat", "pickupLon"),
    ],
)
def test_two_columns_named_so_are_a_place(latitude: str, longitude: str) -> None:
    rows = {latitude: [i / 9 for i in range(N)], longitude: [-i / 7 for i in range(N)], "y": list(range(N))}
    for table, expected in (
        (ory.read(rows), Kind.GEO),
        (ory.read({**rows, latitude: [900.0 + i for i in range(N)]}), Kind.NUMBER),
    ):
        found = infer(table.schema, table.describe(), "y", {})
        assert found.kinds[latitude] is found.kinds[longitude] is expected
    table = ory.read(rows)
    found = infer(table.schema, table.describe(), "y", {latitude: Kind.NUMBER})
    assert found.kinds[longitude] is Kind.NUMBER


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([i % 10 for i in range(N)], Kind.CATEGORY),
        ([i % 2 for i in range(N)], Kind.CATEGORY),
        ([1.0, 0.0] * 30, Kind.CATEGORY),
        ([i * 3 for i in range(N)], Kind.NUMBER),
        ([i % 50 for i in range(N)], Kind.NUMBER),
        ([i / 3 for i in range(N)], Kind.NUMBER),
        ([WORDS[i % 3] for i in range(N)], Kind.CATEGORY),
        ([True, False] * 30, Kind.CATEGORY),
        ([["a"], ["b", "c"]] * 30, Kind.LABELS),
        ([[1.0, 2.0]] * 60, Kind.VECTOR),
    ],
)
def test_a_target_is_understood(values: list[Any], expected: Kind) -> None:
    table = ory.read(pa.table({"x": [0.5 * i for i in range(N)], "y": values}))
    assert infer(table.schema, table.describe(), "y", {}).kinds["y"] is expected


def test_what_was_said_is_not_questioned() -> None:
    table = ory.read(
        pa.table({"zip": list(range(N)), "x": [0.5] * N, "y": [i / 3 for i in range(N)], "z": [1] * N})
    )
    pinned = table.with_kinds({"x": Kind.CATEGORY})
    found = infer(pinned.schema, table.describe(), "y", {"zip": Kind.CATEGORY}, ignore=("z",))
    assert found.kinds == {"zip": Kind.CATEGORY, "x": Kind.CATEGORY, "y": Kind.NUMBER}
    assert found.notes == []


def test_the_path_of_a_picture_is_never_learnt_from(tmp_path: Path) -> None:
    for i in range(6):
        place = tmp_path / "pets" / ("cat" if i % 2 else "dog") / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(40 * i))
    table = ory.read(str(tmp_path / "pets"))
    found = ory.Estimator(target="label").resolve(table)
    assert found.kinds["path"] is Kind.KEY
    assert {name for feature in found.features or () for name in feature.columns} == {"image"}
    # A column that names rows can still be what is predicted.
    assert ory.Estimator(target="path").resolve(table).kinds["path"] is Kind.CATEGORY
