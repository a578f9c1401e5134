"""One schema for files whose columns differ: a stated rule, or an error that names two of the files.

The rule: a column has the narrowest type that holds every value of all files. Whole numbers widen to whole
numbers; with a fraction in any file they are ``double``, as long as each number stays what it is; decimals
to more digits; a column that is all missing in one file takes the type of the others. Nothing else widens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from orrery.data import files
from orrery.errors import SchemaError, SettingsError, SourceError, listing

_MISSING = ("error", "null")


def checked(missing: str) -> str:
    """The setting ``missing``. Raises SettingsError."""
    if missing not in _MISSING:
        raise SettingsError(f"missing is {missing!r}; allowed are {listing(_MISSING)}.")
    return missing


def unified(schemas: Iterable[tuple[str, Any]], fill: bool) -> Any:
    """The columns of all files, in the order of the first; those that only later ones have, behind.

    Raises SchemaError where types do not widen, or, without ``fill``, where a file lacks a column.
    """
    fields: dict[str, Any] = {}
    origin: dict[str, str] = {}
    first, known, metadata = "", None, None
    for path, schema in schemas:
        if known is not None and schema.equals(known):
            continue
        if known is None:
            first, metadata = path, schema.metadata
        elif not fill and set(schema.names) != set(fields):
            raise SchemaError(
                f"{files.shown(path)} has the columns {_some(schema.names)}, but {files.shown(first)} "
                f"has {_some(fields)}.",
                hint="Read them as two tables, or with missing='null'.",
            )
        known = schema
        for field in schema:
            if field.name not in fields:
                fields[field.name], origin[field.name] = field, path
            elif fields[field.name].type != field.type:
                fields[field.name] = _wider(fields[field.name], field, origin[field.name], path)
    return pa.schema(list(fields.values()), metadata)


def _some(names: Iterable[str]) -> list[str]:
    every = list(names)
    return every if len(every) <= 20 else [*every[:20], f"… {len(every)} in all"]


def _wider(left: Any, right: Any, first: str, second: str) -> Any:
    """The field that holds the values of both. Raises SchemaError."""
    kind = wider_type(left.type, right.type)
    if kind is None:
        raise SchemaError(
            f"The column {left.name!r} is {left.type} in {files.shown(first)}, "
            f"but {right.type} in {files.shown(second)}.",
            hint="Read them as two tables, or write one of them again.",
        )
    return left.with_type(kind)


def wider_type(left: Any, right: Any) -> Any:
    """The narrowest type that holds the values of two, or None.

    >>> wider_type(pa.int16(), pa.uint16()), wider_type(pa.int64(), pa.float32())
    (DataType(int32), DataType(double))
    >>> wider_type(pa.string(), pa.int64())
    """
    types = pa.types
    if left == right or types.is_null(right):
        return left
    if types.is_null(left):
        return right
    numbers = [types.is_integer(kind) or types.is_floating(kind) for kind in (left, right)]
    if all(numbers) and types.is_floating(left) != types.is_floating(right):
        return pa.float64()
    try:
        schemas = [pa.schema([("", kind)]) for kind in (left, right)]
        merged = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    if {str(left), str(right)} == {"int64", "uint64"} or "uint64" in (str(left), str(right)):
        return pa.uint64() if types.is_unsigned_integer(left) and types.is_unsigned_integer(right) else None
    same_sort = types.is_temporal(left) == types.is_temporal(right) and not any(
        types.is_string(kind) or types.is_large_string(kind) for kind in (left, right)
    )
    texts = all("string" in str(kind) for kind in (left, right))
    return merged if same_sort or texts else None


def usual(field: Any) -> Any:
    """A field whose lists name their items as Arrow does; files of others call them ``element``."""
    return field.with_type(_usual(field.type))


def _usual(kind: Any) -> Any:
    types = pa.types
    if types.is_struct(kind):
        return pa.struct([usual(kind.field(i)) for i in range(kind.num_fields)])
    if types.is_fixed_size_list(kind):
        return pa.list_(usual(kind.value_field).with_name("item"), kind.list_size)
    if types.is_list(kind):
        return pa.list_(usual(kind.value_field).with_name("item"))
    if types.is_large_list(kind):
        return pa.large_list(usual(kind.value_field).with_name("item"))
    return kind


def widened(array: Any, field: Any, shown: str) -> Any:
    """The values in the type of all files. Raises SourceError where one would become another value."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if array.type == field.type:
        return array
    try:
        return array.cast(field.type)
    except pa.ArrowException as error:
        raise SourceError(
            f"{shown}: the column {field.name!r} is {array.type}, and cannot be read as {field.type}, "
            f"which other files have: {error}."
        ) from None
