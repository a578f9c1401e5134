"""What the tests of routes share: a name with three versions, callers, and waiting for a condition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

import orrery as ory
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.serving.online.server import Service
from orrery.serving.route import Live

PREDICT = "/v1/models/m:predict"
ROUTE = "/v1/models/m/route"


def until(condition: Callable[[], Any], wait_s: float = 60.0) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def fit(place: Path) -> dict[str, Path]:
    """Two saved models that say the opposite of each other."""
    rows = [{"x": float(i), "y": "yes" if i > 20 else "no"} for i in range(40)]
    other = [{**row, "y": "no" if row["y"] == "yes" else "yes"} for row in rows]
    return {
        name: ory.fit(table, "y", learner="linear").save(place / name)
        for name, table in (("one", rows), ("two", other))
    }


def publish(models: dict[str, Path]) -> FolderRegistry:
    """In the registry of the test's own home: m/1 says yes to 39, m/2 says no, m/3 says yes; and rules/1."""
    registry = open_registry()
    for name in ("one", "two", "one"):
        registry.publish(models[name], "m")
    registry.publish(models["one"], "rules")
    registry.alias("m", "champion", 1)
    return registry


SAYS = {1: "yes", 2: "no", 3: "yes"}


class Told(NamedTuple):
    """What one request was answered."""

    status: int
    version: int | None
    prediction: str | None


def ask(client: httpx.Client, key: str = "", **headers: str) -> Told:
    """One row."""
    sent = {**headers, **({"X-Orrery-Key": key} if key else {})}
    answer = client.post(PREDICT, json={"rows": [{"x": 39.0}]}, headers=sent)
    if answer.status_code != 200:
        return Told(answer.status_code, None, None)
    said = answer.json()
    return Told(200, said["version"], said["rows"][0]["prediction"])


@contextmanager
def load(service: Service, callers: int = 4) -> Iterator[list[Told]]:
    """So many callers ask one row after another meanwhile; what they were told grows as it goes."""
    told: list[Told] = []
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not stop.is_set():
                told.append(ask(client))

    with ThreadPoolExecutor(callers) as pool:
        calling = [pool.submit(call) for _ in range(callers)]
        try:
            yield told
        finally:
            stop.set()
        for each in calling:
            each.result()


def live_of(service: Service, version: int, name: str = "m") -> Live:
    """A version that the service has open."""
    lives = service.shelf.route(name).lineup.lives()
    return next(live for live in lives if (live.version, live.name) in {(version, name), (version, "rules")})
