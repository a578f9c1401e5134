"""Whether an ONNX graph is one that a network of ours may be, decided before anything executes it.

ONNX Runtime guards neither against an endless loop, nor a shape of a terabyte, nor a whole number divided
such that the processor traps, and it reads the files that a tensor names. So the graph is read here first
(onnx.proto, IR 8 to 10), and is refused unless all of it is known: no functions, no graphs within nodes, no
sparse tensors, none that lie elsewhere, and only the operators below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orrery.errors import ModelFormatError
from orrery.networks import wire
from orrery.networks.wire import Message

# What our encoders, combiner and decoders are exported as, by torch's two exporters.
_OURS = """
    Add Cast Concat Constant ConstantOfShape Conv Div Equal Expand Flatten Gather Gemm GlobalAveragePool
    Identity InstanceNormalization LayerNormalization MatMul MaxPool Mul ReduceMean Relu Reshape
    ScatterElements Shape Sigmoid Slice Softmax Sub Unsqueeze Where
"""
# What a network of the user's own may be exported as besides: each gives no more than it is given, or than
# its weights say. No control flow, no strings, no randomness, nothing recurrent, nothing that takes a size.
_USERS = """
    Abs And ArgMax ArgMin AveragePool BatchNormalization Ceil Clip Cos Elu Erf Exp Floor GatherElements Gelu
    GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish LeakyRelu Less LessOrEqual
    Log LogSoftmax Max Min Mish Neg Not Or PRelu Pow Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMin
    ReduceSum Selu Sign Sin Softplus Softsign Split Sqrt Squeeze Tanh Transpose Xor
"""
OPERATORS = frozenset(_OURS.split()) | frozenset(_USERS.split())
"""Every operator that a graph may use; all of ONNX's own domain."""

_MOST_NODES = 20_000
_MOST_VALUES = 1 << 24  # that one shape may ask for, beside the number of rows
_MOST_SETTING = 1 << 20
_POSITIVE = frozenset({"group", "strides", "dilations", "kernel_shape", "num_groups", "num_outputs"})
_FLOATS = frozenset({1, 10, 11})
_INT64, _BOOL = 7, 9
_TYPES = _FLOATS | {2, 3, 6, _INT64, _BOOL}  # float32 float16 double, uint8 int8 int32 int64 bool
_OF_FLOATS = frozenset({"Div", "ReduceMean"})  # the processor traps where whole numbers are divided so
_GIVES = dict.fromkeys(["Shape", "ArgMax", "ArgMin"], _INT64) | dict.fromkeys(
    ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "Xor"], _BOOL
)
_EMPTY = memoryview(b"")
_SAME = frozenset({"Gather", "Unsqueeze", "Squeeze", "Slice", "Identity", "Cast"})

_MODEL = Message("the model", once={1, 2, 3, 4, 5, 6, 7}, again={8, 14})
_OPSET = Message("an operator set", once={1, 2})
_GRAPH = Message("the graph", once={2, 10}, again={1, 5, 11, 12, 13, 16})
_NODE = Message("a node", once={3, 4, 6, 7}, again={1, 2, 5, 9})
_ATTRIBUTE = Message("an attribute", once={1, 2, 3, 4, 5, 13, 20}, again={7, 8, 9})
_TENSOR = Message("a tensor", once={2, 8, 9, 12, 14}, again={1, 4, 5, 7, 10, 16})
_VALUE = Message("a value", once={1, 2, 3}, again={4})
_TYPE = Message("a type", once={1, 6})
_ARRAY = Message("an array's type", once={1, 2})


@dataclass
class _Node:
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    settings: dict[str, list[int]] = field(default_factory=dict)
    tensor: _Tensor | None = None


@dataclass
class _Tensor:
    name: str
    type: int
    values: list[int] | None
    """Of a short tensor of int64, which may be a shape."""


def check_graph(content: bytes) -> None:
    """Read a whole model. Raises ModelFormatError that names what is not allowed."""
    try:
        _check_model(memoryview(content))
    except (ValueError, KeyError, IndexError) as error:
        reason = str(error)[:300]
        raise ModelFormatError(
            f"The ONNX network is not one that Orrery runs: {reason}.",
            hint="orrery.networks.graphcheck.OPERATORS lists what a network may be made of.",
        ) from None


def _check_model(data: memoryview) -> None:
    graphs = []
    for key, value in wire.fields(data, _MODEL):
        if key == 7:
            graphs.append(wire.part(value))
        elif key == 8:
            held = dict(wire.fields(wire.part(value), _OPSET))
            _check_domain(wire.text(held.get(1, _EMPTY)))
            if not 13 <= wire.number(held[2]) <= 25:
                raise ValueError(f"it uses version {held[2]!r:.20} of the operators")
    if len(graphs) != 1:
        raise ValueError("it holds no graph")
    _check_graph(graphs[0])


def _check_graph(data: memoryview) -> None:
    nodes, known = [], _Known()
    for key, value in wire.fields(data, _GRAPH):
        if key == 1:
            nodes.append(_node(wire.part(value)))
        elif key == 5:
            tensor = _tensor(wire.part(value))
            known.add(tensor.name, tensor.type, _extent(tensor.values))
        elif key in {11, 12, 13}:
            name, kind = _value(wire.part(value))
            if key == 11:
                known.add(name, kind, None)
                known.given.add(name)
    if len(nodes) > _MOST_NODES:
        raise ValueError(f"it has {len(nodes)} nodes; {_MOST_NODES} are allowed")
    for node in nodes:
        _check_node(node, known)


class _Known:
    """What is known of each name: the type of its values, and how much they would be as a shape."""

    def __init__(self) -> None:
        self.types: dict[str, int] = {"": 0}
        self.extents: dict[str, int] = {}
        self.given: set[str] = set()

    def add(self, name: str, kind: int, extent: int | None) -> None:
        """A name that was not used before."""
        if name in self.types:
            raise ValueError(f"it holds {name[:100]!r} twice")
        self.types[name] = kind
        if extent is not None:
            self.extents[name] = extent


def _check_node(node: _Node, known: _Known) -> None:
    if node.operator not in OPERATORS:
        raise ValueError(f"it uses the operator {node.operator[:100]!r}")
    if early := [name for name in node.inputs if name not in known.types]:
        raise ValueError(f"it uses {early[0][:100]!r} before it is there")
    for name, numbers in node.settings.items():
        least = 1 if name in _POSITIVE else -_MOST_SETTING
        if name not in {"value_int", "value_ints"} and not all(least <= n <= _MOST_SETTING for n in numbers):
            raise ValueError(f"{node.operator} has {name} {numbers[:8]}")
    types = [known.types[name] for name in node.inputs]
    if node.operator in _OF_FLOATS and not (types and types[0] in _FLOATS):
        raise ValueError(f"it uses {node.operator} on whole numbers")
    if node.operator in {"ConstantOfShape", "Expand"} and known.extents.get(node.inputs[-1]) is None:
        raise ValueError(f"{node.operator} takes a shape of a size that is not known beforehand")
    kind, extent = _gives(node, types), _extent_of(node, known)
    for place, name in enumerate(node.outputs):
        if name:
            known.add(name, kind if place == 0 or node.operator == "Split" else 0, extent)


def _gives(node: _Node, types: Sequence[int]) -> int:
    """The type of the first output."""
    if node.operator == "Cast":
        kind = node.settings["to"][0]
        if kind not in _TYPES:
            raise ValueError(f"it casts to the type {kind}")
        return kind
    if node.operator in {"Constant", "ConstantOfShape"}:
        if node.tensor is not None:
            return node.tensor.type
        return _INT64 if {"value_int", "value_ints"} & node.settings.keys() else 1
    if node.operator == "Where":
        return types[1]
    return _GIVES.get(node.operator, types[0] if types else 0)


def _extent_of(node: _Node, known: _Known) -> int | None:
    """How many values the output would be, as a shape, beside the rows; None where nobody can say."""
    if node.operator == "Constant":
        values = node.settings.get("value_ints") or node.settings.get("value_int")
        return _extent(node.tensor.values if node.tensor else values)
    if node.operator == "Shape":
        return 1 if node.inputs[0] in known.given else None
    if node.operator == "ConstantOfShape":
        each = _extent(node.tensor.values) if node.tensor else 1
        length = known.extents[node.inputs[0]]
        return None if each is None or length > 8 else _bounded(each**length)
    if node.operator in _SAME:
        return known.extents.get(node.inputs[0])
    if node.operator in {"Concat", "Mul", "Where"}:
        parts = [known.extents.get(name) for name in node.inputs[node.operator == "Where" :]]
        return None if None in parts else _bounded(math.prod(p for p in parts if p is not None))
    return None


def _extent(values: Sequence[int] | None) -> int | None:
    return None if values is None else _bounded(math.prod(max(1, abs(value)) for value in values))


def _bounded(extent: int) -> int | None:
    return extent if extent <= _MOST_VALUES else None


# --- reading


def _node(data: memoryview) -> _Node:
    node = _Node()
    for key, value in wire.fields(data, _NODE):
        if key == 1:
            node.inputs.append(wire.text(value))
        elif key == 2:
            node.outputs.append(wire.text(value))
        elif key == 4:
            node.operator = wire.text(value)
        elif key == 7:
            _check_domain(wire.text(value))
        elif key == 5:
            _read_attribute(wire.part(value), node)
    return node


def _check_domain(domain: str) -> None:
    if domain not in {"", "ai.onnx"}:
        raise ValueError(f"it uses the operators of {domain[:100]!r}")


def _read_attribute(data: memoryview, node: _Node) -> None:
    name, numbers, seen = "", [], set()
    for key, value in wire.fields(data, _ATTRIBUTE):
        seen.add(key)
        if key == 1:
            name = wire.text(value)
        elif key in {3, 8}:
            numbers += wire.integers(value)
        elif key == 5:
            if node.tensor is not None:
                raise ValueError("a node holds two tensors")
            node.tensor = _tensor(wire.part(value))
    if name in node.settings or {3, 8} <= seen:
        raise ValueError(f"a node says {name[:100]!r} twice")
    node.settings[name] = numbers


def _tensor(data: memoryview) -> _Tensor:
    name, kind, dims, held, raw = "", 0, [], 0, None
    for key, value in wire.fields(data, _TENSOR):
        if key == 1:
            dims += wire.integers(value)
        elif key == 2:
            kind = wire.number(value)
        elif key == 8:
            name = wire.text(value)
        elif key == 14 and value != 0:
            raise ValueError("a tensor lies in another file")
        elif key in {4, 5, 7, 9, 10}:
            held += 1 if isinstance(value, int) else len(value)
            raw = value if key == 9 else raw
    if kind not in _TYPES:
        raise ValueError(f"a tensor is of type {kind}")
    if any(d < 0 for d in dims) or math.prod(dims) > held:
        raise ValueError(f"a tensor claims the shape {dims[:8]} and holds {held} bytes")
    short = kind == _INT64 and isinstance(raw, memoryview) and len(raw) <= 64 and len(raw) % 8 == 0
    values = memoryview(bytes(raw)).cast("q").tolist() if short and raw is not None else None
    return _Tensor(name, kind, values)


def _value(data: memoryview) -> tuple[str, int]:
    """Name and type of an input, an output or a value between; an array always."""
    held: Mapping[int, int | memoryview] = dict(wire.fields(data, _VALUE))
    types = dict(wire.fields(wire.part(held[2]), _TYPE)) if 2 in held else {}
    array = dict(wire.fields(wire.part(types[1]), _ARRAY)) if 1 in types else {}
    kind = wire.number(array.get(1, 0))
    if kind not in _TYPES:
        raise ValueError(f"a value is of type {kind}")
    return wire.text(held[1]), kind
