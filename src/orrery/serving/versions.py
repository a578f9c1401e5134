"""The opened versions of one name: each is opened once, replayed and warmed, beside those that answer."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orrery.registry.registry import Version
from orrery.serving.lineup import Live

_RETRY_S = 30.0  # a version that failed is tried again: the fault may have been the disk's
_log = logging.getLogger("orrery.serving")

Identity = tuple[str, int, str]
Opener = Callable[[Version], Live]


def identity_of(version: Version) -> Identity:
    """What tells a version from others, also after its name was begun anew."""
    return version.name, version.version, version.created


class Versions:
    """Opens versions one after another in a thread, and remembers which could not be let in.

    >>> versions = Versions(lambda version: None)
    >>> versions.refused
    {}
    """

    def __init__(self, opener: Opener, told: Callable[[], None] = lambda: None) -> None:
        self.opener = opener
        self.told = told
        """Called when a version was opened or refused, on the thread that opened it."""
        self.refused: dict[Identity, str] = {}
        """Versions that were not let in, and why."""
        self._lives: dict[Identity, Live] = {}
        self._tried_s: dict[Identity, float] = {}
        self._thread: threading.Thread | None = None

    def get(self, version: Version) -> Live | None:
        """A version, if it is open."""
        return self._lives.get(identity_of(version))

    def now(self, version: Version) -> Live:
        """A version, opened here and now if need be. Raises what opening a model raises."""
        key = identity_of(version)
        if key not in self._lives:
            self._lives[key] = self.opener(version)
        return self._lives[key]

    def settled(self, wanted: Sequence[Version]) -> bool:
        """Whether all are open or refused; begins to open the first that is neither."""
        missing = next((v for v in wanted if identity_of(v) not in self._lives and self._is_due(v)), None)
        if missing is None:
            return True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._open, args=(missing,), name="orrery-load", daemon=True
            )
            self._thread.start()
        return False

    def keep(self, identities: Iterable[Identity]) -> None:
        """Forget all others."""
        kept = set(identities)
        for key in [key for key in self._lives if key not in kept]:
            del self._lives[key]
        for key in [key for key in self._tried_s if key not in kept]:
            del self._tried_s[key]

    def size_bytes(self) -> int:
        """Of all that is open."""
        return sum(live.size_bytes for live in list(self._lives.values()))

    def close(self) -> None:
        """Wait for what is being opened."""
        if self._thread is not None:
            self._thread.join()

    def _is_due(self, version: Version) -> bool:
        return time.monotonic() - self._tried_s.get(identity_of(version), -_RETRY_S) >= _RETRY_S

    def _open(self, version: Version) -> None:
        try:
            live = self.opener(version)
        except Exception as error:  # whatever is wrong with the new one, the old ones answer
            self._tried_s[identity_of(version)] = time.monotonic()
            self.refused[identity_of(version)] = str(error)
            _log.error("%s was not let in: %s", version.url, error)
        else:
            self.refused.pop(identity_of(version), None)
            self._lives[identity_of(version)] = live
        self.told()


def resident_bytes() -> int:
    """What this process holds in memory; 0 where the system does not tell.

    >>> resident_bytes() > 1 << 20 or sys.platform != "linux"
    True
    """
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _page_bytes()


def files_bytes(path: str | Path) -> int:
    """What a saved model takes on disk."""
    place = Path(path)
    if place.is_file():
        return place.stat().st_size
    return sum(each.stat().st_size for each in place.rglob("*") if each.is_file())


def _page_bytes() -> int:
    import resource  # not on Windows

    return resource.getpagesize()
