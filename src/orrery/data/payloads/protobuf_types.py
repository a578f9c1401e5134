"""Messages of Protocol Buffers as rows and back.

Rules: a field that can tell whether it was set is null if it was not; any other has its default.
Enumerations are text (the number, where the name is not known), repeated fields lists, maps maps, messages
structs. ``Timestamp`` is an instant, ``Duration`` a duration, the wrappers of ``wrappers.proto`` are what
they wrap, and ``Struct``, ``Value`` and ``ListValue`` are JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

import pyarrow as pa

from orrery.errors import SchemaError
from orrery.extras import require

_SECOND = 1_000_000_000
_MESSAGE, _GROUP, _ENUM = 11, 10, 14
_SCALARS: dict[int, Any] = {
    **{1: pa.float64(), 2: pa.float32(), 8: pa.bool_(), 9: pa.string(), 12: pa.binary(), _ENUM: pa.string()},
    **dict.fromkeys((3, 16, 18), pa.int64()),
    **dict.fromkeys((5, 15, 17), pa.int32()),
    **dict.fromkeys((4, 6), pa.uint64()),
    **dict.fromkeys((7, 13), pa.uint32()),
}
"""Arrow's type for each of ``FieldDescriptorProto.Type``."""
_MOST_FIELDS = 20_000


class Value(NamedTuple):
    """How one value is read from a message, and put into one."""

    type: Any
    get: Callable[[Any], Any]
    """From Protobuf's value to Arrow's."""
    put: Callable[[Any], Any] | None = None
    """From Arrow's value to Protobuf's; None for messages, which are filled."""
    fill: Callable[[Any, Any], None] | None = None


class _Inside(NamedTuple):
    """Where in a message a part of it is."""

    names: tuple[str, ...]
    fields: Iterator[int]
    """Counts the fields of the whole."""


class Message:
    """A type of message. Raises SchemaError for one that holds itself: it has no end as a column."""

    def __init__(self, descriptor: Any, inside: _Inside | None = None) -> None:
        name = descriptor.full_name
        inside = inside or _Inside((), count())
        if name in inside.names:
            raise SchemaError(
                f"The message {name!r} holds itself, so it has no end as a column.",
                hint="Read the topic with payload='bytes'.",
            )
        inside = _Inside((*inside.names, name), inside.fields)
        self.fields = {field.name: _field(field, inside) for field in descriptor.fields}
        self.type = pa.struct([pa.field(name, one.type) for name, one in self.fields.items()])

    def row(self, message: Any) -> dict[str, Any]:
        """A message as a row."""
        return {name: field.get(message) for name, field in self.fields.items()}

    def fill(self, message: Any, row: Mapping[str, Any]) -> None:
        """Set the fields of a message; those without a value stay as they are."""
        for name, value in row.items():
            if name not in self.fields:
                raise ValueError(f"it has no field {name!r}")
            if value is not None:
                fill = self.fields[name].fill
                assert fill is not None
                fill(message, value)
        message.SetInParent()


def _field(field: Any, inside: _Inside) -> Value:
    """One field of a message: ``get`` reads it from the message, ``fill`` sets it there."""
    name = field.name
    if next(inside.fields) >= _MOST_FIELDS:
        raise SchemaError(f"The message {inside.names[0]!r} has more than {_MOST_FIELDS:,} fields.")
    if field.message_type is not None and field.message_type.GetOptions().map_entry and _repeated(field):
        return _map(field, inside)
    one = _value(field, inside)
    if _repeated(field):
        return Value(
            pa.list_(one.type), lambda m: [one.get(v) for v in getattr(m, name)], None, _extend(name, one)
        )
    if field.has_presence:
        return Value(
            one.type, lambda m: one.get(getattr(m, name)) if m.HasField(name) else None, None, _set(name, one)
        )
    return Value(one.type, lambda m: one.get(getattr(m, name)), None, _set(name, one))


def _repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED) if found is None else bool(found)


def _map(field: Any, inside: _Inside) -> Value:
    key = _value(field.message_type.fields_by_name["key"], inside)
    value = _value(field.message_type.fields_by_name["value"], inside)
    name = field.name

    def get(message: Any) -> list[tuple[Any, Any]]:
        return [(key.get(k), value.get(v)) for k, v in sorted(getattr(message, name).items())]

    def fill(message: Any, pairs: Any) -> None:
        into = getattr(message, name)
        for k, v in dict(pairs).items():
            if value.put is not None:
                into[k] = value.put(v)
            elif value.fill is not None:
                value.fill(into[k], v)

    return Value(pa.map_(key.type, value.type), get, None, fill)


def _set(name: str, one: Value) -> Callable[[Any, Any], None]:
    def fill(message: Any, value: Any) -> None:
        if one.put is not None:
            setattr(message, name, one.put(value))
        elif one.fill is not None:
            one.fill(getattr(message, name), value)

    return fill


def _extend(name: str, one: Value) -> Callable[[Any, Any], None]:
    def fill(message: Any, values: Any) -> None:
        into = getattr(message, name)
        for value in values:
            if one.put is not None:
                into.append(one.put(value))
            elif one.fill is not None:
                one.fill(into.add(), value)

    return fill


def _value(field: Any, inside: _Inside) -> Value:
    """A value of a field's type, be it repeated or not."""
    if field.type in (_MESSAGE, _GROUP):
        known = _WELL_KNOWN.get(field.message_type.full_name)
        if known is not None:
            return known()
        if field.message_type.full_name in _WRAPPERS:
            return _wrapper(field.message_type)
        message = Message(field.message_type, inside)
        return Value(message.type, message.row, None, message.fill)
    if field.type == _ENUM:
        names = field.enum_type.values_by_number
        numbers = field.enum_type.values_by_name

        def name_of(number: int) -> str:
            return str(names[number].name) if number in names else str(number)

        def number_of(text: str) -> int:
            return int(numbers[text].number) if text in numbers else int(text)

        return Value(_SCALARS[_ENUM], name_of, number_of)
    return Value(_SCALARS[field.type], _same, _same)


def _same(value: Any) -> Any:
    return value


def _wrapper(descriptor: Any) -> Value:
    """A message around one scalar, so that it can be missing."""
    inner = _SCALARS[descriptor.fields_by_name["value"].type]

    def fill(message: Any, value: Any) -> None:
        message.value = value
        message.SetInParent()

    return Value(inner, lambda message: message.value, None, fill)


def _instant() -> Value:
    def fill(message: Any, value: Any) -> None:
        message.FromNanoseconds(_nanoseconds(value, pa.timestamp("ns", "UTC")))

    return Value(pa.timestamp("ns", "UTC"), lambda m: m.seconds * _SECOND + m.nanos, None, fill)


def _duration() -> Value:
    def fill(message: Any, value: Any) -> None:
        message.FromNanoseconds(_nanoseconds(value, pa.duration("ns")))

    return Value(pa.duration("ns"), lambda m: m.seconds * _SECOND + m.nanos, None, fill)


def _nanoseconds(value: Any, kind: Any) -> int:
    return int(pa.array([value], kind).cast(pa.int64())[0].as_py())


def _json() -> Value:
    form = require("google.protobuf.json_format", "Reading Protocol Buffers")

    def fill(message: Any, text: str) -> None:
        form.Parse(text, message)

    return Value(pa.string(), lambda m: form.MessageToJson(m, indent=None), None, fill)


_WELL_KNOWN: dict[str, Callable[[], Value]] = {
    "google.protobuf.Timestamp": _instant,
    "google.protobuf.Duration": _duration,
    **{f"google.protobuf.{name}": _json for name in ("Struct", "Value", "ListValue")},
}
_WRAPPERS = {
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
