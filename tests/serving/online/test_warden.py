"""A canary is stopped by errors, by delay and by drift, and otherwise becomes champion, under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.online.routed import fit, live_of, load, publish, until

from orrery.registry.folder import FolderRegistry
from orrery.registry.routes import Canary, Routing
from orrery.serving.online.server import Service, serve


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("canaries")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(place / "home"))
        return fit(place)


@pytest.fixture
def registry(models: dict[str, Path]) -> FolderRegistry:
    return publish(models)


@pytest.fixture
def service(registry: FolderRegistry) -> Iterator[Service]:
    with serve("models:/m", port=0, wait=False, record=False) as service:
        yield service


def tried(service: Service, registry: FolderRegistry, **settings: Any) -> None:
    canary = Canary.from_dict({"share": 0.4, "steps": [0.4], "least_requests": 10_000, **settings})
    change = registry.reroute("m", Routing(canary=canary))
    until(lambda: service.route.lineup.canary is not None)
    assert service.route.lineup.revision == change.revision


@pytest.mark.parametrize("why", ["errors", pytest.param("delay", marks=pytest.mark.slow), "drift"])
def test_a_canary_that_is_worse_is_stopped_and_nobody_fails(
    service: Service, registry: FolderRegistry, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    patience = {"most_delay": 1000.0} if why != "delay" else {}
    tried(service, registry, to=2 if why == "drift" else 3, **patience)
    runner = live_of(service, 2 if why == "drift" else 3).runner
    real = runner.predict_columns

    def worse(columns: Any, rows: int) -> Any:
        if why == "errors":
            raise ValueError("broken")
        time.sleep(0.5)
        return real(columns, rows)

    if why != "drift":
        monkeypatch.setattr(runner, "predict_columns", worse)
    with load(service) as told:
        until(lambda: registry.route("m").routing.canary is None, wait_s=120)
        count = len(told)
        until(lambda: service.route.lineup.canary is None)
        until(lambda: len(told) > count + 8)
    assert {each.status for each in told} == {200}
    change = registry.route("m")
    assert (change.who, registry.get("m").version) == ("canary", 1)
    assert change.why.startswith("stopped, version")
    assert {"errors": "failed", "delay": "took up to", "drift": "PSI"}[why] in change.why


def test_a_canary_that_is_well_grows_and_becomes_champion(service: Service, registry: FolderRegistry) -> None:
    tried(service, registry, to=3, share=0.3, steps=[0.3, 0.6], step_s=0, least_requests=10, most_delay=1000)
    with load(service) as told:
        until(lambda: registry.get("m").version == 3, wait_s=120)
        until(lambda: service.version == 3 and service.route.lineup.canary is None)
    assert {each.status for each in told} == {200}
    changes = registry.routes("m").changes
    shares = [change.routing.canary.share if change.routing.canary else None for change in changes]
    assert shares == [0.3, 0.6, None]
    assert changes[-1].why.startswith("promoted, version 3: all is well")
