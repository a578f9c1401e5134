"""The address of a database: with its password for the driver, without it for everyone else."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from orrery.data import remote
from orrery.data.masking import is_secret
from orrery.errors import SettingsError


@dataclass(frozen=True)
class Address:
    """A URL, or the name of the connection that holds it: ``mysql://?connection=shop`` is the latter.

    >>> print(Address.of("mysql://bob:secret@host/shop", None))
    mysql://bob@host/shop
    """

    place: str
    """The URL, less ``connection=``; it may hold a password."""
    connection: str | None = None

    @classmethod
    def of(cls, place: str, connection: str | None) -> Address:
        """Raises SettingsError where it cannot be told where the password ends."""
        parts = split(place)
        asked = dict(parse_qsl(parts.query))
        named = connection or asked.pop("connection", None)
        return cls(joined(parts, parts.netloc, urlencode(asked)), named)

    @property
    def full(self) -> str:
        """The whole URL, with the password."""
        if self.connection is None:
            return self.place
        scheme = urlsplit(self.place).scheme
        return remote.connection(self.connection, f"{scheme}://user:password@host/database")

    @property
    def shown(self) -> str:
        """The URL as it may be written down: no password, and no secret options."""
        parts = split(self.place)
        user, at, host = parts.netloc.rpartition("@")
        asked = [(k, v) for k, v in parse_qsl(parts.query) if not is_secret(k)]
        return joined(parts, user.partition(":")[0] + at + host, urlencode(asked))

    def __str__(self) -> str:
        if self.connection is None:
            return self.shown
        return f"{urlsplit(self.place).scheme} connection {self.connection!r}"


def split(place: str) -> SplitResult:
    """The parts of an address. Raises SettingsError where it cannot be told where the password ends."""
    try:
        parts = urlsplit(place)
        odd = parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path or (parts.port or 0) < 0
    except ValueError:  # of the parts, or of the port
        odd = True
    if odd:
        raise SettingsError(
            "The address of the database cannot be read; it is not shown, as it may hold a password.",
            hint="Write @ : / ? # [ ] in a password as %40 %3A %2F %3F %23 %5B %5D, or use connection=.",
        )
    return parts


def joined(parts: SplitResult, netloc: str, query: str) -> str:
    """An address again; urllib would drop the slashes where no host is named."""
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{query}"
