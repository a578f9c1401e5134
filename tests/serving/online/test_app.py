"""Whatever is sent, the answer is ours: no rubbish makes the service fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.serving.online.server import Service

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
columns = st.fixed_dictionaries(
    {},
    optional={
        n: anything for n in ("age", "income €", "city", "note", "since", "member", "id", "prediction")
    },
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "id", "y"]) | anything,
        "shape": st.lists(st.integers(-2, 4), max_size=3) | anything,
        "datatype": st.sampled_from(["FP64", "FP32", "INT64", "BYTES", "BOOL"]) | anything,
        "data": st.lists(scalars, max_size=4) | anything,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-1, 20) | anything}
        ),
    },
)


def check(answer: httpx.Response) -> None:
    """An answer, or an error of the caller's in words; never a failure of the service."""
    assert answer.status_code in {200, 400, 413}, answer.text
    body = json.loads(answer.content)
    if answer.status_code != 200:
        assert body.get("error") or body.get("detail")


@settings(max_examples=80, deadline=None)
@given(st.lists(columns, max_size=3) | anything)
def test_any_rows(client_of: Callable[[str], httpx.Client], rows: Any) -> None:
    body = json.dumps({"rows": rows})
    check(client_of("clients").post("/v1/models/clients:predict", content=body))


@settings(max_examples=60, deadline=None)
@given(anything | st.lists(st.fixed_dictionaries({"id": anything, "buys": anything}), max_size=3))
def test_any_outcomes(client_of: Callable[[str], httpx.Client], rows: Any) -> None:
    check(client_of("clients").post("/v1/models/clients:outcomes", content=json.dumps({"outcomes": rows})))


@settings(max_examples=120, deadline=None)
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(tensors, max_size=2) | anything},
        optional={"outputs": anything, "id": anything, "parameters": anything},
    ),
    st.binary(max_size=24),
    st.none() | st.integers(-1, 500),
)
def test_any_inference(
    client_of: Callable[[str], httpx.Client], body: Any, tail: bytes, length: int | None
) -> None:
    head = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(head) if length is None else length)}
    check(client_of("prices").post("/v2/models/prices/infer", content=head + tail, headers=headers))


@settings(max_examples=80, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["", "gzip", "deflate", "br", "x"]),
    st.sampled_from(
        ["application/json", "multipart/form-data; boundary=a", "multipart/form-data", "image/png", "x"]
    ),
    st.sampled_from(
        ["/v1/models/clients:predict", "/v1/models/clients:outcomes", "/v2/models/clients/infer"]
    ),
)
def test_any_bytes(
    client_of: Callable[[str], httpx.Client], body: bytes, encoding: str, content_type: str, path: str
) -> None:
    headers = {"content-type": content_type, "content-encoding": encoding}
    check(client_of("clients").post(path, content=body, headers=headers))


form_names = st.sampled_from(["age", "city", "member", "id", "since", "x"]) | st.text(max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(form_names, st.text(max_size=9) | st.binary(max_size=30)), max_size=6))
def test_any_form(client_of: Callable[[str], httpx.Client], fields: list[tuple[str, str | bytes]]) -> None:
    parts = [(n, ("f", v) if isinstance(v, bytes) else (None, v.encode())) for n, v in fields]
    client = client_of("clients")
    check(client.post("/v1/models/clients:predict", files=[*parts, ("z", (None, b"1"))]))


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    st.sampled_from(["GET", "POST", "PUT"]),
)
def test_any_path(client_of: Callable[[str], httpx.Client], path: str, method: str) -> None:
    answer = client_of("clients").request(method, httpx.URL("/" + path.lstrip("/")))
    assert answer.status_code in {200, 307, 400, 404, 405}


def test_a_page_of_another_site_may_not_post(client: httpx.Client, row: dict[str, Any]) -> None:
    path, body = "/v1/models/clients:outcomes", {"outcomes": []}
    assert client.post(path, json=body, headers={"origin": "https://evil.example"}).status_code == 400
    assert client.post(path, json=body, headers={"origin": "null"}).status_code == 400
    own = f"http://{client.base_url.host}:{client.base_url.port}"
    assert client.post(path, json=body, headers={"origin": own}).status_code == 200


@pytest.mark.parametrize(
    ("path", "key", "said"),
    [
        ("/x", "type", "orrery.errors/unknown-path"),
        ("/v2/x", "error", "This service has no /v2/x. GET /v2 and GET /v1/models say what is."),
        ("/v1/models/clients:x", "type", "orrery.errors/model-not-found"),
    ],
)
def test_unknown_paths_answer_in_the_form_of_their_protocol(
    client: httpx.Client, path: str, key: str, said: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()[key]) == (404, said)


def test_a_failure_inside_is_told_without_its_secrets(
    service_of: Callable[[str], Service],
    client: httpx.Client,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(service_of("clients").route.live.runner, "predict_columns", fail)
    answer = client.post("/v1/models/clients:predict", json={"rows": [row]})
    assert (answer.status_code, answer.json()["code"]) == (500, "serving")
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text
