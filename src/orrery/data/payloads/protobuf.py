"""Messages in Protocol Buffers, read by a set of descriptors that ``protoc`` wrote; it is not needed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.payloads.payload import Codec, Decoded, Fault, OneRow, Payload, Sample, shown, typed
from orrery.data.payloads.protobuf_types import Message
from orrery.errors import SchemaError, SourceError, did_you_mean, listing
from orrery.extras import require

_MOST_BYTES = 64 << 20
_KNOWN = ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")


class Protobuf(Payload):
    """Protocol Buffers, one row per message; its fields are the columns (``protobuf_types`` has the rules).

    ``protoc --include_imports --descriptor_set_out=shop.desc shop.proto`` writes the descriptors.
    """

    kind: Literal["protobuf"] = "protobuf"
    descriptors: str
    """The address of a file with a set of descriptors."""
    message: str
    """The full name of the message's type: ``shop.Order``."""

    def codec(self, topic: str, sample: Sample) -> Codec:
        """Columns by the descriptor. Raises SchemaError, SourceError."""
        with files.opened(self.descriptors) as file:
            text = bytes(file.read(_MOST_BYTES))
        return _ProtobufCodec(text, self.message, files.shown(self.descriptors))


def _class_of(text: bytes, message: str, place: str) -> Any:
    """The class of such messages. Protobuf makes it from the descriptor; no code is read."""
    sets = require("google.protobuf.descriptor_pb2", "Reading Protocol Buffers")
    factory = require("google.protobuf.message_factory", "Reading Protocol Buffers")
    try:
        found = sets.FileDescriptorSet.FromString(text)
        pool = _pool({one.name: one for one in found.file})
    except (TypeError, ValueError, _decode_error()) as error:
        raise SourceError(
            f"{place} is not a whole set of descriptors: {error}",
            hint="Write it with protoc --include_imports --descriptor_set_out=…",
        ) from None
    names = [name for one in found.file for name in _names(one.message_type, one.package)]
    if message not in names:
        raise SchemaError(
            f"{place} has no message {message!r}; it has {listing(names)}.", hint=did_you_mean(message, names)
        )
    return factory.GetMessageClass(pool.FindMessageTypeByName(message))


def _decode_error() -> type[Exception]:
    found: type[Exception] = require("google.protobuf.message", "Reading Protocol Buffers").DecodeError
    return found


def _pool(given: Mapping[str, Any]) -> Any:
    """All files of a set, each after those that it imports; Google's own are there anyway."""
    pool = require("google.protobuf.descriptor_pool", "Reading Protocol Buffers").DescriptorPool()
    known = {}
    for name in _KNOWN:
        module = require(f"google.protobuf.{name}_pb2", "Reading Protocol Buffers")
        known[module.DESCRIPTOR.name] = module.DESCRIPTOR.serialized_pb
    waiting = dict(given)
    added: set[str] = set()
    for name, text in known.items():
        if name not in waiting:
            pool.AddSerializedFile(text)
            added.add(name)
    while waiting:
        ready = [name for name, one in waiting.items() if added.issuperset(one.dependency)]
        if not ready:
            missing = {d for one in waiting.values() for d in one.dependency} - added - waiting.keys()
            raise ValueError(f"it lacks {listing(sorted(missing) or sorted(waiting))}.")
        for name in ready:
            pool.AddSerializedFile(waiting.pop(name).SerializeToString())
            added.add(name)
    return pool


def _names(types: Sequence[Any], prefix: str) -> list[str]:
    """The full names of messages, those within others too."""
    found = []
    for one in types:
        name = f"{prefix}.{one.name}".lstrip(".")
        found += [name, *_names(one.nested_type, name)]
    return found


class _ProtobufCodec(OneRow):
    def __init__(self, descriptors: bytes, message: str, place: str) -> None:
        self._made_of = (descriptors, message, place)
        self._class = _class_of(descriptors, message, place)
        try:
            self._message = Message(self._class.DESCRIPTOR)
        except KeyError as error:  # a map without a key, a wrapper without a value
            raise SourceError(
                f"{place}: the descriptor of {message!r} is damaged: a message in it has no field {error}."
            ) from None
        self.schema = pa.schema(list(self._message.type))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """One row per message."""
        wrong = _decode_error()
        return typed(self.schema, [None if m is None else self._row(m, wrong) for m in messages])

    def _row(self, message: bytes, wrong: type[Exception]) -> Mapping[str, Any] | Fault:
        try:
            return self._message.row(self._class.FromString(message))
        except (wrong, ValueError) as error:
            name = self._class.DESCRIPTOR.full_name
            return Fault(None, shown(message), f"is not a {name}: {str(error).splitlines()[0]}")

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """A message per row. Missing values are fields that are not set."""
        made = []
        for row in batch.to_pylist():
            message = self._class()
            try:
                self._message.fill(message, row)
            except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
                name = self._class.DESCRIPTOR.full_name
                raise SchemaError(f"A row cannot be written as {name}: {error}.") from None
            made.append(bytes(message.SerializeToString(deterministic=True)))
        return made
