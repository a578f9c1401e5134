"""Payments answered in a stream with what happened before each: the delay at 1,000 a second, on one core.

The stream and who sends share the core. A payment's delay is from when it was due to when its answer was
given, so that a stall counts for all that it holds up. Beside it: the same model when messages bring its
windows. Figures for a quiet machine.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness

BOUND_MS = 10.0
RATE, SECONDS = 1_000, 10
_DEMO = Path(__file__).resolve().parents[1] / "examples" / "fraud"


def measure() -> list[dict[str, Any]]:
    """The measures, the table's lines."""
    with tempfile.TemporaryDirectory() as home:
        return [
            harness.paired(
                f"fraud: p99 with windows, {RATE:,} a second, one core",
                lambda: _delay_ms("windows", home),
                lambda: BOUND_MS,
                unit="ms",
                who="the bound",
                goal=1.0,
            ),
            harness.paired(
                "fraud: p99 with windows beside without",
                lambda: _delay_ms("windows", home),
                lambda: _delay_ms("bare", home),
                unit="ms",
                who="the same model, given its windows",
            ),
        ]


def _delay_ms(what: str, home: str) -> float:
    """The 99th of 100 delays of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fraud", what],
        env={**os.environ, "ORRERY_HOME": home, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(done.stdout)


def _run(what: str) -> float:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import orrery as ory
    from orrery.serving.stream.memory import Topic

    sys.path.insert(0, str(_DEMO))  # the example's own modules
    demo = runpy.run_path(str(_DEMO / "demo.py"))
    rows = demo["payments"](demo["LAST"])
    told = demo["between"](rows, 0, demo["LIVE"])
    settings = demo["WINDOWS"].to_dict()
    own = [ory.Window(**window) for window in settings.pop("windows")]
    table = ory.read(ory.read(told).windows(*own, **settings).to_arrow())
    more = {"windows": demo["WINDOWS"]} if what == "windows" else {}
    ignore = demo["NOT_LEARNT"]
    model = ory.fit(table, "fraud", learner="boosted", ignore=ignore, progress=False, **more)
    coming = demo["between"](rows, demo["LIVE"], demo["LAST"])[: RATE * SECONDS]
    names = [window.name for window in own]
    beside = dict.fromkeys(names, 1.0) if what == "bare" else {}
    texts = [json.dumps({**json.loads(demo["message"](row)), **beside}).encode() for row in coming]
    name = f"timed-{os.getpid()}"
    source, to = Topic.of(name), _timed(Topic.of(f"{name}.to"))
    past = told if what == "windows" else None
    with ory.stream(f"memory://{name}", model, f"memory://{name}.to", name=name, wait=False, past=past):
        due_s = _send(source, texts)
        while len(to) < len(texts):
            time.sleep(0.01)
    delays_s = np.array(to) - np.array(due_s)
    return float(np.percentile(delays_s[RATE:], 99) * 1000)  # the first second warms up


def _send(topic: Any, texts: list[bytes]) -> list[float]:
    """Each when it is due, also where the one before was late."""
    begin_s, due_s = time.perf_counter(), []
    for n, text in enumerate(texts):
        due_s.append(begin_s + n / RATE)
        wait_s = due_s[-1] - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        topic.put(text)
    return due_s


def _timed(topic: Any) -> list[float]:
    """When each answer was given."""
    given_s: list[float] = []
    put = topic.put

    def noted(*letter: Any) -> None:
        put(*letter)
        given_s.append(time.perf_counter())

    topic.put = noted
    return given_s


if __name__ == "__main__":
    print(_run(sys.argv[1]))
