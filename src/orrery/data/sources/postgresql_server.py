"""How a PostgreSQL server is asked: questions by psycopg, rows as Arrow by ADBC; every wait has an end."""

from __future__ import annotations

import logging
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.masking import hide
from orrery.data.sources.postgresql_types import MARK
from orrery.data.sources.sql_address import Address, joined, split
from orrery.data.sources.sql_retry import Lost, answered
from orrery.data.sources.sql_silence import Silence, opened
from orrery.errors import SourceError
from orrery.extras import require

T = TypeVar("T")

_log = logging.getLogger("orrery.data")
_TIMEOUT_S = 15
_PORT = 5432
_BATCH_BYTES = 1 << 20
_OPTIONS = "-c default_transaction_read_only=on -c timezone=UTC -c datestyle=ISO -c extra_float_digits=3"
_SOON = ("starting up", "shutting down", "recovery", "too many", "terminating")
"""A server that says so at the door may open it later."""


class Moment:
    """One state of the database, seen by all who read its parts in this process.

    A transaction is kept open from the first read on, for as long as anybody holds one of the partitions. In
    other processes, each that receives a copy has a moment of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = ""
        self._closing: Any = None

    def name(self, server: Server) -> str:
        """What the server calls it; empty where it knows no such thing."""
        with self._lock:
            if self._closing is None:
                link, self._name = server.export()
                self._closing = weakref.finalize(self, link.close)
            return self._name

    def renew(self, name: str) -> None:
        """The server has forgotten it: those who read on see a later one."""
        with self._lock:
            if name == self._name and self._closing is not None:
                self._closing()
                self._closing = None
                _log.warning("A connection was lost; the parts that follow are read as they stand now.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment)

    def __hash__(self) -> int:
        return hash(Moment)

    def __reduce__(self) -> tuple[type[Moment], tuple[()]]:
        return Moment, ()


class Server:
    """One address. ``read_timeout_s`` is how long it may be silent while rows are awaited."""

    def __init__(self, address: Address, read_timeout_s: float) -> None:
        self.address = address
        self.read_timeout_s = read_timeout_s

    @property
    def _url(self) -> str:
        """The full address, with the password, and with limits on every wait for the network."""
        parts = split(self.address.full)
        limits = {
            "connect_timeout": str(_TIMEOUT_S),
            "tcp_user_timeout": str(_TIMEOUT_S * 1000),
            "keepalives_idle": str(_TIMEOUT_S),
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "application_name": "orrery",
            "options": _OPTIONS,
        }
        given = {**limits, **dict(parse_qsl(parts.query))}
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
        return joined(parts._replace(scheme="postgresql"), parts.netloc, asked)

    def ask(self, question: Callable[[Any], T], written: str = "") -> T:
        """What ``question`` makes of a plain connection; asked again where the connection is lost.

        ``written`` is the user's query, if it stands in the first statement behind ``select * from (``.
        """

        def once() -> T:
            with self._plain(written) as link:
                return question(link)

        return answered(self.address, once)

    @contextmanager
    def _plain(self, written: str) -> Iterator[Any]:
        """A plain connection; what is said on it becomes Lost or SourceError."""
        psycopg = require("psycopg", "Reading PostgreSQL")
        link = self._open(psycopg.connect)[0]
        link.read_only = True  # said with every transaction: a query may call set_config for the next one
        silence = Silence(link.fileno(), self.read_timeout_s)
        try:
            with link, silence.limit():
                yield link
        except psycopg.Error as error:
            said = self._silent if silence.found else self._said(error)
            if silence.found or link.broken:
                raise Lost(said) from None
            place = _place(written, error.diag.statement_position) if written else ""
            raise SourceError(f"{self.address}: {said}{place}") from None

    def export(self) -> tuple[Any, str]:
        """A connection that keeps the present state of the database, and that state's name."""
        psycopg = require("psycopg", "Reading PostgreSQL")

        def once() -> tuple[Any, str]:
            link = self._open(psycopg.connect)[0]
            link.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            link.read_only = True
            try:
                with Silence(link.fileno(), self.read_timeout_s).limit():
                    return link, str(link.execute("select pg_export_snapshot()").fetchone()[0])
            except psycopg.Error as error:
                if link.broken:
                    raise Lost(self._said(error)) from None
                return link, ""  # a server that only speaks like PostgreSQL
            except BaseException:
                link.close()
                raise

        return answered(self.address, once)

    def stream(self, query: str, moment: Moment | None) -> Iterator[RecordBatch]:
        """The rows of a query as they come. Raises Lost where the connection is, else SourceError."""
        link, number = self._open(require("adbc_driver_postgresql.dbapi", "Reading PostgreSQL").connect)
        silence = Silence(number, self.read_timeout_s)
        errors = (require("adbc_driver_manager", "Reading PostgreSQL").Error, pa.ArrowException, OSError)
        cursor = link.cursor()
        try:
            with silence.limit():
                cursor.execute("set transaction read only")
            if moment is not None and (name := moment.name(self)):
                self._see(link, cursor, name, moment, silence)
            yield from self._fetched(cursor, query, silence)
        except errors as error:
            said = self._silent if silence.found else self._said(error)
            if silence.found or not _is_alive(link, silence, errors):
                raise Lost(said) from None
            raise SourceError(f"{self.address}: {said}") from None
        finally:
            silence.shut()  # what was not read need not come
            with suppress(*errors):
                cursor.close()
            with suppress(*errors):
                link.close()

    def _fetched(self, cursor: Any, query: str, silence: Silence) -> Iterator[RecordBatch]:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
        with silence.limit():
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
        while True:
            try:
                with silence.limit():
                    batch = reader.read_next_batch()
            except StopIteration:
                return
            yield batch

    def _see(self, link: Any, cursor: Any, name: str, moment: Moment, silence: Silence) -> None:
        """Make a connection see one moment."""
        errors = (require("adbc_driver_manager", "Reading PostgreSQL").Error, OSError)
        try:
            with silence.limit():
                cursor.execute("set transaction isolation level repeatable read")
                cursor.execute(f"set transaction snapshot '{name}'")
        except errors as error:
            if not silence.found and _is_alive(link, silence, errors):
                moment.renew(name)
            raise Lost(self._said(error)) from None

    def _open(self, connect: Callable[[str], Any]) -> tuple[Any, int | None]:
        """A connection and its socket. Raises Lost, or SourceError where the server refuses."""
        errors = (
            require("psycopg", "Reading PostgreSQL").Error,
            require("adbc_driver_manager", "Reading PostgreSQL").Error,
        )
        url = self._url
        try:
            return opened(lambda: connect(url), _ports(url))
        except errors as error:
            said = self._said(error)
            if "FATAL" in said and not any(word in said for word in _SOON):
                raise SourceError(f"{self.address}: {said}", hint=_REFUSED) from None
            raise Lost(said) from None

    @property
    def _silent(self) -> str:
        return f"silent for {self.read_timeout_s:g} s"

    def _said(self, error: BaseException) -> str:
        """What the server or the driver says, in one line, without the password and our own SQL."""
        text = str(error)
        for tail in ("Query was:", "Query:", "\nLINE ", "This probably means"):
            text = text.partition(tail)[0]
        if f'"{MARK}' in text:
            text = text.partition(f'"{MARK}')[2].removesuffix('"').partition(";")[0]
        text = re.sub(r"^\[libpq\] |Execution error \[PGRES_\w+\]: ", "", text)
        return hide(" ".join(text.split()), self._url)


_REFUSED = "The server runs, and does not let you in: look at the user, the password and the database."


def _ports(url: str) -> frozenset[int]:
    """The ports that an address may lead to."""
    parts = split(url)
    asked = dict(parse_qsl(parts.query)).get("port", "")
    named = [host.rpartition(":")[2] for host in parts.netloc.rpartition("@")[2].split(",")]
    found = {int(text) for text in (*named, *asked.split(",")) if text.isdecimal()}
    return frozenset(found or {int(os.environ.get("PGPORT", _PORT))})


def _is_alive(link: Any, silence: Silence, errors: tuple[type[Exception], ...]) -> bool:
    """Whether a connection still answers: if so, it was the query that failed."""
    try:
        with silence.limit():
            link.rollback()
    except errors:
        return False
    return True


def _place(written: str, position: str | None) -> str:
    """Where in the user's query an error lies, for people."""
    at = int(position or 0) - len("select * from (") - 1
    if not 0 <= at < len(written):
        return ""
    line, column = written.count("\n", 0, at) + 1, at - written.rfind("\n", 0, at)
    return f" (line {line}, column {column} of the query)"
