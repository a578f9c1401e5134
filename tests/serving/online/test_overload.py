"""Three times the load that a service can bear: delays stay bounded, memory flat, and it recovers at once."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve

PREDICT = "/v1/models/prices:predict"
BODY = {"rows": [{"x": float(i)} for i in range(2_000)]}
WAITING = 6

SCRIPT = """
import sys
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve
limits = Limits(waiting_requests=int(sys.argv[2]))
with serve(sys.argv[1], port=0, wait=False, record=False, limits=limits) as s:
    print(s.url, flush=True)
    sys.stdin.read()
"""


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def ask(url: str, until_s: float) -> list[tuple[int, float]]:
    """Statuses and delays of one client that asks again as soon as it is answered."""
    found = []
    with httpx.Client(base_url=url, timeout=120) as client:
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            found.append((client.post(PREDICT, json=BODY).status_code, time.monotonic() - began_s))
    return found


def load(url: str, clients: int, seconds: float) -> list[tuple[int, float]]:
    until_s = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as pool:
        return [
            each
            for work in [pool.submit(ask, url, until_s) for _ in range(clients)]
            for each in work.result()
        ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_three_times_the_load(saved: dict[str, Path]) -> None:
    command = [sys.executable, "-c", SCRIPT, str(saved["prices"]), str(WAITING)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        calm = load(url, WAITING, 3)  # as many as may wait: none is turned away
        assert {status for status, _ in calm} == {200}
        before = rss_mib(child.pid)
        busy = load(url, 3 * WAITING, 10)
        statuses = Counter(status for status, _ in busy)
        assert statuses.keys() == {200, 503}, statuses
        slowest = max(delay for status, delay in busy if status == 200)
        assert slowest < 20 * max(delay for _, delay in calm) + 5
        assert rss_mib(child.pid) < before + 64
        after = load(url, 1, 1)
        assert {status for status, _ in after} == {200}
    finally:
        child.communicate("")
    assert child.returncode == 0


def test_a_caller_that_does_not_read_is_cut_off(saved: dict[str, Path]) -> None:

    limits = Limits(read_s=0.5)
    body = msgspec.json.encode({"rows": [{"x": float(i)} for i in range(10_000)]})
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serve(saved["prices"], port=0, wait=False, record=False, limits=limits) as service:
        place = "127.0.0.1", int(service.url.rpartition(":")[2])
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(60)
            slow.connect(place)
            sending = threading.Thread(target=_flood, args=(slow, head + body))
            sending.start()  # answers pile up, unread, until the service has enough of it
            sending.join(60)
            assert not sending.is_alive()
        assert httpx.get(service.url + "/v2/health/ready").status_code == 200


def _flood(line: socket.socket, request: bytes) -> None:
    try:
        for _ in range(200):
            line.sendall(request)
    except OSError:
        return
    raise AssertionError("it was never cut off")
