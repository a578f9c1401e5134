from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import orrery as ory
from orrery.cli.main import run

ROWS = [{"x": float(i), "y": 2.0 * i + 1.0} for i in range(60)]


@pytest.fixture(autouse=True)
def published() -> None:
    ory.publish(ory.fit(ROWS, "y", learner="linear"), "line")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(port: int, home: Path) -> Iterator[subprocess.Popen[str]]:
    """``orrery serve`` as a process of its own, once it answers."""
    command = [sys.executable, "-m", "orrery.cli.main", "serve", "models:/line", "--port", str(port)]
    command += ["--allow-host", "line.example"]
    environment = {**os.environ, "ORRERY_HOME": str(home)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):  # it listens before its model is open
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_answers_until_it_is_told_to_stop(number: signal.Signals, code: int, home: Path) -> None:
    port = free_port()
    with serving(port, home) as process:
        body = json.dumps({"rows": [{"x": 3.0}]}).encode()
        url = f"http://127.0.0.1:{port}/v1/models/line:predict"
        asked = urllib.request.Request(url, body, headers={"Host": "line.example"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert json.load(answer)["rows"][0]["prediction"] == pytest.approx(7.0, abs=0.1)
        process.send_signal(number)
        printed = process.communicate(timeout=30)[0]
        assert f"http://127.0.0.1:{port}" in printed
        assert "Traceback" not in printed
        assert process.returncode == code
    assert not answers(port)


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "models:/line", "--port", str(port)]) == 1
    assert str(port) in capsys.readouterr().err


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "models:/lines"]) == 4
    assert "Did you mean 'line'?" in capsys.readouterr().err
