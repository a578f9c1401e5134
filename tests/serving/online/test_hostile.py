"""Requests made to harm: each is answered by what it is, and costs little."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from orrery.errors import BadRequestError, TooLargeError
from orrery.schema import Field, Kind
from orrery.serving.online.body import check_values
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve
from orrery.serving.online.tensors import read_inputs
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


def squares(side: int) -> bytes:
    """A picture of few bytes and many pixels."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG", optimize=True)
    return file.getvalue()


def test_pictures_of_too_many_pixels_are_refused_before_they_are_unpacked(saved: dict[str, Path]) -> None:
    text = base64.b64encode(squares(1000)).decode()
    shape = {"name": "image", "shape": [3], "datatype": "BYTES", "data": [text] * 3}
    with serve(saved["digits"], port=0, wait=False, limits=Limits(pixels=2_500_000)) as service:
        path = service.url + "/v1/models/digits:predict"
        assert httpx.post(path, json={"rows": [{"image": text}] * 2}).status_code == 200
        said = httpx.post(path, json={"rows": [{"image": text}] * 3})
        assert (said.status_code, said.json()["code"]) == (413, "too-large")
        files = [("image", ("a.png", squares(1000)))] * 3
        assert httpx.post(path, files=files).status_code == 413
        said = httpx.post(service.url + "/v2/models/digits/infer", json={"inputs": [shape]})
        assert said.status_code == 413


@pytest.mark.parametrize("inner", [b"{}", b"[]", b"0", b'""', b'{"a":[]}'])
@pytest.mark.parametrize(
    ("path", "name"),
    [(PREDICT, b"rows"), ("/v1/models/clients:outcomes", b"outcomes"), (INFER, b"inputs")],
)
def test_json_that_grows_is_refused_before_it_is_parsed(
    saved: dict[str, Path], path: str, name: bytes, inner: bytes
) -> None:
    body = b'{"%s":[%s]}' % (name, b",".join([inner] * 20_000))
    with serve(saved["clients"], port=0, wait=False, limits=Limits(values=10_000)) as service:
        assert httpx.post(service.url + path, content=body).status_code == 413
    with pytest.raises(TooLargeError):
        check_values(body, 10_000)


def test_values_that_are_parsed_are_counted(saved: dict[str, Path]) -> None:
    body = b'{"rows":[' + b",".join([b"{}"] * 5_000) + b"]}"
    with serve(saved["clients"], port=0, wait=False, limits=Limits(waiting_bytes=300_000)) as service:
        assert httpx.post(service.url + PREDICT, content=body).status_code == 413


def test_binary_tensors_that_grow_are_refused(saved: dict[str, Path]) -> None:
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": [9000], "datatype": "UINT8", "parameters": {"binary_data_size": 9000}}
            ]
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with serve(saved["prices"], port=0, wait=False, limits=Limits(values=8_000)) as service:
        path = service.url + "/v2/models/prices/infer"
        assert httpx.post(path, content=head + bytes(9000), headers=headers).status_code == 413


def test_elements_beyond_the_shape_are_not_unpacked() -> None:
    head = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4000}}
    with pytest.raises(BadRequestError, match="holds 2 values"):
        read_inputs([head], memoryview(bytes(4000)))


def many(count: int) -> dict[str, Any]:
    return {"rows": [{"x": 1.0}] * count}


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def test_nobody_works_for_a_caller_who_is_gone(
    saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, go_on, calls = threading.Event(), threading.Event(), []
    with serve(saved["prices"], port=0, wait=False) as service:
        runner = service.route.live.runner
        real = runner.predict_columns

        def predict(columns: Any, rows: int) -> Any:
            calls.append(rows)
            running.set()
            assert go_on.wait(30)
            return real(columns, rows)

        monkeypatch.setattr(runner, "predict_columns", predict)
        body = json.dumps(many(1000)).encode()
        with socket.create_connection(
            ("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20
        ) as caller:
            caller.sendall(b"POST /v1/models/prices:predict HTTP/1.1\r\nHost: localhost\r\n")
            caller.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert running.wait(30)
        until(lambda: not service._server.server_state.connections)
        go_on.set()
        said = httpx.post(service.url + "/v1/models/prices:predict", json=many(1), timeout=30)
        assert said.status_code == 200
        assert calls == [256, 1]


def test_rows_that_take_too_long_are_given_up(
    saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(saved["prices"], port=0, wait=False, limits=Limits(answer_s=0.05)) as service:
        runner = service.route.live.runner
        real = runner.predict_columns

        def predict(columns: Any, rows: int) -> Any:
            time.sleep(0.06)  # work that takes longer than there is time
            return real(columns, rows)

        monkeypatch.setattr(runner, "predict_columns", predict)
        path = service.url + "/v1/models/prices:predict"
        said = httpx.post(path, json=many(1000))
        assert (said.status_code, said.headers["retry-after"]) == (503, "1")
        assert httpx.post(path, json=many(1)).status_code == 200


def test_many_rows_are_answered_as_one_by_one_and_errors_keep_their_row(saved: dict[str, Path]) -> None:
    rows: list[dict[str, Any]] = [{"at": [n, n + 1.5, -n]} for n in range(600)]
    with serve(saved["points"], port=0, wait=False) as service:
        path = service.url + "/v1/models/points:predict"
        whole = httpx.post(path, json={"rows": rows}).json()["rows"]
        assert len(whole) == 600
        for n in (0, 255, 256, 599):
            alone = httpx.post(path, json={"rows": [rows[n]]}).json()["rows"][0]
            assert alone["prediction"] == whole[n]["prediction"]
        rows[400] = {"at": [1]}
        assert httpx.post(path, json={"rows": rows}).json()["pointer"] == "/rows/400/at"
