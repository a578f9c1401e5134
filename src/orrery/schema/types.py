"""Arrow types as text and back: nothing else is looked up by a name, and no code of a stranger is run.

The text is what Arrow prints, but that names of members with a bracket, comma, colon or quote are quoted as
in JSON (Arrow's own spelling of them cannot be read again). Of extension types, Arrow's own are kept; any
other is told by how it is stored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from orrery.errors import SchemaError

_PLAIN: dict[str, Any] = {
    **{str(kind): kind for kind in (pa.null(), pa.bool_(), pa.date32(), pa.date64())},
    **{name: getattr(pa, name)() for name in ("int8", "int16", "int32", "int64")},
    **{name: getattr(pa, name)() for name in ("uint8", "uint16", "uint32", "uint64")},
    **{name: getattr(pa, name)() for name in ("string", "large_string", "string_view", "utf8", "large_utf8")},
    **{name: getattr(pa, name)() for name in ("binary", "large_binary", "binary_view")},
    **{name: getattr(pa, name)() for name in ("float16", "float32", "float64", "bool_", "date32", "date64")},
    **{"halffloat": pa.float16(), "float": pa.float32(), "double": pa.float64()},
    "month_day_nano_interval": pa.month_day_nano_interval(),
}
_EXTENSIONS: dict[str, Any] = {"arrow.uuid": pa.uuid, "arrow.json": pa.json_, "arrow.bool8": pa.bool8}
_LISTS: dict[str, Any] = {
    "list": pa.list_,
    "large_list": pa.large_list,
    "list_view": pa.list_view,
    "large_list_view": pa.large_list_view,
}
_DECIMALS: dict[str, Any] = {str(n): getattr(pa, f"decimal{n}") for n in (32, 64, 128, 256)}
_CLOCKS: dict[str, Any] = {"duration": pa.duration, "time32": pa.time32, "time64": pa.time64}
_PLAIN_NAME = re.compile(r"(?! )[\w \-./%$#@+*]*(?<! )")
_MOST_TEXT = 1 << 20
_MOST_DEPTH = 16
_MOST_WIDTH = 1 << 24
"""Values, or bytes, that one row of a type of fixed size may hold."""


def parse_type(text: str) -> Any:
    """The Arrow type that Arrow, or :func:`type_text`, prints as ``text``. Raises SchemaError.

    >>> parse_type("list<item: fixed_size_list<item: float>[3]>")
    ListType(list<item: fixed_size_list<item: float>[3]>)
    """
    reader = _Reader(text.strip())
    made, fits = None, True
    try:
        if len(text) <= _MOST_TEXT:
            found = reader.type(0)
            reader.end()
            fits = _width(found) <= _MOST_WIDTH
            made = found
    except (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException):
        made = None
    if not fits:
        raise SchemaError(f"{text[:200]!r} holds more than {_MOST_WIDTH} values in each row.")
    if made is None:
        raise SchemaError(
            f"{text[:200]!r} is not a type that Orrery stores.", hint="Use the name that Arrow prints."
        )
    return made


def _width(kind: Any) -> int:
    """How many values, or bytes, each row of a type takes, whatever is in it."""
    if isinstance(kind, pa.BaseExtensionType):
        return _width(kind.storage_type)
    inner = sum(_width(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * max(inner, 1)
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return int(kind.byte_width)
    return max(inner, 1)


# --- to text


def type_text(kind: Any) -> str:
    """An Arrow type as text that :func:`parse_type` reads again.

    >>> type_text(pa.struct([("size, in m", pa.float64()), ("id", pa.int64())]))
    'struct<"size, in m": double, id: int64>'
    """
    if isinstance(kind, pa.BaseExtensionType):
        return _extension_text(kind)
    if pa.types.is_dictionary(kind):
        types = f"values={type_text(kind.value_type)}, indices={kind.index_type}"
        return f"dictionary<{types}, ordered={int(kind.ordered)}>"
    if not kind.num_fields:
        return str(kind)
    head = str(kind).partition("<")[0]
    if pa.types.is_map(kind):
        return _map_text(kind)
    if pa.types.is_run_end_encoded(kind):
        return f"{head}<run_ends: {kind.run_end_type}, values: {type_text(kind.value_type)}>"
    members = [_member_text(kind.field(i)) for i in range(kind.num_fields)]
    if pa.types.is_union(kind):
        members = [f"{member}={code}" for member, code in zip(members, kind.type_codes, strict=True)]
    size = f"[{kind.list_size}]" if pa.types.is_fixed_size_list(kind) else ""
    return f"{head}<{', '.join(members)}>{size}"


def _member_text(field: Any) -> str:
    return f"{_name_text(field.name)}: {type_text(field.type)}{_null(field)}"


def _map_text(kind: Any) -> str:
    ends = ", keys_sorted" if kind.keys_sorted else ""
    return f"map<{type_text(kind.key_type)}, {type_text(kind.item_type)}{_null(kind.item_field)}{ends}>"


def _null(field: Any) -> str:
    return "" if field.nullable else " not null"


def _name_text(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _extension_text(kind: Any) -> str:
    name, stored = kind.extension_name, kind.storage_type
    if name == "arrow.fixed_shape_tensor":
        said = f"value_type={type_text(kind.value_type)}, shape=[{_listed(kind.shape)}]"
        said += f", permutation=[{_listed(kind.permutation)}]" if kind.permutation else ""
        said += f", dim_names=[{_listed(map(_name_text, kind.dim_names))}]" if kind.dim_names else ""
        return f"extension<{name}[{said}]>"
    if name == "arrow.json" and not pa.types.is_string(stored):
        return f"extension<{name}[storage_type={stored}]>"
    return f"extension<{name}>" if name in _EXTENSIONS else type_text(stored)


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


# --- from text


class _Reader:
    """Reads a type from left to right. Raises ValueError, KeyError, and what Arrow raises."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def type(self, depth: int) -> Any:
        """The type that begins here."""
        if depth > _MOST_DEPTH:
            raise ValueError("too deep")
        head = self._match(r"[a-z_]+(?:8|16|32|64|128|256)?")[0]
        if self._take("<"):
            nested = _NESTED.get(head)
            return nested(self, depth + 1) if nested else self._list(head, depth + 1)
        if self._take("["):
            return _sized(head, self._match(r"([^\]]{0,120})\]")[1])
        if self._take("("):
            digits = self._match(r"(\d{1,2}), (-?\d{1,2})\)")
            return _DECIMALS[head.removeprefix("decimal")](int(digits[1]), int(digits[2]))
        return _PLAIN[head]

    def end(self) -> None:
        """Nothing may be left."""
        if self.at != len(self.text):
            raise ValueError("more text than a type")

    def _take(self, word: str) -> bool:
        found = self.text.startswith(word, self.at)
        self.at += len(word) if found else 0
        return found

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise ValueError(f"no {word}")

    def _match(self, pattern: str) -> re.Match[str]:
        found = re.compile(pattern).match(self.text, self.at)
        if not found:
            raise ValueError(f"no {pattern}")
        self.at = found.end()
        return found

    def _name(self) -> str:
        """A quoted name, or all up to the next colon."""
        if self.text.startswith('"', self.at):
            try:
                name, end = json.JSONDecoder().raw_decode(self.text, self.at)
            except ValueError:
                end = self.at
            if self.text.startswith(": ", end):
                self.at = end + 2
                return str(name)
        end = self.text.index(": ", self.at)
        name, self.at = self.text[self.at : end], end + 2
        return name

    def member(self, depth: int) -> Any:
        """A name, its type, and whether it may be null."""
        name = self._name()
        return pa.field(name, self.type(depth), nullable=not self._take(" not null"))

    def _list(self, head: str, depth: int) -> Any:
        fixed = head == "fixed_size_list"
        make = pa.list_ if fixed else _LISTS[head]
        item = self.member(depth)
        self._need(">")
        return make(item, int(self._match(r"\[(\d{1,9})\]")[1])) if fixed else make(item)

    def struct(self, depth: int) -> Any:
        """Members, separated by commas."""
        members: list[Any] = []
        while not self._take(">"):
            if members:
                self._match(r", *")
            members.append(self.member(depth))
        return pa.struct(members)

    def map(self, depth: int) -> Any:
        """Key and value, whose names do not count."""
        key = self.type(depth)
        self._match(r"( \('\w*'\))?, *")
        value = pa.field("value", self.type(depth), nullable=not self._take(" not null"))
        self._match(r"( \('\w*'\))?")
        ordered = self._take(", keys_sorted")
        self._match(r"( \('\w*'\))?>")
        make: Any = pa.map_
        return make(key, value, keys_sorted=ordered)

    def dictionary(self, depth: int) -> Any:
        """Values by their numbers."""
        self._need("values=")
        values = self.type(depth)
        self._need(", indices=")
        indices = self.type(depth)
        return pa.dictionary(indices, values, self._match(r", ordered=([01])>")[1] == "1")

    def runs(self, depth: int) -> Any:
        """Values with the ends of their runs."""
        self._need("run_ends: ")
        ends = self.type(depth)
        self._need(", values: ")
        made = pa.run_end_encoded(ends, self.type(depth))
        self._need(">")
        return made

    def union(self, depth: int, make: Callable[..., Any]) -> Any:
        """Members, each with its code."""
        members: list[Any] = []
        codes: list[int] = []
        while not self._take(">"):
            if members:
                self._match(r", *")
            members.append(self.member(depth))
            codes.append(int(self._match(r"=(\d{1,3})")[1]))
        return make(members, codes)

    def extension(self, depth: int) -> Any:
        """One of Arrow's own."""
        name = self._match(r"arrow\.\w+")[0]
        if name == "arrow.fixed_shape_tensor":
            made = self._tensor(depth)
        elif name == "arrow.json" and self._take("[storage_type="):
            made = pa.json_(self.type(depth))
            self._need("]")
        else:
            made = _EXTENSIONS[name]()
        self._need(">")
        return made

    def _tensor(self, depth: int) -> Any:
        self._need("[value_type=")
        value = self.type(depth)
        numbers = r"=\[(\d{0,9}(?:,\d{1,9}){0,31})\]"
        shape = [int(n) for n in self._match(r", shape" + numbers)[1].split(",") if n]
        turned = self._match(r"(?:, permutation" + numbers + ")?")[1]
        names = [] if not self._take(", dim_names=[") else self._dimensions(len(shape))
        self._need("]")
        if not shape or math.prod(shape) * _width(value) > _MOST_WIDTH:
            raise ValueError("too many values")
        order = [int(n) for n in turned.split(",")] if turned else None
        return pa.fixed_shape_tensor(value, shape, dim_names=names or None, permutation=order)

    def _dimensions(self, count: int) -> list[str]:
        """Names of axes, the odd ones quoted."""
        names: list[str] = []
        while len(names) < count:
            if names:
                self._need(",")
            found = self._match(r'"(?:[^"\\]|\\.)*"|[^,\]]*')[0]
            names.append(str(json.loads(found)) if found.startswith('"') else found)
        self._need("]")
        return names


_NESTED: dict[str, Callable[[_Reader, int], Any]] = {
    "struct": _Reader.struct,
    "map": _Reader.map,
    "dictionary": _Reader.dictionary,
    "run_end_encoded": _Reader.runs,
    "dense_union": lambda reader, depth: reader.union(depth, pa.dense_union),
    "sparse_union": lambda reader, depth: reader.union(depth, pa.sparse_union),
    "extension": _Reader.extension,
}


def _sized(head: str, inner: str) -> Any:
    """Types with a unit or a size in brackets."""
    if head == "fixed_size_binary" and re.fullmatch(r"\d{1,9}", inner):
        return pa.binary(int(inner))
    if head == "timestamp" and (found := re.fullmatch(r"(s|ms|us|ns)(?:, tz=([\w/:+-]{1,100}))?", inner)):
        return pa.timestamp(found[1], found[2])
    if head in ("date32", "date64"):
        return _PLAIN[f"{head}[{inner}]"]
    if not re.fullmatch(r"s|ms|us|ns", inner):
        raise ValueError("no such unit")
    return _CLOCKS[head](inner)
