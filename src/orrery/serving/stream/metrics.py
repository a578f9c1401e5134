"""What Prometheus reads of a stream, on a port of its own on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from orrery.errors import PortInUseError
from orrery.extras import require
from orrery.serving.stream.scorer import Scorer


def serve_metrics(scorer: Scorer, port: int) -> Callable[[], None]:
    """Serve ``/metrics`` at 127.0.0.1. Returns what ends it. Raises PortInUseError."""
    client = require("prometheus_client", "Metrics of a stream")
    registry = client.CollectorRegistry()
    registry.register(States(scorer))
    try:
        server, thread = client.start_http_server(port, "127.0.0.1", registry)
    except OSError:
        raise PortInUseError(f"Port {port} of 127.0.0.1 is in use.", hint="Choose another one.") from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


class States:
    """The counts of a stream, asked for when somebody looks."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def describe(self) -> list[Any]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterator[Any]:
        """Every figure."""
        families = require("prometheus_client.core", "Metrics of a stream")
        service = [self.scorer.route.name]
        for kind, name, value, about in self._figures():
            family = families.CounterMetricFamily if kind == "counter" else families.GaugeMetricFamily
            made = family(f"orrery_stream_{name}", about, labels=["service"])
            made.add_metric(service, value)
            yield made
        info = families.GaugeMetricFamily(
            "orrery_model_info", "The version that answers now.", labels=["service", "version"]
        )
        info.add_metric([*service, str(self.scorer.route.live.version)], 1)
        yield info

    def _figures(self) -> Iterator[tuple[str, str, float, str]]:
        counts, route = self.scorer.counts, self.scorer.route
        yield "counter", "messages", counts.settled, "Messages answered and acknowledged."
        yield "counter", "dead_letters", counts.dead, "Messages that could not be answered."
        yield "counter", "rows", counts.rows, "Rows that the model answered."
        yield "counter", "batches", counts.batches, "Batches that were answered together."
        yield "counter", "commits", counts.commits, "How often answers were stored and acknowledged."
        yield "counter", "reopened", counts.reopened, "How often the broker was lost, and found again."
        yield "counter", "model_seconds", counts.model_s, "Spent in decoding, predicting and encoding."
        yield "counter", "swaps", route.swaps, "How often another version went live."
        rebalances = getattr(self.scorer.inbox, "rebalances", None)
        if rebalances is not None:
            yield "counter", "rebalances", rebalances, "How often the group was shared out anew."
        if counts.lag is not None:
            yield "gauge", "lag", counts.lag, "Messages that wait at the broker."
        if counts.delay_s is not None:
            yield "gauge", "delay_seconds", counts.delay_s, "From the last message's writing to its answer."
