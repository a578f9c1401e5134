"""How a database behind SQLAlchemy is asked: one connection per question or read, and none left behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.masking import hide
from orrery.data.sources.sql_address import Address
from orrery.data.sources.sql_batches import Rows, batches
from orrery.data.sources.sql_dialect import Dialect
from orrery.data.sources.sql_moment import Moment
from orrery.data.sources.sql_retry import Lost, answered
from orrery.data.sources.sql_types import Column
from orrery.errors import MissingExtraError, OrreryError, SettingsError, SourceError
from orrery.extras import require

T = TypeVar("T")

_PURPOSE = "Reading a database by SQLAlchemy"


class Driver:
    """One address in one dialect. ``read_timeout_s`` is how long the server may be silent."""

    def __init__(self, address: Address, dialect: Dialect, read_timeout_s: float) -> None:
        self.address = address
        self.dialect = dialect
        self.read_timeout_s = read_timeout_s

    def ask(self, question: Callable[[Any], T]) -> T:
        """What ``question`` makes of a connection; asked again where the connection is lost."""

        def once() -> T:
            with self._link() as link, warnings.catch_warnings():
                # A type that SQLAlchemy does not know is read by what the driver gives.
                warnings.filterwarnings("ignore", message="Did not recognize type")
                return question(link)

        return answered(self.address, once)

    def stream(
        self, query: str, make: Callable[[Rows], tuple[RecordBatch, int]], moment: Moment | None = None
    ) -> Iterator[RecordBatch]:
        """The rows of a query as they come. Raises Lost where the connection is, else SourceError."""
        if moment is not None:
            yield from moment.stream(self._snapshot, lambda link: self._seen(link, query, make))
            return
        with self._link() as link:
            cursor = self.dialect.stream(link, query)
            try:
                yield from batches(lambda rows: list(cursor.fetchmany(rows)), make)
            finally:
                self.dialect.close(cursor)

    def _snapshot(self, stack: ExitStack) -> Any:
        """A connection that sees one state of the database until the stack closes it."""
        link = stack.enter_context(self._link())
        with self._telling(link):
            for statement in self.dialect.snapshot:
                link.exec_driver_sql(statement)
        return link

    def _seen(
        self, link: Any, query: str, make: Callable[[Rows], tuple[RecordBatch, int]]
    ) -> Iterator[RecordBatch]:
        """The rows of a query on a connection that others use afterwards."""
        with self._telling(link):
            cursor = self.dialect.stream(link, query)
            try:
                yield from batches(lambda rows: list(cursor.fetchmany(rows)), make)
            finally:
                self.dialect.close(
                    cursor, lambda statement: self.ask(lambda other: other.exec_driver_sql(statement))
                )

    @contextmanager
    def _telling(self, link: Any) -> Iterator[None]:
        """What the driver says of a connection becomes Lost or SourceError."""
        engine = link.engine
        errors = (engine.dialect.dbapi.Error, require("sqlalchemy.exc", _PURPOSE).DBAPIError, OSError)
        try:
            yield
        except (*errors, AttributeError) as error:
            raise self._told(engine, error, link) from None

    @contextmanager
    def _link(self) -> Iterator[Any]:
        """A connection that is closed for good at the end."""
        engine = self._engine()
        errors = (engine.dialect.dbapi.Error, require("sqlalchemy.exc", _PURPOSE).DBAPIError, OSError)
        link: Any = None
        try:
            link = engine.connect().execution_options(no_parameters=True)
            self.dialect.prepare(link)
            yield link
        except (*errors, AttributeError) as error:
            raise self._told(engine, error, link) from None
        finally:
            if link is not None:
                with suppress(*errors, AttributeError):
                    link.invalidate()
                with suppress(*errors, AttributeError):
                    link.close()

    def _told(self, engine: Any, error: Exception, link: Any) -> Exception:
        """What is said of an error of the driver: Lost, or SourceError with the server's message."""
        inner = getattr(error, "orig", None) or error
        lost = self.dialect.is_lost(engine, error, link)
        if isinstance(error, AttributeError) and not lost:
            return error
        said = hide(self.dialect.said(inner), self.address.full)
        return Lost(said) if lost else SourceError(f"{self.address}: {said}")

    def _engine(self) -> Any:
        sqlalchemy, exc = require("sqlalchemy", _PURPOSE), require("sqlalchemy.exc", _PURPOSE)
        url = self.dialect.url(self.address.full.removeprefix("sqlalchemy+"))
        try:
            return sqlalchemy.create_engine(
                url,
                poolclass=sqlalchemy.NullPool,
                connect_args=self.dialect.arguments(self.read_timeout_s),
            )
        except exc.NoSuchModuleError:
            scheme = urlsplit(url).scheme
            raise SettingsError(f"SQLAlchemy knows no database {scheme!r}; its package is missing.") from None
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{self.address} needs the package {error.name!r}, which is not installed.",
                hint=f"Install it with: pip install {error.name}",
            ) from None
        except (exc.ArgumentError, ValueError, TypeError) as error:
            raise SettingsError(f"{self.address}: {hide(str(error), self.address.full)}.") from None


def array_of(
    place: object,
    name: str,
    found: Sequence[Any],
    column: Column,
    make: Callable[[Sequence[Any], Column], Any],
) -> Any:
    """An Arrow array of one column. Raises SourceError that names the column where a value does not fit."""
    try:
        return make(found, column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OrreryError):
            raise
        raise SourceError(
            f"{place}: column {name!r}: {str(error).splitlines()[0]}.",
            hint=f"Read it as another type with types={{{name!r}: 'string'}}, or change it in the query.",
        ) from None
