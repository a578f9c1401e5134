"""Traces by OpenTelemetry: a span per request, and in it one for waiting for the model and running it.

They are on where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says whereto; elsewhere nothing of it is loaded. A caller's
``traceparent`` is taken up, and the answer's ``traceparent`` names the span of the request. No span holds
anything of a body.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orrery.extras import require

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PURPOSE = "Sending traces"


class Traces:
    """Sends spans to a collector, in a thread of its own; ``exporter`` is another place for them."""

    def __init__(self, exporter: Any = None) -> None:
        self.exporter = exporter
        self._provider: Any = None
        self._tracer: Any = None

    def start(self) -> None:
        """Begin. Raises MissingExtraError."""
        sdk = require("opentelemetry.sdk.trace", _PURPOSE)
        export = require("opentelemetry.sdk.trace.export", _PURPOSE)
        resources = require("opentelemetry.sdk.resources", _PURPOSE)
        exporter = self.exporter
        if exporter is None:
            otlp = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", _PURPOSE)
            exporter = otlp.OTLPSpanExporter()
        named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "orrery"}
        self._provider = sdk.TracerProvider(resource=resources.Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("orrery")

    def close(self) -> None:
        """Send what waits, and end."""
        if self._provider is not None:
            self._provider.shutdown()

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application with a span per request, but for health and metrics."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].startswith(("/v2/health", "/metrics")):
                await app(scope, receive, send)
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            with self._request(headers) as (span, parent):

                async def sent(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        message["headers"] = [*message.get("headers", ()), (b"traceparent", parent)]
                    await send(message)

                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("url.path", scope["path"][:200])
                await app(scope, receive, sent)

        return traced

    def answered(self, name: str, version: int, rows: int, seconds: float) -> None:
        """A span, in that of the request under way, for the model: waiting for it and running it."""
        now_ns = time.time_ns()
        attributes = {"orrery.model": name, "orrery.version": version, "orrery.rows": rows}
        span = self._tracer.start_span("model", attributes=attributes, start_time=now_ns - int(seconds * 1e9))
        span.end(now_ns)

    @contextmanager
    def _request(self, headers: dict[str, str]) -> Iterator[tuple[Any, bytes]]:
        api = require("opentelemetry.trace", _PURPOSE)
        words = require(
            "opentelemetry.trace.propagation.tracecontext", _PURPOSE
        ).TraceContextTextMapPropagator()
        found = words.extract(headers)
        with self._tracer.start_as_current_span(
            "request", context=found, kind=api.SpanKind.SERVER, record_exception=False
        ) as span:
            carrier: dict[str, str] = {}
            words.inject(carrier)
            yield span, carrier.get("traceparent", "").encode()


def traces_wanted() -> Traces | None:
    """What sends traces where the environment asks for it."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return Traces() if not is_off and any(os.environ.get(name) for name in VARIABLES) else None
