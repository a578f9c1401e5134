"""The clients on a rough wire: dropped connections, pauses that are asked for, secrets, strange answers."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import orrery as ory
from orrery.errors import LateError, OrreryError, OverloadedError, ServingError, SettingsError

READY = b'{"ready": true}'
MODELS = b'{"models": [{"name": "m", "version": 1}]}'


def http(status: int, body: bytes, *headers: str) -> bytes:
    """An answer that ends its connection."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def received(connection: socket.socket) -> bytes:
    """One whole request."""
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(1 << 16)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]) and (more := connection.recv(1 << 16)):
        body += more
    return head + b"\r\n\r\n" + body


@contextmanager
def scripted(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers in turn, one per connection; and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(received(connection))
                    connection.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)


def test_a_dropped_connection_is_tried_again() -> None:
    with scripted(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut", http(200, MODELS)) as (
        url,
        asked,
    ):
        with ory.Client(url) as client:
            assert client.models() == [{"name": "m", "version": 1}]
        assert len(asked) == 3


def test_retry_after_is_honoured() -> None:
    with scripted(http(503, b"", "Retry-After: 1"), http(200, MODELS)) as (url, _):
        began_s = time.monotonic()
        with ory.Client(url) as client:
            assert client.models()[0]["name"] == "m"
        assert time.monotonic() - began_s >= 1.0


def test_the_awaited_client_does_the_same() -> None:
    async def main(url: str) -> list[dict[str, object]]:
        async with ory.AsyncClient(url) as client:
            return await client.models()

    with scripted(b"", http(503, b""), http(200, MODELS)) as (url, _):
        assert asyncio.run(main(url)) == [{"name": "m", "version": 1}]


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with ory.Client(f"http://127.0.0.1:{port}", retries=1) as client:
        assert not client.ready()
        with pytest.raises(ServingError, match="cannot be reached"):
            client.models()


def test_a_service_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with ory.Client(url, timeout_s=0.3) as client, pytest.raises(LateError, match=r"0\.3 s"):
            client.models()


def test_repeats_carry_the_same_ids() -> None:
    row = {"a": 1}
    meta = http(200, b'{"inputs": [{"name": "a"}]}')
    with scripted(meta, b"", http(503, b""), http(503, b"")) as (url, asked):
        with ory.Client(url, "m", retries=2) as client, pytest.raises(OverloadedError):
            client.predict([row])
        ids = {json.loads(one.partition(b"\r\n\r\n")[2])["rows"][0]["id"] for one in asked[1:]}
        assert len(ids) == 1
        assert row == {"a": 1}


_BODIES: list[bytes] = [
    b"[]",
    b"null",
    b'{"rows": []}',
    b'{"rows": [5]}',
    b'{"rows": [{"id": "other", "prediction": 1}]}',
    b'{"rows": [{"prediction": 1}, {"prediction": 2}]}',
]


@pytest.mark.parametrize("body", _BODIES)
def test_strange_answers_are_errors(body: bytes) -> None:
    meta = http(200, b'{"inputs": []}')
    with (
        scripted(meta, http(200, body)) as (url, _),
        ory.Client(url, "m") as client,
        pytest.raises(ServingError),
    ):
        client.predict([{"a": 1}])


def test_a_redirect_is_not_followed() -> None:
    with scripted(http(302, b"", "Location: http://127.0.0.1:1/steal")) as (url, asked):
        with ory.Client(url, token="secret-token") as client, pytest.raises(OrreryError, match="status 302"):
            client.models()
        assert len(asked) == 1


def test_secrets_are_sent_and_never_shown() -> None:
    with scripted(http(200, MODELS), http(500, b"no")) as (url, asked):
        with ory.Client(url.replace("//", "//me:hidden@")) as client:
            client.models()
            with pytest.raises(OrreryError) as caught:
                client.models()
            assert "hidden" not in f"{client!r}{client.url}{caught.value!r}{vars(client)['_asking']!r}"
        assert b"Authorization: Basic bWU6aGlkZGVu" in asked[0]
    token = ory.Client(url, token="secret-token")
    assert "secret-token" not in f"{token!r}{token._asking!r}"


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://x", "http://", "http://u:hidden@", "http://x?a=hidden", "http://x:yy"],
)
def test_a_url_that_is_none_is_told_without_secrets(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ory.Client(url)
    assert "hidden" not in str(caught.value)


def test_a_wrong_setting_is_told() -> None:
    makers: list[Callable[[], object]] = [
        lambda: ory.Client("http://x", timeout_s=0),
        lambda: ory.AsyncClient("http://x", retries=-1),
    ]
    for make in makers:
        with pytest.raises(SettingsError):
            make()


def test_a_closed_client_opens_again() -> None:
    with scripted(http(200, MODELS), http(200, MODELS)) as (url, _):
        client = ory.Client(url)
        client.models()
        client.close()
        client.close()
        assert client.models()
        client.close()
