"""``orrery launch``: stock scripts and any command as a gang."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

from orrery.cli.main import run
from orrery.engines.engine import Member
from orrery.engines.launch import launch, variables
from orrery.engines.local import Local
from orrery.errors import SettingsError, WorkerError

ENGINE = Local(threads=2)

STOCK = textwrap.dedent(
    """
    import argparse, json, os
    import torch
    import torch.distributed as dist

    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    epochs = parser.parse_args().epochs
    dist.init_process_group("gloo")
    mine = torch.tensor([dist.get_rank() + 1.0])
    dist.all_reduce(mine)
    task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    print(f"sum {mine.item():g}, epochs {epochs}, task {task}")
    dist.destroy_process_group()
    """
)


def test_a_stock_script_finds_the_others(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(STOCK)
    lines: list[tuple[int, str]] = []
    launch(
        [str(tmp_path / "train.py"), "--epochs", "3"],
        engine=ENGINE,
        workers=2,
        logs=tmp_path / "logs",
        show=lambda rank, line: lines.append((rank, line)),
    )
    told = [(rank, line) for rank, line in lines if line.startswith("sum")]
    assert sorted(told) == [(0, "sum 3, epochs 3, task 0"), (1, "sum 3, epochs 3, task 1")]
    assert "sum 3" in (tmp_path / "logs" / "rank-1.log").read_text()


def test_any_command_and_its_failure(tmp_path: Path) -> None:
    code = "import os, sys, time; r = int(os.environ['RANK']); time.sleep(60 * (1 - r)); sys.exit(5)"
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 on \S+: .* ended with exit code 5"):
        launch(
            [sys.executable, "-c", code],
            engine=ENGINE,
            workers=2,
            logs=tmp_path / "logs",
            show=lambda rank, line: None,
        )
    with pytest.raises(SettingsError, match="no command"):
        launch([], engine=ENGINE, workers=2, logs=tmp_path, show=lambda rank, line: None)


def test_each_is_told_its_own_place() -> None:
    told = [variables(Member(rank=r, size=2, local_rank=r), (9_000, 9_001, 9_002)) for r in range(2)]
    assert [each["RANK"] for each in told] == ["0", "1"]
    assert {each["MASTER_PORT"] for each in told} == {"9000"}
    assert json.loads(told[1]["TF_CONFIG"])["task"] == {"type": "worker", "index": 1}


def test_on_a_cluster_each_is_told_the_hosts_of_all() -> None:
    hosts = ("10.0.0.1:4001", "10.0.0.2:4002")
    place = Member(rank=1, size=2, meeting="tcp://10.0.0.1:4001", places=(0, 1), addresses=hosts)
    told = variables(place, (9_000, 9_001, 9_002))
    assert json.loads(told["TF_CONFIG"])["cluster"] == {"worker": list(hosts)}
    assert (told["MASTER_ADDR"], told["MASTER_PORT"], told["GROUP_RANK"]) == ("10.0.0.1", "4001", "1")


def test_a_script_that_fails_or_is_absent_is_told_without_our_own_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fails.py").write_text("raise ValueError('the user knows this line')")
    assert run(["launch", "--workers", "2", "--logs", "logs", "fails.py"]) == WorkerError.exit_code
    out, err = capsys.readouterr()
    assert "ValueError: the user knows this line" in out
    assert "orrery" not in out.partition("ValueError")[2]
    assert out.count("Traceback") == out.count("ValueError: the")
    assert "ended with exit code 1" in err
    assert run(["launch", "--logs", "logs", "nope.py"]) == 4
    out, err = capsys.readouterr()
    assert (out, "There is no file nope.py" in err) == ("", True)
