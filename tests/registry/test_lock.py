"""The lock of a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orrery.errors import RegistryBusyError, RegistryError
from orrery.registry.lock import locked


def test_a_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    with locked(tmp_path, "publishing digits"), pytest.raises(RegistryBusyError) as caught:  # noqa: SIM117
        with locked(tmp_path, "another", wait_s=0.05):
            pass
    assert f"process {os.getpid()}" in str(caught.value)
    assert "publishing digits" in str(caught.value)


def test_a_waiting_writer_goes_on_when_the_first_lets_go(tmp_path: Path) -> None:
    entered, order = threading.Event(), []

    def second() -> None:
        entered.set()
        with locked(tmp_path, "second", wait_s=10):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path, "first"):
        thread.start()
        assert entered.wait(5)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from orrery.registry.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'to be killed'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with (
            pytest.raises(RegistryBusyError, match="to be killed"),
            locked(tmp_path, "too early", wait_s=0.05),
        ):
            pass
    finally:
        child.kill()
        child.communicate()
    with locked(tmp_path, "after", wait_s=5):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot be written"), locked(tmp_path / "file", "x"):
        pass
