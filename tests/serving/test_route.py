"""The route follows an alias, and lets nothing in that does not repeat itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orrery.errors import ModelNotFoundError, ReplayError
from orrery.estimators.model import Model
from orrery.registry.folder import FolderRegistry
from orrery.registry.routes import Routing
from orrery.serving import route as routes
from orrery.serving.route import Live, Route


@pytest.fixture
def registry(tmp_path: Path, saved: dict[str, Path]) -> FolderRegistry:
    """Two versions of the clients; the first is champion."""
    registry = FolderRegistry(tmp_path / "registry")
    registry.publish(saved["clients"], "clients")
    registry.publish(saved["clients-2"], "clients")
    registry.alias("clients", "champion", 1)
    return registry


def until(condition: Callable[[], Any], wait_s: float = 20.0) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def test_a_moved_alias_is_followed_and_the_old_version_still_answers(registry: FolderRegistry) -> None:
    with Route("models:/clients@champion", registry=registry, poll_s=0.01) as route:
        first = route.live
        registry.alias("clients", "champion", 2)
        until(lambda: route.live.version == 2)
        assert (first.version, route.swaps, route.name) == (1, 1, "clients")
        assert first.runner.model.example is not None
        rows = first.runner.model.example.slice(0, 1).select(first.runner.signature.inputs.names).to_pydict()
        assert len(first.runner.predict_columns(rows, 1)) == 1


def test_a_name_alone_follows_the_champion(registry: FolderRegistry) -> None:
    with Route("models:/clients", registry=registry, poll_s=0.01) as route:
        assert route.live.version == 1
        registry.alias("clients", "champion", None)  # then the latest answers
        until(lambda: route.live.version == 2)


def test_a_name_that_was_deleted_and_begun_anew(registry: FolderRegistry, saved: dict[str, Path]) -> None:
    with Route("models:/clients@champion", registry=registry, poll_s=0.01) as route:
        first = route.live
        registry.delete("clients")
        registry.publish(saved["clients-2"], "clients")
        registry.alias("clients", "champion", 1)
        until(lambda: route.swaps == 1)
        assert (route.live.version, route.live.created > first.created) == (1, True)


def test_a_numbered_version_stays(registry: FolderRegistry) -> None:
    with Route("models:/clients/1", registry=registry, poll_s=0.01) as route:
        registry.alias("clients", "champion", 2)
        assert route._thread is None
        assert route.live.version == 1


def _spoil(registry: FolderRegistry, source: Path, name: str) -> None:
    """Let a version's example rows be those of another model: its files are whole, and say otherwise."""
    place = Path(registry.get("clients", 2).path)
    if name == "truncated":
        (place / "features.arrow").write_bytes((place / "features.arrow").read_bytes()[:100])
    else:
        for path in place.iterdir():
            path.unlink()


@pytest.mark.parametrize("how", ["truncated", "emptied"])
def test_a_version_that_cannot_be_opened_gets_no_traffic(
    registry: FolderRegistry, saved: dict[str, Path], how: str
) -> None:
    _spoil(registry, saved["clients"], how)
    with Route("models:/clients@champion", registry=registry, poll_s=0.01) as route:
        registry.alias("clients", "champion", 2)
        until(lambda: route.refused)
        assert (route.live.version, route.swaps, list(route.refused)) == (1, 0, [2])
        third = registry.publish(saved["clients"], "clients").version
        registry.alias("clients", "champion", third)
        until(lambda: route.live.version == third)


def test_a_version_that_does_not_replay_gets_no_traffic(
    registry: FolderRegistry, saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def replay(model: Model, runner: object) -> None:
        if model.lineage["created"] != first.lineage["created"]:
            raise ReplayError("it says something else")

    first = Model.load(saved["clients"])
    monkeypatch.setattr(routes, "replay", replay)
    with Route("models:/clients@champion", registry=registry, poll_s=0.01) as route:
        registry.alias("clients", "champion", 2)
        until(lambda: route.refused)
        assert (route.live.version, route.refused) == (1, {2: "it says something else"})


def test_a_registry_that_goes_away_stops_nobody(registry: FolderRegistry, tmp_path: Path) -> None:
    with Route("models:/clients@champion", registry=registry, poll_s=0.01) as route:
        registry.root.rename(tmp_path / "elsewhere")
        thread = route._thread
        assert thread is not None
        (tmp_path / "elsewhere").rename(registry.root)
        registry.alias("clients", "champion", 2)
        until(lambda: route.live.version == 2)


def test_a_model_in_hand_and_a_saved_one(saved: dict[str, Path]) -> None:
    with Route(Model.load(saved["prices"])) as route:
        assert (route.name, route.live.version) == ("model", 0)
    with Route(saved["prices"]) as route:
        assert (route.name, route.live.version) == ("prices", 0)
    with Route(saved["prices"], name="houses") as route:
        assert route.live.name == "houses"


@pytest.mark.parametrize(
    ("path", "name"), [("a/Über Modell 2.zip", "ber-modell-2"), ("模型", "model"), ("x/digits/", "digits")]
)
def test_a_file_gives_a_name(path: str, name: str) -> None:
    assert Route(path).name == name


def test_what_is_not_there_is_said_at_once(registry: FolderRegistry) -> None:
    with pytest.raises(ModelNotFoundError):
        Route("models:/clients@challenger", registry=registry).open()
    with pytest.raises(ModelNotFoundError):
        Route("not/there").open()


def test_what_opens_slowly_does_not_hold_up_a_change(
    registry: FolderRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    real = routes._sized

    def slow(path: str, name: str, version: int, created: str) -> Live:
        if version == 3:
            go_on.wait(60)
        return real(path, name, version, created)

    registry.publish(Path(registry.get("clients", 1).path), "clients")
    with Route("models:/clients", registry=registry, poll_s=0.01) as route:
        registry.alias("clients", "champion", 2)
        until(lambda: route.live.version == 2)
        monkeypatch.setattr(routes, "_sized", slow)
        registry.reroute("clients", Routing(shadows=(3,)))
        until(lambda: not route.settled)
        registry.alias("clients", "champion", 1)  # still open: it was the main version before
        until(lambda: route.live.version == 1)
        assert (route.lineup.shadows, route.settled) == ((), False)
        go_on.set()
        until(lambda: route.settled and len(route.lineup.shadows) == 1)
