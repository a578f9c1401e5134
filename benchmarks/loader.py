"""The loader beside the best peers and raw limits: speed and mixing, memory, resume, close.

Work sets and rules: ``benchmarks/peers``; every run is a process of its own, ours and the peer's alternate,
with two threads or two worker processes each, torch with one thread. «First» is the first epoch of a process,
from opening files on; «later» the second. E (row groups mixed in a batch, ``orrery.data.loader.quality``) of
the labels as they came is printed beside every speed. Peers that are not among our pins live in
``build/peers`` and ``build/peers-threads`` (``peers/setup.sh``); one that cannot be had is left out by name.
``ORRERY_BENCH_SCALE`` (1.0) makes smaller sets, which the figures then tell; ``ORRERY_BENCH_RUNS`` pairs each
(3; of smaller sets 2).

What was expected and what was seen stands in ``docs/concepts/loader.md``.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness import paired
from benchmarks.peers import sets

RUNS = int(os.environ.get("ORRERY_BENCH_RUNS", "3" if sets.SCALE >= 1 else "2"))
ROOT = Path(__file__).resolve().parent.parent
MIXED_LIKE_PEERS = {"buffer_bytes": 64 << 20}
"""For the pairs: by arithmetic E is then 12.8 (of a fifth of the set 10.3), above every peer's of A."""
BUFFER_MB = 384 * 1.048576
REST_MB = 250 - 115
"""What the loader may take beside its buffer and what importing torch and Arrow takes."""

_ENVIRONMENTS = {"petastorm": "peers", "spdl": "peers-threads", "grain": "peers-threads"}
"""Peer -> folder under ``build`` in which it is installed."""

Told = dict[str, Any]
Rate = Callable[[Told], float]


def measure() -> list[dict[str, Any]]:
    """All figures."""
    print(f"loader: scale {sets.SCALE:g}, {RUNS} pairs each, sets in {sets.ROOT}")
    for kind in ("A_plain", "A_zstd", "B_fsb", "B_fsl", "B_list", "C"):
        sets.folder(kind)
    return [*_bounds(), *_tables(), *_tensors(), *_pictures()]


def _tables() -> list[dict[str, Any]]:
    stream, limit, packed = (
        _Pairs("A_plain", "huggingface"),
        _Pairs("A_plain", "raw"),
        _Pairs("A_zstd", "raw"),
    )
    cache = {"cache": str(sets.ROOT / "cache")}
    whole = _Pairs("A_plain", "ours", options=cache, name="ours without the cache")
    return [
        *stream.rows(("A plain, first epoch", _first, 8.0), ("A plain, later epochs", _later, 15.0)),
        *_Pairs("A_plain", "petastorm").rows(("A plain, first epoch", _first, 10.0)),
        *_Pairs("A_plain", "spdl", name="a pool by hand in SPDL").rows(
            ("A plain, later epochs", _later, 4.0)
        ),
        *_Pairs("A_plain", "by_hand").rows(("A plain, later epochs", _later, None)),
        *limit.rows(("A plain, later epochs", _later, 0.55)),
        *_Pairs("A_plain", "raw", options={}).rows(("A plain, default buffer, later epochs", _later, None)),
        *packed.rows(("A zstd, first epoch", _first, 0.75), ("A zstd, later epochs", _later, 0.95)),
        *whole.rows(("A plain from the row cache, full shuffle, later", _later, 0.8)),
    ]


def _tensors() -> list[dict[str, Any]]:
    hand, peer = (
        _Pairs("B_fsb", "by_hand"),
        _Pairs("B_fsb", "petastorm", peer_kind="B_list", name="petastorm (list)"),
    )
    name = "B fixed-size binary"
    return [
        *hand.rows((f"{name}, first epoch", _first, 2.0), (f"{name}, later epochs", _later, 5.0)),
        *peer.rows((f"{name}, first epoch", _first, 2.0)),
        *_Pairs("B_fsb", "spdl", name="a pool by hand in SPDL").rows((f"{name}, later epochs", _later, 2.0)),
        *_Pairs("B_fsb", "grain", name="grain, rows in memory").rows((f"{name}, later epochs", _later, None)),
        *_Pairs("B_fsb", "raw").rows((f"{name}, later epochs", _later, 0.65)),
        *_Pairs("B_fsl", "raw").rows(("B fixed-size list, later epochs", _later, 0.8)),
    ]


def _pictures() -> list[dict[str, Any]]:
    named = {
        "raw": "raw",
        "by_hand": "by_hand",
        "spdl": "a pool by hand in SPDL",
        "grain": "grain, rows in memory",
    }
    goals = {"raw": 0.9, "by_hand": 1.3, "spdl": 1.0, "grain": 1.0}
    return [
        row
        for who, name in named.items()
        for row in _Pairs("C", who, name=name).rows(("C pictures, whole epoch", _first, goals[who]))
    ]


class PeerError(Exception):
    """A peer cannot be had, or failed."""


class _Pairs:
    """Runs of ours and of a peer, by turns, kept so that several figures come from the same runs."""

    def __init__(
        self,
        kind: str,
        who: str,
        *,
        options: Told | None = None,
        peer_kind: str | None = None,
        name: str | None = None,
    ) -> None:
        self.kind, self.who = kind, who
        self.options = MIXED_LIKE_PEERS if options is None else options
        self.peer_kind = peer_kind or kind
        self.name = name or who

    @functools.cached_property
    def runs(self) -> list[tuple[Told, Told]]:
        """Ours and the peer's figures, pair by pair."""

        def one() -> Told:
            return child("ours", self.kind, options=self.options)

        def other() -> Told:
            return child(self.who, self.peer_kind)

        found = []
        for run in range(RUNS):
            told = [call() for call in ((one, other) if run % 2 == 0 else (other, one))]
            found.append((told[0], told[1]) if run % 2 == 0 else (told[1], told[0]))
            shown = f"{_told(found[-1][0])} | {_told(found[-1][1])}"
            print(f"  {self.kind} beside {self.name}: {shown}", flush=True)
        return found

    def rows(self, *wanted: tuple[str, Rate, float | None]) -> list[dict[str, Any]]:
        """Figures of the runs, each by wall time with its goal, and by CPU time; none without the peer."""
        try:
            if self.who in _ENVIRONMENTS and not _is_there(_ENVIRONMENTS[self.who]):
                raise PeerError(f"its environment cannot be had (benchmarks/peers/setup.sh {self.who})")
            self.runs  # noqa: B018 - whether the peer runs at all
        except PeerError as error:
            print(f"loader: beside {self.name} is left out: {error}", flush=True)
            return []
        found = [self._row(measure, rate, goal) for measure, rate, goal in wanted]
        spent = {_first: _first_cpu, _later: _later_cpu}
        return found + [self._row(f"{name}, per CPU second", spent[rate], None) for name, rate, _ in wanted]

    def _row(self, measure: str, rate: Rate, goal: float | None) -> dict[str, Any]:
        """One figure of the runs: rows per second, ours over the peer's."""
        left, right = iter(self.runs), iter(self.runs)
        mixed = (
            statistics.median(a["E"] for a, _ in self.runs),
            statistics.median(b["E"] for _, b in self.runs),
        )
        return {
            **paired(
                measure,
                lambda: rate(next(left)[0]),
                lambda: rate(next(right)[1]),
                unit="rows/s",
                who=f"{self.name}; E {mixed[0]:.1f} beside {mixed[1]:.1f}",
                goal=goal,
                better="higher",
                runs=RUNS,
            ),
            "E": mixed,
            "scale": sets.SCALE,
            "peak_pss_mb": [max(t[i]["peak_mb"] for t in self.runs) for i in (0, 1)],
            "other_load": max(max(a["other_load"], b["other_load"]) for a, b in self.runs),
        }


def _told(told: Told) -> str:
    """A run in one line: rows per second and per CPU second in thousands, of each epoch; E; memory."""
    rates = [
        f"{e['rows'] / e['s'] / 1e3:,.0f}k/s ({e['rows'] / e['cpu_s'] / 1e3:,.0f}k/CPU s)"
        for e in told["epochs"]
    ]
    mixed, memory, load = told["E"], told["peak_mb"], told["other_load"]
    return f"{', then '.join(rates)}, E {mixed:.1f}, {memory:,.0f} MB, others {load:.1f} cores"


def _first(told: Told) -> float:
    epoch = told["epochs"][0]
    return float(epoch["rows"] / epoch["s"])


def _later(told: Told) -> float:
    epoch = told["epochs"][-1]
    return float(epoch["rows"] / epoch["s"])


def _first_cpu(told: Told) -> float:
    epoch = told["epochs"][0]
    return float(epoch["rows"] / epoch["cpu_s"])


def _later_cpu(told: Told) -> float:
    epoch = told["epochs"][-1]
    return float(epoch["rows"] / epoch["cpu_s"])


def _bounds() -> list[dict[str, Any]]:
    """First batch, resume, close, memory, mixing: figures of ours beside what they may be."""
    a, b = child("ours", "A_plain"), child("ours", "B_fsb")
    moments = child("ours", "A_plain", moments=True)
    ten = child("ours", "A_plain", epochs=10, options={"files": "0.parquet"})
    one_file = sets.rows("A") * 168 // sets.shape("A")[0]
    small = {"buffer_bytes": min(32 << 20, one_file // 3)}
    whole = child("ours", "A_plain", epochs=1, options=small)
    part = child("ours", "A_plain", epochs=1, options={**small, "files": "0.parquet"})
    group_mb = sets.shape("A")[2] * 168 / 1e6
    most = BUFFER_MB + REST_MB
    return [
        _bound("A: first batch", a["epochs"][0]["first_s"], 0.3, "s"),
        _bound("B: first batch", b["epochs"][0]["first_s"], 0.3, "s"),
        _bound("A: first batch after a resume in the middle", moments["resume_s"], 0.3, "s"),
        _bound("A: to close, at worst of three moments", moments["close_s"], 1.0, "s"),
        _bound("A: threads left after closing", len(moments["left"]), 0.5, ""),
        _bound("A: bytes of a state", moments["state_bytes"], 1024, "B"),
        _bound("A: peak memory beside imports", a["peak_mb"] - a["imported_mb"], most, "MB"),
        _bound("B: peak memory beside imports", b["peak_mb"] - b["imported_mb"], most, "MB"),
        _bound(
            "A: memory after ten epochs, beside two",
            ten["epochs"][-1]["pss_mb"],
            ten["epochs"][1]["pss_mb"] * 1.05,
            "MB",
        ),
        _bound(
            "A: peak memory, eight files beside one, three times the buffer",
            whole["peak_mb"],
            part["peak_mb"] * 1.05,
            "MB",
        ),
        _bound("A: E", a["E"], min(1.5 * BUFFER_MB / group_mb, 0.8 * sets.groups("A")), "groups", "higher"),
    ]


def _bound(
    measure: str, ours: float, bound: float, unit: str, better: Literal["lower", "higher"] = "lower"
) -> dict[str, Any]:
    return paired(
        measure,
        lambda: ours,
        lambda: bound,
        unit=unit,
        who="what was promised",
        goal=1.0,
        better=better,
        runs=1,
    )


def child(who: str, kind: str, **told: Any) -> Told:
    """The figures of one process, with the peak of its memory and its children's, sampled every 0.4 s."""
    python = (
        ROOT / "build" / _ENVIRONMENTS[who] / "bin/python" if who in _ENVIRONMENTS else Path(sys.executable)
    )
    asked = json.dumps({"who": who, "kind": kind, "epochs": 1 if who == "petastorm" else 2, **told})
    before, start = _busy_s(), time.monotonic()
    with subprocess.Popen(
        [str(python), "-W", "ignore", "-m", "benchmarks.peers.measure", asked],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(_pss_mb(pid) for pid in _tree(process.pid)))
            try:
                process.wait(0.4)
            except subprocess.TimeoutExpired:
                continue
        out, err = process.communicate()
    if process.returncode:
        said = f"{who} on {kind} failed: {err.strip().splitlines()[-1] if err.strip() else ''}"
        raise SystemExit(said) if who in ("ours", "raw") else PeerError(said)
    made: Told = json.loads(out.splitlines()[-1])
    spent = sum(epoch["cpu_s"] for epoch in made.get("epochs", ()))
    other = max(0.0, (_busy_s() - before - spent) / (time.monotonic() - start))
    return {**made, "peak_mb": peak, "other_load": other}


def _busy_s() -> float:
    """CPU seconds that all programs together have used."""
    told = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(told) - told[3] - told[4]) / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> Sequence[int]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)


@functools.cache
def _is_there(environment: str) -> bool:
    """Whether an environment of peers is there, or can be made."""
    which = "threads" if environment.endswith("threads") else "petastorm"
    setup = ["sh", str(ROOT / "benchmarks/peers/setup.sh"), which]
    return subprocess.run(setup, capture_output=True, text=True).returncode == 0
