"""Files by address."""

from __future__ import annotations

from pathlib import Path

import pytest

from orrery.data import files


def test_links_out_of_a_folder_are_skipped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "own.csv").write_text("a\n2\n", encoding="utf-8")
    (folder / "sub" / "out.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "sub" / "in.csv").symlink_to(folder / "own.csv")
    (folder / "up").symlink_to(tmp_path)
    found = files.find(str(folder), (".csv",))
    assert found == [str(folder / "own.csv"), str(folder / "sub" / "in.csv")]
    assert sorted("out.csv" in message for message in caplog.messages) == [False, True]
