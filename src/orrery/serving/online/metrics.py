"""What Prometheus reads at ``/metrics``. Labels are the service's own words, never a caller's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orrery.serving.record import Recorder
from orrery.serving.route import Route

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one service."""

    def __init__(self, route: Route, recorder: Recorder | None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_States(route, recorder))
        self.service = route.name
        self._requests = Counter(
            "orrery_requests",
            "Requests answered, by what was asked and the HTTP status.",
            ["service", "face", "code"],
            registry=self.registry,
        )
        self._request_s = Histogram(
            "orrery_request_seconds",
            "From the first byte of a request to its answer.",
            ["service", "face"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rows = Counter(
            "orrery_predictions",
            "Rows answered, by version of the model.",
            ["service", "version"],
            registry=self.registry,
        )
        self._model_s = Histogram(
            "orrery_model_seconds",
            "Waiting for the model and running it, per request.",
            ["service", "version"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def requested(self, face: str, code: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(self.service, face, str(code)).inc()
        self._request_s.labels(self.service, face).observe(seconds)

    def answered(self, version: int, rows: int, seconds: float) -> None:
        """Count rows that the model answered."""
        self._rows.labels(self.service, str(version)).inc(rows)
        self._model_s.labels(self.service, str(version)).observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


class _States(Collector):
    """What is asked of the parts when somebody looks."""

    def __init__(self, route: Route, recorder: Recorder | None) -> None:
        self.route = route
        self.recorder = recorder

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        route, recorder = self.route, self.recorder
        info = GaugeMetricFamily(
            "orrery_model_info", "The version that answers now.", labels=["service", "version"]
        )
        info.add_metric([route.name, str(route.live.version)], 1)
        swaps = CounterMetricFamily(
            "orrery_swaps", "How often another version went live.", labels=["service"]
        )
        swaps.add_metric([route.name], route.swaps)
        refused = GaugeMetricFamily(
            "orrery_versions_refused", "Versions that were not let in.", labels=["service"]
        )
        refused.add_metric([route.name], len(route.refused))
        found: list[Metric] = [info, swaps, refused]
        if recorder is not None:
            for name, value, about in (
                ("orrery_recorded", recorder.written, "Predictions that are on disk."),
                ("orrery_records_lost", recorder.lost, "Predictions that were answered and not kept."),
                ("orrery_record_files_deleted", recorder.deleted, "Oldest files, deleted to stay in bounds."),
            ):
                counter = CounterMetricFamily(name, about, labels=["service"])
                counter.add_metric([route.name], value)
                found.append(counter)
            waiting = GaugeMetricFamily(
                "orrery_records_waiting_bytes", "Waiting to be written.", labels=["service"]
            )
            waiting.add_metric([route.name], recorder.waiting_bytes)
            found.append(waiting)
        return found
