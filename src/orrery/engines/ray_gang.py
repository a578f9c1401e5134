"""What a gang takes of Ray: places for its workers, and the tasks that keep them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orrery.data.passes import Cancelled
from orrery.engines import ray_tasks
from orrery.engines.job import Gang, Resources
from orrery.engines.keeper import Post
from orrery.engines.ray_session import is_client, speaking, told
from orrery.errors import DeadlineError, OrreryError

_LOOK_S = 0.1
_CANCEL_S = 10.0
_LOOPBACK = "127.0.0.1"


class Keepers:
    """The tasks that keep the workers of one gang, each in its place."""

    def __init__(self, ray: Any, tasks: list[Any]) -> None:
        self.ray = ray
        self.tasks = tasks

    def failed(self) -> OrreryError | None:
        """What Ray says of the first that has failed."""
        ended, _ = self.ray.wait(self.tasks, num_returns=len(self.tasks), timeout=0)
        for task in ended:
            try:
                self.ray.get(task)
            except Exception as error:
                return told(error)
        return None

    def end(self, wait_s: float) -> None:
        """Wait so long for them to end by themselves, then end their processes."""
        _, running = self.ray.wait(self.tasks, num_returns=len(self.tasks), timeout=wait_s)
        for task in running:
            self.ray.cancel(task, force=True)
        if running:
            self.ray.wait(running, num_returns=len(running), timeout=_CANCEL_S)


def keep(ray: Any, group: Any, need: Resources, rows: list[list[Any]], post: Post) -> Keepers:
    """Start a keeper in each place of the group, with references to its worker's rows."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    task, most = ray.remote(ray_tasks.keep), {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_retries": 0}
    places = [PlacementGroupSchedulingStrategy(group, rank) for rank in range(len(rows))]
    with speaking():
        asked = [task.options(scheduling_strategy=place, **most) for place in places]
        return Keepers(ray, [each.remote(post, rank, rows[rank]) for rank, each in enumerate(asked)])


@contextmanager
def placed(
    ray: Any, gang: Gang, need: Resources, strategy: str, wait_s: float, stop: threading.Event
) -> Iterator[Any]:
    """A placement group, which is given back. Raises DeadlineError where Ray finds no places in time."""
    bundle = {"CPU": need.cpus, **({"GPU": need.gpus} if need.gpus else {})}
    with speaking():
        group = ray.util.placement_group([bundle] * gang.workers, strategy=strategy, name="orrery-gang")
    until = time.monotonic() + wait_s
    try:
        while not group.wait(_LOOK_S):
            if stop.is_set():
                raise Cancelled
            if time.monotonic() > until:
                raise DeadlineError(
                    f"After {wait_s:.0f} s Ray had found no places for {gang.workers} workers of {bundle}; "
                    f"{ray.available_resources().get('CPU', 0):g} of its CPUs are free.",
                    hint="Others may have taken them, or a machine was lost: ray status tells.",
                )
        yield group
    finally:
        ray.util.remove_placement_group(group)


def rooms(ray: Any, need: Resources) -> list[int]:
    """For each machine that is alive how many workers it has places for, when nothing runs."""
    return [room_in(node["Resources"], need) for node in ray.nodes() if node["Alive"]]


def room_in(resources: Mapping[str, float], need: Resources) -> int:
    """Workers that fit into some resources.

    >>> room_in({"CPU": 5.0, "GPU": 1.0}, Resources(cpus=2)), room_in({"CPU": 5.0}, Resources(gpus=1))
    (2, 0)
    """
    room = resources.get("CPU", 0) // need.cpus
    return int(min(room, resources.get("GPU", 0) // need.gpus) if need.gpus else room)


def driver_address(ray: Any) -> str:
    """Where machines of the cluster reach this process; loopback where there is only this one."""
    if is_client(ray):
        host, _, port = ray.util.client.ray.get_context().client_worker._conn_str.rpartition(":")
        with socket.create_connection((host, int(port))) as link:
            return str(link.getsockname()[0])
    own = str(ray.util.get_node_ip_address())
    return _LOOPBACK if {node["NodeManagerAddress"] for node in ray.nodes()} == {own} else own
