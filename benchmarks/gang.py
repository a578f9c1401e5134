"""Several workers: beside plain torchrun with DDP, beside one, on Spark, after a kill, and on paper.

The reference is a script of its own, started by ``torchrun``: the same network, rows, order, batches,
optimizer and schedule, with torch's ``DistributedDataParallel``. Both tell the seconds of their last epochs
themselves, so that neither start nor first touch count. Numbers for a quiet machine: the goals are missed
where others use the cores.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import gang_cluster, gang_paper, harness
from benchmarks.gang_ddp import EPOCHS, compute_bound, seconds_of_epochs
from orrery.engines.engine import Member
from orrery.engines.forks import FORKS
from orrery.engines.job import Gang
from orrery.engines.local import Local
from orrery.learners.crew import WARM
from orrery.training.events import Event, Step

DDP_GOAL = 1.05
SPEED_UP_GOAL = 1.7
WAITING_GOAL = 0.05

ENGINE = Local(threads=2)


def ours(workers: int) -> tuple[float, Any]:
    """Seconds of the last epochs with so many workers, and what the exchange cost."""

    def work(member: Member) -> tuple[float, Any]:
        from contextlib import nullcontext

        import torch

        from orrery.training.exchange.group import joined

        torch.set_num_threads(1)
        meet = joined(member.meeting, member.rank, member.size, "cpu") if member.size > 1 else nullcontext()
        with meet:
            return compute_bound(member.rank, member.size)

    engine = ENGINE.submit(ENGINE.plan(Gang(work, workers, warm=WARM)))
    found: list[tuple[float, Any]] = engine.result()
    return max(seconds for seconds, _ in found), found[0][1]


def torchrun() -> float:
    """Seconds of the last epochs of the reference, as its first worker tells."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, "-m", "benchmarks.gang_ddp"], capture_output=True, text=True, check=True, env=environment
    )
    return seconds_of_epochs(done.stdout)


def start() -> float:
    """Seconds from the call until every worker of a gang of two has answered; torch is loaded already."""
    FORKS.warm(WARM)
    began = time.perf_counter()
    ENGINE.submit(ENGINE.plan(Gang(rank_of, 2))).result()
    return time.perf_counter() - began


def start_by_torchrun() -> float:
    """Seconds that torchrun takes for two workers that import torch and end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "nothing.py"
        script.write_text("import torch\n")
        return harness.seconds(lambda: subprocess.run([*command, script], check=True, capture_output=True))


def rank_of(member: Member) -> int:
    """The least that a worker can do."""
    return member.rank


def kill_to_step() -> float:
    """Seconds from the kill -9 of a worker to the next step of the gang that was started again."""
    import numpy as np

    import orrery as ory

    draw = np.random.default_rng(0)
    x = draw.normal(size=(2_000, 8))
    rows = {**{f"x{i}": x[:, i] for i in range(8)}, "y": np.where(x.sum(1) > 0, "up", "down")}
    moments: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Step) and len(moments) == 1 and event.step > 0:
            moments.append(time.perf_counter())
        if isinstance(event, Step) and event.step >= 20 and not moments:
            assert FORKS._server is not None
            moments.append(time.perf_counter())
            worker = psutil.Process(FORKS._server.pid).children()[-1]
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait(10)

    with tempfile.TemporaryDirectory() as folder:
        recipe = {"epochs": 2, "batch_size": 64, "checkpoint_s": 0.0}
        place: dict[str, Any] = {"workers": 2, "engine": ENGINE, "folder": folder, "progress": False}
        ory.fit(rows, "y", learner="network", recipe=recipe, observers=[watch], **place)
    return moments[1] - moments[0]


def measure() -> list[dict[str, Any]]:
    """All measures."""
    _, traffic = ours(2)
    told = {"unit": "s", "runs": 1}
    return [
        harness.paired(
            f"{EPOCHS} epochs, 2 workers",
            lambda: ours(2)[0],
            torchrun,
            unit="s",
            who="torchrun DDP",
            goal=DDP_GOAL,
        ),
        harness.paired(
            "speed-up of 2 workers",
            lambda: 1 / ours(2)[0],
            lambda: 1 / ours(1)[0],
            unit="1/s",
            who="1 worker",
            goal=SPEED_UP_GOAL,
            better="higher",
        ),
        harness.paired("start of a gang of 2", start, start_by_torchrun, **{**told, "who": "torchrun"}),
        harness.paired("kill -9 to the next step", kill_to_step, lambda: 0.0, **{**told, "who": ""}),
        *gang_cluster.measure(),
        *gang_paper.measure(traffic["overhead"]),
        harness.paired(
            "share of time in exchange",
            lambda: traffic["exchange"],
            lambda: 0.0,
            unit="share",
            who="",
            runs=1,
        ),
        harness.paired(
            "share of time waiting for data",
            lambda: traffic["data"],
            lambda: 1.0,
            unit="share",
            who="all the time",
            goal=WAITING_GOAL,
            runs=1,
        ),
        harness.paired(
            "bytes sent per step", lambda: traffic["bytes"], lambda: 0.0, unit="B", who="", runs=1
        ),
    ]
