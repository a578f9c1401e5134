"""A service with windows: rows asked over HTTP get what a table of the past gives, recorded with it."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

import orrery as ory
from orrery.serving.online.server import Service
from orrery.serving.past import PastStore
from orrery.serving.proof import prove
from orrery.serving.runner import Runner

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WINDOWS = (
    ory.Window(how="count", over="1h", by="card"),
    ory.Window(how="sum", of="eur", over="1h", by="card"),
)


def payments(rows: int) -> list[dict[str, Any]]:
    drawn = random.Random(1)
    made = []
    spent: dict[str, float] = {}
    for i in range(rows):
        card, eur = f"c{drawn.randrange(8)}", round(drawn.expovariate(1 / 40), 2)
        label = "odd" if spent.get(card, 0.0) > 150 else "usual"
        spent[card] = spent.get(card, 0.0) * 0.8 + eur
        made.append({"id": str(i), "card": card, "eur": eur, "label": label})
    return [{**row, "time": START + dt.timedelta(seconds=61 * i)} for i, row in enumerate(made)]


@pytest.fixture(scope="module")
def model() -> ory.Model:
    table = ory.read(payments(600)).windows(*WINDOWS, on="time", id="id")
    return ory.fit(table, "label", learner="linear", ignore=("id", "time"))


@pytest.fixture
def service(model: ory.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    with ory.serve(model, name="fraud", port=0, wait=False) as service:
        yield service


def ask(client: httpx.Client, rows: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    told = [{**row, "time": row["time"].isoformat()} for row in rows]
    answer = client.post("/v1/models/fraud:predict", json={"rows": told, **settings})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def test_rows_are_answered_as_a_table_of_the_past_is(
    service: Service, model: ory.Model, tmp_path: Path
) -> None:
    rows = [{name: row[name] for name in ("id", "card", "eur", "time")} for row in payments(200)]
    expected = [row["probability"] for row in model.predict(rows)]
    with httpx.Client(base_url=service.url) as client:
        ask(client, rows[:40], record=False)  # asked, and not meant to count
        found = [row for i in range(0, 200, 3) for row in ask(client, rows[i : i + 3])]
        assert [row["probability"] for row in found] == expected
        again = ask(client, rows[-5:])  # sent twice
    assert [row["probability"] for row in again] == expected[-5:]
    assert service.recorder is not None
    assert service.recorder.flush()
    files = sorted((tmp_path / "feedback" / "fraud").rglob("*.parquet"))
    kept = [row for file in files for row in pq.read_table(file).to_pylist()]
    windows = ory.read(rows).windows(*WINDOWS, on="time", id="id").to_rows()
    by_id = {row["id"]: row for row in windows}
    assert len(kept) == 205
    for row in kept:
        for window in WINDOWS:
            assert row["inputs"][window.name] == by_id[row["id"]][window.name]


def test_every_event_counts_once_however_many_ask_at_once(service: Service) -> None:
    rows = [
        {"id": str(i), "card": "one", "eur": 1.0, "time": START + dt.timedelta(milliseconds=i)}
        for i in range(120)
    ]
    with httpx.Client(base_url=service.url) as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda row: ask(client, [row]), rows))
    last = {"time": [START + dt.timedelta(seconds=1)], "card": ["one"], "eur": [1.0], "id": ["x"]}
    windows = service.route.live.runner.signature.windows
    assert windows is not None
    with PastStore(service.name) as past:
        assert past.observe(windows, last, 1, keep=False)["sum_eur_1h_by_card"] == [120.0]


def test_a_time_that_is_none_is_told_with_its_row(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        answer = client.post(
            "/v1/models/fraud:predict",
            json={"rows": [{"id": "1", "card": "a", "eur": 1.0, "time": "soon"}]},
        )
    assert answer.status_code == 400
    assert "'soon' cannot be read as time" in answer.json()["detail"]
    assert answer.json()["pointer"] == "/rows/0/time"


def test_rows_in_any_order_are_answered_as_a_table_of_them(model: ory.Model) -> None:
    rows = [{name: row[name] for name in ("id", "card", "eur", "time")} for row in payments(60)]
    random.Random(3).shuffle(rows)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    expected = [row["probability"] for row in model.predict(ory.read(rows)).to_rows()]
    assert [row["probability"] for row in Runner(model).predict_columns(columns, 60)] == expected
    assert [row["probability"] for row in model.predict(rows)] == expected


def test_a_model_that_reads_windows_is_proved(model: ory.Model) -> None:
    proof = prove(model, Runner(model), rows=500, seconds=60.0)
    assert (proof.rows, proof.largest) == (500, 0.0)
