"""Avro schemas as Arrow types and back, and what of a schema would let a small message grow without end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from orrery.errors import SchemaError

_PLAIN: dict[str, Any] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LEAST = {"null": 0, "float": 4, "double": 8}
_WIDER = ("int", "long", "float", "double")
_LOGICAL: dict[tuple[str, str], Any] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    **{
        ("long", f"{local}timestamp-{word}"): pa.timestamp(unit, None if local else "UTC")
        for local in ("", "local-")
        for word, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
    },
}
_WRITTEN: dict[Any, Any] = {
    kind: {"type": name, "logicalType": said} for (name, said), kind in _LOGICAL.items()
}
_MOST_NODES = 20_000

Names = Mapping[str, Any]
"""The named types of a schema, as fastavro collects them."""


class Reading:
    """Walks a parsed schema. Raises SchemaError where a column of it could not be held or bounded."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._inside: list[str] = []
        self._nodes = 0

    def checked(self, schema: Any) -> Any:
        """The Arrow type of a schema that is safe to read messages with."""
        found = self.type(schema)
        self.least(schema)
        return found

    def type(self, schema: Any) -> Any:
        """The Arrow type of a schema.

        A union with null is its other type; one of several numbers the widest of them.
        """
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise SchemaError(f"The Avro schema has more than {_MOST_NODES:,} parts.")
        if isinstance(schema, list):
            return self._union(schema)
        name, settings = self._named(schema)
        if name in _PLAIN:
            return _logical(name, settings)
        if name == "array":
            return pa.list_(self.type(settings["items"]))
        if name == "map":
            return pa.map_(pa.string(), self.type(settings["values"]))
        if name == "enum":
            return pa.string()
        if name == "fixed":
            if int(settings["size"]) < 0:
                raise SchemaError(f"The Avro type {settings['name']!r} has {settings['size']} bytes.")
            decimal = settings.get("logicalType") == "decimal"
            return _decimal(settings) if decimal else pa.binary(int(settings["size"]))
        return self._record(settings)

    def _record(self, settings: Mapping[str, Any]) -> Any:
        self._enter(settings["name"])
        members = [pa.field(f["name"], self.type(f["type"])) for f in settings["fields"]]
        self._inside.pop()
        return pa.struct(members)

    def _enter(self, name: str) -> None:
        if name in self._inside:
            raise SchemaError(
                f"The Avro type {name!r} holds itself, so it has no end as a column.",
                hint="Read the topic with payload='bytes'.",
            )
        self._inside.append(name)

    def _union(self, branches: Sequence[Any]) -> Any:
        others = [branch for branch in branches if branch != "null"]
        if len(others) == 1:
            return self.type(others[0])
        if others and all(branch in _WIDER for branch in others):
            return _PLAIN["double" if {"long", "float"} <= {*others} else max(others, key=_WIDER.index)]
        told = [
            branch if isinstance(branch, str) else branch.get("name", branch["type"]) for branch in others
        ]
        raise SchemaError(
            f"An Avro union of {', '.join(told) or 'nothing'} is not one type, so it cannot be a column.",
            hint="Read the topic with payload='bytes'.",
        )

    def _named(self, schema: Any) -> tuple[str, Mapping[str, Any]]:
        """The sort of a type and its settings, looked up where it is a name."""
        if isinstance(schema, str) and schema not in _PLAIN:
            schema = self.names[schema]
        if isinstance(schema, str):
            return schema, {}
        kind = schema["type"]
        return (kind, schema) if isinstance(kind, str) and kind not in self.names else self._named(kind)

    def least(self, schema: Any) -> int:
        """The fewest bytes that a value takes.

        Items of an array that take none would let ten bytes of a message claim any number of them.
        """
        if isinstance(schema, list):
            for branch in schema:
                self.least(branch)
            return 1
        name, settings = self._named(schema)
        if name == "array" and self.least(settings["items"]) == 0:
            raise SchemaError(
                "An Avro array of items that take no bytes cannot be bounded.",
                hint="Read the topic with payload='bytes'.",
            )
        if name == "map":
            self.least(settings["values"])
        if name in ("record", "error"):
            return sum(self.least(f["type"]) for f in settings["fields"])
        return int(settings["size"]) if name == "fixed" else _LEAST.get(name, 1)


def _logical(name: str, settings: Mapping[str, Any]) -> Any:
    said = settings.get("logicalType")
    if name == "bytes" and said == "decimal":
        return _decimal(settings)
    return _LOGICAL.get((name, str(said)), _PLAIN[name])


def _decimal(settings: Mapping[str, Any]) -> Any:
    precision, scale = int(settings["precision"]), int(settings.get("scale", 0))
    if precision > 76:
        raise SchemaError(f"A decimal of {precision} digits cannot be held; 76 are the most.")
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def counted(schema: Any) -> Any:
    """A schema in which dates, times and instants are the numbers that Arrow, too, stores them as."""
    if isinstance(schema, list):
        return [counted(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain: dict[str, Any] = {
        key: counted(value) if key in _DEEPER else value for key, value in schema.items()
    }
    said = plain.get("logicalType")
    if said == "uuid" or (isinstance(plain["type"], str) and (plain["type"], said) in _LOGICAL):
        del plain["logicalType"]
    return plain


_DEEPER = ("type", "items", "values", "fields")


def written(schema: Any, name: str) -> dict[str, Any]:
    """An Avro schema for the columns of an Arrow schema, each of which may be null.

    >>> written(pa.schema({"id": pa.int64()}), "order")
    {'type': 'record', 'name': 'order', 'fields': [{'name': 'id', 'type': ['null', 'long'], 'default': None}]}
    """
    fields = [
        {"name": f.name, "type": ["null", _written(f.type, f"{name}_{f.name}")], "default": None}
        for f in schema
    ]
    return {"type": "record", "name": name, "fields": fields}


def _written(kind: Any, name: str) -> Any:
    if pa.types.is_struct(kind):
        return written(list(kind), name)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"type": "array", "items": ["null", _written(kind.value_type, name)]}
    if pa.types.is_map(kind):
        return {"type": "map", "values": ["null", _written(kind.item_type, name)]}
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if kind in _WRITTEN:
        return _WRITTEN[kind]
    for avro, arrow in (*_PLAIN.items(), *_NARROWER):
        if kind == arrow:
            return avro
    raise SchemaError(f"Avro has no type for {kind}.", hint="Cast the column with map() first.")


_NARROWER: tuple[tuple[str, Any], ...] = (
    *(("int", kind) for kind in (pa.int8(), pa.int16(), pa.uint8(), pa.uint16())),
    ("long", pa.uint32()),
    ("string", pa.large_string()),
    ("bytes", pa.large_binary()),
)
