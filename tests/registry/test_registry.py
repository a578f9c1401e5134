"""Names and aliases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SettingsError
from orrery.registry.registry import Version, check_alias, check_name


@pytest.mark.parametrize("name", ["a", "digits", "7", "a.b_c-d", "a" * 100])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../etc", "a/b", "A", "-a", "a" * 101, "数字", "a\n", "a\x00", "a b"]
)
def test_names_that_may_not(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name of a model"):
        check_name(name)


def test_a_wrong_name_is_answered_with_a_right_one() -> None:
    with pytest.raises(SettingsError, match="For example 'my-digits-2'"):
        check_name("My Digits (2)")


@given(st.text(max_size=20))
def test_no_name_leaves_the_folder(name: str) -> None:
    try:
        check_name(name)
    except SettingsError:
        return
    assert "/" not in name
    assert "\\" not in name
    assert name.strip(".") == name or name[0] != "."


@pytest.mark.parametrize("alias", ["3", "latest", "", "a/b"])
def test_aliases_that_may_not(alias: str) -> None:
    with pytest.raises(SettingsError):
        check_alias(alias)


def test_a_version_is_one_line() -> None:
    metrics = {"accuracy": 0.98765, "by": {"city": [1, 2]}}
    version = Version(
        name="digits", version=3, path="/x", created="2024", aliases=("champion",), metrics=metrics,
        lineage={"packages": {"a": "1"}},
    )  # fmt: skip
    assert str(version) == "models:/digits/3, champion, accuracy 0.9877"
    assert repr(version) == f"Version({version})"
