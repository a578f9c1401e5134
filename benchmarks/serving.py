"""A served model under load, beside the echo of the same front and the best Python services.

Ours is ``orrery serve`` as anyone starts it, without recording. The small network reads one vector of 30
numbers by the Open Inference Protocol in JSON, through the fitted features. Beside it, in turn and in the
same minutes: the echo of the same front (uvicorn, a bare ASGI function), and two hand-written services of a
bare network, which have no features, no checks, no metrics and no limits: Starlette, and Starlette with its
body checked by pydantic. Then 40 mixed columns as raw rows through each learner, and a picture of a digit.
Server and load are processes of their own, one core each. A level with one failed answer is void.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import harness
from benchmarks.serve import models

LEVELS = (1, 16, 64)
FEW = (1, 64)
"""Levels of what has no target."""
ROUNDS = 3
SECONDS = 1.2
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SERVE = """
import sys, orrery as ory
ory.serve(sys.argv[1], port=int(sys.argv[2]), record=False, name="m")
"""
_TICKS = os.sysconf("SC_CLK_TCK")


class Asked(NamedTuple):
    """A service that runs, and what it is asked."""

    who: str
    url: str
    bodies: Path
    pid: int
    start_s: float


class Level(NamedTuple):
    """What one service gave at one level."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: Sequence[str], who: str, path: str, bodies: Path) -> Iterator[Asked]:
    """A service until the block ends; a free port is put in the place of PORT in its command."""
    port = free_port()
    url, body = f"http://127.0.0.1:{port}{path}", bodies.read_bytes().splitlines()[0]
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(port) if word == "PORT" else word for word in command],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(url, body):
            assert process.poll() is None, f"{command} ended"
            assert time.perf_counter() - began < 60, f"{command} does not answer"
            time.sleep(0.01)
        yield Asked(who, url, bodies, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str, body: bytes) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def load(asked: Asked, connections: int, seconds: float = SECONDS) -> Level:
    """One level of load, after a moment of warm-up."""
    command = [sys.executable, "-m", "benchmarks.serve.load", asked.url, str(connections)]
    subprocess.run([*command, "0.4", str(asked.bodies)], check=True, capture_output=True)
    before = _cpu_s(asked.pid)
    told = subprocess.run([*command, str(seconds), str(asked.bodies)], check=True, capture_output=True)
    found: dict[str, float] = json.loads(told.stdout)
    assert found["rate"] > 0, f"{asked.who} answered nothing"
    assert not found["bad"], f"{found['bad']} of {found['rate']:.0f}/s answers of {asked.who} failed"
    cpu_us = 1e6 * (_cpu_s(asked.pid) - before) / (found["rate"] * seconds)
    return Level(found["rate"], found["p50_ms"], found["p99_ms"], cpu_us)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int) -> float:
    """What a process has in memory that is its own, or its part of what is shared."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure() -> list[dict[str, Any]]:
    """Rates beside the echo and the hand-written services, delays, start and memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        return [*_small(folder), *_mixed(folder), *_digits(folder)]


def _small(folder: Path) -> Iterator[dict[str, Any]]:
    path = "/v2/models/m/infer"
    bodies, onnx = models.vectors(folder), folder / "bare.onnx"
    models.export(onnx)
    model = models.small_network(folder)
    peer = [sys.executable, "-m", "benchmarks.serve.peers"]
    commands = {
        "ours": [sys.executable, "-c", SERVE, str(model), "PORT"],
        "the echo of the same front": [*peer, "echo", "PORT", str(onnx)],
        "Starlette by hand": [*peer, "starlette", "PORT", str(onnx)],
        "Starlette + pydantic by hand": [*peer, "checked", "PORT", str(onnx)],
    }
    with ExitStack() as stack:
        services = [stack.enter_context(server(c, who, path, bodies)) for who, c in commands.items()]
        yield _figure("small network: start to first answer (S8)", services[0].start_s, 1.0, "s", "target")
        for n in LEVELS:
            goals = {64: (0.6, 3.0, 3.0), 16: (0.45, None, None)}.get(n, (None, None, None))
            yield from _level("small network", services, n, goals)
        yield _figure("small network: memory (S8)", memory_mb(services[0].pid), 90.0, "MB", "target")


def _mixed(folder: Path) -> Iterator[dict[str, Any]]:
    for learner in ("boosted", "linear", "network"):
        model, bodies = models.mixed(folder, learner)
        with ExitStack() as stack:
            services = _pair(stack, model, "/v1/models/m:predict", bodies)
            for n in FEW:
                yield from _level(f"40 columns, {learner}", services, n, (None,), rounds=2)
            yield _figure(f"40 columns, {learner}: memory", memory_mb(services[0].pid), 120.0, "MB", "told")


def _digits(folder: Path) -> Iterator[dict[str, Any]]:
    model, bodies = models.digits(folder)
    with ExitStack() as stack:
        services = _pair(stack, model, "/v1/models/m:predict", bodies)
        for n in FEW:
            yield from _level("digits image", services, n, (None,), rounds=2)


def _pair(stack: ExitStack, model: Path, path: str, bodies: Path) -> list[Asked]:
    ours = [sys.executable, "-c", SERVE, str(model), "PORT"]
    echo = [sys.executable, "-m", "benchmarks.serve.peers", "echo", "PORT", "-"]
    return [
        stack.enter_context(server(ours, "ours", path, bodies)),
        stack.enter_context(server(echo, "the echo of the same front", path, bodies)),
    ]


def _level(
    what: str,
    services: Sequence[Asked],
    connections: int,
    goals: Sequence[float | None],
    rounds: int = ROUNDS,
) -> Iterator[dict[str, Any]]:
    """All services in turn, some rounds; ours beside each other one, by the median of the ratios."""
    taken = [[load(asked, connections) for asked in services] for _ in range(rounds)]
    ours = [one[0] for one in taken]
    targets = {(64, 1): " (S2)", (64, 2): " (S1)", (64, 3): " (S1)", (16, 1): " (S3)"}
    p50, p99, cpu = (statistics.median(getattr(o, f) for o in ours) for f in ("p50_ms", "p99_ms", "cpu_us"))
    for j, (asked, goal) in enumerate(zip(services[1:], goals, strict=False), 1):
        ratios = [one[0].rate / one[j].rate for one in taken]
        ratio = statistics.median(ratios)
        target = "" if goal is None else targets.get((connections, j), "")
        said = f"{what}, {connections} connections{target}"
        if j == 1:
            said += f" (p50 {p50:.2f}, p99 {p99:.1f} ms, {cpu:.0f} us CPU)"
        yield {
            "measure": said,
            "unit": "1/s",
            "ours": statistics.median(o.rate for o in ours),
            "reference": statistics.median(one[j].rate for one in taken),
            "who": f"{asked.who}, p99 {statistics.median(one[j].p99_ms for one in taken):.1f} ms",
            "ratio": ratio,
            "spread": [min(ratios), max(ratios)],
            "goal": goal,
            "better": "higher",
            "holds": None if goal is None else ratio >= goal,
        }


def _figure(what: str, value: float, most: float, unit: str, who: str) -> dict[str, Any]:
    """One figure beside the most that it should be."""
    goal = 1.0 if who == "target" else None
    return {
        "measure": what,
        "unit": unit,
        "ours": value,
        "reference": most,
        "who": who,
        "ratio": value / most,
        "spread": None,
        "goal": goal,
        "better": "lower",
        "holds": None if goal is None else value <= most,
    }


if __name__ == "__main__":
    raise SystemExit(0 if harness.run("serving", measure()) else 1)
