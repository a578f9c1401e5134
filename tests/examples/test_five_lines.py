"""An ordinary training script becomes one over a Spark data frame by other five lines at most."""

from __future__ import annotations

import ast
import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "spark"
LINES = 5


def changed(before: str, after: str) -> int:
    """Lines that are others, or more; blank ones do not count."""
    old, new = ([line for line in text.splitlines() if line.strip()] for text in (before, after))
    moves = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for tag, a, b, c, d in moves if tag != "equal")


def write_points(folder: Path) -> None:
    """The same rows for both."""
    draw = np.random.default_rng(1)
    x, z = draw.normal(size=2_000), draw.normal(size=2_000)
    columns = {"x": x, "z": z, "y": (x + 2 * z > 0).astype(np.int64)}
    np.savez(folder / "points.npz", **columns)
    pq.write_table(pa.table(columns), folder / "points.parquet")


def run(name: str, folder: Path) -> list[float]:
    """How much of the rows each worker answers rightly, as the script prints it."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / name)],
        cwd=folder,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "ORRERY_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    return found if isinstance(found, list) else [found]


def test_the_two_scripts_differ_by_five_lines_at_most() -> None:
    assert 0 < changed((FOLDER / "plain.py").read_text(), (FOLDER / "distributed.py").read_text()) <= LINES
    assert changed("a\nb\nc", "a\nx\nc\nd") == 2


def test_the_script_of_one_process_learns(tmp_path: Path) -> None:
    write_points(tmp_path)
    assert run("plain.py", tmp_path)[0] > 0.9


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed")
def test_over_a_data_frame_it_learns_as_well(tmp_path: Path) -> None:
    write_points(tmp_path)
    shares = run("distributed.py", tmp_path)
    assert len(shares) == 2
    assert min(shares) > 0.9
