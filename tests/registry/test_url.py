"""URLs of models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SettingsError
from orrery.registry.url import ModelUrl


@pytest.mark.parametrize(
    ("text", "name", "which"),
    [
        ("models:/digits", "digits", None),
        ("models:/digits@champion", "digits", "champion"),
        ("models:/digits/3", "digits", 3),
        ("models:/digits@latest", "digits", "latest"),
        ("models:/digits/latest", "digits", "latest"),
        ("models://digits/3", "digits", 3),
    ],
)
def test_the_forms_of_a_url(text: str, name: str, which: int | str | None) -> None:
    assert ModelUrl.parse(text) == ModelUrl(name=name, which=which)


@pytest.mark.parametrize("text", ["out/model", "/abs/model.zip", "C:\\model", "digits"])
def test_anything_else_is_a_path(text: str) -> None:
    assert ModelUrl.parse(text) == ModelUrl(path=text)
    assert str(ModelUrl.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "models:/",
        "models:/../x",
        "models:/a/b",
        "models:/a/-1",
        "models:/a@",
        "models:/a@3",
        "models:/a/1/2",
        "models:/a/²",
    ],
)
def test_wrong_urls_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        ModelUrl.parse(text)


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True), st.none() | st.integers(0, 999_999_999))
def test_a_url_reads_back(name: str, which: int | None) -> None:
    url = ModelUrl(name=name, which=which)
    assert ModelUrl.parse(str(url)) == url
