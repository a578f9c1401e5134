"""Real fitted models to serve, fitted once; and a check that a closed service leaves nothing."""

from __future__ import annotations

import datetime as dt
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import orrery as ory
from orrery.learners.network import Network

CITIES = ["Lyon", "Paris", "北京", 'O"Hara <b>']


def clients(seed: int, rows: int = 160) -> pa.Table:
    """A table of many kinds, whose target follows from it."""
    rng = np.random.default_rng(seed)
    ages = rng.integers(18, 80, rows)
    cities = rng.choice(CITIES, rows)
    return pa.table(
        {
            "age": pa.array(ages, pa.int64()),
            "income €": pa.array(rng.normal(30_000, 9_000, rows).round(2), pa.float64()),
            "city": pa.array(cities.tolist(), pa.string()),
            "note": pa.array(rng.choice(["likes tea a lot", "likes coffee", "says nothing"], rows).tolist()),
            "since": pa.array(
                [dt.datetime(2010 + int(n), 1, 2, 3, 4, 5) for n in rng.integers(0, 9, rows)],
                pa.timestamp("us"),
            ),
            "member": pa.array((rng.random(rows) > 0.5).tolist(), pa.bool_()),
            "buys": pa.array(
                ["yes" if a > 45 or c == "Lyon" else "no" for a, c in zip(ages, cities, strict=True)]
            ),
        }
    )


def picture(bright: int, side: int = 8) -> bytes:
    """A PNG with a bright left or right half."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[:, : side // 2] = bright
    pixels[:, side // 2 :] = 255 - bright
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _fit_all(place: Path) -> dict[str, Path]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=120)
    tables: dict[str, tuple[pa.Table, str, Any]] = {
        "clients": (clients(1), "buys", "linear"),
        "clients-2": (clients(2), "buys", "linear"),
        "prices": (pa.table({"x": x, "price": 3 * x + rng.normal(size=120) / 9}), "price", "linear"),
        "digits": (
            pa.table(
                {
                    "image": [picture(b) for b in range(0, 240, 2)],
                    "label": [b // 60 for b in range(0, 240, 2)],
                }
            ),
            "label",
            Network(epochs=2),
        ),
        "tags": (
            pa.table(
                {"x": x, "tags": [["up", "big"] if v > 1 else ["up"] if v > 0 else ["down"] for v in x]}
            ),
            "tags",
            "linear",
        ),
        "points": (
            pa.table(
                {
                    "at": pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=360)), 3),
                    "to": pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(x, 2)), 2),
                }
            ),
            "to",
            "linear",
        ),
    }
    kinds = {"clients": {"note": "text"}, "clients-2": {"note": "text"}}
    out = {}
    for name, (table, target, learner) in tables.items():
        out[name] = ory.fit(table, target, learner=learner, kinds=kinds.get(name)).save(place / name)
    return out


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved models by name, a kind of target or input each."""
    place = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(place / "home"))
        patch.setenv("ORRERY_PROGRESS", "0")
        return _fit_all(place)


@pytest.fixture
def row() -> dict[str, Any]:
    """One row of the clients, as JSON brings it."""
    return {
        "age": 50,
        "income €": 1234.5,
        "city": "北京",
        "note": "likes tea",
        "since": "2019-01-02T03:04:05",
        "member": True,
    }


@pytest.fixture(autouse=True, scope="module")
def nothing_left() -> Iterator[None]:
    """No thread of ours outlives the tests of a module, nor the services that they share."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while True:
        left = [t.name for t in set(threading.enumerate()) - before if t.name.startswith("orrery-")]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert left == []
