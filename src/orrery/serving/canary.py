"""Whether a canary goes on, grows or is stopped: a pure decision from what was counted.

A canary is stopped where it is worse than the main version was on the requests of the same time, by more than
the route allows and more than chance explains:

- errors: with the main version's share of errors and what is allowed above it, so many errors would come in
  fewer than one of a hundred trials (exact binomial tail; normal beyond a thousand requests)
- delay: its 95th of 100 delays is more than so many times the main version's, and 2 ms longer
- drift: the population stability index of its scores against the main version's is above the limit, and above
  what equal distributions give in one of a thousand trials: (1/n + 1/m) times a chi-squared quantile
  (Yurdakul, *Statistical Properties of Population Stability Index*, 2018)
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orrery.features.target import Target
from orrery.registry.routes import Canary
from orrery.schema import Kind

_BY_CHANCE = 0.01
_FEW = 30  # delays and scores from which on they are compared
_FLOOR_S = 0.002  # a delay that is longer by less is noise
_BINS = 10
_KEPT = 4_000  # the last delays and scores of each
_PER_REQUEST = 50  # scores of one request

Score = float | str


@dataclass(frozen=True)
class Sample:
    """What was counted of one version in one step of a canary."""

    requests: int = 0
    errors: int = 0
    delays_s: Sequence[float] = ()
    scores: Sequence[Score] = ()


@dataclass(frozen=True)
class Verdict:
    """What happens to a canary, and why."""

    act: Literal["wait", "grow", "done", "stop"]
    why: str
    share: float = 0.0
    """Its next share, where it grows."""


def judge(canary: Canary, main: Sample, tried: Sample, lasted_s: float) -> Verdict:
    """Decide on one step. Pure.

    >>> canary = Canary(to=4, least_requests=10, step_s=0)
    >>> judge(canary, Sample(100, 0), Sample(20, 5), 1.0).why
    '5 of 20 requests failed, against 0 of 100'
    >>> judge(canary, Sample(100, 0), Sample(20, 0), 1.0)
    Verdict(act='grow', why='all is well after 20 requests', share=0.2)
    """
    for found in (_errors(canary, main, tried), _delay(canary, main, tried), _drift(canary, main, tried)):
        if found:
            return Verdict("stop", found)
    if tried.requests < canary.least_requests or lasted_s < canary.step_s:
        return Verdict("wait", f"{tried.requests} requests in {lasted_s:.0f} s")
    why = f"all is well after {tried.requests} requests"
    share = min((step for step in canary.steps if step > canary.share), default=None)
    if share is not None:
        return Verdict("grow", why, share)
    return Verdict("done", why) if canary.promote else Verdict("wait", why)


def _errors(canary: Canary, main: Sample, tried: Sample) -> str:
    usual = main.errors / main.requests if main.requests else 0.0
    if tried.errors and at_least(tried.errors, tried.requests, usual + canary.most_errors) < _BY_CHANCE:
        return f"{tried.errors} of {tried.requests} requests failed, against {main.errors} of {main.requests}"
    return ""


def at_least(hits: int, trials: int, share: float) -> float:
    """The chance of so many hits or more, where each trial hits with a share.

    >>> round(at_least(1, 2, 0.5), 6), at_least(0, 5, 0.1), at_least(1, 5, 0.0)
    (0.75, 1.0, 0.0)
    """
    if hits <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    if trials > 1_000:
        spread = math.sqrt(trials * share * (1 - share))
        return 0.5 * math.erfc((hits - 0.5 - trials * share) / spread / math.sqrt(2))
    return min(1.0, sum(_chance(k, trials, share) for k in range(hits, trials + 1)))


def _chance(hits: int, trials: int, share: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return math.exp(ways + hits * math.log(share) + (trials - hits) * math.log1p(-share))


def _delay(canary: Canary, main: Sample, tried: Sample) -> str:
    if min(len(main.delays_s), len(tried.delays_s)) < _FEW:
        return ""
    usual, now = (float(np.quantile(np.asarray(s.delays_s), 0.95)) for s in (main, tried))
    if now <= max(usual * canary.most_delay, usual + _FLOOR_S):
        return ""
    return f"95 of 100 requests took up to {1e3 * now:.1f} ms, against {1e3 * usual:.1f} ms"


def _drift(canary: Canary, main: Sample, tried: Sample) -> str:
    if min(len(main.scores), len(tried.scores)) < _FEW:
        return ""
    found, bins = psi(main.scores, tried.scores)
    if found <= max(canary.most_drift, _psi_by_chance(bins, len(main.scores), len(tried.scores))):
        return ""
    return f"the scores differ: PSI {found:.2f}, and {canary.most_drift:g} is allowed"


def psi(before: Sequence[Score], now: Sequence[Score]) -> tuple[float, int]:
    """The population stability index of scores against others, and of how many bins.

    Numbers are cut into ten bins of equal share before; categories are bins of their own.

    >>> psi(["a", "b"] * 50, ["a", "b"] * 20)
    (0.0, 2)
    """
    if isinstance(before[0], str):
        names = sorted({*before, *now}, key=str)
        counts = [np.array([list(side).count(name) for name in names]) for side in (before, now)]
    else:
        old, new = (np.asarray(side, np.float64) for side in (before, now))
        edges = np.unique(np.quantile(old, np.linspace(0, 1, _BINS + 1)[1:-1]))
        counts = [
            np.bincount(np.searchsorted(edges, side, side="right"), minlength=len(edges) + 1)
            for side in (old, new)
        ]
    return _index(*counts), len(counts[0])


def _index(before: NDArray[Any], now: NDArray[Any]) -> float:
    """From counts per bin. An empty bin counts as half a row, so that the logarithm exists."""
    some = before + now > 0
    before, now = before[some], now[some]
    e, a = (np.maximum(c, 0.5) / max(c.sum(), 1) for c in (before, now))
    return float(((a - e) * np.log(a / e)).sum())


def _psi_by_chance(bins: int, before: int, now: int) -> float:
    """What equal distributions exceed once in a thousand (chi-squared quantile by Wilson and Hilferty)."""
    free = max(1, bins - 1)
    spread = 2 / (9 * free)
    return float(free * (1 - spread + 3.09 * math.sqrt(spread)) ** 3 * (1 / before + 1 / now))


def scores_of(answers: Sequence[Mapping[str, Any]], target: Target) -> list[Score]:
    """What is compared of answers: numbers, the second label's probability of two, else the category."""
    some = answers[:_PER_REQUEST]
    if target.kind is Kind.NUMBER:
        return [float(a["prediction"]) for a in some if math.isfinite(a["prediction"])]
    if target.kind is not Kind.CATEGORY:
        return []
    if len(target.labels) == 2:
        return [float(list(a["probabilities"].values())[-1]) for a in some]
    return [str(a["prediction"]) for a in some]


@dataclass
class Tally:
    """Counts one version during one step. Any thread may add to it or read it."""

    requests: int = 0
    errors: int = 0
    delays_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    scores: deque[Score] = field(default_factory=lambda: deque(maxlen=_KEPT))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, delay_s: float, scores: Sequence[Score]) -> None:
        """A request was answered."""
        with self.lock:
            self.requests += 1
            self.delays_s.append(delay_s)
            self.scores.extend(scores)

    def failed(self) -> None:
        """A request was not."""
        with self.lock:
            self.requests += 1
            self.errors += 1

    def sample(self) -> Sample:
        """What was counted so far."""
        with self.lock:
            return Sample(self.requests, self.errors, list(self.delays_s), list(self.scores))


class Trial:
    """The counts of a canary and of the main version beside it, since one revision of the route."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.main = Tally()
        self.tried = Tally()
        self.began_s = time.monotonic()

    def verdict(self, canary: Canary) -> Verdict:
        """What happens now."""
        return judge(canary, self.main.sample(), self.tried.sample(), time.monotonic() - self.began_s)
