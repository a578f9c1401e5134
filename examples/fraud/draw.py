"""Card payments, made up: the same seed gives the same payments, in the order in which they arrive.

Owners pay in a few shops of theirs, now and then in another one, and seldom much more than usual. One payment
in a hundred arrives late, one in two hundred twice. Fraud shows in what came before, and in little else:

- a *run*: a stolen number is tried in shop after shop, many times within an hour, with small sums
- a *feast*: a stolen card pays far above what its owner pays, where he never was
- a *ring*, from the day ``CHANGE`` on: a shop that takes part charges many stolen cards within an hour, once
  each, with sums as usual
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

START = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
CARDS, SHOPS = 400, 60
CHANGE = 36
"""The day from which most fraud is a ring's."""


@dataclass(frozen=True)
class Owner:
    """Where somebody pays, and how much."""

    card: str
    shops: tuple[str, ...]
    usual: float

    def sum(self, drawn: random.Random, times: float = 1.0) -> float:
        """What is paid, in euros."""
        return round(self.usual * times * math.exp(drawn.gauss(0, 0.4)), 2)


def payments(days: int, seed: int = 0) -> list[dict[str, Any]]:
    """All payments of so many days; ``fraud`` says what nobody knows yet."""
    drawn = random.Random(seed)
    shops = [f"shop-{n:02}" for n in range(SHOPS)]
    owners = [
        Owner(f"card-{n:03}", tuple(drawn.sample(shops, 5)), 15 * math.exp(drawn.gauss(0, 0.6)))
        for n in range(CARDS)
    ]
    made = [row for day in range(days) for row in _day(drawn, day, owners, shops)]
    made.sort(key=lambda row: row["time"])
    sent = [(_sent(drawn, row), {"id": f"p{n:06}", **row}) for n, row in enumerate(made)]
    sent += [(at + dt.timedelta(minutes=5), row) for at, row in sent if drawn.random() < 0.005]
    sent.sort(key=lambda pair: (pair[0], pair[1]["id"]))
    return [{**row, "arrival": at} for at, row in sent]


def day_of(row: dict[str, Any]) -> int:
    """The day on which it arrived, from 0."""
    days: int = (row["arrival"] - START).days
    return days


def _sent(drawn: random.Random, row: dict[str, Any]) -> dt.datetime:
    """When it arrives."""
    late = drawn.random() < 0.01
    at: dt.datetime = row["time"] + dt.timedelta(minutes=drawn.uniform(1, 40) if late else 0.02)
    return at


def _day(drawn: random.Random, day: int, owners: list[Owner], shops: list[str]) -> Iterator[dict[str, Any]]:
    for owner in owners:
        for _ in range(drawn.choice((0, 1, 1, 2, 3))):
            shop = drawn.choice(shops if drawn.random() < 0.08 else owner.shops)
            times = 4.0 if drawn.random() < 0.02 else 1.0
            yield _paid(owner, shop, owner.sum(drawn, times), _moment(drawn, day), "no")
    old = 1.0 if day < CHANGE else 0.2
    for owner in drawn.sample(owners, 2):
        if drawn.random() < old:
            begin = _moment(drawn, day)
            for n in range(drawn.randint(4, 9)):
                at = begin + dt.timedelta(minutes=6 * n + drawn.uniform(0, 4))
                yield _paid(owner, drawn.choice(shops), round(drawn.uniform(1, 12), 2), at, "yes")
    for owner in drawn.sample(owners, 6):
        if drawn.random() < old:
            yield _paid(
                owner, drawn.choice(shops), owner.sum(drawn, drawn.uniform(3, 8)), _moment(drawn, day), "yes"
            )
    for shop in drawn.sample(shops, 3 if day >= CHANGE else 0):
        begin = _moment(drawn, day)
        for owner in drawn.sample(owners, drawn.randint(5, 9)):
            at = begin + dt.timedelta(minutes=drawn.uniform(0, 55))
            yield _paid(owner, shop, owner.sum(drawn), at, "yes")


def _paid(owner: Owner, shop: str, eur: float, at: dt.datetime, fraud: str) -> dict[str, Any]:
    return {"time": at, "card": owner.card, "shop": shop, "eur": eur, "fraud": fraud}


def _moment(drawn: random.Random, day: int) -> dt.datetime:
    hour = min(max(drawn.gauss(14, 4), 0), 22.5)
    return START + dt.timedelta(days=day, hours=hour, microseconds=drawn.randrange(10**6))
