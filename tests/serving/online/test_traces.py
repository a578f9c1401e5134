"""Traces and structured logs: what a collector is sent, and that no value of a request is in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orrery.serving.online.jsonlog import JsonLines
from orrery.serving.online.server import serve
from orrery.serving.online.traces import traces_wanted

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PREDICT, SECRET = "/v1/models/prices:predict", 4000.12345


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a collector on this machine received, as it came."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield bodies
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_of_the_callers_trace(saved: dict[str, Path], collected: list[bytes]) -> None:
    with serve(saved["prices"], port=0, wait=False, record=False) as service:
        answer = httpx.post(
            service.url + PREDICT,
            json={"rows": [{"x": SECRET}]},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        assert answer.status_code == 200
        version, trace, own, _ = answer.headers["traceparent"].split("-")
        assert (version, trace) == ("00", TRACE)
        assert own != PARENT
        assert "traceparent" not in httpx.get(service.url + "/v2/health/live").headers
    spans = [
        span
        for body in collected
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    found = {span.name: span for span in spans}
    assert found.keys() == {"request", "model"}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert found["request"].parent_span_id.hex() == PARENT
    assert found["model"].parent_span_id == found["request"].span_id == bytes.fromhex(own)
    assert found["model"].start_time_unix_nano >= found["request"].start_time_unix_nano - 1_000_000
    assert not any(str(SECRET).encode() in body for body in collected)


def test_nothing_is_loaded_where_nobody_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    assert traces_wanted() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert traces_wanted() is None
    code = "import sys, orrery.serving.online.app; print('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_line_of_the_log_is_an_object_without_what_the_error_says() -> None:
    try:
        raise ValueError("the card 4000-1234")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord(
        "orrery.serving", logging.ERROR, "x.py", 1, "A request to %s failed.", ("/v1",), info
    )
    said = json.loads(JsonLines().format(record))
    assert {
        "level": "error",
        "message": "A request to /v1 failed.",
        "error": "ValueError",
    }.items() <= said.items()
    assert "test_traces.py" in said["at"][0]
    assert "4000-1234" not in json.dumps(said)
