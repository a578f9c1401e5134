from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from orrery.errors import FitError
from orrery.training import checkpoint
from orrery.training.checkpoint import Saver
from orrery.training.events import Checkpoint, Event
from orrery.training.world import World

TENSORS = {"a": torch.arange(3.0), "b": torch.tensor(7), "t": torch.ones(2, 3).T}


def quiet(event: Event) -> None:
    """Watches nothing."""


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "new", TENSORS, {"loss": 0.1 + 0.2, "best": None})
    found = checkpoint.read(tmp_path / "new")
    assert found is not None
    assert {name: tensor.tolist() for name, tensor in found[0].items()} == {
        "a": [0.0, 1.0, 2.0],
        "b": 7,
        "t": [[1.0, 1.0]] * 3,
    }
    assert found[1] == {"loss": 0.1 + 0.2, "best": None}
    assert [path.name for path in (tmp_path / "new").iterdir()] == [checkpoint.NAME]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path) is None
    assert checkpoint.read(tmp_path / "absent") is None


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_a_broken_checkpoint_is_an_error(tmp_path: Path, keep: int) -> None:
    path = checkpoint.write(tmp_path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FitError, match="cannot be read"):
        checkpoint.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FitError, match=r"cannot be written.*choose another place"):
        checkpoint.write(tmp_path / "file" / "run", TENSORS, {})


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    Saver(world, "one", 0, quiet).save(1, TENSORS, {})
    assert Saver(world, "one", 0, quiet).restore() is not None
    with pytest.raises(FitError, match="another run"):
        Saver(world, "other", 0, quiet).restore()


def test_only_the_first_worker_writes_and_tells(tmp_path: Path) -> None:
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)

    for rank in (1, 0):
        saver = Saver(World(rank=rank, size=2, folder=tmp_path), "k", 0, observe)
        if saver.due():
            saver.save(9, TENSORS, {})
    assert seen == [Checkpoint(9, str(tmp_path / checkpoint.NAME))]


def test_without_a_folder_nothing_is_kept() -> None:
    saver = Saver(World(), "k", 0, quiet)
    saver.save(1, TENSORS, {})
    assert not saver.due()
    assert saver.restore() is None


def test_the_next_checkpoint_waits(tmp_path: Path) -> None:
    saver = Saver(World(folder=tmp_path), "k", 3600, quiet)
    assert not saver.due()


def test_a_full_disk_leaves_no_half_behind(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, {"a": torch.ones(4)}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(FitError, match="cannot be written"):
            checkpoint.write(tmp_path, {"a": torch.ones(4000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]
