"""MySQL and MariaDB, by PyMySQL: types as the server tells them, values made columns by Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from orrery.data.conditions import Condition
from orrery.data.sources.sql_dialect import Dialect
from orrery.data.sources.sql_types import Column, check_names, decimal_type
from orrery.errors import OrreryError
from orrery.extras import require
from orrery.schema import parse_type

_TIMEOUT_S = 15
_SESSION = (
    "set session time_zone = '+00:00'",
    "set session sql_mode = replace(@@session.sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
    "set session net_write_timeout = 3600",  # a training run may read on much later
    "set session transaction read only",
)
_LOST = {1040, 1053, 1077, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006, 2013, 2055}
"""Server has too many connections, is stopping, or hung up; the client's own numbers begin at 2000."""
_STOPPED = 1317
_UNKNOWN_THREAD = 1094
_UNSIGNED, _LISTED, _BINARY = 32, 256 | 2048, 63
_SORTED_BYTES = 1024
"""By how much of a text MySQL sorts (max_sort_length)."""
_INTEGERS = {1: "int8", 2: "int16", 3: "int32", 8: "int64", 9: "int32", 13: "int16"}
_TEXTS = {15, 247, 248, 249, 250, 251, 252, 253, 254}
"""Numbers of types in MySQL's protocol (Protocol::ColumnDefinition)."""


class MySql(Dialect):
    """What MySQL and MariaDB do otherwise."""

    snapshot = (
        "set session transaction isolation level repeatable read",
        "start transaction with consistent snapshot",
    )

    def __init__(self) -> None:
        super().__init__("mysql")

    def url(self, address: str) -> str:
        """PyMySQL, whichever driver is named: its cursors stream."""
        require("pymysql", "Reading MySQL")
        return "mysql+pymysql:" + address.partition(":")[2]

    def arguments(self, timeout_s: float) -> dict[str, Any]:
        """Limits on every wait."""
        waits = {"connect_timeout": _TIMEOUT_S, "read_timeout": timeout_s, "write_timeout": timeout_s}
        return {**waits, "charset": "utf8mb4"}

    def prepare(self, link: Any) -> None:
        """Times are UTC, and nothing can be written."""
        for statement in _SESSION:
            link.exec_driver_sql(statement)

    def columns(
        self, link: Any, rows: str, declared: Mapping[str, Any], types: Mapping[str, str], place: str
    ) -> dict[str, Column]:
        """Each column as the server describes the query's answer; no row is read."""
        cursor = link.exec_driver_sql(f"select * from ({rows}) this where 1 = 0").cursor
        fields = list(cursor._result.fields)
        check_names([field.name for field in fields])
        found = {field.name: _column(field) for field in fields}
        for name in _truths(link, rows, [field.name for field in fields if _may_be_truth(field)]):
            found[name] = Column(pa.bool_(), "", "{c}", _bools)
        for name in set(types) & set(found):
            found[name] = found[name]._replace(type=parse_type(types[name]), sort="")
        return found

    def stream(self, link: Any, query: str) -> Any:
        """Values stay as the server wrote them: Arrow reads a column at once."""
        own = link.connection.driver_connection
        own.decoders = {}
        cursor = own.cursor(require("pymysql.cursors", "Reading MySQL").SSCursor)
        cursor.execute(query)
        return cursor

    def close(self, cursor: Any, aside: Callable[[str], Any] | None = None) -> None:
        """PyMySQL would read all that is left; the server stops sending where the connection is kept."""
        result = getattr(cursor, "_result", None)
        if result is None or aside is None:
            if result is not None:
                result.unbuffered_active = False
                result.connection = None
            return
        if result.unbuffered_active:
            try:
                aside(f"kill query {cursor.connection.thread_id()}")
            except OrreryError as error:
                if f"(error {_UNKNOWN_THREAD})" not in str(error):
                    raise
                result.unbuffered_active = False  # the server has ended it already: nothing more will come
                result.connection = None
                return
        try:
            cursor.close()
        except require("pymysql", "Reading MySQL").OperationalError as error:
            if error.args[0] != _STOPPED:
                raise

    def is_lost(self, engine: Any, error: BaseException, link: Any) -> bool:
        """By the error's number."""
        error = getattr(error, "orig", None) or error
        if isinstance(error, (OSError, AttributeError)):  # of a socket that is closed already
            return True
        number = error.args[0] if error.args else None
        return number in _LOST or (number == 0 and type(error).__name__ == "InterfaceError")

    def said(self, error: BaseException) -> str:
        """The server's sentence, its number behind it."""
        if len(error.args) == 2:
            return f"{error.args[1]} (error {error.args[0]})"
        return super().said(error)

    def condition(self, condition: Condition, columns: Mapping[str, Column]) -> str:
        """Texts are compared byte by byte, whatever their collation takes for equal."""

        def exactly(column: Any) -> Any:
            if columns[column.name].sort != "text":
                return column
            text = f"cast(convert({column.sql(dialect='mysql')} using utf8mb4) as binary)"
            return sqlglot.parse_one(text, read="mysql")

        return condition.sql("mysql", wrap=exactly)

    def kept(self, query: str) -> str:
        """An order holds between brackets only where there is a limit."""
        try:
            tree = sqlglot.parse_one(query, read="mysql")
        except SqlglotError:
            return query
        ordered = isinstance(tree, exp.Query) and tree.args.get("order") is not None
        return f"{query} limit {2**64 - 1}" if ordered and tree.args.get("limit") is None else query

    def hash(self, columns: Mapping[str, str]) -> str | None:
        """Sixty bits of each row's MD5, added up."""
        row = ", ".join(f"quote({form})" for form in columns.values())
        return f"coalesce(sum(cast(conv(left(md5(concat_ws(',', {row})), 15), 16, 10) as unsigned)), 0)"


def _column(field: Any) -> Column:
    """A column as its description in the protocol tells."""
    code, unsigned = field.type_code, bool(field.flags & _UNSIGNED)
    if code in _INTEGERS:
        name = _INTEGERS[code]
        return Column(getattr(pa, f"u{name}" if unsigned and code != 13 else name)(), "number", read=_cast)
    if code in (0, 246):
        precision = field.length - (field.scale > 0) - (not unsigned)
        kind = decimal_type(max(precision, 1), field.scale)
        return Column(kind, "number" if pa.types.is_decimal(kind) else "", read=_cast)
    if code == 4:  # its text is rounded to six digits
        return Column(pa.float32(), "", "{c} + 0e0", _cast)
    if code == 5:
        return Column(pa.float64(), "number", read=_cast)
    if code == 16:
        return Column(pa.bool_() if field.length == 1 else pa.uint64(), "", read=_bits)
    if code in (10, 14):
        return Column(pa.date32(), "date", read=_cast)
    if code in (7, 12):
        return Column(pa.timestamp("us", "UTC" if code == 7 else None), "time", read=_times)
    if code == 11:
        return Column(pa.time64("us"), "", read=_times)
    if code == 245 or (code in _TEXTS and field.charsetnr != _BINARY):
        listed = code == 245 or bool(field.flags & _LISTED)
        short = code in (15, 253, 254) and field.length <= _SORTED_BYTES
        return Column(pa.string(), "" if listed else "text", "{c}", _cast, orders=short)
    return Column(pa.string(), "", read=_cast) if code == 6 else Column(pa.binary(), "", read=_cast)


def _may_be_truth(field: Any) -> bool:
    """BOOLEAN is another word for TINYINT(1)."""
    return bool(field.type_code == 1 and field.length == 1)


def _truths(link: Any, rows: str, names: Sequence[str]) -> list[str]:
    """Of columns that may be BOOLEAN, those that hold nothing but 0 and 1; one pass, if there are any."""
    if not names:
        return []
    quoted = [str(exp.to_identifier(name, quoted=True).sql(dialect="mysql")) for name in names]
    tests = ", ".join(f"coalesce(max({name} not in (0, 1)), 0)" for name in quoted)
    found = link.exec_driver_sql(f"select {tests} from ({rows}) this").fetchone()
    return [name for name, other in zip(names, found, strict=True) if not other]


def _cast(values: Sequence[Any], kind: Any) -> Any:
    if pa.types.is_binary(kind):
        return pa.array(values, kind)
    texts = pa.array(values, pa.string())
    return texts if pa.types.is_string(kind) else texts.cast(kind)


def _bools(values: Sequence[Any], kind: Any) -> Any:
    """A 2 that was written since the type was found does not become a 1."""
    numbers = pa.array(values, pa.string()).cast(pa.int8())
    if len(numbers) and not pc.all(pc.is_in(numbers, pa.array([0, 1, None], pa.int8()))).as_py():
        raise ValueError("not a bool")
    return numbers.cast(kind)


def _bits(values: Sequence[Any], kind: Any) -> Any:
    numbers = [None if value is None else int.from_bytes(value, "big") for value in values]
    return pa.array(numbers, pa.uint64()).cast(kind)


def _times(values: Sequence[Any], kind: Any) -> Any:
    texts = pa.array(values, pa.string())
    if not pa.types.is_time(kind):
        return texts.cast(pa.timestamp("us")).cast(kind)
    join: Any = pc.binary_join_element_wise
    return join(pa.scalar("1970-01-01"), texts, pa.scalar(" ")).cast(pa.timestamp("us")).cast(kind)
