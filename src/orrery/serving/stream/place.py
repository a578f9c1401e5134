"""Where a broker is and what is read or written there: ``redis://user:password@host:6379/orders?tls=true``."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from orrery.data import remote
from orrery.data.masking import masked
from orrery.errors import SettingsError, did_you_mean, listing

_PLACE = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<login>[^/]*)@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^/?@:]*)(?::(?P<port>\d{1,5}))?"
    r"(?:/(?P<name>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_COMMON = ("connection", "tls", "ca", "timeout_s")


@dataclass(frozen=True)
class Place:
    """A broker, how to sign in there, and the name of a queue, stream or topic."""

    scheme: str
    host: str
    port: int
    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address without secrets."""
        return f"{self.scheme}://{self.host}:{self.port}/{self.name}"

    @property
    def timeout_s(self) -> float:
        """How long the broker may say nothing."""
        return float(self.settings.get("timeout_s", 30.0))

    def tls(self) -> ssl.SSLContext | None:
        """What the connection is encrypted by, with ``tls=true`` or ``ca=file``."""
        ca = self.settings.get("ca")
        if ca is None and self.settings.get("tls") != "true":
            return None
        try:
            return ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise SettingsError(f"The certificates {ca!r} cannot be read: {error.strerror}.") from None


def parse(text: str, port: int, more: tuple[str, ...] = ()) -> Place:
    """The place that an address names; ``port`` where it has none. Raises SettingsError.

    With ``?connection=name``, host and sign-in are those of the variable ``ORRERY_CONNECTION__NAME``.

    >>> parse("redis://127.0.0.1/orders", 6379).shown
    'redis://127.0.0.1:6379/orders'
    """
    found = _parts(text, port, (*_COMMON, *more))
    name = found.settings.get("connection")
    if name is not None:
        there = _parts(
            remote.connection(name, f"{found.scheme}://user:password@host:{port}"), port, (*_COMMON, *more)
        )
        if there.scheme != found.scheme or (found.host and found.host != there.host):
            raise SettingsError(f"The connection {name!r} leads elsewhere than {masked(text)}.")
        own = {key: value for key, value in found.settings.items() if key != "connection"}
        sign_in = there.user, there.password, {**there.settings, **own}
        found = Place(found.scheme, there.host, there.port, found.name, *sign_in)
    if not found.host or not found.name:
        raise SettingsError(
            f"The address {masked(text)} does not name a host and what to read there.",
            hint=f"Write it like {found.scheme}://host:{port}/orders.",
        )
    return found


def _parts(text: str, port: int, allowed: tuple[str, ...]) -> Place:
    parts = _PLACE.fullmatch(text)
    if parts is None or int(parts["port"] or port) >= 1 << 16:
        raise SettingsError(
            "The address of a broker cannot be read; it is not shown, as it may hold a password.",
            hint=f"Write it like scheme://host:{port}/orders.",
        )
    settings = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    for name, value in settings.items():
        if name not in allowed:
            raise SettingsError(
                f"An address of {parts['scheme']} has no setting {name!r}; there are {listing(allowed)}.",
                hint=did_you_mean(name, allowed),
            )
        if name == "timeout_s" and not re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            raise SettingsError("timeout_s is a number of seconds.")
    user, _, password = (parts["login"] or "").partition(":")
    name = unquote(parts["name"] or "")
    host = parts["host"].strip("[]")
    login = unquote(user), unquote(password)
    return Place(parts["scheme"], host, int(parts["port"] or port), name, *login, settings)
