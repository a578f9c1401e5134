"""The express way says what the application says, whatever comes, and leaves to it what is not ordinary."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orrery.serving.online.express import Express
from orrery.serving.online.quick import Quick
from orrery.serving.online.server import Service
from orrery.serving.runner import Runner

LONG = b"X-Request-Timeout-Ms: 60000\r\n"
INFER, PREDICT = b"/v2/models/clients/infer", b"/v1/models/clients:predict"

Caller = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def service(service_of: Callable[[str], Service]) -> Service:
    return service_of("clients")


@pytest.fixture(scope="module")
def wire(service: Service) -> Iterator[socket.socket]:
    """One connection, which lives through all that is asked on it."""
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=30) as wire:
        yield wire


def request(path: bytes, body: object, *, options: bytes = b"") -> bytes:
    data = json.dumps(body).encode()
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n"
    return head % (path, options, len(data)) + data


def answer(wire: socket.socket) -> tuple[int, Any]:
    """The status and the body of the next answer."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += wire.recv(1)
    lines = said.lower().split(b"\r\n")
    (size,) = (int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    body = b""
    while len(body) < size:
        body += wire.recv(size - len(body))
    return int(said.split()[1]), json.loads(body)


def ask(wire: socket.socket, path: bytes, body: object, *, options: bytes = b"") -> tuple[int, Any]:
    wire.sendall(request(path, body, options=options))
    return answer(wire)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 99),
    st.floats(allow_nan=False),
    st.text(max_size=9),
    st.lists(st.none()),
)
names = st.sampled_from(["age", "income €", "city", "note", "since", "member", "id", "other"])
KINDS = {"age": "INT64", "income €": "FP64", "member": "BOOL"}


@given(st.lists(st.dictionaries(names, values), max_size=3), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_have_the_same_answer(
    wire: socket.socket, row: dict[str, Any], changes: list[dict[str, Any]], record: bool
) -> None:
    rows = [{"id": "a", **row, **change} for change in changes]
    short, long = (
        ask(wire, PREDICT, {"rows": rows, "record": record}, options=options) for options in (b"", LONG)
    )
    for said in (short[1], long[1]):
        for each in said.get("rows", []):
            each["id"] = "a new one" if len(str(each["id"])) == 36 else each["id"]
    assert short == long


@given(st.dictionaries(names, st.lists(values, max_size=2), max_size=2), st.integers(0, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tensors_have_the_same_answer(
    wire: socket.socket, row: dict[str, Any], changes: dict[str, list[Any]], more: int
) -> None:
    columns = {name: [value] for name, value in row.items()} | changes
    inputs = [
        {"name": n, "shape": [len(v)], "datatype": KINDS.get(n, "BYTES"), "data": v}
        for n, v in columns.items()
    ]
    body = {"id": "q", "inputs": inputs + inputs[:more]}
    short, long = (ask(wire, INFER, body, options=options) for options in (b"", LONG))
    assert short == long


def test_an_ordinary_request_never_reaches_the_application(
    wire: socket.socket, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("The application was asked.")

    monkeypatch.setattr(Quick, "__call__", refuse)
    assert ask(wire, PREDICT, {"rows": [row]})[0] == 200


def test_a_request_in_pieces_is_answered(wire: socket.socket, row: dict[str, Any]) -> None:
    whole = request(PREDICT, {"rows": [{"id": "p", **row}]})
    expected = ask(wire, PREDICT, {"rows": [{"id": "p", **row}]})
    for cut in (10, whole.index(b"\r\n\r\n") + 4, len(whole) - 5):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.sendall(whole[:cut])
        wire.sendall(whole[cut:])
        assert answer(wire) == expected


def test_answers_come_in_the_order_of_the_requests(wire: socket.socket, row: dict[str, Any]) -> None:
    options = [b"", LONG, b"", b"", LONG, b""]
    sent = [request(PREDICT, {"rows": [{"id": f"{i}", **row}]}, options=o) for i, o in enumerate(options)]
    wire.sendall(b"".join(sent))
    assert [answer(wire)[1]["rows"][0]["id"] for _ in sent] == ["0", "1", "2", "3", "4", "5"]


def test_a_caller_who_says_so_is_hung_up_on(service: Service, row: dict[str, Any]) -> None:
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=30) as wire:
        assert ask(wire, PREDICT, {"rows": [row]}, options=b"Connection: close\r\n")[0] == 200
        assert wire.recv(1) == b""


def test_another_host_is_turned_away(wire: socket.socket, row: dict[str, Any]) -> None:
    whole = request(PREDICT, {"rows": [row]}).replace(b"Host: localhost", b"Host: elsewhere.example")
    wire.sendall(whole)
    assert answer(wire)[0] == 421


def test_nothing_is_left_in_the_room(service: Service, wire: socket.socket, row: dict[str, Any]) -> None:
    questions: list[list[dict[str, Any]]] = [[row], [{**row, "age": "old"}], []]
    for rows in questions:
        ask(wire, PREDICT, {"rows": rows})
    (gate,) = {each.app for each in service._server.server_state.connections if isinstance(each, Express)}
    room = gate.app.desk.room
    assert (room.requests, room.bytes) == (0, 0)


def test_a_failing_model_is_told_and_the_connection_lives(
    service: Service, wire: socket.socket, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "predict_columns", fail)
        short, long = (ask(wire, PREDICT, {"rows": [row]}, options=options) for options in (b"", LONG))
    assert short == long
    assert short[0] == 500
    assert ask(wire, PREDICT, {"rows": [row]})[0] == 200
