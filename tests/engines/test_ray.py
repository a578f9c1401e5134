"""The engine of Ray, on one node: passes, fits that equal those of this machine, and what can be wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.visits import ROWS, fitted, rows, weights

import orrery as ory
from orrery.engines.engine import Member
from orrery.engines.find import engine_of
from orrery.engines.job import Each, Gang, Map
from orrery.engines.ray import Ray
from orrery.engines.ray_session import check_address, connected, started_here, told
from orrery.errors import (
    EmptyTableError,
    EngineError,
    FitError,
    MissingExtraError,
    SettingsError,
    SlotsError,
    WorkerError,
)


def data_of(ray: Any, table: Any, blocks: int) -> Any:
    """The rows in blocks of very different size, one of them empty."""
    cuts = [0, 0, *(table.num_rows * i * i // blocks**2 for i in range(1, blocks + 1))]
    return ray.data.from_arrow([table.slice(a, b - a) for a, b in pairwise(cuts)])


def test_a_fit_on_ray_equals_the_fit_on_this_machine_bit_for_bit(ray_node: Any) -> None:
    data = data_of(ray_node, rows(), 4)
    there = fitted(data, engine="ray")
    here = fitted(data)
    np.testing.assert_array_equal(weights(there), weights(here))
    facts = there.lineage["gang"]
    assert (sum(facts["rows_read"]), facts["workers"]) == (ROWS, 2)
    assert facts["rows_per_epoch"] == here.lineage["gang"]["rows_per_epoch"]


def test_a_function_of_ones_own_sees_each_row_once(ray_node: Any) -> None:
    def sums(worker: Any) -> tuple[int, float]:
        found = [batch["x"] for batch in worker.batches(64)]
        return sum(map(len, found)), float(sum(each.sum() for each in found))

    whole = rows()
    found = ory.gang(sums, workers=2, table=data_of(ray_node, whole, 3), engine="ray")
    assert sorted(count for count, _ in found) == [ROWS // 2, ROWS - ROWS // 2]
    assert sum(total for _, total in found) == pytest.approx(float(np.sum(whole["x"])))


def test_a_pass_is_made_on_the_cluster(ray_node: Any) -> None:
    class Rows:
        """Counts rows. It travels as it is: workers have no module of the tests."""

        def summarize(self, batch: Any) -> int:
            return int(batch.num_rows)

        def merge(self, left: int, right: int) -> int:
            return left + right

        def finish(self, summary: int) -> int:
            return summary

    engine = Ray()
    table = ory.read(data_of(ray_node, rows(), 12)).where("x > 0")
    assert engine.feeds(table)
    assert table.aggregate(Rows(), engine) == table.count()
    assert table.where("x > 100").aggregate(Rows(), engine) == 0
    nothing = ory.read(ray_node.data.from_arrow([rows().slice(0, 0)] * 9))
    assert nothing.aggregate(Rows(), engine) == 0


def test_a_map_gives_what_the_task_makes_of_each_batch_in_order(ray_node: Any) -> None:
    whole = rows()
    table = ory.read(data_of(ray_node, whole, 3))
    engine = Ray()
    found = engine.submit(engine.plan(Map(lambda batch: batch.column("x").to_pylist(), table))).result()
    assert [x for part in found for x in part] == whole["x"].to_pylist()

    def odd(batch: Any) -> None:
        raise FitError("The rows are odd.")

    with pytest.raises(FitError, match="The rows are odd"):
        engine.submit(engine.plan(Map(odd, table))).result()


def test_columns_of_tensors_reach_the_workers(ray_node: Any) -> None:
    data = ray_node.data.from_numpy(np.arange(24.0).reshape(6, 2, 2))

    def total(worker: Any) -> float:
        return float(sum(np.asarray(batch["data"]).sum() for batch in worker.batches(2)))

    assert sum(ory.gang(total, workers=2, table=data, engine="ray")) == 276.0


def test_an_item_that_fails_is_told_with_its_traceback(ray_node: Any) -> None:
    engine = Ray()

    def inverse(number: int) -> float:
        return 1 / number

    with pytest.raises(WorkerError, match=r"ZeroDivisionError(.|\n)*in inverse"):
        engine.submit(engine.plan(Each(inverse, [1, 0]))).result()


def test_cancelled_items_leave_their_places(ray_node: Any) -> None:
    engine = Ray()
    running = engine.submit(engine.plan(Each(time.sleep, [60.0] * 9)))
    until = time.monotonic() + 60
    while engine.slots().free and time.monotonic() < until:
        time.sleep(0.05)
    running.cancel()
    with pytest.raises(EngineError, match="cancelled"):
        running.result()
    while engine.slots().free < 3 and time.monotonic() < until:
        time.sleep(0.05)
    assert engine.slots().free == 3


def test_a_data_set_without_rows_is_told(ray_node: Any) -> None:
    with pytest.raises(EmptyTableError):
        fitted(ray_node.data.from_arrow(rows().slice(0, 0)), engine="ray")


def test_too_few_slots_are_told_with_the_clusters_resources(ray_node: Any) -> None:
    with pytest.raises(SlotsError, match="Asked for 4 workers; 3 of Ray's 3 slots are free") as caught:
        Ray().plan(Gang(print, 4))
    assert "Each takes 1 of the cluster's 3 CPUs" in (caught.value.hint or "")
    with pytest.raises(SlotsError, match="Asked for 2 workers; 1 of Ray's 1"):
        Ray(cpus=2).plan(Gang(print, 2))
    with pytest.raises(SlotsError, match="0 of Ray's 0") as caught:
        Ray(gpus=1).plan(Gang(print, 1))
    assert "1 GPUs of 0" in (caught.value.hint or "")
    with pytest.raises(SlotsError, match="Asked for 2 workers; 1 of"):
        Ray(strategy="STRICT_SPREAD").plan(Gang(print, 2))
    with pytest.raises(SettingsError, match="strategy is 'pack'"):
        Ray(strategy="pack").plan(Gang(print, 2))


def test_a_task_that_cannot_be_pickled_is_refused_at_once(ray_node: Any) -> None:
    lock = threading.Lock()
    engine = Ray()
    with pytest.raises(EngineError, match=r"cannot be sent to another process.*lock"):
        engine.submit(engine.plan(Each(lambda item: lock, [1])))


def test_another_cluster_than_that_of_this_program_is_not_taken(ray_node: Any) -> None:
    with pytest.raises(SettingsError, match="is connected to a Ray at"):
        engine_of("ray://127.0.0.1:1").slots()
    own = ray_node.get_runtime_context().gcs_address
    assert connected(own) is ray_node


def test_an_address_where_nobody_answers_is_told_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address in (f"ray://127.0.0.1:{port}", f"127.0.0.1:{port}", "ray://nobody"):
        with pytest.raises(EngineError, match=f"No Ray answers at {address}"):
            check_address(address)


def test_a_cluster_that_has_ended_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert started_here() is None
    (tmp_path / "ray").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as door:
        (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{door.getsockname()[1]}\n")
        assert started_here() == f"127.0.0.1:{door.getsockname()[1]}"
    assert started_here() is None


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(MissingExtraError, match="ray"):
        Ray().slots()


def test_what_ray_says_is_told_in_one_line() -> None:
    missing = told(RuntimeError("ray::keep()\nModuleNotFoundError: No module named 'orrery'"))
    assert "machines of Ray cannot import 'orrery'" in missing.message

    class WorkerCrashedError(Exception):
        """As Ray's."""

    lost = told(WorkerCrashedError("The worker died\nunexpectedly"))
    assert (lost.message, getattr(lost, "lost", None)) == ("Ray: WorkerCrashedError: The worker died", True)

    class RayTaskError(Exception):
        """As Ray's."""

        cause = FitError("The rows are odd.")

    assert isinstance(told(RayTaskError()), FitError)


ALONE = """
import orrery as ory

if __name__ == "__main__":
    print(ory.gang(lambda worker: worker.rank, workers=2, engine="ray"))
"""


@pytest.mark.slow
def test_a_cluster_of_its_own_ends_with_the_program(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    short = {"TMPDIR": "/tmp", "RAY_TMPDIR": str(tmp_path), "ORRERY_SLOTS": "2"}
    before = leftovers()
    done = subprocess.run(
        [sys.executable, "alone.py"],
        cwd=tmp_path,
        env={**os.environ, **short},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout == "[0, 1]\n", done.stderr[-2_000:]
    assert leftovers() - before == set()


def leftovers() -> set[str]:
    """Folders of clusters of programs' own."""
    return {path.name for path in Path("/tmp").glob("orrery-ray-*")}


def test_ranks_are_the_members_own(ray_node: Any) -> None:
    def task(member: Member) -> tuple[int, tuple[str, ...]]:
        return member.rank, member.addresses

    engine = Ray(strategy="SPREAD")
    found = engine.submit(engine.plan(Gang(task, 2))).result()
    assert [rank for rank, _ in found] == [0, 1]
    assert all(len(addresses) == 2 for _, addresses in found)
