"""Tensors of the Open Inference Protocol: columns of a model, as JSON or as bytes.

A column of n rows is a tensor of shape [n] (or [n, 1]); one of vectors is [n, d]. Text, categories, dates
and pictures are BYTES; in JSON the bytes of pictures are base64. Lists of labels are BYTES that hold JSON.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from orrery.errors import BadRequestError, TooLargeError, listing
from orrery.schema import Field, Kind
from orrery.serving.online.body import kind_of, parse_json
from orrery.serving.online.values import from_base64, is_bytes

DTYPES = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Datatypes of fixed width, and how NumPy calls their little-endian bytes."""
_DATATYPES = (*DTYPES, "BF16", "BYTES")
_OF_ARROW = {"bool": "BOOL", "halffloat": "FP16", "float": "FP32", "double": "FP64"} | {
    name.lower(): name for name in DTYPES if "INT" in name
}


WIDE = {Kind.VECTOR, Kind.SERIES, Kind.TENSOR}
"""Kinds of which each row holds many numbers."""

AS_JSON = {Kind.LABELS, Kind.MAP, Kind.GEO, Kind.SERIES, Kind.TENSOR}
"""Kinds whose elements of BYTES are JSON text."""


class Tensor(NamedTuple):
    """A tensor that is answered: numbers, or text (``datatype`` BYTES)."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Any]


def datatype_of(type_name: str, kind: Kind | None) -> str:
    """The datatype in which a column of an Arrow type is told.

    >>> datatype_of("int64", Kind.NUMBER), datatype_of("string", Kind.TEXT)
    ('INT64', 'BYTES')
    """
    if kind in WIDE and "binary" not in type_name:
        return "FP64"
    return _OF_ARROW.get(type_name, "FP64" if kind is Kind.NUMBER else "BYTES")


def shape_of(field: Field) -> list[int]:
    """The shape of a column, -1 for what is free."""
    if field.kind is Kind.SERIES:
        return [-1, -1]
    kind = field.arrow().type if field.kind is Kind.TENSOR else None
    if isinstance(kind, pa.FixedShapeTensorType):
        return [-1, *kind.shape]
    if field.kind is not Kind.VECTOR:
        return [-1]
    return [-1, math.prod(field.shape) if field.shape else -1]


def read_inputs(
    inputs: object, raw: memoryview, most_values: int = 2 << 20
) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Each input by name: its head, and its values in one flat list. Raises BadRequestError, TooLargeError.

    ``raw`` holds the bytes of those inputs that say ``binary_data_size``, one behind the other.
    """
    if not isinstance(inputs, list):
        raise BadRequestError("The request needs 'inputs', a list of tensors.")
    found: dict[str, tuple[dict[str, Any], list[Any]]] = {}
    start = 0
    for tensor in inputs:
        name, size = _check_head(tensor)
        if name in found:
            raise BadRequestError(f"Input {name!r} comes twice.")
        most_values -= math.prod(tensor["shape"])
        if most_values < 0:
            raise TooLargeError(
                "The inputs have more values than the service takes.", hint="Send fewer rows."
            )
        if size is None:
            values = _from_json(tensor)
        else:
            if start + size > len(raw):
                raise BadRequestError(
                    f"Input {name!r} has {size} bytes of data; {len(raw) - start} are there."
                )
            values = _from_bytes(tensor, raw[start : start + size])
            start += size
        found[name] = tensor, values
    if start != len(raw):
        raise BadRequestError(f"{len(raw) - start} bytes of data belong to no input.")
    return found


def _check_head(tensor: object) -> tuple[str, int | None]:
    """The name of a tensor, and the size of its bytes if it has any."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise BadRequestError("Each input is an object with 'name', 'shape', 'datatype' and data.")
    name, datatype, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if datatype not in _DATATYPES:
        allowed = listing(_DATATYPES, most=20)
        raise BadRequestError(f"Input {name!r} has the datatype {datatype!r:.40}; there are {allowed}.")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= 8
        or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
    ):
        raise BadRequestError(f"Input {name!r} has no shape of 1 to 8 lengths: {shape!r:.80}.")
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise BadRequestError(f"Input {name!r} has a 'binary_data_size' of {size!r:.40}.")
    return name, size


def _from_json(tensor: dict[str, Any]) -> list[Any]:
    data = tensor.get("data")
    if not isinstance(data, list):
        raise BadRequestError(f"Input {tensor['name']!r} needs 'data', a list, or binary data.")
    return _counted(list(_flat(data, 8)), tensor)


def _flat(data: list[Any], depth: int) -> Iterator[Any]:
    for value in data:
        if not isinstance(value, list):
            yield value
        elif depth > 1:
            yield from _flat(value, depth - 1)
        else:
            raise BadRequestError("A tensor's data is nested deeper than 8 lists.")


def _from_bytes(tensor: dict[str, Any], raw: memoryview) -> list[Any]:
    name, datatype = tensor["name"], tensor["datatype"]
    if datatype == "BYTES":
        return _counted(_elements(raw, name, math.prod(tensor["shape"])), tensor)
    width = 2 if datatype == "BF16" else np.dtype(DTYPES[datatype]).itemsize
    if len(raw) % width:
        raise BadRequestError(f"Input {name!r} has {len(raw)} bytes, which are no whole {datatype} values.")
    if len(raw) // width != math.prod(tensor["shape"]):
        raise BadRequestError(f"Input {name!r} of shape {tensor['shape']} holds {len(raw) // width} values.")
    if datatype == "BF16":  # the upper half of a float32
        wide = np.frombuffer(raw, "<u2").astype("<u4") << 16
        return _counted(wide.view("<f4").tolist(), tensor)
    return _counted(np.frombuffer(raw, DTYPES[datatype]).tolist(), tensor)


def _elements(raw: memoryview, name: str, count: int) -> list[Any]:
    """BYTES: each element is its length in four bytes, and the bytes. It ends at one beyond ``count``."""
    out, at = [], 0
    while at < len(raw):
        end = at + 4
        if end <= len(raw):
            end += struct.unpack_from("<I", raw, at)[0]
        if at + 4 > len(raw) or end > len(raw):
            raise BadRequestError(f"Input {name!r} is cut short inside a BYTES element.")
        out.append(bytes(raw[at + 4 : end]))
        at = end
        if len(out) > count:
            break
    return out


def _counted(values: list[Any], tensor: dict[str, Any]) -> list[Any]:
    if len(values) != math.prod(tensor["shape"]):
        raise BadRequestError(
            f"Input {tensor['name']!r} of shape {tensor['shape']} holds {len(values)} values."
        )
    return values


def as_column(field: Field, tensor: dict[str, Any], values: list[Any]) -> list[Any]:
    """A tensor's values as the column of a model: one Python value per row. Raises BadRequestError."""
    rows, *rest = tensor["shape"]
    width = math.prod(rest)
    if field.kind in WIDE and tensor["datatype"] != "BYTES":
        return _wide(values, rows, rest, field)
    if width != 1:
        raise BadRequestError(
            f"Input {field.name!r} has the shape {tensor['shape']}; it holds one value per row: {[rows]}."
        )
    if tensor["datatype"] != "BYTES":
        return values
    return [_element(value, field) for value in values]


def _wide(values: list[Any], rows: int, shape: list[int], field: Field) -> list[Any]:
    """A list of numbers for each row, nested as its shape says where it is a tensor."""
    width = math.prod(shape)
    cut = [values[i * width : (i + 1) * width] for i in range(rows)]
    if field.kind is not Kind.TENSOR or len(shape) < 2:
        return cut
    return [np.reshape(row, shape) for row in cut]


def _element(value: Any, field: Field) -> Any:
    """One element of BYTES, as the column has it."""
    if value is None or (is_bytes(field) and isinstance(value, bytes)):
        return value
    try:
        if is_bytes(field):
            return from_base64(value)
        text = value.decode() if isinstance(value, bytes) else value
    except ValueError as error:
        raise BadRequestError(f"Input {field.name!r} holds {error}.") from None
    if not isinstance(text, str):
        raise BadRequestError(f"Input {field.name!r} is BYTES, and holds a {kind_of(value)}.")
    return parse_json(text.encode()) if field.kind in AS_JSON else text


def to_json(tensor: Tensor) -> dict[str, Any]:
    """A tensor with its data in it."""
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape, "data": tensor.values}


def to_bytes(tensor: Tensor) -> tuple[dict[str, Any], bytes]:
    """A tensor's head, and its data as bytes."""
    if tensor.datatype == "BYTES":
        texts = [str(value).encode() for value in tensor.values]
        data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    else:
        data = np.asarray(tensor.values, DTYPES[tensor.datatype]).tobytes()
    head = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    return {**head, "parameters": {"binary_data_size": len(data)}}, data


def json_text(value: Sequence[Any]) -> str:
    """A list as JSON text, for a BYTES element."""
    return msgspec.json.encode(value).decode()
