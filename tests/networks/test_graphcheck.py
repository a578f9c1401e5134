"""Graphs of a stranger: what would crash, hang or read files is refused before anything executes it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from orrery.errors import FitError, ModelFormatError
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.networks import export, wire
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.decoders.decoder import Decoder
from orrery.networks.decoders.labels import LabelsDecoder
from orrery.networks.decoders.number import NumberDecoder
from orrery.networks.export import export_onnx, made_up
from orrery.networks.graphcheck import check_graph
from orrery.networks.network import build
from orrery.networks.session import open_session, run
from orrery.schema import Kind

TARGET = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("a", "b", "c"), width=3)
SHAPES = {"wide": (3, 70, 70), "tiny": (1, 1, 1), "small": (1, 28, 28)}


def varint(n: int) -> bytes:
    """As protocol buffers write it."""
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number: int, value: bytes | str | int) -> bytes:
    """One field, a number or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, kind: int, dims: list[int], raw: bytes, rest: bytes = b"") -> bytes:
    """A TensorProto."""
    shape = b"".join(field(1, dim) for dim in dims)
    return shape + field(2, kind) + field(8, name) + field(9, raw) + rest


def ints(name: str, *values: int) -> bytes:
    """A vector of int64."""
    return tensor(name, 7, [len(values)], struct.pack(f"<{len(values)}q", *values))


def node(operator: str, inputs: str, output: str, rest: bytes = b"") -> bytes:
    """A NodeProto; ``inputs`` are names with spaces between."""
    return b"".join(field(1, name) for name in inputs.split()) + field(2, output) + field(4, operator) + rest


def model(nodes: list[bytes], tensors: list[bytes], rest: bytes = b"") -> bytes:
    """A ModelProto of one input ``x`` [n] and one output ``scores`` [n]."""
    kind = field(1, field(1, 1) + field(2, field(1, field(2, "n"))))
    graph = b"".join(field(1, one) for one in nodes) + field(2, "g")
    graph += b"".join(field(5, one) for one in tensors) + rest
    graph += field(11, field(1, "x") + field(2, kind)) + field(12, field(1, "scores") + field(2, kind))
    return field(1, 8) + field(7, graph) + field(8, field(2, 18))


NAMED = field(1, "location") + field(2, "/etc/passwd")
OVERLONG = b"\x0a\x88\x00location" + field(2, "/etc/passwd")  # what a search for bytes does not find
CAST = node("Cast", "q", "f", field(5, field(1, "to") + field(3, 1) + field(20, 2)))
ADD = node("Add", "x f", "scores")
BODY = field(1, node("Identity", "c", "c2")) + field(2, "body")

HOSTILE = {
    "an int64 that cannot be divided": model(
        [node("Div", "a b", "q"), CAST, ADD], [ints("a", -(1 << 63)), ints("b", -1)]
    ),
    "whole numbers meant": model([node("ReduceMean", "a", "q"), CAST, ADD], [tensor("a", 7, [0], b"")]),
    "a modulus": model([node("Mod", "a b", "q"), CAST, ADD], [ints("a", 5), ints("b", 0)]),
    "another file": model([ADD], [tensor("f", 1, [], b"\0" * 4, field(13, NAMED))]),
    "another file, overlong": model([ADD], [tensor("f", 1, [], b"\0" * 4, field(13, OVERLONG))]),
    "another place": model([ADD], [tensor("f", 1, [], b"\0" * 4, field(14, 1))]),
    "a loop": model([node("Loop", "", "f", field(5, field(1, "body") + field(6, BODY))), ADD], []),
    "a graph in a node": model([node("Relu", "x", "f", field(5, field(1, "b") + field(6, BODY))), ADD], []),
    "a vast shape": model([node("ConstantOfShape", "s", "f"), ADD], [ints("s", 1 << 40)]),
    "a vast shape of small numbers": model([node("ConstantOfShape", "s", "f"), ADD], [ints("s", *[999] * 6)]),
    "a shape that is computed": model(
        [node("Add", "s s", "t"), node("ConstantOfShape", "t", "f"), ADD], [ints("s", 1 << 20)]
    ),
    "a vast expansion": model([node("Expand", "x s", "f"), ADD], [ints("s", 1 << 30, 1)]),
    "a picture resized": model([node("Resize", "x", "f"), ADD], []),
    "a tile": model([node("Tile", "x s", "f"), ADD], [ints("s", 1 << 61)]),
    "a function": model([node("Relu", "x", "scores")], []) + field(25, field(1, "Relu")),
    "a sparse tensor": model([node("Relu", "x", "scores")], [], field(15, b"")),
    "another domain": model([node("Relu", "x", "scores", field(7, "com.microsoft"))], []),
    "two graphs": model([node("Relu", "x", "scores")], []) + field(7, b""),
    "a convolution of no step": model(
        [node("MaxPool", "x", "scores", field(5, field(1, "strides") + field(8, 0)))], []
    ),
    "a tensor of more than it holds": model([ADD], [tensor("f", 1, [1 << 33, 1 << 33], b"\0" * 4)]),
    "strings": model([ADD], [tensor("f", 8, [0], b"")]),
    "a name used twice": model([node("Relu", "x", "y"), node("Relu", "x", "y")], []),
    "a name that is not there": model([node("Relu", "z", "scores")], []),
    "a cast to nothing": model([node("Cast", "x", "scores")], []),
    "operators without inputs": model([node("Expand", "", "scores")], []),
    "a group of fields": b"\x3b\x3c",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_could_do_harm_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFormatError, match="not one that Orrery runs"):
        open_session(content)


def test_the_graphs_made_here_by_hand_are_whole() -> None:
    session = open_session(model([ADD], [tensor("f", 1, [], struct.pack("<f", 2.0))]))
    assert run(session, {"x": np.ones(2, np.float32)}).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("tracer", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_encoder_and_decoder_passes(
    outputs: tuple[Output, ...], shape: str, tracer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tracer:
        monkeypatch.setattr(export, "_trace", lambda *_: b"not a network")
    picture = Output(name="image:p", role=Role.TENSOR, shape=SHAPES[shape], dtype="uint8")
    number = NumberDecoder(np.array([1.0, 2.0, 3.0]), np.ones(3))
    decoder: Decoder = {"wide": CategoryDecoder(), "tiny": LabelsDecoder(), "small": number}[shape]  # type: ignore[assignment]
    blocks = (*outputs[:4], picture)
    content = export_onnx(build(blocks, TARGET, width=8), decoder, blocks, made_up(blocks, 2))
    check_graph(content)


class Own(nn.Module):
    """A user's own network, of many layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.layers = nn.Sequential(
            nn.Linear(2, 8), nn.SiLU(), nn.BatchNorm1d(8), nn.ELU(), nn.LeakyReLU(), nn.Tanh(), nn.Softplus()
        )
        self.head = nn.Linear(8, width)

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]."""
        hidden = self.layers(blocks["number:a,b"]).clamp(-3, 3)
        scores: Tensor = self.head(self.attend(hidden[:, None])[:, 0])
        return scores


def test_a_network_of_the_users_own_passes(outputs: tuple[Output, ...]) -> None:
    numbers = outputs[:1]
    export_onnx(Own(3).eval(), CategoryDecoder(), numbers, made_up(numbers, 2))


def test_an_operator_that_is_not_known_ends_the_fit(outputs: tuple[Output, ...]) -> None:
    class Sorts(nn.Module):
        def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
            return blocks["number:a,b"].sort(1).values

    with pytest.raises(FitError, match="operator 'TopK'"):
        export_onnx(Sorts(), CategoryDecoder(), outputs[:1], made_up(outputs[:1], 2))


def test_what_would_fill_the_memory_is_an_error() -> None:
    side = 3 << 19  # 1.5 million squared: nine terabytes, from twelve megabytes
    flat = np.ones(side, np.float32).tobytes()
    tensors = [tensor("a", 1, [side, 1], flat), tensor("b", 1, [1, side], flat)]
    nodes = [
        node("Add", "a b", "c"),
        node("ReduceSum", "c", "f", field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))),
        ADD,
    ]
    session = open_session(model(nodes, tensors))
    with pytest.raises(ModelFormatError, match="cannot answer"):
        run(session, {"x": np.ones(1, np.float32)})


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.builds(lambda b: field(7, b), st.binary(max_size=100)))
def test_any_bytes_end_in_one_kind_of_error(content: bytes) -> None:
    with pytest.raises(ModelFormatError):
        open_session(content)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5))
def test_packed_numbers_are_read_as_written(numbers: list[int]) -> None:
    packed = b"".join(varint(n % (1 << 64)) for n in numbers)
    assert wire.integers(memoryview(packed)) == numbers
