"""Many models in a process: opened when asked, closed when told or idle, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from orrery.errors import ModelNotFoundError, OverloadedError, SettingsError
from orrery.registry.folder import FolderRegistry
from orrery.serving.shelf import Shelf


@pytest.fixture
def registry(tmp_path: Path, saved: dict[str, Path]) -> FolderRegistry:
    registry = FolderRegistry(tmp_path / "registry")
    for name in ("a", "b", "c"):
        registry.publish(saved["prices"], name)
    registry.publish(saved["prices"], "a")
    return registry


def test_several_names_and_versions_are_open_from_the_start(registry: FolderRegistry) -> None:
    with Shelf(["models:/a/1", "models:/a/2", "models:/b"], registry=registry) as shelf:
        shelf.routes["a"].await_version(2)
        assert [entry["version"] for entry in shelf.index()] == ["1", "2", "1"]
        assert all(entry["size_bytes"] > 1000 for entry in shelf.index())
        assert shelf.first.name == "a"
        with pytest.raises(ModelNotFoundError, match=r"no model 'bb'.*Did you mean 'b'"):
            shelf.route("bb")
        assert not shelf.opens("c")


def test_a_whole_registry_opens_what_is_asked_for(registry: FolderRegistry) -> None:
    with Shelf(["models:/"], registry=registry) as shelf:
        assert (list(shelf.routes), shelf.opens("c"), shelf.lineup("c")) == (["a"], True, None)
        shelf.load("c")
        assert list(shelf.routes) == ["a", "c"]
        shelf.unload("c")
        assert (list(shelf.routes), shelf.opens("c")) == (["a"], False)  # told so: only an order opens it
        shelf.load("c", 1)
        states = {(entry["name"], entry["state"]) for entry in shelf.index()}
        assert states == {("a", "READY"), ("c", "READY"), ("b", "UNAVAILABLE")}
        with pytest.raises(ModelNotFoundError):
            shelf.load("nobody")
        with pytest.raises(ModelNotFoundError):
            shelf.load("../x")


def test_who_is_asked_least_lately_makes_room(registry: FolderRegistry) -> None:
    with Shelf(["models:/"], registry=registry, most_models=2) as shelf:
        shelf.load("b")
        shelf.route("a")
        shelf.load("c")
        assert list(shelf.routes) == ["a", "c"]
        assert shelf.opens("b")


def test_what_was_given_stays_and_there_may_be_no_room(registry: FolderRegistry) -> None:
    with Shelf(["models:/a"], registry=registry, most_bytes=1) as shelf:
        with pytest.raises(OverloadedError, match="no room for 'b'"):
            shelf.load("b")
        assert list(shelf.routes) == ["a"]
        with pytest.raises(SettingsError, match="only model"):
            shelf.unload("a")


def test_what_is_idle_is_closed_but_not_what_was_given(registry: FolderRegistry) -> None:
    with Shelf(["models:/a"], registry=registry, idle_s=1e-9) as shelf:
        shelf.load("b")
        shelf.tidy()
        assert list(shelf.routes) == ["a"]


def test_two_models_of_one_name_are_refused(saved: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="would be called 'prices'"):
        Shelf([saved["prices"], saved["prices"]])
