"""Columns: names, Arrow types, kinds, shapes. What a table has and what a model asks for.

The *type* is how values are stored (``int64``, ``binary``); the *kind* is what they mean (``image``,
``category``), which decides how they become features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from orrery.errors import SchemaError, UnknownColumnError
from orrery.spec import Spec


class Kind(StrEnum):
    """What the values of a column mean."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    DATETIME = "datetime"
    IMAGE = "image"
    VECTOR = "vector"
    LABELS = "labels"  # several categories in one row: a list of strings
    KEY = "key"  # names a row: kept beside predictions, never learnt from


class Field(Spec):
    """One column.

    >>> Field(name="age", type="int64", kind="number").arrow()
    pyarrow.Field<age: int64>
    """

    name: str
    type: str
    """The Arrow type, as Arrow prints it: ``int64``, ``list<item: float>``, ``timestamp[us, tz=UTC]``."""
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
            type=str(field.type),
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


_ALIASES = {"double": "float64", "float": "float32", "halffloat": "float16", "bool": "bool_"}


def parse_type(text: str) -> Any:
    """The Arrow type that Arrow prints as ``text``. Raises SchemaError for what Orrery does not store.

    >>> parse_type("list<item: fixed_size_list<item: float>[3]>")
    ListType(list<item: fixed_size_list<item: float>[3]>)
    """
    text = text.strip()
    nested = re.fullmatch(r"(large_list|list|fixed_size_list)<\w*: (.+?)(?: not null)?>(?:\[(\d+)\])?", text)
    if nested:
        inner = parse_type(nested[2])
        if nested[1] == "fixed_size_list":
            return pa.list_(inner, int(nested[3]))
        return pa.large_list(inner) if nested[1] == "large_list" else pa.list_(inner)
    if found := re.fullmatch(r"timestamp\[(\w+)(?:, tz=(.+))?\]", text):
        return pa.timestamp(found[1], found[2])
    if found := re.fullmatch(r"(duration|time32|time64)\[(\w+)\]", text):
        return getattr(pa, found[1])(found[2])
    if found := re.fullmatch(r"decimal(128|256)\((\d+), (-?\d+)\)", text):
        return getattr(pa, f"decimal{found[1]}")(int(found[2]), int(found[3]))
    if found := re.fullmatch(r"fixed_size_binary\[(\d+)\]", text):
        return pa.binary(int(found[1]))
    if found := re.fullmatch(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>", text):
        return pa.dictionary(parse_type(found[2]), parse_type(found[1]), found[3] == "1")
    if found := re.fullmatch(r"struct<(.*)>", text):
        return pa.struct([_parse_member(part) for part in _split_top(found[1])])
    if found := re.fullmatch(r"map<(.+)>", text):
        key, value = _split_top(found[1])[:2]
        return pa.map_(parse_type(key), parse_type(value))
    name = re.sub(r"\[\w+\]$", "", text) if text in {"date32[day]", "date64[ms]"} else text
    make = getattr(pa, _ALIASES.get(name, name), None)
    try:
        made = make() if callable(make) else None
    except TypeError:
        made = None
    if not isinstance(made, pa.DataType):
        raise SchemaError(
            f"{text!r} is not a type that Orrery stores.", hint="Use the name that Arrow prints."
        )
    return made


def _parse_member(text: str) -> Any:
    name, _, rest = text.partition(": ")
    plain = rest.removesuffix(" not null")
    return pa.field(name, parse_type(plain), nullable=plain == rest)


def _split_top(text: str) -> list[str]:
    """Split at commas that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "<[(") - (c in ">])")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()] if text.strip() else []
