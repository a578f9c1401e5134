"""Bodies: packed, unpacked, slow."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import BadRequestError, TooLargeError
from orrery.serving.online.body import pack, parse_json, unpack
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_packed_is_unpacked(body: bytes, encoding: str) -> None:
    assert unpack(pack(body, encoding), encoding, 2000) == body


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_rubbish_is_refused_in_our_words(body: bytes, encoding: str) -> None:
    with pytest.raises(BadRequestError):
        unpack(body, encoding, 1000)


def test_the_bound_holds_for_what_is_unpacked() -> None:
    body = gzip.compress(b"\0" * 1001)
    assert len(unpack(body, "gzip", 1001)) == 1001
    with pytest.raises(TooLargeError):
        unpack(body, "gzip", 1000)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[1e999]", b'{"a":1}x', b"[" * 10_000, b"1" * 5000])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_json(text)


def test_a_body_that_does_not_come_is_not_waited_for(saved: dict[str, Path]) -> None:
    with serve(saved["prices"], port=0, wait=False, limits=Limits(read_s=0.2)) as service:
        place = ("127.0.0.1", int(service.url.rpartition(":")[2]))
        with socket.create_connection(place, timeout=20) as caller:
            caller.sendall(
                b"POST /v1/models/prices:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
            )
            said = b""
            while b"did not arrive in 0.2 s" not in said:
                part = caller.recv(4096)
                assert part
                said += part
