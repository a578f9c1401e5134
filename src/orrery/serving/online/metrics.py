"""What Prometheus reads at ``/metrics``. Labels are the service's own words, never a caller's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orrery.serving.lineup import MAIN, Live
from orrery.serving.online.counts import Count, Counts, Spread, Spreads
from orrery.serving.online.tally import Tally
from orrery.serving.online.traces import Traces
from orrery.serving.record import Recorder
from orrery.serving.route import Route
from orrery.serving.shelf import Shelf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ARM = ["service", "version", "arm"]


class Metrics:
    """The counters of one service; ``service`` is the name of a model."""

    def __init__(self, shelf: Shelf, recorder: Recorder | None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_States(shelf, recorder))
        self.shelf = shelf
        self.tally: Tally | None = None
        """Where other processes answer too: what adds all of it up."""
        self.traces: Traces | None = None
        """Who is told of each answer beside, where somebody collects that."""
        self._of_request = functools.cache(self._request_counts)  # labels are looked up once
        self._of_live = functools.cache(self._live_counts)
        self._requests = self._counter(
            "orrery_requests",
            "Requests answered, by what was asked and the HTTP status.",
            ["service", "face", "code"],
        )
        self._request_s = self._histogram(
            "orrery_request_seconds", "From the first byte of a request to its answer.", ["service", "face"]
        )
        self._rows = self._counter(
            "orrery_predictions", "Rows answered, by version of the model.", ["service", "version"]
        )
        self._model_s = self._histogram(
            "orrery_model_seconds",
            "Waiting for the model and running it, per request.",
            ["service", "version"],
        )
        self._arms = self._counter(
            "orrery_arm_requests",
            "Requests that a version answered or failed, by its part in the route.",
            [*_ARM, "outcome"],
        )
        self._arm_s = self._histogram(
            "orrery_arm_seconds", "Of requests that a version answered, by its part in the route.", _ARM
        )
        self._shadows = self._counter(
            "orrery_shadow_rows",
            "Rows that were asked in the shadow too: equal, different, failed, or dropped for want of room.",
            ["service", "version", "outcome"],
        )

    def requested(self, face: str, code: int, seconds: float, name: str = "") -> None:
        """Count a request that was answered; a name that is not one of the service's is not told."""
        service = name if name in self.shelf.routes else next(iter(self.shelf.routes), "")
        count, spread = self._of_request(service, face, code)
        count.inc()
        spread.observe(seconds)

    def answered(self, live: Live, rows: int, seconds: float) -> None:
        """Count rows that a version answered."""
        if self.traces is not None:
            self.traces.answered(live.name, live.version, rows, seconds)
        counts = self._of_live(live.name, live.version, live.arm)
        counts.rows.inc(rows)
        counts.model_s.observe(seconds)
        counts.arms.inc()
        counts.arm_s.observe(seconds)

    def failed(self, live: Live) -> None:
        """Count a request that a version did not answer; another one may have."""
        self._arms.labels(live.name, str(live.version), live.arm, "failed").inc()

    def shadowed(self, live: Live, outcome: str, rows: int) -> None:
        """Count rows that were asked in the shadow."""
        if rows:
            self._shadows.labels(live.name, str(live.version), outcome).inc(rows)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it; of all processes that answer here."""
        return self._own() if self.tally is None else self.tally.text()

    @contextmanager
    def shared(self, folder: Path) -> Iterator[None]:
        """Keep them in a folder beside those of other processes."""
        self.tally = Tally(folder, self._own)
        self.tally.start()
        try:
            yield
        finally:
            self.tally.close()

    def _own(self) -> bytes:
        return generate_latest(self.registry)

    def _request_counts(self, service: str, face: str, code: int) -> tuple[Count, Spread]:
        return self._requests.labels(service, face, str(code)), self._request_s.labels(service, face)

    def _live_counts(self, name: str, number: int, arm: str) -> _LiveCounts:
        version = str(number)
        return _LiveCounts(
            self._rows.labels(name, version),
            self._model_s.labels(name, version),
            self._arms.labels(name, version, arm, "answered"),
            self._arm_s.labels(name, version, arm),
        )

    def _counter(self, name: str, about: str, labels: list[str]) -> Counts:
        counts = Counts(name, about, labels)
        self.registry.register(counts)
        return counts

    def _histogram(self, name: str, about: str, labels: list[str]) -> Spreads:
        spreads = Spreads(name, about, labels, _SECONDS)
        self.registry.register(spreads)
        return spreads


class _LiveCounts(NamedTuple):
    """What is counted of one version in one part of the route."""

    rows: Count
    model_s: Spread
    arms: Count
    arm_s: Spread


class _States(Collector):
    """What is asked of the parts when somebody looks."""

    def __init__(self, shelf: Shelf, recorder: Recorder | None) -> None:
        self.shelf = shelf
        self.recorder = recorder

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        routes = list(self.shelf.routes.values())
        service = routes[0].name if routes else ""
        return [*_of_routes(routes), *(_of_record(self.recorder, service) if self.recorder else [])]


def _of_routes(routes: list[Route]) -> list[Metric]:
    """Who answers now, on what share, what it takes, and who was refused."""
    info = GaugeMetricFamily(
        "orrery_model_info", "The version that answers now.", labels=["service", "version"]
    )
    swaps = CounterMetricFamily("orrery_swaps", "How often another version went live.", labels=["service"])
    refused = GaugeMetricFamily(
        "orrery_versions_refused", "Versions that were not let in.", labels=["service"]
    )
    size = GaugeMetricFamily(
        "orrery_model_bytes", "About what an open version takes in memory.", labels=["service", "version"]
    )
    share = GaugeMetricFamily(
        "orrery_route_share", "The share of requests that a version is to answer.", labels=_ARM
    )
    revision = GaugeMetricFamily(
        "orrery_route_revision", "How often the route was changed.", labels=["service"]
    )
    for route in routes:
        lineup = route.lineup
        info.add_metric([route.name, str(lineup.main.version)], 1)
        swaps.add_metric([route.name], route.swaps)
        refused.add_metric([route.name], len(route.refused))
        revision.add_metric([route.name], lineup.revision)
        for live in route.open_versions():
            size.add_metric([live.name, str(live.version)], live.size_bytes)
        for live, part in lineup.shares():
            share.add_metric([live.name, str(live.version), live.arm or MAIN], part)
    return [info, swaps, refused, size, share, revision]


def _of_record(recorder: Recorder, service: str) -> list[Metric]:
    found: list[Metric] = []
    for name, value, about in (
        ("orrery_recorded", recorder.written, "Predictions that are on disk."),
        ("orrery_records_lost", recorder.lost, "Predictions that were answered and not kept."),
        ("orrery_record_files_deleted", recorder.deleted, "Oldest files, deleted to stay in bounds."),
    ):
        counter = CounterMetricFamily(name, about, labels=["service"])
        counter.add_metric([service], value)
        found.append(counter)
    waiting = GaugeMetricFamily("orrery_records_waiting_bytes", "Waiting to be written.", labels=["service"])
    waiting.add_metric([service], recorder.waiting_bytes)
    return [*found, waiting]
