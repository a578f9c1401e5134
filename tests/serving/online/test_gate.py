"""The gate: which hosts are answered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orrery.serving.online.gate import allowed_hosts
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

EVIL = {"host": "evil.example:8080"}


@pytest.fixture(scope="module")
def service(saved: dict[str, Path]) -> Iterator[Service]:
    with serve(saved["prices"], port=0, wait=False, record=False) as service:
        yield service


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/v1/models/prices:predict", "/v2", "/metrics", "/nowhere"]
)
def test_another_host_is_misdirected(service: Service, method: str, path: str) -> None:
    assert httpx.request(method, service.url + path, headers=EVIL).status_code == 421


def test_a_page_that_took_this_address_may_not_post(service: Service) -> None:
    headers = {**EVIL, "origin": "http://evil.example:8080"}
    said = httpx.post(service.url + "/v1/models/prices:predict", json={"rows": [{"x": 1}]}, headers=headers)
    assert (said.status_code, said.json()["detail"][:41]) == (
        421,
        "The host evil.example is not served here;",
    )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080"]
)
def test_this_machine_is_answered(service: Service, host: str) -> None:
    assert httpx.get(service.url + "/v2", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host: </script>\r\n",
        "Host: x@localhost\r\n",
        "Host: localhost:x\r\n",
        "Host: localhost:999999\r\n",
        "Host: [::\r\n",
    ],
)
def test_one_host_is_needed(service: Service, hosts: str) -> None:
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20) as caller:
        caller.sendall(f"GET /v1/models HTTP/1.1\r\n{hosts}\r\n".encode())
        said = caller.recv(4096)
    assert said.startswith(b"HTTP/1.1 400")
    assert b"script" not in said


def test_a_proxy_may_be_named(saved: dict[str, Path]) -> None:
    limits = Limits(allowed_hosts=("models.example",))
    with serve(saved["prices"], port=0, wait=False, record=False, limits=limits) as service:
        for host, status in (("models.example", 200), ("localhost", 200), ("evil.example", 421)):
            assert httpx.get(service.url + "/v2", headers={"host": host}).status_code == status


def test_on_the_network_any_name_may_be_asked_for(saved: dict[str, Path]) -> None:
    with serve(saved["prices"], host="0.0.0.0", port=0, wait=False, record=False) as service:
        assert httpx.get(service.url + "/v2", headers=EVIL).status_code == 200
    assert allowed_hosts("10.0.0.7", "box", ["a"]) == {
        "localhost",
        "127.0.0.1",
        "[::1]",
        "10.0.0.7",
        "box",
        "a",
    }
    assert "[::1]" in (allowed_hosts("::1", "::1") or ())
