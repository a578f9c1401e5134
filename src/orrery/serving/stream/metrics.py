"""What Prometheus reads of a stream, and the page that people look at, on a port of its own on loopback."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from orrery.errors import PortInUseError
from orrery.extras import require
from orrery.serving.stream.live import LivePage
from orrery.serving.stream.scorer import Scorer


def serve_metrics(scorer: Scorer, port: int, title: str = "") -> Callable[[], None]:
    """Serve ``/metrics`` and the live page at 127.0.0.1. Returns what ends it. Raises PortInUseError."""
    client = require("prometheus_client", "Metrics of a stream")
    registry = client.CollectorRegistry()
    registry.register(States(scorer))
    page = LivePage(scorer, title, client.make_wsgi_app(registry))
    try:
        server = make_server("127.0.0.1", port, page, _Server, _Quiet)
    except OSError:
        raise PortInUseError(f"Port {port} of 127.0.0.1 is in use.", hint="Choose another one.") from None
    thread = threading.Thread(
        target=server.serve_forever, args=(0.1,), name="orrery-stream-page", daemon=True
    )
    thread.start()

    def end() -> None:
        page.end()
        server.shutdown()
        server.server_close()
        thread.join()

    return end


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per reader."""

    daemon_threads = True
    block_on_close = False  # a reader that hangs does not hold the stream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is nothing to tell."""


class _Quiet(WSGIRequestHandler):
    timeout = 10.0  # of a caller who sends, or takes, nothing

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
        """Standard error is for the stream."""

    def get_stderr(self) -> Any:
        """A reader that is cut off is nothing to tell either."""
        return io.StringIO()


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
