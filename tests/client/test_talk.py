"""Talks without a wire: when a call is repeated, when it is given up, and what is said then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.client.problem import error_of, moved
from orrery.client.talk import Call, Heard, Manner, Pause, retry_after
from orrery.errors import (
    BadRequestError,
    ForbiddenError,
    LateError,
    OrreryError,
    OverloadedError,
    SchemaError,
    ServingError,
)

FULL = Heard(503, {"retry-after": "1"}, b'{"type": "orrery.errors/overloaded", "detail": "Full."}')
AWAY = Heard(failed="refused")


def told(manner: Manner, heard: list[Heard]) -> tuple[Any, list[float]]:
    """The answer to a call that hears these in turn, and the pauses that were made."""
    talk, left, pauses = manner.talk("GET", "/v2"), iter(heard), []
    step = next(talk)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
            step = talk.send(next(left) if isinstance(step, Call) else Heard())
    except StopIteration as end:
        return end.value, pauses


def test_a_service_that_is_away_or_full_is_asked_again() -> None:
    value, pauses = told(Manner(), [AWAY, FULL, Heard(502), Heard(200, {}, b'{"a": 1}')])
    assert value == {"a": 1}
    assert len(pauses) == 3
    assert 0.05 <= pauses[0] <= 0.1
    assert 1.1 <= pauses[1] <= 1.2  # as it asked, and a little more
    assert 0.2 <= pauses[2] <= 0.4


def test_it_is_asked_so_often_and_no_more() -> None:
    with pytest.raises(OverloadedError, match="Full"):
        told(Manner(retries=2), [FULL] * 3)
    with pytest.raises(ServingError, match="cannot be reached: refused"):
        told(Manner(retries=0), [AWAY])
    with pytest.raises(OverloadedError, match="status 429"):
        told(Manner(retries=1), [Heard(429), Heard(429)])


def test_no_pause_goes_beyond_the_time_that_is_left() -> None:
    patient = Heard(503, {"retry-after": "3600"}, FULL.body)
    with pytest.raises(OverloadedError, match="Full"):
        told(Manner(timeout_s=5.0), [patient])


def test_what_took_too_long_is_not_asked_again() -> None:
    with pytest.raises(LateError, match="did not answer in 7 s"):
        told(Manner(timeout_s=7.0), [Heard(failed="slow", is_late=True)])


def test_each_call_says_how_long_it_is_waited_for() -> None:
    call = next(Manner(timeout_s=2.0).talk("POST", "/v2", {"é": 1}))
    assert isinstance(call, Call)
    assert 0 < int(call.headers["X-Request-Timeout-Ms"]) <= 2000
    assert call.body == '{"é": 1}'.encode()
    assert call.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body", [b"", b"<html>\x1b[31m gone", b"[]", b'{"detail": 5}', b"\xff", b"[" * 9000])
def test_any_body_of_an_error_is_told_harmlessly(body: bytes) -> None:
    error = error_of(502, body)
    assert type(error) is ServingError
    assert "status 502" in str(error)
    assert "\x1b" not in str(error)


def test_errors_are_of_their_own_kind() -> None:
    said = {"type": "orrery.errors/unknown-column", "detail": "No 'a'.\x1b[2J", "hint": "b?", "pointer": "/x"}
    error = error_of(400, json.dumps(said).encode())
    assert type(error) is SchemaError  # one above it: it is made of more than a message
    assert str(error) == "/x: No 'a'. [2J b?"
    assert type(error_of(403, b'{"type": "builtins/eval", "detail": "no"}')) is ForbiddenError
    assert type(error_of(418, b"")) is BadRequestError


@given(
    st.integers(400, 599),
    st.binary(max_size=60) | st.from_regex(r'\{"type":".*","detail":".*"\}').map(str.encode),
)
def test_whatever_comes_is_an_error(status: int, body: bytes) -> None:
    assert isinstance(error_of(status, body), OrreryError)


def test_the_row_of_a_part_is_told_among_all() -> None:
    error = BadRequestError("Row 7, column 'age' is wrong.", pointer="/rows/7/age")
    assert str(moved(error, 100)) == "/rows/107/age: Row 107, column 'age' is wrong."
    assert moved(BadRequestError("x", pointer="/rows/7x"), 9).pointer == "/rows/7x"


@given(st.text(max_size=40))
def test_any_retry_after_is_a_number_of_seconds(text: str) -> None:
    assert retry_after(text) >= 0.0


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff\xfe"])
def test_an_answer_that_is_not_json_is_told(body: bytes) -> None:
    with pytest.raises(ServingError, match="not JSON"):
        told(Manner(), [Heard(200, {}, body)])
