"""How long ``orrery --help`` and ``import orrery`` take beside a bare ``python -c pass``."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from benchmarks.harness import paired

RUNS = 7
HEAVY = {"torch", "pandas", "pyspark", "ray", "pyarrow", "duckdb", "pydantic", "numpy", "rich", "typer"}


def measure() -> list[dict[str, Any]]:
    """Milliseconds more than Python alone, and the modules that are loaded."""
    return [
        _beside("import orrery", "import orrery"),
        _beside("orrery --help", "import orrery.cli.main as m; m.run(['--help'])"),
        _beside(
            "orrery doctor --help (one command)", "import orrery.cli.main as m; m.run(['doctor', '--help'])"
        ),
    ]


def _beside(measure: str, code: str) -> dict[str, Any]:
    row = paired(
        measure,
        lambda: _milliseconds(code),
        lambda: _milliseconds("pass"),
        unit="ms",
        who="python -c pass",
        runs=RUNS,
    )
    loaded = _modules(code) - _modules("pass")
    row["modules"] = len(loaded)
    row["heavy"] = sorted(HEAVY & {name.partition(".")[0] for name in loaded})
    row["loaded"] = sorted(name for name in loaded if name.startswith("orrery"))
    return row


def _milliseconds(code: str) -> float:
    """The quickest of five fresh processes: what disturbs a start only ever makes it slower."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def _modules(code: str) -> set[str]:
    told = f"{code}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return set(done.stderr.split())
