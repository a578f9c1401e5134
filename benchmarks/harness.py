"""Run the benchmarks: each claim of speed beside its reference, in one run.

``python -m benchmarks.harness [NAME ...]`` prints a table and writes ``build/bench/<name>.json``: a list of
measures in one form. Ours and the reference alternate, so that a busy machine disturbs both alike; what
counts is the median of the ratios, told with its spread. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

NAMES = ("startup", "loop", "gang", "predict", "memory", "loader", "sources", "serving", "stream", "fraud")
OUT = Path("build/bench")


def paired(
    measure: str,
    ours: Callable[[], float],
    reference: Callable[[], float],
    *,
    unit: str,
    who: str,
    goal: float | None = None,
    better: Literal["lower", "higher"] = "lower",
    runs: int = 3,
) -> dict[str, Any]:
    """Alternate two measurements and compare them: median of the ratios ours / reference, least and most.

    ``ours`` and ``reference`` each return one figure in ``unit``. ``goal`` bounds the ratio: at most, where
    lower is better, else at least; without a goal the measure only informs.
    """
    pairs = []
    for run in range(runs):
        first, second = (ours, reference) if run % 2 == 0 else (reference, ours)
        one, two = first(), second()
        pairs.append((one, two) if run % 2 == 0 else (two, one))
    ratios = [a / b for a, b in pairs if b]
    ratio = statistics.median(ratios) if ratios else None
    holds = None
    if goal is not None and ratio is not None:
        holds = ratio <= goal if better == "lower" else ratio >= goal
    return {
        "measure": measure,
        "unit": unit,
        "ours": statistics.median(a for a, _ in pairs),
        "reference": statistics.median(b for _, b in pairs),
        "who": who,
        "ratio": ratio,
        "spread": [min(ratios), max(ratios)] if ratios else None,
        "goal": goal,
        "holds": holds,
        "runs": runs,
    }


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes, in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def run(name: str, measures: Sequence[dict[str, Any]]) -> bool:
    """Print a benchmark's table, write its JSON, and say whether every goal holds."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(list(measures), indent=2) + "\n")
    print(f"\n{name}  ({path})")
    print(f"  {'measure':52} {'ours':>12} {'reference':>12} {'unit':6} {'ratio':>7} {'goal':>6}  beside")
    for m in measures:
        ratio = "" if m["ratio"] is None else f"{m['ratio']:.3f}"
        goal = "" if m["goal"] is None else f"{m['goal']:.2f}"
        mark = {True: "ok", False: "MISSED", None: ""}[m["holds"]]
        print(
            f"  {m['measure']:52} {m['ours']:12.4g} {m['reference']:12.4g} {m['unit']:6} "
            f"{ratio:>7} {goal:>6}  {m['who']} {mark}"
        )
    return all(m["holds"] is not False for m in measures)


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = [n for n in names if n not in NAMES]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    good = [run(name, importlib.import_module(f"benchmarks.{name}").measure()) for name in names or NAMES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main([n for a in sys.argv[1:] for n in a.split(",") if n]))
