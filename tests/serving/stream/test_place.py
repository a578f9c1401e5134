"""Addresses of brokers: what they name, and that a password is in none of what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import SettingsError
from orrery.serving.stream.place import parse


def test_parts_of_an_address() -> None:
    found = parse("mqtt://me:p%40ss@host/plant/7/%C3%A9?timeout_s=5&tls=false", 1883)
    assert (found.host, found.port, found.name) == ("host", 1883, "plant/7/é")
    assert (found.user, found.password, found.timeout_s) == ("me", "p@ss", 5.0)
    assert found.tls() is None
    assert parse("redis://[::1]:7/a", 6379).host == "::1"


def test_a_connection_brings_host_and_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__SHOP", "redis://me:hidden@far:7000?tls=true")
    found = parse("redis:///orders?connection=shop&db=2", 6379, ("db",))
    assert (found.host, found.port, found.name, found.user) == ("far", 7000, "orders", "me")
    assert dict(found.settings) == {"tls": "true", "db": "2"}
    assert found.tls() is not None
    with pytest.raises(SettingsError, match="leads elsewhere"):
        parse("nats://other/orders?connection=shop", 4222)


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis://me:hidden@host",
        "redis://me:hidden@host:99999/x",
        "redis://me:hidden@host/x?nope=hidden",
        "redis://me:hidden@host/x?timeout_s=hidden",
        "redis://me:hidden@host/x?ca=/no/such/file",
        "redis//me:hidden@host/x",
        "redis://me:hid/den@host:port:/x",
    ],
)
def test_what_is_no_address_is_told_without_secrets(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, 6379).tls()
    assert "hidden" not in str(caught.value)
    assert "hid/den" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_settings_error(text: str) -> None:
    try:
        found = parse(f"redis://u:secret-word@{text}", 6379)
        said = f"{found!r}{found.shown}"
    except SettingsError as error:
        said = str(error)
    assert "secret-word" not in said
