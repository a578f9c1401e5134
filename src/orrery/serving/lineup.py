"""Who answers for a name at one moment: the versions that a route names, opened, and the choice among them.

The choice is pure. A key is hashed with the name of the model to a point from 0 to 1 (BLAKE2b, eight bytes);
the arms lie one behind the other from 0 on, each as long as its share, and the main version has the rest. So
equal keys go to the same version in every process and after every restart, and when the share of the only (or
last) arm grows, all who were in it stay. The canary has points of its own, salted with its version, so that
not always the same keys are the ones tried on; who is in it stays in it while its share grows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from orrery.serving.runner import Runner

MAIN, ARM, CANARY, SHADOW, FALLBACK, NAMED = "main", "arm", "canary", "shadow", "fallback", "named"
"""In which part a version answers."""


@dataclass(frozen=True)
class Live:
    """A version that answers. Whoever holds one may use it to the end of the request."""

    name: str
    version: int
    """0 for a model that is not from a registry."""
    runner: Runner
    created: str = ""
    """When it was published: a number may be used again after its name was deleted."""
    size_bytes: int = 0
    """About what it takes in memory."""
    arm: str = MAIN
    """In which part it answers here: ``main``, ``arm``, ``canary``, ``shadow``, ``fallback``, or ``named``,
    where the caller named the version."""
    fixed: bool = False
    """Whether the caller's key or version chose it, so that its rows are not divided further."""


@dataclass(frozen=True)
class Lineup:
    """The versions behind one name, as the route has them now.

    >>> lineup = Lineup(Live("m", 1, None), arms=((Live("m", 2, None), 0.5),), by="card")
    >>> [lineup.of_key(str(card)).version for card in range(6)]
    [2, 1, 2, 1, 2, 1]
    """

    main: Live
    arms: tuple[tuple[Live, float], ...] = ()
    canary: Live | None = None
    canary_share: float = 0.0
    shadows: tuple[Live, ...] = ()
    fallback: Live | None = None
    named: tuple[Live, ...] = ()
    """Versions that only answer when they are named."""
    by: str = ""
    """The column whose values decide; empty: by chance."""
    deadline_s: float = 10.0
    revision: int = 0

    @cached_property
    def splits(self) -> bool:
        """Whether more than one version may answer."""
        return bool(self.arms) or self.canary is not None

    @cached_property
    def is_one(self) -> bool:
        """Whether nobody but the main version answers, is compared with it, or stands in for it."""
        return not (self.arms or self.shadows or self.named or self.canary or self.fallback)

    def lives(self) -> Iterator[Live]:
        """Everybody, the main version first."""
        yield self.main
        yield from (live for live, _ in self.arms)
        yield from (live for live in (self.canary, *self.shadows, self.fallback, *self.named) if live)

    def shares(self) -> list[tuple[Live, float]]:
        """On which share of the requests each version answers, the main one first."""
        tried = 0.0 if self.canary is None else self.canary_share
        arms = [(live, share * (1 - tried)) for live, share in self.arms]
        rest = max(0.0, 1 - tried - sum(share for _, share in arms))
        return [(self.main, rest), *arms, *([(self.canary, tried)] if self.canary else [])]

    def of_key(self, key: str) -> Live:
        """Who answers for a key."""
        if self.canary is not None:
            salt = f"{self.main.name}\0canary {self.canary.version}"
            if point_of(key, salt) < self.canary_share:
                return self.canary
        return self._at(point_of(key, self.main.name)) if self.arms else self.main

    def drawn(self) -> Live:
        """Who answers by chance."""
        if self.canary is not None and random.random() < self.canary_share:
            return self.canary
        return self._at(random.random()) if self.arms else self.main

    def version(self, number: int) -> Live | None:
        """A version by its number, if it is here."""
        found = next((v for v in self.lives() if v.version == number and v.name == self.main.name), None)
        return None if found is None else replace(found, arm=NAMED, fixed=True)

    def instead_of(self, live: Live) -> Live | None:
        """Who answers where a version fails: the main one for those that are tried, the fallback for it."""
        if live.arm in (ARM, CANARY):
            return self.main
        return self.fallback if live.arm == MAIN else None

    def _at(self, point: float) -> Live:
        for live, share in self.arms:
            if point < share:
                return live
            point -= share
        return self.main


def point_of(key: str, salt: str) -> float:
    """A key's point from 0 to below 1: the same in every process.

    >>> point_of("a", "m") == point_of("a", "m") != point_of("a", "n")
    True
    """
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=_salted(salt)).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _salted(salt: str) -> bytes:
    text = salt.encode()
    return text if len(text) <= 64 else blake2b(text, digest_size=32).digest()
