"""A route is a small value with a history: changed by compare-and-swap, and gone back through."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orrery as ory
from orrery.errors import ModelNotFoundError, RegistryError, RouteConflictError, SettingsError
from orrery.registry.folder import FolderRegistry
from orrery.registry.rollback import rollback
from orrery.registry.routes import Arm, Canary, Routing, retraced

ROWS = [{"x": float(i), "y": "yes" if i > 5 else "no"} for i in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("routed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(place / "home"))
        return ory.fit(ROWS, "y", learner="linear").save(place / "model")


@pytest.fixture
def registry(tmp_path: Path, folder: Path) -> FolderRegistry:
    """Three versions of one name, the first of which is champion."""
    registry = FolderRegistry(tmp_path / "registry")
    for _ in range(3):
        registry.publish(folder, "m")
    registry.alias("m", "champion", 1)
    return registry


def test_a_name_begins_with_the_plain_route(registry: FolderRegistry) -> None:
    assert (registry.route("m").revision, registry.route("m").routing) == (0, Routing())
    assert str(registry.route("m").routing) == "champion answers"
    with pytest.raises(ModelNotFoundError):
        registry.route("n")


def test_a_change_says_when_who_and_why(registry: FolderRegistry) -> None:
    routing = Routing(arms=(Arm(to=2, share=0.1),), by="card", shadows=(3,), fallback="models:/m/1")
    change = registry.reroute("m", routing, who="ann", why="a look at 2")
    assert (change.revision, change.who, change.why) == (1, "ann", "a look at 2")
    assert change.at > "2020"
    assert registry.route("m") == change
    assert registry.reroute("m", routing) == change  # no change is no change
    assert ory.route("m", registry=registry) == change
    assert ory.route("m", Routing(), why="back", registry=registry).revision == 2
    assert len(registry.routes("m").changes) == 2


def test_a_version_that_is_not_there_cannot_be_routed_to(registry: FolderRegistry) -> None:
    for routing in (
        Routing(main=9),
        Routing(shadows=("nobody",)),
        Routing(fallback="models:/other"),
        Routing(canary=Canary(to=4)),
    ):
        with pytest.raises(ModelNotFoundError):
            registry.reroute("m", routing)
    assert registry.route("m").revision == 0


def test_a_change_of_a_route_that_has_changed_is_refused(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(main=2), revision=0, who="ann", why="first")
    with pytest.raises(RouteConflictError, match=r"revision 1, not 0 \(ann: first\)"):
        registry.reroute("m", Routing(main=3), revision=0)
    assert registry.route("m").routing.main == 2


def test_of_changes_at_the_same_time_one_wins(registry: FolderRegistry) -> None:
    won: list[int] = []

    def change(main: int) -> None:
        with suppress(RouteConflictError):
            registry.reroute("m", Routing(main=main), revision=0)
            won.append(main)

    threads = [threading.Thread(target=change, args=(main,)) for main in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [registry.route("m").routing.main]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arms": [{"to": 2, "share": 0.7}, {"to": 3, "share": 0.6}]}, "1.3 in sum"),
        ({"arms": [{"to": 2, "share": 0}]}, "share"),
        ({"main": "Not A Name"}, "alias"),
        ({"main": 0}, "no version"),
        ({"fallback": "models:/a/b/c"}, "does not name a model"),
        ({"canery": {}}, "Did you mean 'canary'"),
    ],
)
def test_a_wrong_route_says_what_is_wrong(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Routing.from_dict(settings)


def test_a_version_that_a_route_names_is_not_deleted(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(shadows=(3,)))
    with pytest.raises(RegistryError, match="names version 3"):
        registry.delete("m", 3)
    registry.reroute("m", Routing())
    registry.delete("m", 3)


def test_a_damaged_book_is_not_taken_for_an_empty_one(registry: FolderRegistry) -> None:
    (registry.root / "m" / "route.json").write_text('{"changes": [{"revision": "x"}]}')
    with pytest.raises(RegistryError, match=r"route\.json"):
        registry.route("m")


def test_rollback_takes_back_the_route_or_the_champion_whichever_came_later(
    registry: FolderRegistry,
) -> None:
    registry.alias("m", "champion", 2)
    registry.reroute("m", Routing(main=3))
    assert (rollback("m", registry).version.version, registry.route("m").routing) == (2, Routing())
    done = rollback("m", registry)
    assert (done.version.version, done.champion) == (1, 2)
    with pytest.raises(RegistryError, match="no earlier champion"):
        rollback("m", registry)


def test_rollback_of_routes_goes_further_back_each_time(registry: FolderRegistry) -> None:
    for main in (1, 2, 3):
        registry.reroute("m", Routing(main=main))
    assert [rollback("m", registry).version.version for _ in range(2)] == [2, 1]
    rollback("m", registry)
    assert registry.route("m").routing == Routing()


def test_rollback_stops_a_canary_and_never_brings_one_back(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(main=2, canary=Canary(to=3)))
    assert str(rollback("m", registry)) == "the canary of 3 was stopped"
    assert registry.route("m").routing == Routing(main=2)
    rollback("m", registry)
    assert registry.route("m").routing == Routing()


@given(st.lists(st.integers(0, 4), max_size=30))
def test_the_past_holds_each_value_once_and_ends_with_the_present(values: list[int]) -> None:
    past = retraced(values)
    assert len(past) == len(set(past))
    assert past[-1:] == values[-1:]


def test_the_page_about_routes_is_true(home: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "concepts" / "routes.md"
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        exec(compile(code, str(page), "exec"), {})
    registry = FolderRegistry(home / "registry")
    assert registry.route("fraud").routing == Routing(arms=(Arm(to=2, share=0.1),), by="card")
    assert [change.revision for change in registry.routes("fraud").changes] == [1, 2, 3, 4]
