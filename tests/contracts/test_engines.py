"""One suite over all engines: what a gang promises, wherever it runs. Gaps are in ``GAPS``, and counted.

An engine that is not here yet adds a line to ``ENGINES``; its gaps, with reasons, to ``GAPS``.
Spark runs here in one JVM, Ray on one node; on several in ``tests/engines/test_{spark,ray}_cluster.py``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orrery.engines.engine import Engine, Lost, Member, State
from orrery.engines.forks import FORKS
from orrery.engines.gang import Limits
from orrery.engines.job import Each, Gang
from orrery.engines.local import Local
from orrery.engines.ray import Ray
from orrery.engines.spark import Spark
from orrery.errors import DeadlineError, EngineError, FitError, SlotsError, WorkerError
from orrery.learners.crew import WARM


def on_ray(ray_node: Any) -> Engine:
    """The engine of the Ray that this process is connected to."""
    return Ray(limits=Limits(stopped_s=1.0))


ENGINES: dict[str, Callable[[Callable[[str], Any]], Engine]] = {
    "local": lambda ask: Local(threads=3, limits=Limits(stopped_s=1.0)),
    "ray": lambda ask: on_ray(ask("ray_node")),
    "spark": lambda ask: Spark(ask("spark"), limits=Limits(stopped_s=1.0)),
}
GAPS: dict[tuple[str, str], str] = {}
"""(engine, name of a test) -> why it does not hold there yet."""


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    gap = GAPS.get((request.param, request.node.originalname))
    if gap:
        pytest.skip(f"{request.param}: {gap}")
    return ENGINES[request.param](request.getfixturevalue)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Workers, ports and scratch folders are gone after each test."""
    before = scratches()
    yield
    assert workers_alive() == []
    assert scratches() - before == set()


def scratches() -> set[str]:
    import tempfile

    return {path.name for path in Path(tempfile.gettempdir()).glob("orrery-gang-*")}


def workers_alive() -> list[int]:
    server = FORKS._server
    if server is None or server.poll() is not None:
        return []
    return [child.pid for child in psutil.Process(server.pid).children(recursive=True)]


def gang(engine: Engine, task: Callable[[Member], Any], **settings: Any) -> Any:
    return engine.submit(engine.plan(Gang(task, **{"workers": 2, **settings}))).result()


def test_every_rank_returns_its_value(engine: Engine) -> None:
    def task(member: Member) -> tuple[int, int, bool, str]:
        return member.rank, member.size, member.scratch is not None, str(Path.cwd())

    found = gang(engine, task, workers=3)
    assert [(rank, size) for rank, size, *_ in found] == [(0, 3), (1, 3), (2, 3)]
    assert {(shared, folder) for *_, shared, folder in found} == {(True, str(Path.cwd()))}


def test_workers_share_a_folder_and_what_the_driver_holds(engine: Engine) -> None:
    held = {"rows": list(range(1_000))}

    def task(member: Member) -> int:
        assert member.scratch is not None
        (member.scratch / f"{member.rank}").write_text(str(sum(held["rows"])))
        while not all((member.scratch / str(other)).exists() for other in range(member.size)):
            time.sleep(0.001)
        return int((member.scratch / str(1 - member.rank)).read_text() or 0)

    assert gang(engine, task) == [499_500, 499_500]


def test_more_workers_than_slots_are_refused_in_numbers(engine: Engine) -> None:
    slots = engine.slots()
    with pytest.raises(SlotsError, match=f"Asked for {slots.total + 1} workers; {slots.total} of"):
        engine.plan(Gang(print, workers=slots.total + 1))
    gate = threading.Event()
    running = engine.submit(
        engine.plan(Gang(waiting, workers=slots.total - 1, listen=lambda rank, told: gate.set()))
    )
    try:
        assert gate.wait(60)
        assert engine.slots().free == 1
        with pytest.raises(SlotsError, match="Asked for 2 workers; 1 of"):
            engine.submit(engine.plan(Gang(print, workers=2)))
    finally:
        running.cancel()
        with pytest.raises(EngineError, match="cancelled"):
            running.result()
    assert running.state is State.CANCELLED
    assert engine.slots().free == slots.total


def waiting(member: Member) -> None:
    assert member.link is not None
    member.link.tell("here")
    time.sleep(60)


def test_the_first_error_ends_all_soon_with_rank_host_and_traceback(engine: Engine) -> None:
    def task(member: Member) -> None:
        if member.rank == 1:
            raise ValueError("three is too many")
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 on \S+ failed: ValueError: three") as caught:
        gang(engine, task)
    assert time.monotonic() < began + 30, "nobody waited for those who sleep"
    assert "in task" in str(caught.value)
    assert (caught.value.rank, caught.value.host, caught.value.lost) == (1, socket.gethostname(), False)


def test_an_error_of_ours_is_raised_as_it_is(engine: Engine) -> None:
    def task(member: Member) -> None:
        raise FitError("The rows are odd.", hint="Make them even.")

    with pytest.raises(FitError, match="The rows are odd") as caught:
        gang(engine, task)
    assert caught.value.hint == "Make them even."
    assert "in worker" in "".join(caught.value.__notes__)


def test_a_killed_worker_is_named_and_the_gang_starts_again_within_its_budget(
    engine: Engine, tmp_path: Path
) -> None:
    def task(member: Member) -> str:
        if member.rank == 1:
            with (tmp_path / "lives").open("a") as lives:
                lives.write("x")
            if (tmp_path / "lives").stat().st_size < 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    heard: list[Any] = []
    assert (
        gang(engine, task, restarts=2, listen=lambda rank, told: heard.append((rank, told))) == ["done"] * 2
    )
    assert [(rank, told.restarts_left) for rank, told in heard] == [(1, 1), (1, 0)]
    assert all(isinstance(told, Lost) and "SIGKILL" in told.why for _, told in heard)
    (tmp_path / "lives").unlink()
    with pytest.raises(
        WorkerError, match=r"Worker 1 of 2.*SIGKILL.*started again 1 times; no more"
    ) as caught:
        gang(engine, task, restarts=1)
    assert caught.value.lost


def test_a_stopped_worker_is_found_by_its_silence_and_named(engine: Engine) -> None:
    def task(member: Member) -> None:
        if member.rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)

    with pytest.raises(WorkerError, match=r"Worker 1 of 2 on .* is stopped, and silent for"):
        gang(engine, task)


def test_a_deadline_names_who_is_missing(engine: Engine) -> None:
    def task(member: Member) -> None:
        if member.rank == 1:
            time.sleep(60)

    with pytest.raises(DeadlineError, match=r"after 1\.5 s: worker 1 of 2 had not ended"):
        gang(engine, task, deadline_s=1.5)


def test_what_workers_tell_is_heard_and_they_are_told_to_stop(engine: Engine) -> None:
    def task(member: Member) -> int:
        assert member.link is not None
        count = 0
        while not member.link.stopped:
            count += 1
            member.link.tell(count)
            time.sleep(0.005)
        return count

    heard: dict[int, list[int]] = {0: [], 1: []}

    def listen(rank: int, told: int) -> str | None:
        heard[rank].append(told)
        return "stop" if told == 3 else None

    counts = gang(engine, task, listen=listen)
    assert [heard[0][:3], heard[1][:3]] == [[1, 2, 3]] * 2
    assert [len(heard[rank]) for rank in (0, 1)] == counts


def test_what_workers_print_is_kept_and_told_when_one_is_lost(engine: Engine, tmp_path: Path) -> None:
    def task(member: Member) -> None:
        sys.stdout.write(f"here is {member.rank}\n")
        sys.stdout.flush()
        subprocess.run(["echo", "and a child"], check=True)
        assert member.scratch is not None
        if member.rank == 1:
            while not (member.scratch / "0").exists():
                time.sleep(0.001)
            os._exit(7)
        (member.scratch / "0").touch()
        time.sleep(60)

    with pytest.raises(WorkerError, match=r"ended by itself with exit code 7(.|\n)*here is 1\nand a child"):
        gang(engine, task, logs=tmp_path / "logs")
    assert (tmp_path / "logs" / "rank-0.log").read_text().startswith("here is 0\n")


def test_what_a_worker_starts_ends_with_it(engine: Engine, tmp_path: Path) -> None:
    def task(member: Member) -> int:
        return subprocess.Popen(["sleep", "600"]).pid

    for pid in gang(engine, task):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_task_that_cannot_travel_is_refused_in_one_message(engine: Engine) -> None:
    lock = threading.Lock()
    with pytest.raises(EngineError, match=r"cannot be sent to another process.*lock"):
        gang(engine, lambda member: lock)


def test_items_keep_their_order(engine: Engine) -> None:
    assert engine.submit(engine.plan(Each(task=abs, items=[-3, 2, -1]))).result() == [3, 2, 1]


DRIVER = textwrap.dedent(
    """
    import os, sys, time
    from orrery.engines.job import Gang
    from orrery.engines.local import Local

    def task(member):
        member.link.tell(os.getpid())
        time.sleep(600)

    def heard(rank, told):
        print(told, flush=True)

    engine = Local(threads=2)
    engine.submit(engine.plan(Gang(task, workers=2, listen=heard))).result()
    """
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_however_the_driver_ends_nothing_is_left(how: signal.Signals, tmp_path: Path) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert driver.stdout is not None
    pids = [int(driver.stdout.readline()) for _ in range(2)]
    family = [psutil.Process(pid) for pid in pids]
    family.append(family[0].parent() or family[0])
    driver.send_signal(how)
    driver.stdout.close()
    assert driver.wait(20) != 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(scratch.iterdir()) == []


def test_the_fork_server_has_one_thread() -> None:
    """So that forking it is safe."""
    FORKS.warm(WARM)
    assert FORKS._server is not None
    assert psutil.Process(FORKS._server.pid).num_threads() == 1
