"""The gRPC server, asked with bare bytes: typed contents, rubbish, limits, slow callers, its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc.service_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orrery.errors import PortInUseError
from orrery.serving.online.grpc.messages import SERVICE
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

_CALLS = [
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
]
_WRONG = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def ask(channel: grpc.Channel, name: str, body: bytes, timeout: float = 60) -> Any:
    """The bytes of an answer, or the status of the error."""
    try:
        return channel.unary_unary(f"/{SERVICE}/{name}")(body, timeout=timeout)
    except grpc.RpcError as error:
        return error.code()


def details(channel: grpc.Channel, name: str, message: Any) -> str:
    """What is said of a request that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/{name}")(message.SerializeToString(), timeout=60)
    assert caught.value.code() in _WRONG
    return str(caught.value.details())


def request_of(row: dict[str, Any]) -> Any:
    """A row of clients in typed contents."""
    request = pb.ModelInferRequest(model_name="clients", id="7")
    for name, value in row.items():
        if name == "age":
            request.inputs.add(name=name, datatype="INT64", shape=[1]).contents.int64_contents.append(value)
        elif name == "income €":
            request.inputs.add(name=name, datatype="FP64", shape=[1]).contents.fp64_contents.append(value)
        elif name == "member":
            request.inputs.add(name=name, datatype="BOOL", shape=[1]).contents.bool_contents.append(value)
        else:
            tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
            tensor.contents.bytes_contents.append(value.encode())
    return request


def test_typed_contents(channel: grpc.Channel, row: dict[str, Any]) -> None:
    answer = pb.ModelInferResponse.FromString(ask(channel, "ModelInfer", request_of(row).SerializeToString()))
    assert answer.raw_output_contents[0] == b"\x03\x00\x00\x00yes"
    assert (answer.model_name, answer.model_version, answer.id) == ("clients", "0", "7")


@pytest.mark.parametrize("name", ["INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32", "UINT64", "FP32"])
def test_every_typed_content_is_a_number(channel: grpc.Channel, row: dict[str, Any], name: str) -> None:
    request = request_of(row)
    age = next(tensor for tensor in request.inputs if tensor.name == "age")
    place = {"FP32": "fp32_contents", "UINT64": "uint64_contents"}.get(
        name, "uint_contents" if name.startswith("U") else "int_contents"
    )
    age.datatype = name
    age.ClearField("contents")
    getattr(age.contents, place).append(50)
    answer = pb.ModelInferResponse.FromString(ask(channel, "ModelInfer", request.SerializeToString()))
    assert answer.raw_output_contents[0] == b"\x03\x00\x00\x00yes"


def test_what_is_wrong_is_said(channel: grpc.Channel, row: dict[str, Any]) -> None:
    said = lambda request: details(channel, "ModelInfer", request)  # noqa: E731

    def changed(**fields: Any) -> Any:
        request = request_of(row)
        for name, value in fields.items():
            setattr(request, name, value)
        return request

    assert "no model 'nope'" in said(changed(model_name="nope"))
    assert "Version '9'" in said(changed(model_version="9"))
    raw = changed()
    raw.raw_input_contents.append(b"x")
    assert "6 inputs and 1 raw contents" in said(raw)
    both = changed()
    both.raw_input_contents.extend([b"x"] * 6)
    assert "both raw and typed contents" in said(both)
    typed = changed()
    typed.inputs[0].datatype = "FP32"
    assert "it is sent as fp32_contents" in said(typed)
    half = changed()
    half.inputs[0].datatype = "FP16"
    assert "it is sent as raw_input_contents" in said(half)
    shared = changed()
    shared.inputs[0].parameters["shared_memory_region"].string_param = "r"
    assert "in shared memory" in said(shared)
    minus = changed()
    minus.inputs[0].shape[0] = -1
    assert "no shape" in said(minus)
    many = changed()
    many.inputs[0].shape[0] = 1 << 39
    assert "more values" in said(many)
    assert "no model ''" in said(pb.ModelInferRequest())


def test_what_is_not_offered_is_unimplemented(channel: grpc.Channel) -> None:
    for name in ("SystemSharedMemoryStatus", "CudaSharedMemoryRegister", "TraceSetting", "LogSettings", "X"):
        assert ask(channel, name, b"") is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/other.Service/ServerLive")(b"", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(scope="module")
def fuzzed(served: Callable[[str], Service]) -> Iterator[grpc.Channel]:
    """A channel for many examples."""
    with grpc.insecure_channel(f"127.0.0.1:{served('clients').grpc_port}") as opened:
        yield opened


@given(name=st.sampled_from(_CALLS), body=st.binary(max_size=200))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rubbish_has_a_status_of_its_own(fuzzed: grpc.Channel, name: str, body: bytes) -> None:
    found = ask(fuzzed, name, body)
    assert isinstance(found, bytes) or found in _WRONG


_TENSORS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["age", "income €", "city", "note", "since", "member", "id", "x", ""]),
    datatype=st.sampled_from(["INT64", "FP64", "FP16", "BF16", "FP32", "BYTES", "BOOL", "UINT8", "", "é"]),
    shape=st.lists(st.sampled_from([0, 1, 2, 3, -1, 1 << 62, -(1 << 63)]), max_size=3),
    contents=st.none()
    | st.builds(
        pb.InferTensorContents,
        int64_contents=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=3),
        fp64_contents=st.lists(st.floats(), max_size=3),
        bytes_contents=st.lists(st.binary(max_size=5), max_size=3),
        bool_contents=st.lists(st.booleans(), max_size=2),
    ),
)


@given(
    inputs=st.lists(_TENSORS, max_size=8),
    raw=st.lists(st.binary(max_size=24), max_size=8),
    outputs=st.lists(st.sampled_from(["prediction", "probability", "nope"]), max_size=3),
    own=st.text(max_size=5),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_requests_have_a_status_of_their_own(
    fuzzed: grpc.Channel, inputs: list[Any], raw: list[bytes], outputs: list[str], own: str
) -> None:
    request = pb.ModelInferRequest(model_name="clients", id=own, inputs=inputs, raw_input_contents=raw)
    for name in outputs:
        request.outputs.add(name=name)
    found = ask(fuzzed, "ModelInfer", request.SerializeToString())
    assert isinstance(found, bytes) or found in _WRONG


@given(cut=st.integers(0, 400), flip=st.integers(0, 255))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_requests_have_a_status_of_their_own(fuzzed: grpc.Channel, cut: int, flip: int) -> None:
    whole = bytearray(
        request_of(
            {"age": 50, "income €": 1.5, "city": "Lyon", "note": "x", "since": "2019-01-02", "member": True}
        ).SerializeToString()
    )
    whole[cut % len(whole)] ^= flip
    found = ask(fuzzed, "ModelInfer", bytes(whole))
    assert isinstance(found, bytes) or found in _WRONG


def test_limits(saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    limits = Limits(body_bytes=4096, rows=10, waiting_bytes=8192, read_s=0.5)
    with (
        serve(saved["prices"], port=0, grpc_port=0, wait=False, limits=limits, record=False) as service,
        grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):

        def rows(count: int) -> bytes:
            request = pb.ModelInferRequest(model_name="prices", raw_input_contents=[bytes(8 * count)])
            request.inputs.add(name="x", datatype="FP64", shape=[count])
            return bytes(request.SerializeToString())

        assert isinstance(ask(channel, "ModelInfer", rows(10)), bytes)
        assert ask(channel, "ModelInfer", rows(11)) is grpc.StatusCode.INVALID_ARGUMENT
        assert ask(channel, "ModelInfer", rows(400)) is grpc.StatusCode.INVALID_ARGUMENT
        assert ask(channel, "ModelInfer", bytes(5000)) is grpc.StatusCode.RESOURCE_EXHAUSTED  # by gRPC itself
        _check_slow_messages(channel, rows(1))
        assert isinstance(ask(channel, "ModelInfer", rows(10)), bytes)


def _check_slow_messages(channel: grpc.Channel, body: bytes) -> None:
    """Two may be slow here; a third is told to come again, and none is waited for without end."""
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(60)
        yield body

    call = channel.stream_unary(f"/{SERVICE}/ModelInfer")
    began_s = time.monotonic()
    calls = [call.future(messages(), timeout=60) for _ in range(3)]
    codes = [one.exception(timeout=60).code() for one in calls]
    never.set()
    assert set(codes) <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT}
    assert grpc.StatusCode.INVALID_ARGUMENT in codes
    assert time.monotonic() - began_s < 50


def test_more_waiting_than_fits_is_told_to_come_again(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    limits = Limits(body_bytes=1 << 20, waiting_bytes=1 << 20)
    with (
        serve(saved["prices"], port=0, grpc_port=0, wait=False, limits=limits, record=False) as service,
        grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):
        request = pb.ModelInferRequest(model_name="prices", raw_input_contents=[bytes(8 * 10_000)])
        request.inputs.add(name="x", datatype="FP64", shape=[10_000])
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        calls = [call.future(request.SerializeToString(), timeout=60) for _ in range(40)]
        errors = [one.exception(timeout=60) for one in calls]
        assert {error.code() for error in errors if error} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert None in errors
        refused = next(error for error in errors if error)
        assert dict(refused.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"


def test_calls_are_counted(channel: grpc.Channel, served: Callable[[str], Service]) -> None:
    import httpx

    ask(channel, "ServerLive", b"")
    ask(channel, "ModelMetadata", b"")
    text = httpx.get(f"{served('clients').url}/metrics").text
    assert 'orrery_requests_total{code="200",face="grpc.ServerLive",service="clients"}' in text
    assert 'orrery_requests_total{code="404",face="grpc.ModelMetadata",service="clients"}' in text


def test_a_port_that_is_taken_is_told(
    saved: dict[str, Path], served: Callable[[str], Service], tmp_path: Path
) -> None:
    port = served("clients").grpc_port
    with pytest.raises(PortInUseError, match=f"Port {port} of 127.0.0.1"):
        serve(saved["prices"], port=0, grpc_port=port, wait=False, record=False)


def test_what_was_asked_is_answered_when_it_ends(saved: dict[str, Path]) -> None:
    request = pb.ModelInferRequest(model_name="prices", raw_input_contents=[bytes(8 * 5_000)])
    request.inputs.add(name="x", datatype="FP64", shape=[5_000])
    with serve(saved["prices"], port=0, grpc_port=0, wait=False, record=False) as service:
        channel = grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}")
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        ask(channel, "ServerLive", b"")
        calls = [call.future(request.SerializeToString(), timeout=60) for _ in range(8)]
        calls[0].result(timeout=60)
    codes = [getattr(one.exception(timeout=60), "code", lambda: None)() for one in calls]
    channel.close()
    assert set(codes) <= {None, grpc.StatusCode.UNAVAILABLE}  # not taken any more, or answered
    assert codes[0] is None
