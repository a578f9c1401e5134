"""A connection that is lost while rows are read is opened anew, and reading goes on at the very next row."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from orrery.aggregate import RecordBatch
from orrery.errors import SourceError

T = TypeVar("T")

_log = logging.getLogger("orrery.data")
_ATTEMPTS = 8
"""Connections in a row that bring nothing, after which a read that had begun is given up: after 13 s."""
_FIRST_ATTEMPTS = 4
"""The same for a place that has given nothing yet: after 0.7 s."""
_PAUSE_S = 0.1


class Lost(Exception):  # noqa: N818 - told between a connection and those who open it anew; no user sees it
    """The connection is gone, or has been silent for too long; carries what was said about it."""


def answered(place: object, question: Callable[[], T]) -> T:
    """A question, asked again on a new connection while connections are lost. Raises SourceError."""
    failed = 0
    while True:
        try:
            return question()
        except Lost as error:
            failed += 1
            if failed >= _FIRST_ATTEMPTS:
                raise _gone(place, error, failed) from None
            _pause(place, error, failed)


def resumed(
    place: object,
    read: Callable[[Any], Iterator[RecordBatch]],
    key: str | None,
    is_unique: Callable[[], bool],
) -> Iterator[RecordBatch]:
    """All rows of ``read``, whatever happens to the connection.

    ``read(last)`` gives the rows whose key is beyond ``last``, in the key's order; None: all. Without a
    key, or with one that is not unique, nobody could tell which rows came already: raises SourceError then,
    unless none had.
    """
    last: Any = None
    rows = failed = 0
    while True:
        try:
            for batch in read(last):
                if batch.num_rows:
                    rows, failed = rows + batch.num_rows, 0
                    last = batch.column(key)[-1].as_py() if key is not None else None
                    yield batch
            return
        except Lost as error:
            failed += 1
            if rows and (last is None or not answered(place, is_unique)):
                raise SourceError(
                    f"{place}: after {rows:,} rows the connection was lost ({error}), and which rows are "
                    "still to come cannot be told.",
                    hint="Read in the order of a unique column, so that reading can go on: split_on=….",
                ) from None
            if failed >= (_ATTEMPTS if rows else _FIRST_ATTEMPTS):
                raise _gone(place, error, failed, rows) from None
            _pause(place, error, failed, rows)


def _gone(place: object, error: Lost, times: int, rows: int = 0) -> SourceError:
    after = f"after {rows:,} rows " if rows else ""
    return SourceError(
        f"{place}: {after}the connection was lost {times} times in a row: {error}",
        hint="Is the server running, and may you read there?",
    )


def _pause(place: object, error: Lost, times: int, rows: int = 0) -> None:
    _log.info("%s: connection lost after %d rows (%s); connecting again", place, rows, error)
    time.sleep(_PAUSE_S * 2 ** (times - 1))
