"""Where a topic lies: its address, and what the client has to know to get there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from orrery.data import masking, remote
from orrery.data.masking import is_secret, masked
from orrery.errors import SettingsError, did_you_mean, listing

_PLACE = re.compile(
    r"kafka://(?:(?P<login>.*)@)?(?P<brokers>[^/?@]*)(?:/(?P<topic>[^/?]*))?(?:\?(?P<query>.*))?", re.S
)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_EXAMPLE = "Write it like kafka://host:9092/orders."
_FILES = {"ca": "ssl.ca.location", "cert": "ssl.certificate.location", "key": "ssl.key.location"}
_LEVELS = ("read_committed", "read_uncommitted")
_SETTINGS = ("connection", "tls", *_FILES, "mechanism", "isolation", "timeout_s")
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Address:
    """A cluster's brokers, how to sign in there, and a topic."""

    brokers: str
    topic: str
    user: str = ""
    password: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The address without secrets."""
        login = f"{self.user}@" if self.user else ""
        asked = urlencode({k: v for k, v in self.settings.items() if not is_secret(k)}, safe="/:")
        return f"kafka://{login}{self.brokers}/{self.topic}{'?' if asked else ''}{asked}"

    @property
    def timeout_s(self) -> float:
        """How long the brokers may say nothing at all."""
        return float(self.settings.get("timeout_s", TIMEOUT_S))

    @property
    def isolation(self) -> str:
        """Whether messages of transactions that did not come to an end are read."""
        return self.settings.get("isolation", _LEVELS[0])

    def client(self) -> dict[str, Any]:
        """The settings of librdkafka that lead there; with the password."""
        tls = self.settings.get("tls") == "true" or any(name in self.settings for name in _FILES)
        word = ("SASL_" if self.user else "") + ("SSL" if tls else "PLAINTEXT")
        made: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "client.id": "orrery",
            "security.protocol": word,
            "isolation.level": self.isolation,
        }
        if self.user:
            mechanism = self.settings.get("mechanism", "PLAIN")
            made |= {"sasl.mechanism": mechanism, "sasl.username": self.user, "sasl.password": self.password}
        return made | {key: self.settings[name] for name, key in _FILES.items() if name in self.settings}


def parse(place: str, connection: str | None = None) -> Address:
    """The address of a topic. Raises SettingsError.

    With a connection, brokers and sign-in are those of its variable; the place names the topic.

    >>> parse("kafka://127.0.0.1:9092/orders?timeout_s=5").shown
    'kafka://127.0.0.1:9092/orders?timeout_s=5'
    """
    found = _parts(place)
    name = connection or found.settings.get("connection")
    if name is not None:
        there = _parts(remote.connection(name, "kafka://user:password@host:9092?tls=true"))
        if found.brokers and found.brokers != there.brokers:
            raise SettingsError(
                f"The connection {name!r} is to other brokers than {found.brokers}.",
                hint="Name the topic alone: kafka:///orders.",
            )
        own = {key: value for key, value in found.settings.items() if key != "connection"}
        found = Address(there.brokers, found.topic, there.user, there.password, {**there.settings, **own})
    if not found.brokers or not _TOPIC.fullmatch(found.topic):
        raise SettingsError(f"The address {masked(place)} does not name brokers and a topic.", hint=_EXAMPLE)
    return found


def _parts(place: str) -> Address:
    parts = _PLACE.fullmatch(place)
    try:
        masking.whole(place)
    except ValueError:
        parts = None
    if parts is None:
        raise SettingsError(
            "The address of Kafka cannot be read; it is not shown, as it may hold a password.", hint=_EXAMPLE
        )
    settings = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise SettingsError(
                f"An address of Kafka has no setting {name!r}; there are {listing(_SETTINGS)}.",
                hint=did_you_mean(name, _SETTINGS),
            )
        if name == "isolation" and value not in _LEVELS:
            raise SettingsError(f"isolation={value} is none; there are {listing(_LEVELS)}.")
        if name == "timeout_s" and not re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            raise SettingsError(f"timeout_s={value} is not a number of seconds.")
    user, _, password = (parts["login"] or "").partition(":")
    return Address(
        parts["brokers"], unquote(parts["topic"] or ""), unquote(user), unquote(password), settings
    )
