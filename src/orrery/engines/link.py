"""A connection between machines: nobody without the gang's token gets a word in.

Each end proves that it holds the token, and neither sends it: the driver draws a number, the worker answers
with its rank, a number of its own and a seal over both, and the driver seals the answer. From then on each
message carries a seal over its place in the conversation, its length and its body, so that messages cannot
be forged, repeated, or made longer than ``LIMIT_BYTES``. What is said is sealed, but not hidden: on a network
that others read, use Spark's own encryption, or a private network.
"""

from __future__ import annotations

import hashlib
import hmac
import queue
import secrets
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from orrery.engines.frames import exactly

LIMIT_BYTES = 8 << 30
"""No message is longer."""

_HELLO_S = 10.0  # for a stranger to prove himself
_STRANGERS = 64  # at a time
_HEAD = struct.Struct("<cQ")
_SEAL = 16
_NUMBER = 32


class Sealed:
    """One end of a connection whose other end is known."""

    def __init__(self, link: socket.socket, sending: bytes, hearing: bytes) -> None:
        self.socket = link
        self._keys = sending, hearing
        self._counts = [0, 0]
        self._sending = threading.Lock()

    def send(self, kind: bytes, body: bytes | memoryview = b"") -> None:
        """One message. Raises OSError where nobody is there any more."""
        head = _HEAD.pack(kind, len(body))
        with self._sending:
            first, second = self._seal(0, head), self._seal(0, body)
            if len(body) < 1 << 16:
                self.socket.sendall(b"".join([head, first, body, second]))
                return
            for part in (head + first, body, second):
                self.socket.sendall(part)

    def receive(self) -> tuple[bytes, bytes] | None:
        """The next message; None once the other end is gone, or a seal is broken."""
        try:
            head = exactly(self.socket, _HEAD.size)
            if not hmac.compare_digest(exactly(self.socket, _SEAL), self._seal(1, head)):
                return None
            kind, length = _HEAD.unpack(head)
            if length > LIMIT_BYTES:
                return None
            body = exactly(self.socket, length)
            if not hmac.compare_digest(exactly(self.socket, _SEAL), self._seal(1, body)):
                return None
            return kind, body
        except OSError:
            return None

    def close(self) -> None:
        """Hang up; also a thread that listens hears of it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _seal(self, way: int, part: bytes | memoryview) -> bytes:
        seal = hashlib.blake2b(key=self._keys[way], digest_size=_SEAL)
        seal.update(struct.pack("<Q", self._counts[way]))
        seal.update(part)
        self._counts[way] += 1
        return seal.digest()


def connect(host: str, port: int, token: bytes, rank: int) -> Sealed:
    """A worker's connection to its driver. Raises OSError where there is none that knows the token."""
    link = socket.create_connection((host, port), timeout=_HELLO_S)
    try:
        asked = exactly(link, _NUMBER)
        own = secrets.token_bytes(_NUMBER) + struct.pack("<I", rank)
        link.sendall(own + _proof(token, b"worker", asked, own))
        if not hmac.compare_digest(exactly(link, _NUMBER), _proof(token, b"driver", asked, own)):
            raise ConnectionRefusedError("The driver does not know the gang's token.")
    except OSError:
        link.close()
        raise
    _dress(link)
    return Sealed(link, _proof(token, b"up", asked, own), _proof(token, b"down", asked, own))


class Listener:
    """The driver's door: ``callers`` gets the rank and the connection of each worker, once for each rank.

    >>> with Listener("127.0.0.1", b"secret", 1) as door:
    ...     worker = connect(*door.address, b"secret", 0)
    ...     rank, driver = door.callers.get(timeout=10)
    ...     worker.send(b"T", b"hello")
    ...     said = driver.receive()
    ...     worker.close(), driver.close()
    (None, None)
    >>> rank, said
    (0, (b'T', b'hello'))
    """

    def __init__(self, host: str, token: bytes, size: int) -> None:
        self.token = token
        self.size = size
        self.callers: queue.SimpleQueue[tuple[int, Sealed]] = queue.SimpleQueue()
        self._socket = socket.create_server((host, 0), backlog=max(128, size))
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._seen: set[int] = set()
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_STRANGERS)
        self._thread = threading.Thread(target=self._accept, name="orrery-door", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        self._thread.join()
        while not self.callers.empty():  # those whom nobody took in
            self.callers.get()[1].close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                link.close()
                continue
            threading.Thread(target=self._greet, args=(link,), name="orrery-greeting", daemon=True).start()

    def _greet(self, link: socket.socket) -> None:
        try:
            link.settimeout(_HELLO_S)
            asked = secrets.token_bytes(_NUMBER)
            link.sendall(asked)
            own = exactly(link, _NUMBER + 4)
            known = hmac.compare_digest(exactly(link, _NUMBER), _proof(self.token, b"worker", asked, own))
            rank = int(struct.unpack("<I", own[_NUMBER:])[0])
            if not known or not self._is_new(rank):
                link.close()
                return
            link.sendall(_proof(self.token, b"driver", asked, own))
            _dress(link)
            keys = (_proof(self.token, way, asked, own) for way in (b"down", b"up"))
            self.callers.put((rank, Sealed(link, *keys)))
        except OSError:
            link.close()
        finally:
            self._room.release()

    def _is_new(self, rank: int) -> bool:
        with self._lock:
            new = rank < self.size and rank not in self._seen
            self._seen.add(rank)
            return new


def _proof(token: bytes, who: bytes, asked: bytes, own: bytes) -> bytes:
    return hmac.digest(token, who + asked + own, "sha256")


def _dress(link: socket.socket) -> None:
    link.settimeout(None)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
