"""The flowers example: pictures that no linear model tells apart, and the whole example on fewer of them."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from tests.servers import cache
from tests.servers.mongodb import REAL, WHICH, MongoDb, fetch

import orrery as ory

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flowers"


@pytest.fixture(scope="module")
def draw() -> dict[str, Any]:
    """What ``draw.py`` defines."""
    return runpy.run_path(str(EXAMPLE / "draw.py"))


def test_a_number_always_gives_the_same_picture(draw: dict[str, Any]) -> None:
    flower = draw["flower"]
    assert flower(7) == flower(7)
    assert flower(7)[0] != flower(12)[0] != flower(12, seed=1)[0]
    assert [flower(i)[1] for i in range(5)] == list(draw["LABELS"])
    assert Image.open(io.BytesIO(flower(3)[0])).size == (64, 64)


@pytest.mark.slow
def test_a_linear_model_on_pixels_fails(draw: dict[str, Any]) -> None:
    rows = [draw["flower"](i) for i in range(1_000)]
    pixels = np.stack(
        [np.asarray(Image.open(io.BytesIO(row[0])).resize((16, 16))).ravel() / 255 for row in rows]
    )
    labels = [row[1] for row in rows]
    best = max(
        RidgeClassifier(alpha=alpha).fit(pixels[:700], labels[:700]).score(pixels[700:], labels[700:])
        for alpha in (100.0, 3_000.0)
    )
    assert best < 0.6


@pytest.mark.skipif(REAL, reason="what lies in a real server's database is not ours to replace")
def test_the_flow_is_sound(mongodb: MongoDb, draw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    server = replace(mongodb, database="orrery_flowers")
    pictures = [draw["flower"](i) for i in range(20)]
    server.fill([{"_id": i, "image": row[0], "label": row[1]} for i, row in enumerate(pictures)], "drawn")
    monkeypatch.setenv("ORRERY_CONNECTION__FLOWERS", server.host)
    assert ory.Flow.load(EXAMPLE / "flow.yaml").check() == []


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The example in a process of its own, in the current folder."""
    return subprocess.run(
        [sys.executable, str(EXAMPLE / "flow.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, **variables},
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", ["drawn", "photos"])
@pytest.mark.parametrize("server", [WHICH])
def test_from_documents_to_a_page(server: str, source: str, draw: dict[str, Any]) -> None:
    if not REAL:
        try:
            fetch()
        except cache.MissingServerError as error:
            cache.skip(error)
    more = []
    if source == "photos":
        for i in range(60):
            picture, label, _ = draw["flower"](i)
            Path("photos", label).mkdir(parents=True, exist_ok=True)
            Path("photos", label, f"{i}.jpg").write_bytes(picture)
        more = ["--photos", "photos", "--workers", "1"]
    done = run("--pictures", "400", "--epochs", "2", *more, ORRERY_SLOTS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("a stand-in for MongoDB is used" in done.stdout) is not REAL
    if source == "drawn":
        assert "400 documents" in done.stdout
        assert "worker 1 read" in done.stdout
        assert "each row once" in done.stdout
    page = Path("flowers.html").read_text("utf-8")
    assert page.count("data:image/jpeg") >= 10
    assert all(label in page for label in draw["LABELS"])
    assert Path("report.html").exists()


def test_without_java_it_says_how_to_give_an_address(tmp_path: Path) -> None:
    done = run(PATH=str(tmp_path), MONGODB_URL="")
    assert done.returncode == 1
    assert "needs java" in done.stdout
    assert "Set MONGODB_URL" in done.stdout
