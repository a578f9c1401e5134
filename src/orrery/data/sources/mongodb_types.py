"""From MongoDB's documents to Arrow's columns: which there are, of which type, and which values fit.

======================================  ====================================================================
in the document                         in the column
======================================  ====================================================================
a document in a document                one column for each of its fields: ``address.city``, at any depth;
                                        with ``types={"address": "struct"}`` a struct
an array                                a list; of documents, a list of structs
missing, or null                        null
int32, int64                            int64; beside doubles, double, if a double can hold it exactly
double                                  double
Decimal128                              decimal, as many places as the sample has
string, bool                            string, bool
date                                    timestamp[ms, tz=UTC]
ObjectId                                string, 24 hexadecimal digits
binary                                  binary; a UUID (subtype 4) is a string
regex, timestamp, code, min/max key …   string: MongoDB's extended JSON
======================================  ====================================================================
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyarrow as pa

from orrery.data import values
from orrery.errors import SchemaError, listing
from orrery.extras import require
from orrery.schema import Field, Kind, parse_type, type_text

Document = dict[str, Any]
Path = tuple[str, ...]

TIME = pa.timestamp("ms", "UTC")
_PLAIN = {str, int, float, bool, type(None), bytes}
_EXACT = 2**53  # whole numbers up to this are doubles too
_ACCEPTED: dict[str, set[type]] = {
    "int": {int, float},
    "double": {int, float},
    "decimal": {int, decimal.Decimal},
    "text": {str},
    "time": {dt.datetime},
    "bool": {bool},
    "bytes": {bytes},
}
_LIKE: dict[str, type] = {"Int64": int, "Decimal128": decimal.Decimal, "Binary": bytes}
_SORT_OF_PIN = {"int64": "int", "double": "double", "bool": "bool", str(TIME): "time", "binary": "bytes"}


@dataclass(frozen=True)
class Column:
    """What a field of the documents becomes.

    >>> Column(("age",), pa.int64(), "int").array([3, None, "old", 2.5])[1]
    [2, 3]
    """

    path: Path
    type: Any
    sort: str = ""
    """What the values are: int, double, decimal, text, time, oid, bool, bytes;
    empty for lists, structs, and where several sorts are let in."""
    kind: Kind | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        return ".".join(self.path)

    @property
    def can_be_asked(self) -> bool:
        """Whether a filter or a projection can name it."""
        return all(part and "." not in part and not part.startswith("$") for part in self.path)

    def compared(self, collated: bool) -> str:
        """The sort that a filter compares it as; nothing where MongoDB might mean something else."""
        known = self.sort if self.can_be_asked and self.sort != "bytes" else ""
        return "" if collated and known == "text" else known

    def field(self) -> Field:
        """The column in a schema."""
        return Field(name=self.name, type=type_text(self.type), kind=self.kind)

    def array(self, found: Sequence[Any]) -> tuple[Any, list[int]]:
        """Values as they came out of documents as an array, and the positions of those that do not fit."""
        wrong = [] if self._fits(found) else [i for i, value in enumerate(found) if not self._fits([value])]
        if wrong:
            left_out = set(wrong)
            found = [None if i in left_out else value for i, value in enumerate(found)]
        change = _text if not self.sort and pa.types.is_string(self.type) else plain
        made, more = values.to_array([change(value) for value in found], self.type)
        return made, sorted({*wrong, *more})

    def _fits(self, found: Sequence[Any]) -> bool:
        types = set(map(type, found)) - {type(None)}
        if self.sort == "oid":
            return types <= {require("bson", "Reading MongoDB").ObjectId}
        if self.sort:
            types = {_LIKE.get(t.__name__, t) for t in types}
            if not types <= _ACCEPTED[self.sort]:
                return False
        if pa.types.is_integer(self.type) and float in types:  # Arrow would cut off what is behind the point
            return all(value.is_integer() for value in found if type(value) is float)
        if pa.types.is_floating(self.type) and types - {float}:
            return all(abs(v) <= _EXACT or int(float(v)) == v for v in found if isinstance(v, int))
        return not _has_structs(self.type) or all(_has_room(v, self.type) for v in map(plain, found))


def plain(value: Any) -> Any:
    """A value as Python and Arrow know it."""
    return value if type(value) in _PLAIN else _special(value)


def _special(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return value if set(map(type, value)) <= _PLAIN else [plain(each) for each in value]
    change = _changes().get(type(value).__name__)
    if change is not None:
        return change(value)
    if isinstance(value, dt.datetime):
        return value
    return _as_json(value)


def _text(value: Any) -> Any:
    """A value for a column of text that takes anything."""
    value = plain(value)
    return _as_json(value) if isinstance(value, (bytes, dict, list, dt.datetime, decimal.Decimal)) else value


@cache
def _changes() -> dict[str, Callable[[Any], Any]]:
    return {
        "ObjectId": str,
        "Int64": int,
        "Decimal128": lambda value: value.to_decimal(),
        "Binary": lambda value: str(value.as_uuid()) if value.subtype == 4 else bytes(value),
        "DatetimeMS": lambda value: f"{int(value)} ms",  # beyond the year 9999: no date of Arrow's in Python
    }


def _as_json(value: Any) -> str:
    text = require("bson.json_util", "Reading MongoDB")
    return str(text.dumps(value, json_options=text.CANONICAL_JSON_OPTIONS))


def _has_structs(kind: Any) -> bool:
    return pa.types.is_struct(kind) or any(_has_structs(kind.field(i).type) for i in range(kind.num_fields))


def _has_room(value: Any, kind: Any) -> bool:
    """Whether a nested type has a place for every field of a value: Arrow would drop the others."""
    if isinstance(value, list) and pa.types.is_list(kind):
        return all(_has_room(each, kind.value_type) for each in value)
    if isinstance(value, dict) and pa.types.is_struct(kind):
        names = {f.name for f in kind}
        return set(value) <= names and all(_has_room(v, kind.field(n).type) for n, v in value.items())
    return True


@dataclass
class _Seen:
    """What a sample has at one path."""

    leaves: list[Any] = field(default_factory=list)
    documents: int = 0


def decide(sample: Sequence[Document], types: Mapping[str, str], place: str) -> list[Column]:
    """The columns of a sample of documents, in the order that the documents have; pinned ones may follow.

    Raises SchemaError where a column's values are of several sorts.
    """
    seen: dict[Path, _Seen] = {}
    order: list[Path] = []
    whole = {name for name, kind in types.items() if kind.startswith("struct")}
    for document in sample:
        before: Path | None = None
        for path, value in _walk(document, (), whole):
            if path not in seen:
                order.insert(0 if before is None else order.index(before) + 1, path)
            before = path
            at = seen.setdefault(path, _Seen())
            if value is _DOCUMENT:
                at.documents += 1
            else:
                at.leaves.append(value)
    columns = [_column(path, seen[path], types, place) for path in order if _is_leaf(path, seen, place)]
    known = {column.name for column in columns}
    if len(known) < len(columns):
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(
            f"{place} has fields with a dot in their name: {listing(twice)} could be two of them.",
            hint="Keep a document as it is: types={'name': 'struct'}.",
        )
    pins = [_pinned(tuple(name.split(".")), types[name]) for name in types if name not in known]
    if not sample and not any(pin.name == "_id" for pin in pins):
        pins.insert(0, Column(("_id",), pa.string(), "oid", Kind.KEY))
    return [*columns, *pins]


_DOCUMENT = object()


def _walk(document: Document, above: Path, whole: set[str]) -> Iterator[tuple[Path, Any]]:
    for name, value in document.items():
        path = (*above, name)
        if isinstance(value, dict) and ".".join(path) not in whole:
            yield path, _DOCUMENT
            yield from _walk(value, path, whole)
        else:
            yield path, value


def _is_leaf(path: Path, seen: Mapping[Path, _Seen], place: str) -> bool:
    """Whether a path is a column. Raises SchemaError where it is as often a document as not."""
    return not _is_document(seen[path], path, place) and all(
        _is_document(seen[path[:depth]], path[:depth], place) for depth in range(1, len(path))
    )


def _is_document(at: _Seen, path: Path, place: str) -> bool:
    if not at.documents:
        return False
    counts = {"object": at.documents, **_counts(at.leaves)}
    sort = values.dominant(counts)
    if sort is None:
        raise values.mixed(".".join(path), place, counts)
    return sort == "object"


def _counts(found: Sequence[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in found:
        if value is not None:
            counts[_sort_of(value)] = counts.get(_sort_of(value), 0) + 1
    return counts


def _sort_of(value: Any) -> str:
    if type(value).__name__ == "ObjectId":
        return "oid"
    known = {dt.datetime: "time", decimal.Decimal: "decimal"}
    made = plain(value)
    if type(made) is str and type(value) is not str:
        return "other"
    return known.get(type(made)) or values.sort_of(made)


def _column(path: Path, at: _Seen, types: Mapping[str, str], place: str) -> Column:
    name = ".".join(path)
    if name in types and types[name] != "struct":
        return _pinned(path, types[name])
    kind = Kind.KEY if path == ("_id",) else None
    counts = _counts(at.leaves)
    if not counts:
        return Column(path, pa.string(), "text", kind)
    sort = _common(counts)
    if sort is None and kind is None:
        raise values.mixed(name, place, counts)
    if sort in (None, "other"):
        return Column(path, pa.string(), "", kind)  # of an _id, which may be anything, the text too
    fitting = [plain(v) for v in at.leaves if v is not None and _sort_of(v) in _ALIKE.get(sort, {sort})]
    if sort in _TYPES:
        return Column(path, _TYPES[sort], sort, kind)
    if sort == "decimal":
        return Column(path, _decimal(fitting), sort, kind)
    return Column(path, _nested(fitting, name, place), "", kind)


_TYPES = {
    "int": pa.int64(),
    "double": pa.float64(),
    "text": pa.string(),
    "oid": pa.string(),
    "time": TIME,
    "bool": pa.bool_(),
    "bytes": pa.binary(),
}
_ALIKE = {"double": {"int", "float"}, "decimal": {"int", "decimal"}}


def _common(counts: Mapping[str, int]) -> str | None:
    """The sort of a column, of which a few values of other sorts are bad ones; None where they are many."""
    if set(counts) == {"int", "decimal"}:
        return "decimal"
    sort = values.dominant(dict(counts))
    if sort == "number":
        return "double" if "float" in counts else "int"
    return sort


def _decimal(found: Sequence[Any]) -> Any:
    """Room for the places of a sample behind the point, and for as many as fit before it."""
    finite = [d for d in map(decimal.Decimal, found) if d.is_finite()]
    behind = max((-int(d.as_tuple().exponent) for d in finite), default=0)
    before = max((d.adjusted() + 1 for d in finite), default=1)
    behind, before = max(behind, 0), max(before, 1)
    return pa.decimal128(38, behind) if before + behind <= 38 else pa.decimal256(76, min(behind, 76))


def _nested(found: Sequence[Any], name: str, place: str) -> Any:
    try:
        return _filled(pa.array(found).type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"The column {name!r} of {place} cannot be stored: {str(error).splitlines()[0]}.",
            hint=f"Give its type: types={{{name!r}: 'list<item: string>'}}.",
        ) from None


def _filled(kind: Any) -> Any:
    """A type in which what the sample only had as null is text."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_filled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _filled(f.type)) for f in kind])
    return kind


def _pinned(path: Path, given: str) -> Column:
    """A column as the user wants it; what is text takes anything."""
    kind = Kind.KEY if path == ("_id",) else None
    made = parse_type(given)
    return Column(path, made, _SORT_OF_PIN.get(str(made), ""), kind)
