"""Addresses of MongoDB: ``mongodb://host/database/collection``, and how the server behind one is reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from orrery.data import masking, remote
from orrery.data.masking import hide, is_secret
from orrery.errors import SettingsError, SourceError
from orrery.extras import require

_WAIT_MS = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 15_000, "socketTimeoutMS": 60_000}
"""How long is waited for a server, a connection and an answer; an address may say otherwise."""
_EXAMPLE = "mongodb://user:password@host/database"
_SHOWN = "/ :$@&+,;=()!'*"  # of a name, as it is; what would end it is percent-encoded
_WRONG_PASSWORD = 18
_MAY_NOT = 13


@dataclass(frozen=True)
class Address:
    """The parts of an address.

    >>> Address.of("mongodb://ann:secret@host:27017/shop/orders?tls=true").shown()
    'mongodb://ann@host:27017/shop/orders?tls=true'
    """

    scheme: str
    hosts: str
    """With the user and the password, if there are any."""
    database: str
    collection: str
    options: str

    @classmethod
    def of(cls, place: str) -> Address:
        """The parts. Raises SettingsError where it cannot be told where the password ends."""
        try:
            parts = urlsplit(place)
            odd = parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path
            masking.whole(place)
        except ValueError:
            odd = True
        if odd:
            raise SettingsError(
                "The address of MongoDB cannot be read; it is not shown, as it may hold a password.",
                hint="Write @ : / ? # [ ] in a password as %40 %3A %2F %3F %23 %5B %5D, or use connection=.",
            )
        database, _, collection = parts.path.lstrip("/").partition("/")
        return cls(parts.scheme.lower(), parts.netloc, unquote(database), unquote(collection), parts.query)

    def without_connection(self) -> tuple[Address, str | None]:
        """The address without ``connection=name`` in its options, and that name."""
        asked = dict(parse_qsl(self.options))
        name = asked.pop("connection", None)
        return replace(self, options=urlencode(asked)) if name else self, name

    def shown(self) -> str:
        """As it may be shown: without the password."""
        user, at, hosts = self.hosts.rpartition("@")
        place = "/".join(quote(part, _SHOWN) for part in (self.database, self.collection) if part)
        told = (pair for pair in parse_qsl(self.options) if not is_secret(pair[0]))
        asked = urlencode(list(told))
        return f"{self.scheme}://{user.partition(':')[0]}{at}{hosts}/{place}{'?' if asked else ''}{asked}"

    def uri(self, connection: str | None) -> str:
        """What the driver is given; hosts and password from a connection where one is named."""
        if connection is not None:
            return Address.of(remote.connection(connection, _EXAMPLE)).uri(None)
        if not self.hosts:
            raise SettingsError(
                f"{self.shown()} names no host.", hint=f"Write {_EXAMPLE}/collection, or use connection=."
            )
        return f"{self.scheme}://{self.hosts}/{self.database}{'?' if self.options else ''}{self.options}"


@contextmanager
def client(uri: str, shown: str) -> Iterator[Any]:
    """A client, closed with all its threads; what goes wrong is SourceError, without the password."""
    pymongo = require("pymongo", "Reading MongoDB")
    with speaking(uri, shown):
        try:
            given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
            waits = {name: limit for name, limit in _WAIT_MS.items() if name.lower() not in given}
            made = pymongo.MongoClient(uri, appname="orrery", connect=False, **waits)
        except (pymongo.errors.InvalidURI, pymongo.errors.ConfigurationError, ValueError) as error:
            raise SettingsError(f"The address {shown} cannot be used: {hide(str(error), uri)}.") from None
        try:
            yield made
        finally:
            made.close()


@contextmanager
def speaking(uri: str, shown: str) -> Iterator[None]:
    """What the server or the driver says becomes SourceError, without the password."""
    errors = require("pymongo", "Reading MongoDB").errors
    try:
        yield
    except errors.ServerSelectionTimeoutError as error:
        text = hide(_short(error), uri)
        raise SourceError(f"{shown}: no server answers: {text}", hint="Is it running?") from None
    except errors.OperationFailure as error:
        text = hide(" ".join(str((error.details or {}).get("errmsg") or error).split()), uri)
        raise SourceError(f"{shown}: {text}.", hint=_hint(error.code)) from None
    except (errors.PyMongoError, OSError) as error:
        raise SourceError(f"{shown}: {hide(_short(error), uri)}", hint="Is the server running?") from None


def _short(error: Exception) -> str:
    """What the driver says, without its description of the whole cluster."""
    return " ".join(str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0].split())


def _hint(code: int | None) -> str:
    if code == _WRONG_PASSWORD:
        return "Check user and password; an account of another database needs ?authSource=admin."
    return "May this user read there?" if code == _MAY_NOT else ""
