"""The server: its start, its end, what happens while models move, and when too many ask."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

import orrery as ory
from orrery.errors import ModelNotFoundError, PortInUseError, SettingsError
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

PREDICT = "/v1/models/clients:predict"


@pytest.fixture
def registry(saved: dict[str, Path]) -> FolderRegistry:
    """The registry of the test's own home, with two versions of the clients; the first is champion."""
    registry = open_registry()
    registry.publish(saved["clients"], "clients")
    registry.publish(saved["clients-2"], "clients")
    registry.alias("clients", "champion", 1)
    return registry


def until(condition: Callable[[], Any], wait_s: float = 30.0) -> None:
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def test_a_published_model_answers_and_says_which_version(
    registry: FolderRegistry, row: dict[str, Any]
) -> None:
    with ory.serve("models:/clients@champion", port=0, wait=False) as service:
        said = httpx.post(service.url + PREDICT, json={"rows": [row]}).json()
        assert (said["version"], service.version, service.name) == (1, 1, "clients")
        assert str(service) == f"clients, version 1, answers at {service.url}"


def test_moving_the_alias_under_load_fails_no_request(registry: FolderRegistry, row: dict[str, Any]) -> None:
    answers: list[tuple[int, int]] = []
    stop = threading.Event()

    def ask(url: str) -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                answer = client.post(url + PREDICT, json={"rows": [row]})
                answers.append((answer.status_code, answer.json().get("version")))

    with serve("models:/clients@champion", port=0, wait=False) as service:
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, service.url) for _ in range(4)]
            try:
                for version in (2, 1, 2):
                    count = len(answers)
                    until(lambda n=count: len(answers) > n + 20)
                    registry.alias("clients", "champion", version)
                    until(lambda v=version: service.version == v)
            finally:
                stop.set()
            for each in asking:
                each.result()
        assert service.route.swaps == 3
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {1, 2}
    kept = [
        f for v in (1, 2) for f in Path(os.environ["ORRERY_HOME"]).glob(f"feedback/clients/predictions/{v}/*")
    ]
    assert sum(pq.read_metadata(f).num_rows for f in kept) == len(answers)


def test_the_record_can_be_switched_off(saved: dict[str, Path], home: Path, row: dict[str, Any]) -> None:
    with serve(saved["clients"], port=0, wait=False, record=False) as service:
        assert httpx.post(service.url + PREDICT, json={"rows": [row]}).status_code == 200
        assert b"orrery_recorded" not in httpx.get(service.url + "/metrics").content
    assert list(home.rglob("*.parquet")) == []


def test_a_full_disk_does_not_stop_the_answers(
    saved: dict[str, Path], home: Path, row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    home.mkdir()
    (home / "feedback").write_text("in the way")  # nothing can be written below it
    with serve(saved["clients"], port=0, wait=False) as service:
        for _ in range(3):
            assert httpx.post(service.url + PREDICT, json={"rows": [row, row]}).status_code == 200
        assert service.recorder is not None
        assert service.recorder.flush()
        assert (
            b'orrery_records_lost_total{service="clients"} 6.0' in httpx.get(service.url + "/metrics").content
        )
        body = {"outcomes": [{"id": "1", "buys": "yes"}]}
        refused = httpx.post(service.url + "/v1/models/clients:outcomes", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "could not be recorded" in caplog.text


def test_a_port_in_use_is_told_with_a_free_one(saved: dict[str, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"Port {port} of 127.0.0.1 is in use.* Port \d+ is free"):
            serve(saved["clients"], port=port, wait=False)


def test_two_services_do_not_share_a_port(saved: dict[str, Path]) -> None:
    with serve(saved["prices"], port=0, wait=False) as service:
        with pytest.raises(PortInUseError):
            serve(saved["prices"], port=int(service.url.rpartition(":")[2]), wait=False)
        assert httpx.get(service.url + "/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [("no.such.host.invalid", 0, "no address"), ("127.0.0.1", 99_999, "from 0 to 65535")],
)
def test_no_address_is_said(saved: dict[str, Path], host: str, port: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        serve(saved["prices"], host=host, port=port, wait=False)


def test_a_service_that_cannot_start_leaves_the_port_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        with pytest.raises(ModelNotFoundError):
            serve("models:/nothing", port=port, wait=False)


def test_a_service_of_ipv6(saved: dict[str, Path]) -> None:
    try:
        service = serve(saved["prices"], host="::1", port=0, wait=False)
    except Exception as error:
        pytest.skip(f"no IPv6 here: {error}")
    with service:
        assert service.url.startswith("http://[::1]:")
        assert httpx.get(service.url + "/v2/health/live").status_code == 200


def slow(service: Service, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let the model wait: an event says that it runs, another lets it go on."""
    running, go_on = threading.Event(), threading.Event()
    runner = service.route.live.runner
    real = runner.predict_columns

    def predict(*args: Any) -> Any:
        running.set()
        assert go_on.wait(30)
        return real(*args)

    monkeypatch.setattr(runner, "predict_columns", predict)
    monkeypatch.setattr(service.route.live.runner, "row_s", 1.0)  # not asked on the event loop
    return running, go_on


def test_beyond_the_bound_the_answer_is_ask_again_later(
    saved: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(waiting_requests=3)
    with serve(saved["clients"], port=0, wait=False, limits=limits) as service, ThreadPoolExecutor(8) as pool:
        running, go_on = slow(service, monkeypatch)
        url = service.url + PREDICT
        waiting = [pool.submit(httpx.post, url, json={"rows": [row]}, timeout=60) for _ in range(8)]
        assert running.wait(30)
        until(lambda: sum(w.done() for w in waiting) == 5)
        go_on.set()
        statuses = sorted(w.result().status_code for w in waiting)
        assert statuses == [200] * 3 + [503] * 5
        assert httpx.post(url, json={"rows": [row]}).status_code == 200


def test_the_bytes_that_wait_are_bounded(
    saved: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(waiting_bytes=150_000)
    large = {**row, "note": "x" * 100_000}
    with serve(saved["clients"], port=0, wait=False, limits=limits) as service, ThreadPoolExecutor(1) as pool:
        running, go_on = slow(service, monkeypatch)
        url = service.url + PREDICT
        first = pool.submit(httpx.post, url, json={"rows": [large]}, timeout=60)
        assert running.wait(30)
        second = httpx.post(url, json={"rows": [large]})
        assert (second.status_code, second.json()["code"]) == (503, "overloaded")
        go_on.set()
        assert first.result().status_code == 200
        assert httpx.post(url, json={"rows": [large]}).status_code == 200


def test_a_request_that_runs_at_the_close_is_answered(
    saved: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(saved["clients"], port=0, wait=False)
    with ThreadPoolExecutor(2) as pool:
        running, go_on = slow(service, monkeypatch)
        asked = pool.submit(httpx.post, service.url + PREDICT, json={"rows": [row]}, timeout=60)
        assert running.wait(30)
        closing = pool.submit(service.close)
        go_on.set()
        closing.result()
        assert asked.result().status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(service.url)
    service.close()


def test_closing_does_not_wait_for_idle_connections(saved: dict[str, Path]) -> None:
    service = serve(saved["prices"], port=0, wait=False)
    with httpx.Client() as client:
        assert client.get(service.url + "/v2").status_code == 200
        began = time.monotonic()
        service.close()
        assert time.monotonic() - began < 5


SCRIPT = """
import sys, orrery as ory
ory.serve(sys.argv[1], port=int(sys.argv[2]))
print("ended well", "torch" in sys.modules)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(saved: dict[str, Path], home: Path, number: signal.Signals) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SCRIPT, str(saved["digits"]), str(port)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        assert child.stderr is not None
        line = child.stderr.readline()
        assert line == f"digits answers at {url}\n"
        rows = httpx.get(url + "/v2/models/digits").json()
        assert rows["inputs"][0]["name"] == "image"
        answer = httpx.post(url + "/v1/models/digits:predict", json={"rows": [{"image": None}]})
        assert answer.status_code in {200, 400}
        recorded = answer.status_code == 200
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    if number == signal.SIGTERM:
        assert (child.returncode, out) == (0, "ended well False\n")
    else:
        assert child.returncode != 0
        assert "KeyboardInterrupt" in err
    assert len(list(home.rglob("digits/predictions/0/*.parquet"))) == recorded
