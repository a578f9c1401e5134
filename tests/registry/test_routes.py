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
from orrery.registry.routes import ITSELF, Arm, Canary, Routing, retraced
from orrery.serving.canary import Verdict
from orrery.serving.online.warden import carry_out

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
        ({"shadows": [2] * 100_000}, "shadows: at most 8, received 100000$"),
        ({"shadows": [2, "2"]}, "version 2 comes twice"),
        ({"arms": [{"to": 2, "share": 0.1}], "shadows": [2]}, "version 2 comes twice"),
        ({"arms": [{"to": 2, "share": 0.1}] * 2}, "version 2 comes twice"),
        ({"canary": {"to": "challenger"}, "shadows": ["challenger"]}, "challenger comes twice"),
        ({"arms": [{"to": n, "share": 0.01} for n in range(1, 18)]}, "arms: at most 16, received 17"),
        ({"by": "c" * 201}, "by: at most 200 characters, received 201$"),
        ({"by": "a\nb"}, "by: control characters"),
        ({"by": "\x1b[2J"}, "by: control characters"),
        ({"canary": {"to": 2, "steps": [0.5, 0.2]}}, "steps: each is more"),
        ({"canary": {"to": 2, "steps": [0.5, 0.5]}}, "steps: each is more"),
        ({"canary": {"to": 2, "steps": [0.5, 1.5]}}, "less than or equal to 1"),
        ({"canary": {"to": 2, "steps": [0, 0.5]}}, "greater than 0"),
        ({"canary": {"to": 2, "step_s": float("inf")}}, "finite"),
        ({"deadline_s": 0}, "greater than 0"),
        ({"deadline_s": 3601}, "less than or equal to 3600"),
        ({"fallback": "champion"}, "is the main version itself"),
        ({"main": 2, "fallback": 2}, "is the main version itself"),
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


def test_the_limits_themselves_are_allowed() -> None:
    arms = tuple(Arm(to=n, share=1 / 16) for n in range(1, 17))
    canary = Canary(to=30, steps=(0.1, 1.0))
    routing = Routing(
        arms=arms, shadows=tuple(range(17, 25)), canary=canary, by="c" * 200, deadline_s=3600, fallback=1
    )
    assert Routing.from_dict(routing.to_dict()) == routing


def test_a_model_does_not_fall_back_on_itself(registry: FolderRegistry) -> None:
    for routing in (Routing(fallback="models:/m"), Routing(main=2, fallback="models:/m/2")):
        with pytest.raises(SettingsError, match="is the model itself"):
            registry.reroute("m", routing)
    assert registry.reroute("m", Routing(main=2, fallback="models:/m/1")).revision == 1


def test_a_reason_is_one_line_of_some_length(registry: FolderRegistry) -> None:
    for why in ("w" * 501, "two\nlines", "\x1b[31m"):
        with pytest.raises(SettingsError, match="why: "):
            registry.reroute("m", Routing(main=2), why=why)
    assert registry.reroute("m", Routing(main=2), why="w" * 500).revision == 1
    said = registry.reroute("m", Routing(), who="canary", why="x\n" * 400).why  # what stops itself, stops
    assert (len(said), said[:3], said[-1]) == (500, "x x", "…")


def test_rollbacks_at_the_same_time_all_take_one_change_back(registry: FolderRegistry) -> None:
    for main in (1, 2, 3, 1, 2, 3):
        registry.reroute("m", Routing(main=main))
    failed: list[Exception] = []

    def back() -> None:
        try:
            rollback("m", registry)
        except RegistryError as error:
            failed.append(error)

    threads = [threading.Thread(target=back) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (registry.route("m").revision, registry.route("m").routing) == (11, Routing(main=1))
    with pytest.raises(RouteConflictError):
        rollback("m", registry, revision=10)
    assert rollback("m", registry, revision=11).champion is None


STOP = Verdict("stop", "5 of 20 requests failed\nat once")


def stopped(registry: FolderRegistry, routing: Routing) -> None:
    """A canary that begins, grows and stops itself."""
    registry.reroute("m", routing)
    for verdict in (Verdict("grow", "well", 0.2), STOP):
        change = registry.route("m")
        assert change.routing.canary is not None
        carry_out("m", registry, change, change.routing.canary, verdict)
    assert registry.route("m").who == ITSELF


def test_a_canary_that_stopped_itself_is_one_change_with_its_beginning(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(shadows=(2,)))
    stopped(registry, Routing(shadows=(2,), canary=Canary(to=3)))
    rollback("m", registry)
    assert (registry.route("m").routing, registry.route("m").revision) == (Routing(shadows=(2,)), 5)
    rollback("m", registry)
    assert registry.route("m").routing == Routing()
    with pytest.raises(RegistryError, match="no other route"):
        rollback("m", registry)


def test_what_came_with_a_canary_that_stopped_itself_is_taken_back(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(shadows=(2,)))
    stopped(registry, Routing(canary=Canary(to=3)))  # which took the shadow away
    rollback("m", registry)
    assert registry.route("m").routing == Routing(shadows=(2,))
    rollback("m", registry)
    assert registry.route("m").routing == Routing()


def test_a_canary_that_became_champion_is_taken_back(registry: FolderRegistry) -> None:
    registry.reroute("m", Routing(shadows=(2,)))
    change = registry.reroute("m", Routing(shadows=(2,), canary=Canary(to=3)))
    assert change.routing.canary is not None
    carry_out("m", registry, change, change.routing.canary, Verdict("done", "well"))
    assert registry.get("m").version == 3
    assert rollback("m", registry).version.version == 1
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
