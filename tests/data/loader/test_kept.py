"""Rows of compressed files are decoded once, kept within bounds, and are the same from then on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.loader import kept, parquet
from orrery.data.loader.loader import Loader
from orrery.data.table import read
from orrery.errors import SourceError

ROWS, GROUP = 6000, 1500


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Two compressed files of two row groups each."""
    chance = np.random.default_rng(3)
    whole = pa.table(
        {
            "id": np.arange(2 * ROWS),
            "x": (np.arange(2 * ROWS) / 4).astype(np.float32),
            "many": chance.integers(0, 9, 2 * ROWS).astype(np.int16),
        }
    )
    (tmp_path / "rows").mkdir()
    for i in range(2):
        path = tmp_path / "rows" / f"{i}.parquet"
        pq.write_table(whole.slice(i * ROWS, ROWS), path, row_group_size=GROUP, compression="zstd")
    return tmp_path / "rows"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """File and row group of whatever is decoded, as it comes."""
    found: list[tuple[int, int]] = []
    stream = parquet.ParquetGroups._stream

    def counted(self: Any, file: int, group: int, names: Any, start: int) -> Iterator[Any]:
        found.append((file, group))
        return stream(self, file, group, names, start)

    monkeypatch.setattr(parquet.ParquetGroups, "_stream", counted)
    return found


def epoch(loader: Loader) -> list[list[int]]:
    found = []
    for batch in loader:
        found.append(batch["id"].tolist())
        assert batch["x"].tolist() == [i / 4 for i in found[-1]]
    return found


@pytest.mark.parametrize("buffer_bytes", [50_000, 1 << 20])
def test_each_row_group_is_decoded_once(
    rows: Path, decoded: list[tuple[int, int]], buffer_bytes: int
) -> None:
    with read(str(rows)).loader(100, buffer_bytes=buffer_bytes, threads=2) as loader:
        found = [epoch(loader) for _ in range(3)]
        assert sorted(decoded) == [(f, g) for f in range(2) for g in range(ROWS // GROUP)]
    with read(str(rows)).loader(100, buffer_bytes=buffer_bytes, keep_bytes=0) as loader:
        assert [epoch(loader) for _ in range(3)] == found
        assert len(decoded) >= 4 * 8


def test_what_has_no_room_is_decoded_again(rows: Path, decoded: list[tuple[int, int]]) -> None:
    """Three of eight row groups fit."""
    whole = epoch(read(str(rows)).loader(100))
    decoded.clear()
    with read(str(rows)).loader(100, keep_bytes=GROUP * 14 * 3 + 99) as loader:
        assert epoch(loader) == whole
        assert len(set(decoded)) == 8
        decoded.clear()
        epoch(loader)
        assert len(set(decoded)) == 5


@pytest.mark.parametrize("left", [0, 30_000])
def test_a_full_disk_is_no_failure(rows: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """Slices refuse what is over their bound as they refuse what the disk does not take."""
    whole = epoch(read(str(rows)).loader(100))
    make = kept.Slices
    monkeypatch.setattr(kept, "Slices", lambda path, most_bytes: make(path, left))
    with read(str(rows)).loader(100) as loader:
        assert epoch(loader) == whole
        assert sorted(i for batch in epoch(loader) for i in batch) == list(range(2 * ROWS))


def test_nothing_is_kept_in_memory(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of temporary files that is none would take the memory that the loader promised to spare."""
    monkeypatch.setattr(kept, "_kind_of", lambda folder: "tmpfs")
    assert kept._room() == 0
    monkeypatch.undo()
    if shutil.disk_usage("/proc").total == 0 and Path("/proc/mounts").exists():
        assert kept._kind_of(Path("/proc/self")) == "proc"


def test_closing_lets_go_of_it(rows: Path, decoded: list[tuple[int, int]]) -> None:
    loader = read(str(rows)).loader(100)
    first = epoch(loader)
    loader.set_epoch(0)
    assert epoch(loader) == first
    assert len(decoded) == 8
    before = len(scratch_files())
    loader.close()
    assert len(scratch_files()) == before - 1
    loader.set_epoch(0)
    assert epoch(loader) == first
    assert len(decoded) == 16
    loader.close()


def scratch_files() -> list[str]:
    """Files without a name that this process holds open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return [name for name in found if name.startswith(tempfile.gettempdir()) and "(deleted)" in name]


def test_a_file_that_changes_is_an_error_though_its_rows_are_kept(rows: Path) -> None:
    with read(str(rows)).loader(100) as loader:
        epoch(loader)
        (rows / "1.parquet").touch()
        with pytest.raises(SourceError, match=r"1\.parquet.*changed"):
            epoch(loader)
