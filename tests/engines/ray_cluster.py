"""A program on three nodes of Ray, each with processes of its own; prints what it found, as JSON lines.

A process has one Ray at a time, and the tests' own has one node: so this is a program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from tests.engines.spark_cluster import net
from tests.engines.visits import fitted, rows, weights

import orrery as ory
from orrery.engines.engine import Member
from orrery.engines.gang import Limits
from orrery.engines.job import Gang
from orrery.engines.launch import launch
from orrery.engines.ray import Ray
from orrery.errors import OrreryError

_NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 100 << 20}
_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 5_000,
    "health_check_failure_threshold": 3,
}
_SCRIPT = "import json, os; print(os.environ['MASTER_ADDR'], json.loads(os.environ['TF_CONFIG'])['cluster'])"


def cluster() -> Any:
    """Three nodes of one slot each; the GPUs are made up."""
    import ray
    from ray.cluster_utils import Cluster

    head = {**_NODE, "include_dashboard": False, "_system_config": _HEALTH}
    made = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        made.add_node(**_NODE)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    made.wait_for_nodes()
    return made


def told(name: str, work: Callable[[], Any]) -> None:
    """Print what a scenario found, or its error; and how long it took."""
    began = time.monotonic()
    try:
        found: dict[str, Any] = {"found": work()}
    except OrreryError as error:
        found = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    line = json.dumps({"name": name, "seconds": time.monotonic() - began, **found})
    sys.__stdout__.write(line + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def data() -> Any:
    """The rows as a data set of Ray, in blocks over the cluster."""
    import ray

    return ray.data.from_arrow(rows()).repartition(5)


def ranks(engine: Ray) -> Any:
    """Rank, size, node, and the GPUs that each worker sees."""

    def task(member: Member) -> tuple[int, int, str, str]:
        node = psutil.Process().parent().parent().parent()  # type: ignore[union-attr]
        return member.rank, member.size, str(node.pid), os.environ.get("CUDA_VISIBLE_DEVICES", "")

    return engine.submit(engine.plan(Gang(task, 2))).result(120)


def too_many(engine: Ray) -> Any:
    """More workers than slots; and three that shall be on one machine."""
    told = []
    for each, workers in ((engine, 4), (Ray(strategy="STRICT_PACK"), 2), (Ray(gpus=2), 2)):
        try:
            each.plan(Gang(print, workers))
        except OrreryError as error:
            told.append(f"{error.message} {error.hint}")
    return told


def equal(engine: Ray) -> float:
    """How far the weights are from those of this machine's gang."""
    there, here = weights(fitted(data(), engine=engine)), weights(fitted(data()))
    return float(abs(there - here).max())


def disturbed(engine: Ray, disturb: Callable[[list[int]], object], learn: Any = net) -> Any:
    """What comes of a gang that is disturbed in its third epoch, beside one that is not."""
    moments: list[float] = []
    pids: dict[int, int] = {}

    def report(rank: int, values: Any) -> None:
        pid = int(values["pid"])
        if not moments:
            pids[rank] = pid
            if values["epoch"] == 2 and len(pids) == 2:
                disturb(list(pids.values()))
                moments.append(time.monotonic())
        elif len(moments) == 1 and pid not in pids.values():
            moments.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        place: dict[str, Any] = {"workers": 2, "table": data(), "engine": engine, "restarts": 2}
        calm = ory.gang(net, folder=f"{folder}/calm", **place)
        rough = ory.gang(learn, folder=f"{folder}/rough", on_report=report, **place)
    return {"calm": calm, "rough": rough, "recovery_s": moments[1] - moments[0] if moments[1:] else None}


def slow(worker: Any) -> dict[str, Any]:
    """The network, at a pace at which it is not at its end before Ray notices that a node is gone."""
    return net(worker, pause_s=0.1)


def keeper_of(pid: int) -> psutil.Process:
    """The process of Ray that keeps a worker: it started the fork server, which started the worker."""
    found = psutil.Process(pid).parents()[1]
    assert found.name().startswith("ray::"), found
    return found


def kill_node(made: Any, pids: list[int]) -> None:
    """Kill -9 the processes of a node that has a worker, and is not the first, which this program is on.

    What Orrery started there is left to end by itself.
    """
    nodes = {node.all_processes["raylet"][0].process.pid for node in made.worker_nodes}
    node = psutil.Process(next(each for each in map(_node_of, pids) if each in nodes))
    for process in [node, *node.children()]:
        process.kill()


def _node_of(pid: int) -> int:
    return keeper_of(pid).ppid()


def launched(engine: Ray) -> Any:
    """What a script is told of its place."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", _SCRIPT]
        show = lambda rank, line: lines.append(line)  # noqa: E731
        launch(words, engine=engine, workers=2, logs=Path(folder), show=show)
    return lines


def left() -> Any:
    """What is left of gangs: folders, tasks, places."""
    import ray
    from ray.util import placement_group_table

    until = time.monotonic() + 30
    while not (free := ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]):
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    groups = [group["state"] for group in placement_group_table().values()]
    folders = sorted(path.name for path in Path(tempfile.gettempdir()).glob("orrery-gang-*"))
    return {"folders": folders, "groups": sorted(set(groups)), "free": free}


def main() -> int:
    """All scenarios, or those that are named; the last takes a node away."""
    import ray

    warnings.simplefilter("ignore")
    made = cluster()
    engine = Ray(strategy="SPREAD", limits=Limits(stopped_s=2.0, silence_s=10.0))
    scenarios: dict[str, Callable[[], Any]] = {
        "ranks": lambda: ranks(engine),
        "too_many": lambda: too_many(engine),
        "launched": lambda: launched(engine),
        "equal": lambda: equal(engine),
        "keeper": lambda: disturbed(engine, lambda pids: keeper_of(pids[0]).kill()),
        "stopped": lambda: disturbed(engine, lambda pids: os.kill(pids[1], signal.SIGSTOP)),
        "node": lambda: disturbed(engine, lambda pids: kill_node(made, pids), slow),
        "left": left,
    }
    for name, work in scenarios.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            told(name, work)
    ray.shutdown()
    made.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
