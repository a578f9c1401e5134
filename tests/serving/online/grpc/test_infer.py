"""Inference over gRPC, asked by the real client of Triton: the same answers as over REST, bit for bit."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from orrery.estimators.model import Model
from orrery.serving.online.server import Service

Ask = Callable[[str], triton.InferenceServerClient]
_DTYPES = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


def example_of(path: Path) -> pa.Table:
    """The sample rows that travel with a model."""
    example = Model.load(path).example
    assert example is not None
    return example


def tensors(heads: list[dict[str, Any]], table: pa.Table, kind: Any) -> list[Any]:
    """Rows of a table as the inputs that a model's metadata names."""
    inputs = []
    for head in heads:
        values = [
            str(v.isoformat()) if hasattr(v, "isoformat") else v
            for v in table.column(head["name"]).to_pylist()
        ]
        array = np.array(values, _DTYPES[head["datatype"]])
        tensor = kind(head["name"], list(array.shape), head["datatype"])
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("name", ["clients", "prices", "digits", "tags", "points"])
def test_answers_are_those_of_rest(
    served: Callable[[str], Service], triton_of: Ask, saved: dict[str, Path], name: str
) -> None:
    table = example_of(saved[name])
    client = triton_of(name)
    http = triton_http.InferenceServerClient(served(name).url.removeprefix("http://"))
    heads = http.get_model_metadata(name)["inputs"]
    over_rest = http.infer(name, tensors(heads, table, triton_http.InferInput), request_id="r")
    over_grpc = client.infer(name, tensors(heads, table, triton.InferInput), request_id="r")
    http.close()
    outputs = [output["name"] for output in over_rest.get_response()["outputs"]]
    assert [output.name for output in over_grpc.get_response().outputs] == outputs
    for output in outputs:
        expected, found = over_rest.as_numpy(output), over_grpc.as_numpy(output)
        if expected.dtype == np.object_:
            expected = np.array([v if isinstance(v, bytes) else v.encode() for v in expected], np.object_)
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
    assert over_grpc.get_response().id == "r"
    assert over_grpc.get_response().parameters["prediction_id"].string_param == "r"


def test_metadata_is_that_of_rest(served: Callable[[str], Service], triton_of: Ask) -> None:
    http = triton_http.InferenceServerClient(served("clients").url.removeprefix("http://"))
    expected, config = http.get_model_metadata("clients"), http.get_model_config("clients")
    http.close()
    client = triton_of("clients")
    found = client.get_model_metadata("clients", "0")
    for heads, said in ((found.inputs, expected["inputs"]), (found.outputs, expected["outputs"])):
        assert [(h.name, h.datatype, list(h.shape)) for h in heads] == [
            (h["name"], h["datatype"], h["shape"]) for h in said
        ]
    ours = client.get_model_config("clients", as_json=True)["config"]
    assert [(i["name"], i["data_type"]) for i in ours["input"]] == [
        (i["name"], i["data_type"]) for i in config["input"]
    ]
    assert client.get_server_metadata().name == "orrery"
    assert [m.name for m in client.get_model_repository_index().models] == ["clients"]


def test_health(triton_of: Ask) -> None:
    client = triton_of("clients")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("clients")
    assert client.is_model_ready("clients", "0")
    assert not client.is_model_ready("clients", "7")
    assert not client.is_model_ready("others")


def test_statistics_count_rows_and_calls(triton_of: Ask) -> None:
    client = triton_of("prices")
    x = triton.InferInput("x", [3], "FP64")
    x.set_data_from_numpy(np.array([1.0, 2.0, 3.0]))
    before = client.get_inference_statistics("prices").model_stats[0]
    client.infer("prices", [x])
    after = client.get_inference_statistics("prices").model_stats[0]
    assert after.inference_count - before.inference_count == 3
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.cache_hit.count == 0


def test_a_stream_answers_in_order_and_lives_through_errors(triton_of: Ask) -> None:
    client = triton_of("prices")
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: found.put((result, error)))
    for i in range(20):
        x = triton.InferInput("x" if i != 7 else "y", [1], "FP64")
        x.set_data_from_numpy(np.array([float(i)]))
        client.async_stream_infer("prices", [x], request_id=str(i))
    answers = [found.get(timeout=60) for _ in range(20)]
    client.stop_stream()
    assert [str(i) for i in range(20) if answers[i][1] is not None] == ["7"]
    assert "lack 'x'" in str(answers[7][1]) or "no inputs 'y'" in str(answers[7][1])
    expected = [
        client.infer("prices", [_number(float(i))]).as_numpy("prediction").tolist() for i in range(20)
    ]
    for i, (result, error) in enumerate(answers):
        if error is None:
            assert result.get_response().id == str(i)
            assert result.as_numpy("prediction").tolist() == expected[i]


def _number(value: float) -> Any:
    x = triton.InferInput("x", [1], "FP64")
    x.set_data_from_numpy(np.array([value]))
    return x


_ASYNC = """
import asyncio, sys
import numpy as np
import tritonclient.grpc.aio as triton

async def main(url):
    async with triton.InferenceServerClient(url) as client:
        assert await client.is_server_ready()
        async def ask(i):
            x = triton.InferInput("x", [1], "FP64")
            x.set_data_from_numpy(np.array([float(i)]))
            answer = await client.infer("prices", [x], request_id=str(i))
            return answer.get_response().id, answer.as_numpy("prediction").tolist()
        together = await asyncio.gather(*map(ask, range(50)))
        assert [i for i, _ in together] == [str(i) for i in range(50)]

        async def requests():
            for i in range(50):
                x = triton.InferInput("x", [1], "FP64")
                x.set_data_from_numpy(np.array([float(i)]))
                yield {"model_name": "prices", "inputs": [x], "request_id": str(i)}
        streamed = []
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            streamed.append((result.get_response().id, result.as_numpy("prediction").tolist()))
        assert streamed == together

asyncio.run(main(sys.argv[1]))
"""


def test_the_asynchronous_client(served: Callable[[str], Service]) -> None:
    url = f"127.0.0.1:{served('prices').grpc_port}"
    done = subprocess.run(
        [sys.executable, "-c", _ASYNC, url], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_pictures_compressed_on_the_way(triton_of: Ask, saved: dict[str, Path]) -> None:
    table = example_of(saved["digits"])
    pictures = np.array(table.column("image").to_pylist(), np.object_)
    tensor = triton.InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(pictures)
    answer = triton_of("digits").infer("digits", [tensor], compression_algorithm="gzip")
    assert answer.as_numpy("prediction").tolist() == table.column("prediction").to_pylist()


def test_chosen_outputs_come_in_their_order(triton_of: Ask) -> None:
    client = triton_of("prices")
    with pytest.raises(InferenceServerException, match="no output 'nope'"):
        client.infer("prices", [_number(1.0)], outputs=[triton.InferRequestedOutput("nope")])
    answer = client.infer("prices", [_number(1.0)], outputs=[triton.InferRequestedOutput("prediction")])
    assert [output.name for output in answer.get_response().outputs] == ["prediction"]
