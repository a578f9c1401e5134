"""What Prometheus reads at ``/metrics``. Labels are the service's own words, never a caller's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orrery.serving.lineup import MAIN, Live
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
        self._of: Callable[..., Any] = functools.cache(lambda metric, *labels: metric.labels(*labels))
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
        self._of(self._requests, service, face, str(code)).inc()
        self._of(self._request_s, service, face).observe(seconds)

    def answered(self, live: Live, rows: int, seconds: float) -> None:
        """Count rows that a version answered."""
        version = str(live.version)
        self._of(self._rows, live.name, version).inc(rows)
        self._of(self._model_s, live.name, version).observe(seconds)
        self._of(self._arms, live.name, version, live.arm, "answered").inc()
        self._of(self._arm_s, live.name, version, live.arm).observe(seconds)

    def failed(self, live: Live) -> None:
        """Count a request that a version did not answer; another one may have."""
        self._of(self._arms, live.name, str(live.version), live.arm, "failed").inc()

    def shadowed(self, live: Live, outcome: str, rows: int) -> None:
        """Count rows that were asked in the shadow."""
        if rows:
            self._of(self._shadows, live.name, str(live.version), outcome).inc(rows)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, labels: list[str]) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, labels: list[str]) -> Histogram:
        return Histogram(name, about, labels, buckets=_SECONDS, registry=self.registry)


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
