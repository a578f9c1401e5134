"""Several processes at one port: one is killed under load, all are counted, none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from orrery.errors import PortInUseError, ServingError, SettingsError
from orrery.registry.folder import open_registry
from orrery.serving.online import crew as crew_module
from orrery.serving.online.crew import Crew
from orrery.serving.online.job import Job

PREDICT, ROWS = "/v1/models/prices:predict", {"rows": [{"x": 1.0}]}


@pytest.fixture
def job(saved: dict[str, Path]) -> Job:
    open_registry().publish(saved["prices"], "prices")
    return Job(models=("models:/prices",), port=0)


def until(condition: Callable[[], Any], wait_s: float = 60.0) -> None:
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def asked(url: str, stop: threading.Event) -> list[object]:
    """What came of requests on fresh connections: statuses, and errors of the connection."""
    found: list[object] = []
    while not stop.is_set():
        try:
            found.append(httpx.post(url + PREDICT, json=ROWS, timeout=60).status_code)
        except httpx.TransportError as error:
            found.append(error)
    return found


def is_replaced(crew: Crew, process: subprocess.Popen[str]) -> bool:
    return crew.processes[0] is not process or crew.is_stopping


def counted(url: str, name: str) -> float:
    lines = httpx.get(url + "/metrics", timeout=60).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_one_of_two_is_killed_under_load(job: Job) -> None:
    stop = threading.Event()
    with Crew(job, 2).start() as crew, ThreadPoolExecutor(4) as pool:
        assert str(crew) == f"models:/prices: 2 workers answer at {crew.url}"
        asking = [pool.submit(asked, crew.url, stop) for _ in range(4)]
        try:
            before = crew.processes[0]
            until(lambda: counted(crew.url, "orrery_predictions_total") > 40)
            before.kill()
            until(lambda: crew.restarts == 1 and crew.processes[0] is not before)
            answered = counted(crew.url, "orrery_predictions_total")
            until(lambda: counted(crew.url, "orrery_predictions_total") > answered + 40)
        finally:
            stop.set()
        found = [each for work in asking for each in work.result()]
        failed = [each for each in found if each != 200]
        assert len(failed) <= 4  # what it was about to answer
        assert all(isinstance(each, httpx.TransportError) for each in failed)
        assert counted(crew.url, "orrery_worker_restarts_total") == 1
        pids = [process.pid for process in crew.processes]
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(httpx.ConnectError):
        httpx.get(crew.url)


def test_metrics_are_those_of_all_and_never_go_back(job: Job) -> None:
    with Crew(job.replace(grpc_port=0), 2).start() as crew:
        told = []
        for count in range(1, 31):  # a fresh connection each: any of the two answers
            assert httpx.post(crew.url + PREDICT, json=ROWS, timeout=60).status_code == 200
            told.append(counted(crew.url, "orrery_predictions_total"))
            assert told[-1] <= count
        assert told == sorted(told)
        until(lambda: counted(crew.url, "orrery_predictions_total") == 30)
        refused = httpx.post(crew.url + "/v1/models/prices:load", json={}, timeout=60)
        assert (refused.status_code, "several workers" in refused.json()["detail"]) == (400, True)
        tritonclient = pytest.importorskip("tritonclient.grpc")
        with tritonclient.InferenceServerClient(f"127.0.0.1:{crew.grpc_port}") as client:
            assert client.is_server_ready()


def test_what_keeps_a_worker_from_starting_is_said(job: Job) -> None:
    with pytest.raises(ServingError, match="nothing"):
        Crew(job.replace(models=["models:/nothing"]), 2).start()
    with pytest.raises(SettingsError, match="at least one"):
        Crew(job, 0).start()
    with Crew(job, 1).start() as crew:
        port = int(crew.url.rpartition(":")[2])
        with pytest.raises(PortInUseError):
            Crew(job.replace(port=port), 1).start()


def test_workers_that_end_again_and_again_end_the_crew(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "RESTARTS", 1)
    crew = Crew(job, 1).start()
    try:
        for _ in range(2):
            process = crew.processes[0]
            process.kill()
            until(partial(is_replaced, crew, process))
        assert crew.is_stopping
    finally:
        crew.close()


SCRIPT = """
import sys, time
from orrery.serving.online.crew import Crew
from orrery.serving.online.job import Job
crew = Crew(Job(models=["models:/prices"], port=0), 2).start()
print(*[p.pid for p in crew.processes], flush=True)
time.sleep(600)
"""


def test_workers_end_with_the_process_that_started_them(job: Job, home: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        pids = [int(word) for word in child.stdout.readline().split()]
        assert len(pids) == 2
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    until(lambda: not any(is_alive(pid) for pid in pids))
