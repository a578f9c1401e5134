"""Columns: names, Arrow types, kinds, shapes. What a table has and what a model asks for.

The *type* is how values are stored (``int64``, ``binary``); the *kind* is what they mean (``image``,
``category``), which decides how they become features.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from orrery.errors import SchemaError, UnknownColumnError
from orrery.schema.types import parse_type as parse_type
from orrery.schema.types import type_text as type_text
from orrery.spec import Spec


class Kind(StrEnum):
    """What the values of a column mean; ``docs/concepts/kinds.md`` has a table of them.

    >>> Kind("set") is Kind.LABELS
    True
    """

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    DATETIME = "datetime"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    VECTOR = "vector"  # numbers, as many in each row
    TENSOR = "tensor"  # numbers in rows and columns, or deeper; of one shape or of many
    SERIES = "series"  # numbers one after another in time, as many as there are
    LABELS = "labels"  # several categories in one row: a set
    MAP = "map"  # names with a value each: {"colour": "red", "weight": 3}
    GEO = "geo"  # a place on earth: latitude and longitude in degrees
    KEY = "key"  # names a row: kept beside predictions, never learnt from

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        return cls.LABELS if value == "set" else None


class Field(Spec):
    """One column.

    >>> Field(name="age", type="int64", kind="number").arrow()
    pyarrow.Field<age: int64>
    """

    name: str
    type: str
    """The Arrow type, as Arrow prints it: ``int64``, ``list<item: float>``, ``timestamp[us, tz=UTC]``; odd
    names of members are quoted (``types.type_text``)."""
    kind: Kind | None = None
    nullable: bool = True
    shape: tuple[int, ...] | None = None
    """Of one value, where it has a fixed one: ``(784,)`` for a vector, ``(8, 8)`` for a picture."""

    @classmethod
    def of(cls, field: Any) -> Self:
        """From an Arrow field; the kind comes from its metadata where there is one."""
        meta = field.metadata or {}
        kind = meta.get(b"orrery.kind")
        shape = meta.get(b"orrery.shape")
        return cls(
            name=field.name,
            type=type_text(field.type),
            kind=Kind(kind.decode()) if kind else None,
            nullable=field.nullable,
            shape=tuple(int(n) for n in shape.split(b",") if n) if shape else None,
        )

    def arrow(self) -> Any:
        """The Arrow field, kind and shape in its metadata."""
        meta = {}
        if self.kind is not None:
            meta["orrery.kind"] = self.kind.value
        if self.shape is not None:
            meta["orrery.shape"] = ",".join(str(n) for n in self.shape)
        return pa.field(self.name, parse_type(self.type), self.nullable, meta or None)


class Schema(Spec):
    """The columns of a table, in order; names are unique.

    >>> s = Schema.of(pa.schema({"a": pa.int64(), "b": pa.string()}))
    >>> s.names
    ('a', 'b')
    >>> s["b"].type
    'string'
    """

    fields: tuple[Field, ...] = ()

    @classmethod
    def of(cls, schema: Any) -> Self:
        """From an Arrow schema. Raises SchemaError where two columns have one name."""
        names = schema.names
        twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise SchemaError(
                f"Two columns have the same name: {', '.join(map(repr, twice))}.", hint="Rename one of them."
            )
        return cls(fields=tuple(Field.of(field) for field in schema))

    def arrow(self) -> Any:
        """The Arrow schema."""
        return pa.schema([field.arrow() for field in self.fields])

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    def __getitem__(self, name: str) -> Field:
        if name not in self._by_name:
            raise UnknownColumnError(name, self.names)
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self.fields)

    def each(self) -> Iterator[Field]:
        """The fields, in order."""
        return iter(self.fields)

    def select(self, names: tuple[str, ...] | list[str]) -> Schema:
        """Some columns, in the order asked for. Raises UnknownColumnError."""
        return Schema(fields=tuple(self[name] for name in names))

    def without(self, *names: str) -> Schema:
        """All columns but some."""
        return Schema(fields=tuple(f for f in self.fields if f.name not in names))

    def with_kinds(self, kinds: dict[str, Kind]) -> Schema:
        """The same columns with some kinds set. Raises UnknownColumnError."""
        for name in kinds:
            _ = self[name]
        return Schema(
            fields=tuple(f.replace(kind=kinds[f.name]) if f.name in kinds else f for f in self.fields)
        )
