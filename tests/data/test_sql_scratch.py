"""What SQL lays down on disk is for nobody else, and does not stay."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from orrery.data import sql, sql_scratch

_SPILLS = """
import sys
from orrery.data import sql
database = sql.connect()
print(database.sql("select current_setting('temp_directory')").fetchall()[0][0], flush=True)
sys.stdin.read()
"""


def _child(temp: Path) -> tuple[subprocess.Popen[str], Path]:
    child = subprocess.Popen(
        [sys.executable, "-c", _SPILLS],
        env={**os.environ, "TMPDIR": str(temp)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_the_folder_is_for_its_owner_only() -> None:
    with sql.connect() as database:
        found = database.sql("select current_setting('temp_directory')").fetchall()[0][0]
    parent = Path(found).parent
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert parent.name.startswith("orrery-sql-")


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    killed, left = _child(tmp_path)
    living, used = _child(tmp_path)
    (left / "rows.tmp").parent.mkdir()
    (left / "rows.tmp").write_text("secret")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.is_dir()
    sql_scratch.reap(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [used.parent.name]
    living.communicate("")
    assert living.returncode == 0
    assert list(tmp_path.iterdir()) == []
