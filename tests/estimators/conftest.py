"""Rows to fit on, small and of every kind: the real ones that scikit-learn ships, and generated ones."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

Rows = list[dict[str, Any]]


@pytest.fixture
def flowers() -> Rows:
    """Fisher's iris: 150 rows, four numbers, three classes."""
    return _bunch(datasets.load_iris(), "species")


@pytest.fixture
def wines() -> Rows:
    """178 wines: thirteen numbers, three classes."""
    return _bunch(datasets.load_wine(), "cultivar")


@pytest.fixture
def diabetes() -> Rows:
    """442 patients: ten numbers, a quantity to predict."""
    data = datasets.load_diabetes()
    names = [f"s{i}" for i in range(10)]
    return [
        {**dict(zip(names, map(float, x), strict=True)), "progression": float(y)}
        for x, y in zip(data.data, data.target, strict=True)
    ]


def _bunch(data: Any, target: str) -> Rows:
    names = [str(name) for name in data.target_names]
    columns = [str(name) for name in data.feature_names]
    return [
        {**dict(zip(columns, map(float, x), strict=True)), target: names[y]}
        for x, y in zip(data.data, data.target, strict=True)
    ]


@pytest.fixture
def mixed() -> Rows:
    """Generated: a key, a number with gaps, two categories, a text, a date, a boolean; two classes."""
    rng = np.random.default_rng(0)
    cities = ["Bern", "Oslo", "Rome", "北京", "São Paulo"]
    good, bad = "the room was clean and quiet", "noisy broken dirty awful place"
    made = []
    for i in range(400):
        age = float(rng.normal(40, 12))
        city = str(rng.choice(cities))
        happy = bool(rng.random() < 0.5)
        day = dt.datetime(2024, 1, 1) + dt.timedelta(days=int(rng.integers(0, 700)))
        score = (age - 40) / 12 + (city in {"Bern", "Oslo"}) * 2 - 1 + (2 if happy else -2)
        made.append(
            {
                "id": f"row-{i:05d}",
                "age": None if rng.random() < 0.1 else age,
                "home town": None if rng.random() < 0.05 else city,
                "review": (good if happy else bad) + f" {rng.integers(0, 9)} times",
                "since": day,
                "member": bool(rng.random() < 0.3),
                "stays": "yes" if score + rng.normal(0, 0.5) > 0 else "no",
            }
        )
    return made


@pytest.fixture
def digits() -> Rows:
    """Handwritten digits as 8 × 8 PNG pictures with their labels."""
    data = datasets.load_digits()
    made = []
    for image, label in zip(data.images, data.target, strict=True):
        out = io.BytesIO()
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(out, "PNG")
        made.append({"image": out.getvalue(), "label": int(label)})
    return made


@pytest.fixture
def topics() -> Rows:
    """Generated: several labels in one row, decided by three numbers."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(400):
        a, b, c = (float(v) for v in rng.normal(size=3))
        made.append({"a": a, "b": b, "c": c, "tags": [n for n, v in (("A", a), ("B", b), ("C", c)) if v > 0]})
    return made


@pytest.fixture
def turns() -> Rows:
    """Generated: two numbers to predict at once from two."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(400):
        x, y = (float(v) for v in rng.normal(size=2))
        made.append({"x": x, "y": y, "turned": [x + y, x - y]})
    return made
