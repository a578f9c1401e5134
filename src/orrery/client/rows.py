"""Rows of several forms (dictionaries, Arrow tables, pandas frames) as JSON, and back with their answers."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from orrery.errors import BadRowError, SettingsError

Row = dict[str, Any]


class Rows(NamedTuple):
    """Rows as dictionaries, and how to give the answers back in the form that the rows came in."""

    rows: list[Row]
    back: Callable[[list[Row]], Any]


def rows_of(given: Any) -> Rows:
    """Rows from what a caller holds. Raises SettingsError for another thing."""
    if isinstance(given, Mapping):
        row = dict(given)
        return Rows([row], lambda answers: {**row, **answers[0]})
    home = type(given).__module__.partition(".")[0]
    if home == "pandas":
        return Rows(given.to_dict("records"), lambda answers: _framed(given, answers))
    if home == "pyarrow":
        return Rows(given.to_pylist(), lambda answers: _tabled(given, answers))
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise SettingsError(
            f"Rows are a list of dictionaries, one dictionary, an Arrow table or a pandas frame, "
            f"not a {type(given).__name__}."
        )
    rows = [dict(row) for row in given]
    return Rows(rows, lambda answers: [{**r, **a} for r, a in zip(rows, answers, strict=True)])


def _framed(frame: Any, answers: list[Row]) -> Any:
    return frame.assign(**_columns(answers))


def _tabled(table: Any, answers: list[Row]) -> Any:
    """An Arrow table, or record batch, with the answers beside it."""
    import pyarrow as pa

    schema, columns = table.schema, list(table.columns)
    for name, values in _columns(answers).items():
        array = pa.array(values)
        schema = schema.append(pa.field(name, array.type))
        columns.append(array)
    return type(table).from_arrays(columns, schema=schema)


def _columns(answers: list[Row]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for answer in answers for name in answer)
    return {name: [answer.get(name) for answer in answers] for name in names}


def sendable(rows: Sequence[Row], *, with_id: bool) -> list[Row]:
    """Rows as JSON holds them. ``with_id`` gives each an ``id``: one asked twice is then known to be one.

    Raises BadRowError for a value that JSON cannot hold.
    """
    out = []
    for i, row in enumerate(rows):
        sent: Row = {}
        for name, value in row.items():
            try:
                sent[str(name)] = plain(value)
            except (TypeError, ValueError) as error:
                raise _unsendable(i, str(name), error) from None
        if with_id and sent.get("id") is None:
            sent["id"] = str(uuid.uuid4())
        out.append(sent)
    return out


def _unsendable(row: int, column: str, error: Exception) -> BadRowError:
    found = BadRowError(f"Row {row}, column {column!r} cannot be sent: {error}.")
    found.row, found.column = row, column
    return found


def plain(value: Any) -> Any:
    """A value as JSON holds it: bytes as base64, dates as text, what is not a number as missing.

    >>> plain([b"hi", float("nan"), dt.date(2024, 5, 6)])
    ['aGk=', None, '2024-05-06']
    """
    if value is None or isinstance(value, bool | int | str):
        return value if type(value) in _JSON else _builtin(value)
    if isinstance(value, float | decimal.Decimal):
        return _number(float(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.date | dt.time):  # and so a datetime
        return None if value != value else value.isoformat()  # pandas has a missing one
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return _of_array(value)


_JSON = {type(None), bool, int, str}


def _builtin(value: Any) -> Any:
    """A value of a subclass, such as an enumeration's, as what it is made of."""
    kind = next(kind for kind in (bool, int, str) if isinstance(value, kind))
    return kind(value.value if hasattr(value, "value") else value)


def _number(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError(f"{value} is no number of JSON")
    return None if math.isnan(value) else value


def _of_array(value: Any) -> Any:
    """What NumPy and pandas hold."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):
        found = value.tolist()
        if type(found) is not type(value):
            return str(value) if _is_instant(value) else plain(found)
    raise TypeError(f"a {type(value).__name__} is no value of JSON")


def _is_instant(value: Any) -> bool:
    return type(value).__name__ == "datetime64"
