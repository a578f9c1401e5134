"""The Open Inference Protocol, asked by the real client of Triton."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from orrery.estimators.model import Model
from orrery.serving.online.server import Service

Ask = Callable[[str], triton.InferenceServerClient]


@pytest.fixture
def triton_of(service_of: Callable[[str], Service]) -> Iterator[Ask]:
    """A client of Triton's for a service by the name of its model."""
    clients = []

    def get(name: str) -> triton.InferenceServerClient:
        clients.append(triton.InferenceServerClient(service_of(name).url.removeprefix("http://")))
        return clients[-1]

    yield get
    for client in clients:
        client.close()


def tensors(rows: list[dict[str, Any]], client: triton.InferenceServerClient, *, binary: bool) -> list[Any]:
    """Rows of clients as inputs, typed as the metadata says."""
    inputs = []
    for head in client.get_model_metadata("clients")["inputs"]:
        values = [row[head["name"]] for row in rows]
        dtype = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}[
            head["datatype"]
        ]
        tensor = triton.InferInput(head["name"], [len(rows)], head["datatype"])
        tensor.set_data_from_numpy(np.array(values, dtype), binary_data=binary)
        inputs.append(tensor)
    return inputs


def test_health_and_metadata(triton_of: Ask) -> None:
    client = triton_of("clients")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("clients")
    assert client.is_model_ready("clients", "0")
    assert not client.is_model_ready("others")
    assert client.get_server_metadata()["name"] == "orrery"
    metadata = client.get_model_metadata("clients", "0")
    assert [i["name"] for i in metadata["inputs"]] == ["age", "income €", "city", "note", "since", "member"]
    assert [i["datatype"] for i in metadata["inputs"]] == ["INT64", "FP64", "BYTES", "BYTES", "BYTES", "BOOL"]
    assert [o["name"] for o in metadata["outputs"]] == ["prediction", "probability", "probabilities"]
    assert metadata["outputs"][2]["shape"] == [-1, 2]
    assert json.loads(metadata["outputs"][2]["parameters"]["labels"]) == ["no", "yes"]
    assert client.get_model_config("clients")["input"][0]["data_type"] == "TYPE_INT64"
    assert client.get_model_repository_index()[0]["name"] == "clients"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_inference_equals_the_model(
    triton_of: Ask,
    saved: dict[str, Path],
    row: dict[str, Any],
    binary_in: bool,
    binary_out: bool,
    packing: str | None,
) -> None:
    client = triton_of("clients")
    rows = [{**row, "age": age} for age in (20, 44, 50, 79)]
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("probabilities", "prediction", "probability")
    ]
    answer = client.infer(
        "clients",
        tensors(rows, client, binary=binary_in),
        outputs=outputs,
        request_id="r1",
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    expected = Model.load(saved["clients"]).predict(rows)
    said = answer.as_numpy("prediction")
    texts = [v.decode() if isinstance(v, bytes) else v for v in said.tolist()]
    assert texts == [r["prediction"] for r in expected]
    assert answer.as_numpy("probability").tolist() == [r["probability"] for r in expected]
    assert answer.as_numpy("probabilities").tolist() == [list(r["probabilities"].values()) for r in expected]
    assert answer.get_response()["id"] == "r1"
    assert answer.get_response()["model_version"] == "0"


def test_the_client_s_defaults_work(triton_of: Ask, row: dict[str, Any]) -> None:
    client = triton_of("clients")
    answer = client.infer("clients", tensors([row], client, binary=True))
    assert answer.as_numpy("prediction").tolist() == [b"yes"]
    assert len(answer.get_response()["parameters"]["prediction_id"]) == 36
    assert "id" not in answer.get_response()


def test_pictures_are_bytes(triton_of: Ask, saved: dict[str, Path]) -> None:
    example = Model.load(saved["digits"]).example
    assert example is not None
    pictures = example.column("image").to_pylist()
    tensor = triton.InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(pictures, np.object_))
    answer = triton_of("digits").infer("digits", [tensor])
    assert answer.as_numpy("prediction").tolist() == example.column("prediction").to_pylist()


def test_pictures_in_json_are_base64(
    client_of: Callable[[str], httpx.Client], saved: dict[str, Path]
) -> None:
    example = Model.load(saved["digits"]).example
    assert example is not None
    data = [base64.b64encode(p).decode() for p in example.column("image").to_pylist()]
    body = {"inputs": [{"name": "image", "shape": [len(data)], "datatype": "BYTES", "data": data}]}
    answer = client_of("digits").post("/v2/models/digits/infer", json=body).json()
    assert answer["outputs"][0]["data"] == example.column("prediction").to_pylist()
    assert answer["outputs"][0]["datatype"] == "INT64"


def test_vectors_numbers_and_labels(triton_of: Ask) -> None:
    at = triton.InferInput("at", [2, 3], "FP32")
    at.set_data_from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert triton_of("points").infer("points", [at]).as_numpy("prediction").shape == (2, 2)
    x = triton.InferInput("x", [2, 1], "FP16")
    x.set_data_from_numpy(np.array([[1.0], [np.nan]], np.float16))
    assert triton_of("prices").infer("prices", [x]).as_numpy("prediction").shape == (2,)
    answer = triton_of("tags").infer("tags", [x])
    assert sorted(json.loads(answer.as_numpy("prediction")[0])) in (["big", "up"], ["up"])
    assert answer.as_numpy("probabilities").shape == (2, 3)


def body(**changes: Any) -> dict[str, Any]:
    """A request for a price, with some of its parts changed."""
    tensor = {"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}
    head = {k: v for k, v in changes.items() if k in {"outputs", "id", "parameters", "inputs"}}
    return {"inputs": [{**tensor, **{k: v for k, v in changes.items() if k not in head}}], **head}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "y"},
        {"name": 3},
        {"shape": [3]},
        {"shape": [-2]},
        {"shape": [2.0]},
        {"shape": []},
        {"shape": [1 << 39, 0]},
        {"shape": "2"},
        {"shape": [1, 2]},
        {"datatype": "FP65"},
        {"datatype": None},
        {"data": "12"},
        {"data": [[1.0], ["x"]]},
        {"data": None},
        {"data": [[[[[[[[[1.0]]]]]]]], 2.0]},
        {"inputs": [{**body()["inputs"][0], "parameters": {"binary_data_size": 16}}]},
        {"inputs": [{**body()["inputs"][0], "parameters": {"binary_data_size": -1}}]},
        {"outputs": [{"name": "z"}]},
        {"outputs": 3},
        {"outputs": [{"name": "prediction", "parameters": {"binary_data": 3}}]},
        {"id": 3},
        {"inputs": []},
        {"inputs": None},
        {"inputs": [{}]},
        {"inputs": [3]},
        {"inputs": body()["inputs"] * 2},
    ],
)
def test_wrong_requests_are_told(client_of: Callable[[str], httpx.Client], changes: dict[str, Any]) -> None:
    answer = client_of("prices").post("/v2/models/prices/infer", json=body(**changes))
    assert answer.status_code == 400, answer.text
    assert answer.json().keys() == {"error"}


def test_many_rows_of_nothing_are_not_made(client_of: Callable[[str], httpx.Client]) -> None:
    tensor = {"name": "at", "shape": [1 << 39, 0], "datatype": "FP64", "data": []}
    assert client_of("points").post("/v2/models/points/infer", json={"inputs": [tensor]}).status_code == 413


def test_ids_come_back_and_name_the_rows(client_of: Callable[[str], httpx.Client]) -> None:
    client = client_of("prices")
    assert client.post("/v2/models/prices/infer", json=body(id="")).json()["id"] == ""
    said = client.post("/v2/models/prices/infer", json=body(id="q")).json()
    assert (said["id"], said["parameters"]["prediction_id"]) == ("q", "q")
    own = {"name": "id", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    assert (
        client.post("/v2/models/prices/infer", json=body(inputs=[*body()["inputs"], own])).status_code == 200
    )
    short = {**own, "shape": [1], "data": ["a"]}
    assert (
        client.post("/v2/models/prices/infer", json=body(inputs=[*body()["inputs"], short])).status_code
        == 400
    )


def test_missing_values_in_json(client_of: Callable[[str], httpx.Client]) -> None:
    said = client_of("prices").post("/v2/models/prices/infer", json=body(data=[None, 1]))
    assert said.status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/others", 404),
        ("/v2/models/prices/versions/9", 404),
        ("/v2/models/prices/versions/0/ready", 200),
        ("/v2/models/prices/statistics", 404),
        ("/v2/health/live", 200),
    ],
)
def test_paths(client_of: Callable[[str], httpx.Client], path: str, status: int) -> None:
    answer = client_of("prices").get(path)
    assert answer.status_code == status
    assert status == 200 or answer.json().keys() == {"error"}


def test_the_client_sees_our_words(triton_of: Ask) -> None:
    tensor = triton.InferInput("z", [1], "FP64")
    tensor.set_data_from_numpy(np.array([1.0]))
    with pytest.raises(InferenceServerException, match="no inputs 'z'; it has 'x'"):
        triton_of("prices").infer("prices", [tensor])


@pytest.mark.parametrize("length", ["-1", "x", "99999", "", "1e3"])
def test_a_wrong_head_length_is_refused(client_of: Callable[[str], httpx.Client], length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    assert (
        client_of("prices").post("/v2/models/prices/infer", json=body(), headers=headers).status_code == 400
    )


def test_bytes_that_do_not_add_up_are_refused(client_of: Callable[[str], httpx.Client]) -> None:
    client = client_of("prices")
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    for tail, status in ((b"\0" * 8, 200), (b"\0" * 7, 400), (b"\0" * 9, 400), (b"", 400)):
        assert (
            client.post("/v2/models/prices/infer", content=head + tail, headers=headers).status_code == status
        )


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (gzip.compress(json.dumps(body()).encode()), "gzip", 200),
        (gzip.compress(json.dumps(body()).encode())[:-3], "gzip", 400),
        (gzip.compress(json.dumps(body()).encode()) + b"x", "gzip", 400),
        (b"not gzip", "gzip", 400),
        (b"x", "br", 400),
        (gzip.compress(b" " * (300 << 20), 9), "gzip", 413),
    ],
)
def test_packed_bodies(
    client_of: Callable[[str], httpx.Client], content: bytes, encoding: str, status: int
) -> None:
    headers = {"Content-Encoding": encoding}
    assert (
        client_of("prices").post("/v2/models/prices/infer", content=content, headers=headers).status_code
        == status
    )
