"""Memory after 20 fits in one process, beside memory after the first few: it may grow by 5 % at most.

Each run is a process of its own. The measure is the resident set, after a collection, as the kernel tells it.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness

FITS = 20
SETTLED = 5
"""Fits until what is loaded and pooled once is there."""
GOAL = 1.05
LEARNERS = ("linear", "boosted", "network")


def resident_mib() -> float:
    """Memory of this process that lies in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


def grow(learner: str) -> tuple[float, float]:
    """Memory after the settling fits, and after all."""
    import orrery as ory
    from benchmarks.predict import rows

    settings = {"epochs": 1} if learner == "network" else {}
    data = rows(300)
    after = []
    for _ in range(FITS):
        model = ory.fit(data, "y", learner=learner, progress=False, **settings)
        model.predict(data[0])
        del model
        gc.collect()
        after.append(resident_mib())
    return after[SETTLED - 1], after[-1]


def measure() -> list[dict[str, Any]]:
    """The growth, for each learner."""
    return [_of_learner(learner) for learner in LEARNERS]


def _of_learner(learner: str) -> dict[str, Any]:
    # A pair is one process: the reference is the same process, some fits earlier.
    pairs = [_in_a_process(learner) for _ in range(3)]
    ends, starts = iter([end for _, end in pairs]), iter([start for start, _ in pairs])
    return harness.paired(
        f"resident memory after {FITS} fits, {learner}",
        lambda: next(ends),
        lambda: next(starts),
        unit="MiB",
        who=f"the same process after {SETTLED} fits",
        goal=GOAL,
    )


def _in_a_process(learner: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", learner], capture_output=True, text=True, check=True
    )
    before, after = json.loads(done.stdout.splitlines()[-1])
    return float(before), float(after)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(grow(sys.argv[1])))
    else:
        raise SystemExit(0 if harness.run("memory", measure()) else 1)
