"""Messages that are JSON objects, one row each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.data import cells, values
from orrery.data.payloads.payload import Codec, Decoded, Fault, OneRow, Payload, Sample, shown, typed
from orrery.errors import SchemaError
from orrery.schema import parse_type

_DECODE = json.JSONDecoder().decode


class Json(Payload):
    """Objects, one per message; columns and types are those of a sample of messages.

    Texts that are all dates or times of ISO 8601 are such.

    >>> codec = Json().codec("sizes", lambda: [b'{"size": 3}'])
    >>> codec.decode([b'{"size": 5}', b'{"size": 7}']).batch.to_pylist()
    [{'size': 5}, {'size': 7}]
    """

    kind: Literal["json"] = "json"
    types: dict[str, str] = Field(default_factory=dict)
    """Pins some columns, those of no sample too: ``{"at": "timestamp[us]", "code": "string"}``."""

    def codec(self, topic: str, sample: Sample) -> Codec:
        """Columns by a sample. Raises SchemaError where there is none, and no types either."""
        rows = [row for message in sample() if isinstance(row := _parsed(message), dict)]
        names = list(dict.fromkeys([*(name for row in rows for name in row), *self.types]))
        if not names:
            raise SchemaError(
                f"The topic {topic!r} holds no JSON object there, so its columns are not known.",
                hint="Say them: payload={'kind': 'json', 'types': {'id': 'int64'}}.",
            )
        kinds = {name: self._type([row.get(name) for row in rows], name, topic) for name in names}
        return _JsonCodec(pa.schema(list(kinds.items())))

    def _type(self, column: list[Any], name: str, topic: str) -> Any:
        if name in self.types:
            return parse_type(self.types[name])
        found = values.infer_type(column, name, topic)
        if pa.types.is_string(found):
            return cells.infer_dates([v for v in column if v is not None]) or found
        return found


class _JsonCodec(OneRow):
    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self._names = frozenset(schema.names)
        self._nested = [f for f in schema if f.type.num_fields]

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """One row per message."""
        return typed(self.schema, [None if m is None else self._row(m) for m in messages])

    def _row(self, message: bytes) -> dict[str, Any] | Fault:
        row = _parsed(message)
        if isinstance(row, Exception):
            return Fault(None, shown(message), f"is not JSON: {str(row).splitlines()[0]}")
        if not isinstance(row, dict):
            return Fault(None, shown(message), "is not a JSON object")
        if not row.keys() <= self._names:
            name = next(name for name in row if name not in self._names)
            return Fault(name, row[name], "is in a column that the sample of messages did not have")
        for column in self._nested:
            strange = _strange(row.get(column.name), column.type)
            if strange is not None:
                said = f"has a member {strange!r} that the sample of messages did not have"
                return Fault(column.name, row[column.name], said)
        return row

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """An object per row; what JSON has no word for is text: dates as ISO 8601, decimals as digits."""
        rows = batch.to_pylist(maps_as_pydicts="strict")
        return [json.dumps(row, ensure_ascii=False, default=_plain).encode() for row in rows]


def _parsed(message: bytes) -> Any:
    """The value of a message; of one that is no JSON, what is wrong with it."""
    try:
        return _DECODE(message.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return error


def _strange(value: Any, kind: Any) -> str | None:
    """A name within a value that its type does not have: Arrow would leave it out without a word."""
    if isinstance(value, Mapping) and pa.types.is_struct(kind):
        for name, inner in value.items():
            at = kind.get_field_index(name)
            found = str(name) if at < 0 else _strange(inner, kind.field(at).type)
            if found is not None:
                return found
    elif isinstance(value, list) and pa.types.is_list(kind) and kind.value_type.num_fields:
        return next((s for item in value if (s := _strange(item, kind.value_type)) is not None), None)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        raise SchemaError(
            "JSON has no bytes.", hint="Write them as text, or use the payload 'avro', 'protobuf' or 'arrow'."
        )
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
