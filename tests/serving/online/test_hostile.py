"""Requests made to harm: each is answered by what it is, and costs little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from orrery.errors import BadRequestError
from orrery.schema import Field, Kind
from orrery.serving.online.values import from_field

PREDICT = "/v1/models/clients:predict"
INFER = "/v2/models/clients/infer"


def test_an_id_of_null_is_answered_with_the_id_that_is_recorded(
    client: httpx.Client, row: dict[str, Any]
) -> None:
    said = client.post(PREDICT, json={"rows": [{**row, "id": None}, {**row, "id": 7}]}).json()["rows"]
    assert len(said[0]["id"]) == 36
    assert said[1]["id"] == 7


def test_a_form_that_is_cut_short_is_refused(client_of: Callable[[str], httpx.Client]) -> None:
    whole = b"".join(b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n%d\r\n' % n for n in (1, 2))
    client, headers = client_of("prices"), {"content-type": "multipart/form-data; boundary=B"}
    for body, status in (
        (whole + b"--B--\r\n", 200),
        (whole + b"--B--", 200),
        (whole, 400),
        (whole + b"--B", 400),
    ):
        answer = client.post("/v1/models/prices:predict", content=body, headers=headers)
        assert answer.status_code == status, body
        assert status == 200 or "cut short" in answer.json()["detail"]


@pytest.mark.parametrize("length", ["0" * 5000, "9" * 5000, "-1", "+1", "1_0", ""])
def test_a_length_of_the_head_that_is_none(client: httpx.Client, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    answer = client.post(INFER, json={"inputs": []}, headers=headers)
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]", "x"])
def test_an_origin_that_is_none(client: httpx.Client, row: dict[str, Any], origin: str) -> None:
    answer = client.post(PREDICT, json={"rows": [row]}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


@pytest.mark.parametrize("text", ["1_000", "nan", "1e999", "inf", "-Infinity", "１２", "0x1p3", "1 2", "."])
def test_a_number_of_a_form_is_one_of_json(text: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be read"):
        from_field(text, Field(name="x", type="double", kind=Kind.NUMBER))


@pytest.mark.parametrize(("text", "value"), [(" 5 ", 5.0), ("-.5e1", -5.0), ("+3.", 3.0), ("True", 1.0)])
def test_a_number_as_people_write_it(text: str, value: float) -> None:
    assert from_field(text, Field(name="x", type="double", kind=Kind.NUMBER)) == value
