"""Messages in Avro: with one schema, or each with the number of its own in a schema registry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.masking import masked
from orrery.data.payloads.avro_types import Reading, counted
from orrery.data.payloads.payload import (
    Codec,
    Decoded,
    Fault,
    OneRow,
    Payload,
    Sample,
    fitting,
    shown,
    typed,
)
from orrery.data.payloads.registry import Entry, Registry
from orrery.errors import SchemaError, SettingsError
from orrery.extras import require

_MOST_TEXT = 4 << 20
_WRONG = (EOFError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError)


class Avro(Payload):
    """Avro, one row per message. Its types keep their meaning: dates, instants, decimals.

    With ``registry``, messages are in Confluent's form: a zero byte, the number of the schema they were
    written with in four bytes, then the value; each is read as ``avsc``, or the subject's newest schema.

    >>> schema = {"type": "record", "name": "size", "fields": [{"name": "cm", "type": "long"}]}
    >>> codec = Avro(avsc=schema).codec("sizes", list)
    >>> codec.decode([bytes([6])]).batch.to_pylist()
    [{'cm': 3}]
    """

    kind: Literal["avro"] = "avro"
    avsc: str | dict[str, Any] | None = None
    """The schema: its JSON, as text or as values, or the address of a file that holds it."""
    registry: str | None = None
    """The address of a schema registry."""
    connection: str | None = None
    """Names the variable that holds the registry's address with user and password."""
    subject: str | None = None
    """The registry's name for the schemas of the topic; ``TOPIC-value`` if not given."""

    def codec(self, topic: str, sample: Sample) -> Codec:
        """Columns by the schema. Raises SchemaError, SourceError of the registry."""
        url = self.registry or (f"connection {self.connection!r}" if self.connection else None)
        registry = Registry(url, self.connection) if url else None
        subject = self.subject or f"{topic}-value"
        if self.avsc is not None:
            own = Entry(-1, self._text())
        elif registry is not None:
            own = registry.latest(subject)
        else:
            raise SettingsError(
                "Avro messages do not say what their columns are.",
                hint="Give avsc= (the schema, or a file of it) or registry= (an address).",
            )
        return _AvroCodec(_Known(own), registry, subject)

    def to_dict(self) -> dict[str, Any]:
        """The settings, without a password."""
        settings = {name: value for name, value in super().to_dict().items() if value is not None}
        return {**settings, "registry": masked(self.registry)} if self.registry else settings

    def _text(self) -> str:
        if isinstance(self.avsc, Mapping):
            return json.dumps(self.avsc)
        text = str(self.avsc)
        if text.lstrip()[:1] in ("{", "[", '"'):
            return text
        with files.opened(text) as file:
            return bytes(file.read(_MOST_TEXT)).decode("utf-8-sig")


class _Known:
    """A schema that was read and found harmless. ``plain`` has dates and instants as the numbers they are."""

    def __init__(self, entry: Entry) -> None:
        fastavro = require("fastavro", "Reading Avro")
        names: dict[str, Any] = {}
        plain_names: dict[str, Any] = {}
        try:
            for text in (*entry.references, entry.text):
                self.parsed = fastavro.parse_schema(json.loads(text), names)
                self.plain = fastavro.parse_schema(counted(json.loads(text)), plain_names)
            found = Reading(names).checked(self.parsed)
        except _WRONG as error:
            raise SchemaError(f"The Avro schema cannot be used: {_said(error)}.") from None
        except fastavro.schema.SchemaParseException as error:
            raise SchemaError(f"The Avro schema cannot be used: {_said(error)}.") from None
        self.entry = entry
        self.record = pa.types.is_struct(found)
        self.arrow = pa.schema(list(found)) if self.record else pa.schema([("value", found)])


class _AvroCodec(OneRow):
    def __init__(self, own: _Known, registry: Registry | None, subject: str) -> None:
        self.schema = own.arrow
        self._own = own
        self._registry = registry
        self._subject = subject
        self._writers: dict[int, _Known | None] = {}
        self._number = own.entry.id

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """One row per message."""
        avro = require("fastavro", "Reading Avro")
        return typed(self.schema, [None if m is None else self._row(avro, m) for m in messages])

    def _row(self, avro: Any, message: bytes) -> Mapping[str, Any] | Fault:
        writer = self._own
        if self._registry is not None:
            if len(message) < 5 or message[0] != 0:
                return Fault(
                    None, shown(message), "does not begin with a zero byte and the number of a schema"
                )
            number = int.from_bytes(message[1:5], "big")
            found = self._writer(number)
            if found is None:
                return Fault(
                    None, shown(message), f"names the schema {number}, which the registry does not have"
                )
            writer = found
        file = BytesIO(message)
        file.seek(5 if self._registry is not None else 0)
        reader = self._own.plain if writer is not self._own else None
        try:
            row = avro.schemaless_reader(file, writer.plain, reader)
        except _WRONG as error:
            return Fault(None, shown(message), f"is not Avro of this schema: {_said(error)}")
        except avro.read.SchemaResolutionError as error:
            return Fault(None, shown(message), f"was written with a schema that does not fit: {_said(error)}")
        if file.tell() != len(message):
            return Fault(None, shown(message), f"has {len(message) - file.tell()} bytes too many")
        return row if self._own.record else {"value": row}

    def _writer(self, number: int) -> _Known | None:
        """The schema that a message was written with; our own where it is the same."""
        if number not in self._writers:
            assert self._registry is not None
            entry = self._registry.by_id(number)
            known = None if entry is None else _Known(entry)
            self._writers[number] = self._own if known and known.plain == self._own.plain else known
        return self._writers[number]

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """A value per row; with a registry, the schema is made known there first."""
        avro = require("fastavro", "Writing Avro")
        head = b""
        if self._registry is not None:
            if self._number < 0:
                self._number = self._registry.register(self._subject, self._own.entry.text)
            head = b"\0" + self._number.to_bytes(4, "big")
        rows = fitting(batch, self.schema).to_pylist(maps_as_pydicts="strict")
        return [head + self._bytes(avro, row) for row in rows]

    def _bytes(self, avro: Any, row: Mapping[str, Any]) -> bytes:
        file = BytesIO()
        try:
            avro.schemaless_writer(file, self._own.parsed, row if self._own.record else row["value"])
        except _WRONG as error:
            raise SchemaError(f"A row cannot be written as Avro: {_said(error)}.") from None
        return file.getvalue()


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
