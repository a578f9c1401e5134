"""The ordinary inference request, read and answered quickly: JSON tensors of plain values, and no options.

It knows one shape of body and leaves every other one, right or wrong, to ``infer``, which also says what is
wrong. What depends on the model alone is made once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec

from orrery.estimators.signature import Signature
from orrery.features.forms import as_text
from orrery.schema import Field, Kind
from orrery.serving.online.desk import Question, Reply, new_id
from orrery.serving.online.infer import output_tensors
from orrery.serving.online.limits import Limits
from orrery.serving.online.oip import output_heads
from orrery.serving.online.tensors import AS_JSON, DTYPES, WIDE, to_json
from orrery.serving.online.values import ID_CHARACTERS, is_bytes

Column = list[Any]


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: Any = None


class _Body(msgspec.Struct, gc=False):
    inputs: list[_Tensor]
    id: str | None = None
    outputs: Any = None
    parameters: Any = None


class _Output(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    data: Column


_decode = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder().encode


class QuickInfer:
    """Reads and answers ordinary requests for one signature."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self.signature = signature
        self.limits = limits
        self._readers = {field.name: _reader(field) for field in signature.inputs.each()}
        self._names = tuple(self._readers)
        self._heads = [(h["name"], h["datatype"], h["shape"][1:]) for h in output_heads(signature)]
        self.plain = is_plain(signature)
        self._is_flat = signature.target.kind in {Kind.CATEGORY, Kind.NUMBER}

    def read(self, body: bytes) -> tuple[Question, dict[str, Any]] | None:
        """The rows of a body, and what the answer says of them; None where it is not ordinary."""
        try:
            whole = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if whole.outputs is not None or whole.parameters is not None:
            return None
        found = self._columns(whole.inputs)
        if found is None:
            return None
        columns, rows = found
        first = whole.id
        if first is None or first == "":
            first = new_id()
        elif len(first) > ID_CHARACTERS:
            return None
        ids = [first] if rows == 1 else [f"{first}-{i}" for i in range(rows)]
        own = {} if whole.id is None else {"id": whole.id}
        return Question(columns, ids), {**own, "parameters": {"prediction_id": first}}

    def _columns(self, inputs: list[_Tensor]) -> tuple[dict[str, Column], int] | None:
        found: dict[str, Column] = {}
        counts = set()
        values = 0
        for tensor in inputs:
            reader = self._readers.get(tensor.name)
            column = None if reader is None or tensor.parameters is not None else reader(tensor)
            if column is None:
                return None
            found[tensor.name] = column
            counts.add(len(column))
            values += len(tensor.data)
        if len(counts) != 1 or not len(found) == len(inputs) == len(self._names):
            return None
        (rows,) = counts
        fits = 0 < rows <= self.limits.rows and values <= self.limits.values
        return ({name: found[name] for name in self._names}, rows) if fits else None

    def write(self, said: dict[str, Any], question: Question, reply: Reply) -> bytes:
        """The answer as JSON."""
        live = reply.live
        version = reply.version if reply.by is not None else str(live.version)
        if live.runner.signature is not self.signature or not self._is_flat:
            tensors = output_tensors(reply.answers, live.runner.signature).values()
            outputs: list[Any] = [to_json(tensor) for tensor in tensors]
        else:
            outputs = [self._output(*head, reply.answers) for head in self._heads]
        return _encode({"model_name": live.name, "model_version": version, **said, "outputs": outputs})

    def _output(self, name: str, datatype: str, rest: list[int], answers: list[dict[str, Any]]) -> _Output:
        values = [answer[name] for answer in answers]
        if name == "probabilities":
            values = [share for row in values for share in row.values()]
        elif datatype == "BYTES":
            values = [as_text(value) for value in values]
        return _Output(name, datatype, [len(answers), *rest], values)


def is_plain(signature: Signature) -> bool:
    """Whether a model reads nothing but the values of its rows, and no pictures, which are checked aside."""
    return signature.windows is None and all(
        field.kind is not Kind.IMAGE for field in signature.inputs.each()
    )


def _reader(field: Field) -> Callable[[_Tensor], Column | None]:
    """What reads a field's column from a tensor; None where ``infer`` has to."""
    if field.kind in AS_JSON or is_bytes(field):
        return lambda tensor: None
    if field.kind in WIDE:
        return _wide
    return _single


def _single(tensor: _Tensor) -> Column | None:
    """One value a row: numbers or truth values, or text where the tensor is of BYTES."""
    shape, data = tensor.shape, tensor.data
    if shape != [len(data)] and shape != [len(data), 1]:
        return None
    kinds = set(map(type, data))
    if tensor.datatype == "BYTES":
        return data if kinds <= _TEXTS else None
    return data if tensor.datatype in DTYPES and kinds <= _SCALARS else None


def _wide(tensor: _Tensor) -> Column | None:
    """Several numbers a row, flat or a list for each."""
    shape, data = tensor.shape, tensor.data
    if tensor.datatype not in DTYPES or len(shape) != 2 or min(shape) < 1:
        return None  # rows of no numbers take no bytes, and may be many
    rows, width = shape
    if len(data) == rows * width and _SCALARS.issuperset(map(type, data)):
        return [data] if rows == 1 else [data[i * width : (i + 1) * width] for i in range(rows)]
    if len(data) == rows and all(type(row) is list and len(row) == width for row in data):
        return data if _SCALARS.issuperset(map(type, chain.from_iterable(data))) else None
    return None


_TEXTS = frozenset((str, type(None)))
_SCALARS = frozenset((float, int, bool, str, type(None)))
