"""Rows of JSON, and fields of a form, as the columns that a model reads."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from orrery.errors import BadRequestError, OrreryError
from orrery.estimators.signature import Signature
from orrery.schema import Field, Kind
from orrery.serving.online.body import kind_of
from orrery.serving.online.desk import new_id
from orrery.serving.online.problem import pointer_to
from orrery.serving.runner import Columns

ID_CHARACTERS = 200
_BYTES = (Kind.IMAGE, Kind.AUDIO, Kind.VIDEO)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_bytes(field: Field) -> bool:
    """Whether a column's values are bytes, which JSON can only hold as base64."""
    return field.kind in _BYTES or "binary" in field.type


def columns_of(rows: Sequence[Mapping[str, Any]], signature: Signature) -> Columns:
    """The columns that the model reads. Raises BadRequestError, UnknownColumnError, SchemaError.

    A column that no row has is an error; in a row without it, the value is missing.
    """
    if rows:
        names: Collection[str] = rows[0].keys()
        if len(rows) > 1:
            names = dict.fromkeys(name for row in rows for name in row)
        try:
            signature.check(names)
        except OrreryError as error:
            error.pointer = pointer_to("rows", 0, _at_fault(names, signature))
            raise
    columns: dict[str, list[object]] = {}
    for field in signature.inputs.each():
        values = [row.get(field.name) for row in rows]
        columns[field.name] = _decoded(values, field) if is_bytes(field) else values
    return columns


def _at_fault(names: Collection[str], signature: Signature) -> str:
    """The first column that is missing, or that has the name of an answer."""
    missing = (name for name in signature.inputs.names if name not in names)
    return next(missing, "") or next(name for name in signature.outputs.names if name in names)


def _decoded(values: Sequence[object], field: Field) -> list[object]:
    out: list[object] = []
    for row, value in enumerate(values):
        if (
            value is None
            or isinstance(value, bytes)
            or (field.kind is Kind.TENSOR and not isinstance(value, str))
        ):
            out.append(value)  # a tensor that is stored as bytes may be sent as lists too
            continue
        try:
            out.append(from_base64(value))
        except ValueError as error:
            raise BadRequestError(
                f"Column {field.name!r} of row {row} holds {error}.",
                pointer=pointer_to("rows", row, field.name),
            ) from None
    return out


def from_base64(value: object) -> bytes:
    """Bytes from base64 text or a ``data:`` URL. Raises ValueError that says what else was there.

    >>> from_base64("aGk="), from_base64("data:image/png;base64,aGk=")
    (b'hi', b'hi')
    """
    if not isinstance(value, str):
        raise ValueError(f"a {kind_of(value)}, not bytes as base64 text")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{value[:40]!r}, which is not base64") from None


def ids_of(rows: Sequence[Mapping[str, Any]], place: str = "/rows") -> list[str]:
    """The id of each row: its own ``id``, or a new one. Raises BadRequestError."""
    return [
        new_id() if row.get("id") is None else as_id(row["id"], f"{place}/{i}/id")
        for i, row in enumerate(rows)
    ]


def as_id(value: object, place: str) -> str:
    """An id as text. Raises BadRequestError for anything but short text or an integer."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRequestError(
            f"An id is text or an integer, not {kind_of(value)} {value!r:.40}.", pointer=place
        )
    text = str(value)
    if len(text) > ID_CHARACTERS:
        raise BadRequestError(
            f"An id has at most {ID_CHARACTERS} characters, not {len(text)}.", pointer=place
        )
    return text


def from_field(text: str, field: Field) -> object:
    """The value of a form's text field, which holds no types of its own. Empty is missing, but for text.

    >>> from_field("3.5", Field(name="age", type="double", kind="number"))
    3.5
    """
    if text == "" and field.kind is not Kind.TEXT:
        return None
    read = _READERS.get(field.kind) if field.kind else None
    try:
        return read(text) if read else text
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise BadRequestError(
            f"Field {field.name!r} is a {field.kind}; {text!r:.40} cannot be read as one."
        ) from None


def _number(text: str) -> float:
    """A finite number, as people write it into a form: what Python reads beside is refused, as in JSON."""
    text = {"true": "1", "false": "0"}.get(text.strip().lower(), text.strip())
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def _labels(text: str) -> object:
    if text.lstrip().startswith("["):
        return msgspec.json.decode(text)
    return [part.strip() for part in text.split(",")]


def _place(text: str) -> object:
    """``59.9, 10.7``, or as JSON; one number of a column that holds one."""
    if text.lstrip()[:1] in ("[", "{"):
        return msgspec.json.decode(text)
    numbers = [_number(part) for part in text.split(",")]
    return numbers if len(numbers) > 1 else numbers[0]


def _named(text: str) -> object:
    """``{"colour": "red"}``, or ``colour=red, weight=3``: what reads as a number is one."""
    if text.lstrip()[:1] in ("[", "{"):
        return msgspec.json.decode(text)
    found: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(part)
        found[name] = float(value) if _NUMBER.fullmatch(value) else value
    return found


def _tensor(text: str) -> object:
    return msgspec.json.decode(text) if text.lstrip()[:1] in ("[", "{") else from_base64(text)


_READERS: dict[Kind, Callable[[str], object]] = {
    Kind.NUMBER: _number,
    Kind.VECTOR: lambda text: msgspec.json.decode(text if "[" in text else f"[{text}]"),
    Kind.SERIES: lambda text: msgspec.json.decode(text if "[" in text else f"[{text}]"),
    Kind.TENSOR: _tensor,
    Kind.LABELS: _labels,
    Kind.MAP: _named,
    Kind.GEO: _place,
    Kind.IMAGE: from_base64,
    Kind.AUDIO: from_base64,
    Kind.VIDEO: from_base64,
}
