"""Models loaded and unloaded over HTTP; and who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

import orrery as ory
from orrery.registry.folder import open_registry
from orrery.serving.online.manage import _is_local
from orrery.serving.online.server import serve

ROWS = {"rows": [{"x": 1.0}]}


@pytest.fixture
def client(saved: dict[str, Path]) -> Iterator[httpx.Client]:
    registry = open_registry()
    for name in ("a", "b"):
        registry.publish(saved["prices"], name)
    registry.publish(saved["prices"], "b")
    with (
        serve("models:/", port=0, wait=False, record=False) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        yield client


def test_a_model_is_opened_by_being_asked(client: httpx.Client) -> None:
    def states() -> dict[str, str]:
        return {e["name"]: e["state"] for e in client.post("/v2/repository/index").json()}

    assert states() == {"a": "READY", "b": "UNAVAILABLE"}
    assert client.post("/v1/models/b:predict", json=ROWS).json()["version"] == 2
    assert states() == {"a": "READY", "b": "READY"}
    assert 'orrery_model_bytes{service="b",version="2"}' in client.get("/metrics").text
    unload = client.post("/v2/repository/models/b/unload", json={"parameters": {"unload_dependents": False}})
    assert (unload.status_code, states()["b"]) == (200, "UNAVAILABLE")
    assert client.post("/v1/models/b:predict", json=ROWS).status_code == 404
    assert client.post("/v2/repository/models/b/load", json={}).status_code == 200
    assert client.post("/v1/models/b:predict", json=ROWS).status_code == 200
    assert client.post("/v1/models/b:load", json={"version": "1"}).status_code == 200
    assert client.get("/v2/models/b").json()["versions"] == ["2", "1"]
    assert client.post("/v1/models/b:load", json={"version": 9}).status_code == 404
    assert client.post("/v1/models/b:load", json={"version": "x"}).status_code == 400
    assert client.post("/v1/models/evil%20name:predict", json=ROWS).status_code == 404


def test_several_models_are_served_at_once(saved: dict[str, Path], row: dict[str, object]) -> None:
    registry = open_registry()
    registry.publish(saved["clients"], "clients")
    for name in ("a", "a"):
        registry.publish(saved["prices"], name)
    whats = ["models:/a/1", "models:/clients@latest", "models:/a/2"]
    with (
        ory.serve(whats, port=0, wait=False, record=False) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        assert str(service) == f"a, version 1, and 1 more answer at {service.url}"
        assert client.get("/v2/health/ready").json() == {"ready": True}
        names = [{"name": "a", "version": 1}, {"name": "clients", "version": 1}]
        assert client.get("/v1/models").json() == {"models": names}
        tensor = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        for version in ("1", "2"):
            told = client.post(f"/v2/models/a/versions/{version}/infer", json=tensor).json()
            assert told["model_version"] == version
        assert client.post("/v1/models/clients:predict", json={"rows": [row]}).status_code == 200
        assert client.post("/v1/models/prices:predict", json=ROWS).status_code == 404
        assert client.get("/v1/models/a/route").json()["live"] == [
            {"version": 1, "arm": "main", "share": 1.0}
        ]
        fixed = client.put("/v1/models/a/route", json={"routing": {"main": 2}})
        assert (fixed.status_code, "fixed version" in fixed.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), ("", False), (None, False)]
)
def test_only_callers_on_this_machine_may(host: str | None, local: bool) -> None:
    scope = {"type": "http", "client": None if host is None else (host, 1234)}
    assert _is_local(Request(scope)) == local
