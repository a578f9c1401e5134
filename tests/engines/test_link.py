"""Connections between machines: who has not the token, or forges or repeats a message, is not heard."""

from __future__ import annotations

import queue
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from orrery.engines import link
from orrery.engines.link import Listener, Sealed, connect

TOKEN = b"the gang's own token"


@pytest.fixture
def door() -> Iterator[Listener]:
    with Listener("127.0.0.1", TOKEN, 2) as opened:
        yield opened


@pytest.fixture
def pair() -> Iterator[tuple[Sealed, Sealed]]:
    left, right = socket.socketpair()
    ends = Sealed(left, b"a" * 32, b"b" * 32), Sealed(right, b"b" * 32, b"a" * 32)
    yield ends
    for end in ends:
        end.close()


def test_both_ways_are_heard(door: Listener) -> None:
    worker = connect(*door.address, TOKEN, 1)
    rank, driver = door.callers.get(timeout=10)
    big = bytes(range(256)) * 1_000
    worker.send(b"R", big)
    driver.send(b"S")
    assert (rank, driver.receive(), worker.receive()) == (1, (b"R", big), (b"S", b""))
    worker.close()
    assert driver.receive() is None
    driver.close()


def test_a_stranger_is_not_let_in(door: Listener) -> None:
    with pytest.raises(ConnectionError):
        connect(*door.address, b"a guess", 0)
    with socket.create_connection(door.address) as mute:
        mute.sendall(b"GET / HTTP/1.0\r\n\r\n".ljust(100, b"x"))
        assert link.exactly(mute, 32)
        with suppress(ConnectionResetError):
            assert mute.recv(1) == b""
    with pytest.raises(queue.Empty):
        door.callers.get(timeout=0.2)


def test_a_rank_comes_in_once_and_none_beyond_the_last(door: Listener) -> None:
    first = connect(*door.address, TOKEN, 0)
    for rank in (0, 2):
        with pytest.raises(ConnectionError):
            connect(*door.address, TOKEN, rank)
    first.close()


def test_a_message_that_was_changed_is_not_believed(pair: tuple[Sealed, Sealed]) -> None:
    sender, hearer = pair
    sender._keys = b"x" * 32, sender._keys[1]
    sender.send(b"T", b"forged")
    assert hearer.receive() is None


def test_a_message_that_is_said_again_is_not_believed(pair: tuple[Sealed, Sealed]) -> None:
    sender, hearer = pair
    said: list[bytes] = []

    class Tap:
        def sendall(self, part: bytes) -> None:
            said.append(bytes(part))

    real, sender.socket = sender.socket, Tap()  # type: ignore[assignment]
    sender.send(b"T", b"once")
    sender.socket = real
    real.sendall(said[0] * 2)
    assert hearer.receive() == (b"T", b"once")
    assert hearer.receive() is None


def test_a_message_that_is_too_long_is_not_read(
    pair: tuple[Sealed, Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, hearer = pair
    monkeypatch.setattr(link, "LIMIT_BYTES", 10)
    sender.send(b"T", b"eleven long")
    assert hearer.receive() is None


def test_a_length_that_was_changed_is_not_believed(pair: tuple[Sealed, Sealed]) -> None:
    sender, hearer = pair
    wrong: Any = struct.pack("<cQ", b"T", 1 << 60) + bytes(16)
    sender.socket.sendall(wrong)
    assert hearer.receive() is None
