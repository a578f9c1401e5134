"""Connections of strangers: bounded in bytes, in time and in number."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/models/prices:predict HTTP/1.1\r\nHost: localhost\r\n"


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20)


def answer(caller: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := caller.recv(65536):
            said += part
    return said


def seen(service: Service, condition: Callable[[int], bool]) -> None:
    """Wait until the number of open connections is as it should be."""
    deadline = time.monotonic() + 20
    while not condition(len(service._server.server_state.connections)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def serving(saved: dict[str, Path], limits: Limits) -> Iterator[Service]:
    with serve(saved["prices"], port=0, wait=False, record=False, limits=limits) as service:
        yield service


ENDLESS = {
    "one header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"),
    "many headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n"),
    "a path": (b"GET /", b"a"),
    "empty lines": (b"\r\n", b"\r\n"),
    "a trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    "an extension of a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"a"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_cut_off(saved: dict[str, Path], kind: str) -> None:
    start, more = ENDLESS[kind]
    piece, sent = more * (8192 // len(more)), 0
    with serving(saved, Limits()) as service, connect(service) as caller:
        caller.sendall(start)
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                caller.sendall(piece)
                sent += len(piece)
        assert sent < 16 << 20  # what lies in the buffers of both ends, and no more
        assert httpx.get(service.url + "/v2/health/live").status_code == 200


def test_a_header_of_just_the_bound_is_read(saved: dict[str, Path]) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
    with serving(saved, Limits()) as service:
        for more, status in ((0, b"200"), (1, b"431")):
            with connect(service) as caller:
                caller.sendall(head + b"a" * ((64 << 10) - len(head) - 4 + more) + b"\r\n\r\n")
                assert answer(caller).split()[1] == status


def test_bodies_and_requests_in_a_row_are_no_header(saved: dict[str, Path]) -> None:
    body = b'{"rows": [' + b" " * 300_000 + b'{"x": 1}]}'
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with serving(saved, Limits()) as service, connect(service) as caller:
        caller.sendall(request * 3 + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer(caller).count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize("start", [b"", LIVE, LIVE[:-2], LIVE + LIVE[:9], POST + b"Content-Length: 1\r\n"])
def test_a_header_that_does_not_come_is_not_waited_for(saved: dict[str, Path], start: bytes) -> None:
    with serving(saved, Limits(head_s=0.2)) as service, connect(service) as caller:
        caller.sendall(start)
        began = time.monotonic()
        answer(caller)
        assert time.monotonic() - began < 4


def test_drops_do_not_keep_a_connection(saved: dict[str, Path]) -> None:
    with serving(saved, Limits(head_s=0.3)) as service, connect(service) as caller:
        caller.sendall(LIVE + LIVE[:20])
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 10:
                caller.sendall(b"X")
                time.sleep(0.02)
        assert time.monotonic() - began < 5


def test_an_idle_connection_makes_room(saved: dict[str, Path]) -> None:
    with serving(saved, Limits(connections=5)) as service, ExitStack() as stack:
        idle = [stack.enter_context(connect(service)) for _ in range(5)]
        seen(service, lambda n: n == 5)
        for _ in range(3):
            said = httpx.post(service.url + "/v1/models/prices:predict", json={"rows": [{"x": 1.0}]})
            assert said.status_code == 200
        assert answer(idle[0]) == b""  # the one that was idle longest
        idle[-1].sendall(LIVE)
        assert idle[-1].recv(4096).startswith(b"HTTP/1.1 200")


def test_health_answers_when_all_connections_are_busy(saved: dict[str, Path]) -> None:
    with serving(saved, Limits(connections=5)) as service, ExitStack() as stack:
        busy = [stack.enter_context(connect(service)) for _ in range(5)]
        for caller in busy:
            caller.sendall(POST + b"Content-Length: 12\r\n\r\n{")
        seen(service, lambda n: n == 5)
        deadline = time.monotonic() + 20
        while httpx.get(service.url + "/v1/models").status_code != 503:
            assert time.monotonic() < deadline
        assert httpx.get(service.url + "/v2/health/live").status_code == 200
        assert httpx.get(service.url + "/v2/health/ready").status_code == 200
        for caller in busy:
            caller.sendall(b'"rows": []}')
            assert caller.recv(4096).startswith(b"HTTP/1.1 200")
        assert httpx.get(service.url + "/v1/models").status_code == 200


def test_an_answer_that_nobody_reads_is_given_up(saved: dict[str, Path]) -> None:
    rows = b",".join([b'{"x": 1, "kept": "' + b"k" * 2000 + b'"}'] * 5000)
    body = b'{"rows": [' + rows + b"]}"
    with serving(saved, Limits(read_s=0.5)) as service, connect(service) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        seen(service, lambda n: n == 1)
        seen(service, lambda n: n == 0)


def test_odd_requests_write_nothing_to_the_log(
    saved: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(saved, Limits()) as service:
        for sent in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            with connect(service) as caller:
                caller.sendall(sent)
                assert answer(caller).startswith(b"HTTP/1.1 400")
    assert caplog.text == ""
