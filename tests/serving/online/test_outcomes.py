"""Outcomes over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.serving.online.server import Service

PATH = "/v1/models/clients:outcomes"


def kept(service: Service) -> list[dict[str, Any]]:
    """Every outcome on disk."""
    assert service.recorder is not None
    assert service.recorder.home is not None
    files: list[Path] = sorted(service.recorder.home.rglob(f"{service.name}/outcomes/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_outcomes_are_on_disk_when_the_answer_comes(
    service_of: Callable[[str], Service], client: httpx.Client
) -> None:
    body = {"outcomes": [{"id": "a", "buys": "yes"}, {"id": 7, "buys": "no"}]}
    assert client.post(PATH, json=body).json() == {"model": "clients", "received": 2}
    assert [(r["id"], r["outcome"]) for r in kept(service_of("clients"))][-2:] == [("a", "yes"), ("7", "no")]


def test_outcomes_have_the_target_s_type(
    service_of: Callable[[str], Service], client_of: Callable[[str], httpx.Client]
) -> None:
    for name, target, value in (("digits", "label", 3), ("prices", "price", 2), ("tags", "tags", ["up"])):
        body = {"outcomes": [{"id": "1", target: value}]}
        answer = client_of(name).post(f"/v1/models/{name}:outcomes", json=body)
        assert answer.status_code == 200, answer.text
        assert kept(service_of(name))[-1]["outcome"] == value
    home = service_of("prices").recorder.home  # type: ignore[union-attr]
    (file,) = home.rglob("prices/outcomes/*.parquet")  # type: ignore[union-attr]
    assert pq.read_schema(file).field("outcome").type == pa.float64()


def test_none_is_none(client: httpx.Client) -> None:
    assert client.post(PATH, json={"outcomes": []}).json()["received"] == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "needs 'outcomes'"),
        ({"outcomes": {}}, "needs 'outcomes'"),
        ({"outcomes": [3]}, "is a number"),
        ({"outcomes": [{"id": 1}]}, "needs 'id' and 'buys'"),
        ({"outcomes": [{"buys": "yes"}]}, "needs 'id' and 'buys'"),
        ({"outcomes": [{"id": 1, "buys": "yes", "x": 1}]}, "nothing else"),
        ({"outcomes": [{"id": None, "buys": "yes"}]}, "An id is"),
        ({"outcomes": [{"id": 1, "buys": 3}]}, "is no string"),
        ({"outcomes": [{"id": 1, "buys": "maybe"}]}, "unknown to the model"),
        ({"outcomes": [{"id": 1, "buys": None}]}, "missing"),
        ({"outcomes": [{"id": 1, "buys": "no"}] * 201}, "201 outcomes"),
    ],
)
def test_wrong_outcomes_are_told_and_none_is_kept(
    service_of: Callable[[str], Service], client: httpx.Client, body: dict[str, Any], words: str
) -> None:
    before = len(kept(service_of("clients")))
    answer = client.post(PATH, json=body)
    assert answer.status_code in {400, 413}
    assert words in answer.json()["detail"]
    assert len(kept(service_of("clients"))) == before
