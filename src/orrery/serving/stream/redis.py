"""Redis streams: ``redis://host:6379/orders``.

An entry's field ``value`` is the message, ``key`` its key, all others are its headers. An entry without
``value`` is taken as one object of its fields. What a scorer took and did not acknowledge stays pending under
its name: it takes that first when it comes again, and what others left lying for long, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from orrery.errors import BrokerError, SourceError
from orrery.extras import require
from orrery.serving.stream.bounded import Bounded
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.place import Place, parse

_PURPOSE = "Streams of Redis"
_LEFT_MS = 60_000  # what another scorer has held so long is taken from it
_LETTERS = 256  # sent at once
_LASTING = ("WRONGTYPE", "NOPERM", "WRONGPASS", "NOAUTH", "ERR unknown command", "ERR AUTH")


class RedisInbox:
    """Reads a stream for a group."""

    def __init__(self, place: Place, wiring: Wiring) -> None:
        self.place = place
        self.wiring = wiring
        self.name = wiring.instance or f"orrery-{uuid4().hex}"
        self._client: Any = None
        self._own = b"0"  # up to where what is pending under our name was taken; empty behind the last
        self._left = "0-0"  # up to where what others left was looked for
        self._turns = 0
        self._bounded = Bounded()
        self._taken: set[bytes] = set()

    def open(self, settle: Callable[[], None]) -> None:
        """Connect, and join the group; a new group begins with the first entry there is."""
        self._client = _client(self.place)
        self._own, self._left, self._turns = b"0", "0-0", 0
        self._taken.clear()
        with _speaking(self.place):
            self._client.ping()
            try:
                self._client.xgroup_create(self.place.name, self.wiring.group, id="0", mkstream=True)
            except require("redis", _PURPOSE).ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def take(self, most: int, wait_s: float) -> list[Message]:
        """What is pending under our name first, then what others left, then what is new."""
        count = self._bounded.most(most)
        with _speaking(self.place):
            entries = self._pending(count) if self._own else []
            if not entries and self._turns % 256 == 0:
                entries = self._left_by_others(count)
            self._turns += 1
            entries = entries or self._new(count, wait_s)
        messages = [self._message(entry, fields) for entry, fields in entries]
        self._taken.update(entry for entry, _ in entries)
        self._bounded.seen(messages)
        return messages

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are no longer pending."""
        with _speaking(self.place):
            self._client.xack(self.place.name, self.wiring.group, *(m.handle for m in messages))
        self._taken.difference_update(m.handle for m in messages)

    def lag(self) -> int | None:
        """What the group has not taken yet, as Redis tells since version 7."""
        with suppress(BrokerError, SourceError), _speaking(self.place):
            for group in self._client.xinfo_groups(self.place.name):
                if group["name"] == self.wiring.group.encode() and group.get("lag") is not None:
                    return int(group["lag"])
        return None

    def close(self) -> None:
        """Disconnect; what was not acknowledged may be taken by another at once."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(BrokerError, SourceError), _speaking(self.place):
            whose = self.place.name, self.wiring.group, self.name
            if self._taken:
                client.xclaim(*whose, 0, sorted(self._taken), idle=_LEFT_MS, justid=True)
            elif not self.wiring.instance:
                client.xgroup_delconsumer(*whose)
        client.close()

    def _pending(self, count: int) -> list[Any]:
        found = self._read(count, self._own)
        self._own = found[-1][0] if found else b""
        return self._there(found)

    def _left_by_others(self, count: int) -> list[Any]:
        whose = self.place.name, self.wiring.group, self.name
        self._left, found, *_ = self._client.xautoclaim(*whose, _LEFT_MS, self._left, count=count)
        return self._there([one for one in found if one[0] not in self._taken])

    def _new(self, count: int, wait_s: float) -> list[Any]:
        return self._read(count, b">", block=max(1, int(1000 * wait_s)) if wait_s else None)

    def _read(self, count: int, start: bytes, block: int | None = None) -> list[Any]:
        found = self._client.xreadgroup(
            self.wiring.group, self.name, {self.place.name: start}, count=count, block=block
        )
        pairs = found.items() if isinstance(found, dict) else found or ()
        return [(entry, fields) for _, entries in pairs for entry, fields in _flat(entries)]

    def _there(self, entries: list[Any]) -> list[Any]:
        """Those that are still in the stream; the others are nobody's any more."""
        gone = [entry for entry, fields in entries if not fields]
        if gone:
            self._client.xack(self.place.name, self.wiring.group, *gone)
        return [(entry, fields) for entry, fields in entries if fields]

    def _message(self, entry: bytes, fields: dict[bytes, bytes]) -> Message:
        value = fields.get(b"value")
        if value is None:
            whole = {_text(name): _text(one) for name, one in fields.items() if name != b"key"}
            value, fields = json.dumps(whole, ensure_ascii=False).encode(), {b"key": fields.get(b"key", b"")}
        headers = [(_text(name), one) for name, one in fields.items() if name not in (b"value", b"key")]
        stamp = entry.partition(b"-")[0]
        return Message(
            value,
            f"{self.place.name}/{entry.decode()}",
            fields.get(b"key") or None,
            headers=headers,
            time_ms=int(stamp),
            handle=entry,
        )


class RedisOutbox:
    """Appends to streams, each answer an entry; stored when Redis says so, as safely as it is set up."""

    has_headers = True

    def __init__(self, place: Place, dead: str) -> None:
        self.place = place
        self.dead = dead
        self._client: Any = None

    def open(self) -> None:
        """Connect."""
        self._client = _client(self.place)
        with _speaking(self.place):
            self._client.ping()

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Append them, and wait for Redis' word."""
        with _speaking(self.place):
            for start in range(0, len(letters), _LETTERS):
                pipe = self._client.pipeline(transaction=False)
                for letter in letters[start : start + _LETTERS]:
                    pipe.xadd(self.dead if letter.is_dead else self.place.name, _fields(letter))
                pipe.execute()
        return ()

    def flush(self) -> None:
        """Redis has said it of each."""

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def inbox(place: str, wiring: Wiring) -> RedisInbox:
    """An inbox on ``redis://host:6379/stream``."""
    return RedisInbox(parse(place, 6379, ("db",)), wiring)


def outbox(place: str, wiring: Wiring) -> RedisOutbox:
    """An outbox on ``redis://host:6379/stream``; dead letters go to ``stream.dead`` unless told."""
    found = parse(place, 6379, ("db",))
    return RedisOutbox(found, wiring.dead_letter or f"{found.name}.dead")


def _client(place: Place) -> Any:
    """A client that repeats nothing by itself: a read that is repeated would pass over what it took."""
    redis = require("redis", _PURPOSE)
    retry = require("redis.retry", _PURPOSE).Retry(require("redis.backoff", _PURPOSE).NoBackoff(), 0)
    tls: dict[str, Any] = {"ssl": True} if place.tls() is not None else {}
    if "ca" in place.settings:
        tls["ssl_ca_certs"] = place.settings["ca"]
    return redis.Redis(
        host=place.host,
        port=place.port,
        db=int(place.settings.get("db", "0")),
        username=place.user or None,
        password=place.password or None,
        socket_timeout=place.timeout_s,
        socket_connect_timeout=place.timeout_s,
        retry=retry,
        **tls,
    )


@contextmanager
def _speaking(place: Place) -> Iterator[None]:
    """Errors of the client as ours."""
    redis = require("redis", _PURPOSE)
    try:
        yield
    except (redis.RedisError, OSError) as error:
        said = BrokerError(
            f"{place.shown} cannot be used: {str(error).replace(place.password or chr(0), '***')}."
        )
        said.lasting = str(error).startswith(_LASTING) or isinstance(error, redis.AuthenticationError)
        raise said from None


def _flat(entries: Any) -> Iterator[Any]:
    """Entries of an answer, which the two protocols of Redis nest differently."""
    for one in entries:
        if one and isinstance(one[0], bytes):
            yield one
        else:
            yield from _flat(one)


def _fields(letter: Letter) -> dict[str | bytes, bytes]:
    fields: dict[str | bytes, bytes] = {} if letter.value is None else {"value": letter.value}
    if letter.key is not None:
        fields["key"] = letter.key
    for name, one in letter.headers:
        fields.setdefault(name, one or b"")
    return fields


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
