"""Messages that are one value: bytes as they are, or text in UTF-8. The column is ``value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.payloads.payload import Codec, Decoded, Fault, OneRow, Payload, Sample, shown, typed
from orrery.errors import SchemaError


class Bytes(Payload):
    """The message's bytes, in a binary column ``value``."""

    kind: Literal["bytes"] = "bytes"

    def codec(self, topic: str, sample: Sample) -> Codec:
        """One column of bytes."""
        return _Plain(pa.binary())


class Text(Payload):
    """The message as text (UTF-8), in a column ``value``."""

    kind: Literal["text"] = "text"

    def codec(self, topic: str, sample: Sample) -> Codec:
        """One column of text."""
        return _Plain(pa.string())


class _Plain(OneRow):
    def __init__(self, kind: Any) -> None:
        self.schema = pa.schema([pa.field("value", kind)])

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """One row per message."""
        if pa.types.is_binary(self.schema.field(0).type):
            return typed(self.schema, [{"value": message} for message in messages])
        return typed(self.schema, [_text(message) for message in messages])

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """The column ``value``."""
        if "value" not in batch.schema.names:
            raise SchemaError(f"These messages are made of a column 'value', not of {batch.schema.names}.")
        values = batch.column("value").to_pylist()
        return [value.encode() if isinstance(value, str) else bytes(value or b"") for value in values]


def _text(message: bytes | None) -> dict[str, Any] | Fault | None:
    if message is None:
        return None
    try:
        return {"value": message.decode()}
    except UnicodeDecodeError:
        return Fault("value", shown(message), "is not UTF-8")
