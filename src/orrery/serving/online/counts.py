"""Counters and histograms for Prometheus that cost a request next to nothing.

They are counted on the event loop's thread alone, without locks; whoever collects them sees each value as it
is or as it was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Count:
    """One number that only grows."""

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, more: float = 1.0) -> None:
        """Count so many more."""
        self.value += more


class Counts(Collector):
    """A counter for each combination of labels.

    >>> counts = Counts("apples", "Eaten.", ["who"])
    >>> counts.labels("Ada").inc(2)
    >>> [(s.name, s.labels, s.value) for s in counts.collect()[0].samples]
    [('apples_total', {'who': 'Ada'}, 2.0)]
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self.name = name
        self.about = about
        self.names = labels
        self._found: dict[tuple[str, ...], Count] = {}

    def labels(self, *labels: str) -> Count:
        """The counter of some labels."""
        return self._found.setdefault(labels, Count())

    def describe(self) -> list[CounterMetricFamily]:
        """Its name, which is told once per registry."""
        return [CounterMetricFamily(self.name, self.about, labels=self.names)]

    def collect(self) -> list[CounterMetricFamily]:
        """Everything as it is now."""
        family = CounterMetricFamily(self.name, self.about, labels=self.names)
        for labels, count in list(self._found.items()):
            family.add_metric(labels, count.value)
        return [family]


class Spread:
    """How often a value fell between two edges, and the sum of all values."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one that is on an edge is below it."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value


class Spreads(Collector):
    """A histogram for each combination of labels.

    >>> spreads = Spreads("wait_seconds", "Waited.", ["who"], (0.1, 1.0))
    >>> spreads.labels("Ada").observe(0.5)
    >>> [s.value for s in spreads.collect()[0].samples]
    [0.0, 1.0, 1.0, 1.0, 0.5]
    """

    def __init__(self, name: str, about: str, labels: Sequence[str], edges: Sequence[float]) -> None:
        self.name = name
        self.about = about
        self.names = labels
        self.edges = edges
        self._found: dict[tuple[str, ...], Spread] = {}

    def labels(self, *labels: str) -> Spread:
        """The histogram of some labels."""
        return self._found.setdefault(labels, Spread(self.edges))

    def describe(self) -> list[HistogramMetricFamily]:
        """Its name, which is told once per registry."""
        return [HistogramMetricFamily(self.name, self.about, labels=self.names)]

    def collect(self) -> list[HistogramMetricFamily]:
        """Everything as it is now."""
        family = HistogramMetricFamily(self.name, self.about, labels=self.names)
        edges = [*map(str, self.edges), "+Inf"]
        for labels, spread in list(self._found.items()):
            buckets = list(zip(edges, map(float, accumulate(spread.counts)), strict=True))
            family.add_metric(labels, buckets, sum_value=spread.sum)
        return [family]
