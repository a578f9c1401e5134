"""``ory.gang``: a function of one's own in several workers."""

from __future__ import annotations

import os
import signal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orrery as ory
from orrery.errors import EngineError, SettingsError, WorkerError
from orrery.training.worker import Worker


@pytest.fixture(autouse=True)
def three_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_SLOTS", "3")


def rows(count: int = 101) -> dict[str, Any]:
    return {"x": np.arange(count, dtype=np.float32), "name": [f"row {i}" for i in range(count)]}


def seen(worker: Worker) -> list[list[float]]:
    found = [[float(x) for x in batch["x"]] for _ in worker.epochs(2) for batch in worker.batches(7)]
    worker.report(loss=worker.rank, rows=sum(map(len, found)))
    return found


def test_the_batches_are_the_same_whatever_the_number_of_workers() -> None:
    told: list[tuple[int, Any]] = []
    alone = ory.gang(seen, workers=1, table=rows())[0]
    three = ory.gang(
        seen, workers=3, table=rows(), on_report=lambda rank, values: told.append((rank, values))
    )
    together = [list(chain(*parts)) for parts in zip(*three, strict=True)]
    assert together == alone
    assert sorted(chain(*together[:15])) == [float(i) for i in range(101)]
    assert sorted(rank for rank, _ in told) == [0, 1, 2]
    assert sum(values["rows"] for _, values in told) == 2 * 101


def train(worker: Worker) -> tuple[float, int]:
    import torch
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    net = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(net.parameters(), 1e-5)
    resumed = 0
    if worker.restored is not None:
        net.load_state_dict({k: v for k, v in worker.restored.items() if k.startswith("module")})
        resumed = worker.restored["steps"]
    steps = resumed
    for _ in worker.epochs(2):
        for batch in worker.batches(25):
            optimizer.zero_grad()
            x = torch.from_numpy(batch["x"])[:, None]
            (net(x) - 2 * x).square().mean().backward()
            optimizer.step()
            steps += 1
            worker.save({**net.state_dict(), "steps": steps})
            marker = worker.folder / "killed"
            if worker.rank == 1 and steps == 6 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return float(net.module.weight), resumed


def test_a_pytorch_script_goes_on_after_a_worker_was_killed(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "killed").touch()
    whole = ory.gang(train, workers=2, table=rows(), folder=tmp_path / "whole")
    killed = ory.gang(train, workers=2, table=rows(), folder=tmp_path / "cut")
    assert [resumed for _, resumed in whole] == [0, 0]
    assert [resumed for _, resumed in killed] == [6, 6]
    assert [weight for weight, _ in killed] == [weight for weight, _ in whole]


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    lines: list[tuple[int, str]] = []

    def fails(worker: Worker) -> None:
        os.write(1, f"I am {worker.rank}\n".encode())
        list(worker.batches(3))

    with pytest.raises(SettingsError, match="This gang has no rows"):
        ory.gang(fails, workers=2, folder=tmp_path, on_print=lambda rank, line: lines.append((rank, line)))
    assert {(0, "I am 0"), (1, "I am 1")} <= set(lines)
    with pytest.raises(WorkerError, match=r"Worker 0 of 2 on .* failed: ZeroDivisionError"):
        ory.gang(lambda worker: 1 // worker.rank, workers=2)


def stuck(worker: Worker) -> Any:
    return (i for i in range(worker.rank))


@pytest.mark.parametrize("workers", ["x", 1.5, 0, -1, True])
def test_a_wrong_number_of_workers_is_told(workers: Any) -> None:
    with pytest.raises(SettingsError, match=r"workers is .* at least 1"):
        ory.gang(stuck, workers=workers)


def test_what_is_no_function_and_what_cannot_come_back_are_told() -> None:
    with pytest.raises(SettingsError, match="5 is no function"):
        ory.gang(5, workers=1)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"What worker . returned, a generator, cannot be sent back"):
        ory.gang(stuck, workers=2)
