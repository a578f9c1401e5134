"""Grok: regular expressions made of named patterns, which turn lines of text into columns.

``%{IP:client}`` is the pattern ``IP``, its text the column ``client``; ``%{INT:bytes:int}`` is a whole
number; ``int``, ``float`` and ``time`` are the types. Expressions are RE2's, so that the time they take grows
with the length of a line and never faster: there is no looking ahead or behind, and no reference back.

Source: the pattern language of Logstash's grok filter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from orrery.data import cells
from orrery.data.grok_patterns import PATTERNS
from orrery.errors import SettingsError, did_you_mean, listing

_MOST_LENGTH = 50_000
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|%\{(?P<use>[^{}]*)\}|\(\?P?<(?![=!])(?P<name>[^>]*)>|"
    r"(?P<look>\(\?<?[=!])|(?P<atomic>\(\?>)|(?P<open>\((?!\?))",
    re.DOTALL,
)
"""What matters in an expression: all else is copied."""


class Bad(NamedTuple):
    """Why a text gives no row."""

    column: str | None
    value: str
    reason: str


@dataclass(frozen=True)
class Column:
    """A column: the groups whose text it is (the first that took part), and how that becomes a value."""

    name: str
    groups: tuple[str, ...]
    type: Any
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Grok:
    """A compiled pattern."""

    text: str
    expression: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> Any:
        """The columns, as an Arrow schema."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    def parse(self, texts: Any) -> tuple[list[Any], dict[int, Bad]]:
        """The columns of some texts (an Arrow array), and those that are of no row. Empty text is missing."""
        found = pc.extract_regex(texts, self.expression)
        bad = {
            i: Bad(None, texts[i].as_py() or "", "does not fit the pattern")
            for i in pc.indices_nonzero(found.is_null()).to_pylist()
        }
        arrays = []
        for column in self.columns:
            text = _first_of([found.field(group) for group in column.groups])
            array, wrong = _values(text, column)
            for i in wrong:
                if i not in bad:
                    bad[i] = Bad(column.name, text[i].as_py(), f"is not {column.type}")
            arrays.append(array)
        return arrays, bad


def compiled(text: str, own: Mapping[str, str] | None = None) -> Grok:
    """A pattern, with patterns of one's own beside those there are. Raises SettingsError.

    >>> compiled("%{WORD:who} owes %{INT:much:int}").parse(pa.array(["Ann owes 5", "?"]))[0][1].to_pylist()
    [5, None]
    """
    reading = _Reading({**PATTERNS, **(own or {})})
    expression = reading.expanded(text, ())
    if not reading.columns:
        raise SettingsError(
            f"The pattern {text!r} names no column.", hint="Name them: %{IP:client} %{INT:bytes:int}."
        )
    columns = tuple(_column(name, groups, sort) for name, (groups, sort) in reading.columns.items())
    made = Grok(text, rf"\A(?:{expression})\z", columns)
    try:
        pc.extract_regex(pa.array([""]), made.expression)
    except pa.ArrowException as error:
        raise SettingsError(
            f"The pattern {text!r} is no regular expression of RE2: {str(error).splitlines()[0]}."
        ) from None
    return made


class _Reading:
    """Puts named patterns in their places, and collects the columns."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self.patterns = patterns
        self.columns: dict[str, tuple[tuple[str, ...], str]] = {}
        self._groups = 0

    def expanded(self, text: str, inside: tuple[str, ...]) -> str:
        """The expression of a pattern, all of its groups named."""
        parts: list[str] = []
        at = 0
        for token in _TOKEN.finditer(text):
            parts += [text[at : token.start()], self._token(token, text, inside)]
            at = token.end()
        found = "".join([*parts, text[at:]])
        if len(found) > _MOST_LENGTH:
            raise SettingsError(f"A pattern becomes longer than {_MOST_LENGTH:,} characters.")
        return found

    def _token(self, token: re.Match[str], text: str, inside: tuple[str, ...]) -> str:
        if token["use"] is not None:
            return self._used(token["use"], inside)
        if token["name"] is not None:
            return f"(?P<{self._group(token['name'], 'text')}>"
        if token["look"] is not None:
            raise SettingsError(
                f"The pattern {text!r} looks ahead or behind, which takes unbounded time.",
                hint="Say what stands there instead.",
            )
        return "(?:" if token["atomic"] or token["open"] else token[0]

    def _used(self, use: str, inside: tuple[str, ...]) -> str:
        name, _, rest = use.partition(":")
        column, _, sort = rest.partition(":")
        if name not in self.patterns:
            raise SettingsError(
                f"There is no pattern {name!r}.", hint=did_you_mean(name, self.patterns) or _OWN
            )
        if name in inside:
            raise SettingsError(f"The pattern {name!r} holds itself.")
        group = self._group(column, f"time of {name}" if sort == "time" else sort or "text") if column else ""
        body = self.expanded(self.patterns[name], (*inside, name))
        return f"(?P<{group}>{body})" if group else f"(?:{body})"

    def _group(self, column: str, sort: str) -> str:
        groups, before = self.columns.get(column, ((), sort))
        if before != sort:
            raise SettingsError(f"The column {column!r} is {before} here and {sort} there.")
        self._groups += 1
        group = f"g{self._groups}"
        self.columns[column] = ((*groups, group), sort)
        return group


_OWN = "Give your own: patterns={'NAME': 'expression'}."


def _column(name: str, groups: tuple[str, ...], sort: str) -> Column:
    if sort.startswith("time of "):
        kind, convert = _TIMES.get(sort.removeprefix("time of "), _TIMES["TIMESTAMP_ISO8601"])
        return Column(name, groups, kind, convert)
    types: dict[str, Any] = {
        "text": pa.string(),
        "string": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
    }
    if sort not in types:
        raise SettingsError(
            f"The column {name!r} cannot be of the type {sort!r}; there are {listing([*types, 'time'])}."
        )
    return Column(name, groups, types[sort])


def _first_of(texts: list[Any]) -> Any:
    """The text of the group that took part; null where none did, or where it is empty."""
    found = [pc.if_else(pc.equal(text, pa.scalar("")), pa.scalar(None, pa.string()), text) for text in texts]
    return found[0] if len(found) == 1 else pc.coalesce(*found)


def _values(text: Any, column: Column) -> tuple[Any, list[int]]:
    """The text as values, and the positions of what is none."""
    if pa.types.is_string(column.type):
        return text, []
    if column.convert is None:
        return cells.convert(text.cast(pa.binary()), column.type)
    try:
        return column.convert(text), []
    except pa.ArrowException:
        pass
    made, wrong = [], []
    for i in range(len(text)):
        try:
            made.append(column.convert(text.slice(i, 1)))
        except pa.ArrowException:
            made.append(pa.nulls(1, column.type))
            wrong.append(i)
    return pa.concat_arrays(made), wrong


def _iso(text: Any) -> Any:
    """ISO 8601; without a zone it is taken for UTC."""
    text = pc.replace_substring_regex(text, r"[T ]+(\d\d:)", r"T\1")
    text = pc.replace_substring_regex(pc.replace_substring(text, ",", "."), r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(text, r"(?:Z|[+-]\d\d:?\d\d)$")
    return pc.if_else(zoned, text, pc.binary_join_element_wise(text, "Z", "")).cast(pa.timestamp("us", "UTC"))


def _local(text: Any) -> Any:
    """Year, month, day and time, of whatever zone the machine was in."""
    text = pc.replace_substring(pc.replace_substring_regex(text, " +", "T"), "/", "-")
    return text.cast(pa.timestamp("us"))


def _http(text: Any) -> Any:
    """``10/Oct/2000:13:55:36 -0700``, as web servers write it."""
    text = pc.replace_substring_regex(text, r"^(\d\d)/(\w+)/(\d{4}):(\S+) ", r"\3-\2-\1T\4")
    for name in pc.unique(pc.utf8_slice_codeunits(text, 5, 8)).drop_null().to_pylist():
        number = _MONTHS.index(name) + 1 if name in _MONTHS else 0
        text = pc.replace_substring(text, f"-{name}-", f"-{number:02}-", max_replacements=1)
    return text.cast(pa.timestamp("us", "UTC"))


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_TIMES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "TIMESTAMP_ISO8601": (pa.timestamp("us", "UTC"), _iso),
    "LOCALTIME": (pa.timestamp("us"), _local),
    "HTTPDATE": (pa.timestamp("us", "UTC"), _http),
}
"""Name of a pattern -> the type of its times, and how they are read."""
