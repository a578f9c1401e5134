"""A served model under load: requests per second and delay at 1, 16 and 64 connections.

Ours is ``orrery serve`` as anyone starts it, without recording: all 30 numbers of a row through the fitted
features and a small network, by the Open Inference Protocol in JSON. Beside it, in turn and in the same
minutes: the echo of the same front (uvicorn, a bare ASGI function), and a hand-written Starlette service of
the bare network, which has no features, no checks, no metrics and no limits. Server and load are processes of
their own, one core each. A level with one failed answer is void.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import orrery as ory
from benchmarks import harness

LEVELS = (1, 16, 64)
SECONDS = 3.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SERVE = """
import sys, orrery as ory
ory.serve(sys.argv[1], port=int(sys.argv[2]), record=False, name="m")
"""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], url: str, body: bytes) -> Iterator[float]:
    """A server until the block ends; the seconds it took to its first right answer."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert process.poll() is None, f"{command} ended"
                assert time.perf_counter() - began < 60, f"{command} does not answer"
                time.sleep(0.02)
        yield time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def load(url: str, connections: int, bodies: Path, seconds: float = SECONDS) -> dict[str, float]:
    """One level of load, after a moment of warm-up."""
    command = [sys.executable, "-m", "benchmarks.serve.load", url]
    subprocess.run([*command, str(connections), "0.5", str(bodies)], check=True, capture_output=True)
    told = subprocess.run(
        [*command, str(connections), str(seconds), str(bodies)], check=True, capture_output=True
    )
    found: dict[str, float] = json.loads(told.stdout)
    assert found["rate"] > 0, "nothing was answered"
    assert not found["bad"], f"{found['bad']} of {found['rate']:.0f}/s answers failed"
    return found


def measure() -> list[dict[str, Any]]:
    """Rates beside the echo and the hand-written service, and delays."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        draw = np.random.default_rng(1)
        x = draw.normal(size=(2_000, 30)).round(4)
        rows = [{f"x{i}": float(v) for i, v in enumerate(row)} | {"y": "ab"[int(row[0] > 0)]} for row in x]
        model = ory.fit(rows, "y", learner="network", epochs=2, progress=False)
        model.save(folder / "model")
        return list(_levels(folder, x))


def _levels(folder: Path, x: np.ndarray[Any, Any]) -> Iterator[dict[str, Any]]:
    ours = _bodies(folder / "ours", [[(f"x{i}", [v]) for i, v in enumerate(row)] for row in x[:64]])
    bare = _bodies(folder / "bare", [[("x", [*row])] for row in x[:64]])
    onnx = folder / "bare.onnx"
    _export(onnx)
    ports = [free_port() for _ in range(3)]
    urls = [f"http://127.0.0.1:{port}/v2/models/m/infer" for port in ports]
    peer = [sys.executable, "-m", "benchmarks.serve.peers"]
    commands = [
        [sys.executable, "-c", SERVE, str(folder / "model"), str(ports[0])],
        [*peer, "echo", str(ports[1]), str(onnx)],
        [*peer, "starlette", str(ports[2]), str(onnx)],
    ]
    files = [ours, ours, bare]
    firsts = [file.read_bytes().splitlines()[0] for file in files]
    with (
        server(commands[0], urls[0], firsts[0]),
        server(commands[1], urls[1], firsts[1]),
        server(commands[2], urls[2], firsts[2]),
    ):
        asks: list[Callable[[int], dict[str, float]]] = [
            lambda n, i=i: load(urls[i], n, files[i])
            for i in range(3)  # type: ignore[misc]
        ]
        for n in LEVELS:
            yield _rate(f"{n} connections: requests/s", asks[0], asks[1], n, "the echo of the same front")
            yield _rate(
                f"{n} connections: requests/s", asks[0], asks[2], n, "Starlette by hand, bare network"
            )


def _rate(
    what: str,
    ours: Callable[[int], dict[str, float]],
    other: Callable[[int], dict[str, float]],
    connections: int,
    who: str,
) -> dict[str, Any]:
    delays: list[tuple[float, float]] = []

    def rate() -> float:
        found = ours(connections)
        delays.append((found["p50_ms"], found["p99_ms"]))
        return found["rate"]

    told = harness.paired(
        what, rate, lambda: other(connections)["rate"], unit="1/s", who=who, better="higher"
    )
    p50, p99 = np.median(delays, axis=0)
    told["measure"] += f" (p50 {p50:.2f}, p99 {p99:.2f} ms)"
    return told


def _bodies(file: Path, rows: list[list[tuple[str, list[float]]]]) -> Path:
    tensors = [
        [
            {"name": name, "shape": [1, len(v)] if len(v) > 1 else [1], "datatype": "FP32", "data": v}
            for name, v in row
        ]
        for row in rows
    ]
    file.write_text("\n".join(json.dumps({"inputs": t}, separators=(",", ":")) for t in tensors))
    return file


def _export(path: Path) -> None:
    """The same small network, bare: 30 -> 64 -> 32 -> 2."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2), nn.Softmax(1)
    )
    batch = torch.export.Dim("n")
    torch.onnx.export(
        net, (torch.zeros(2, 30),), path, dynamic_shapes=({0: batch},), dynamo=True, verbose=False
    )


if __name__ == "__main__":
    raise SystemExit(0 if harness.run("serving", measure()) else 1)
