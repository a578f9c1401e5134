"""Whatever a secret looks like, and however its address is broken, it is told nowhere."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.masking import hide, masked, whole
from orrery.data.payloads.registry import Registry
from orrery.data.table import read
from orrery.errors import OrreryError, SettingsError

PW = "hunter2XY"
LOGINS = [
    "{pw}",
    "{pw}/x",
    "ab/{pw}",
    "{pw}\u2100",
    "{pw}[x",
    "x@{pw}",
    "{pw}%zz",
    "a b{pw}",
    "1?{pw}",
    "#{pw}",
]
BROKEN = [
    *(f"SCHEME://bob:{login.format(pw=PW)}@127.0.0.1:1DATABASE" for login in LOGINS),
    f"bob:{PW}@127.0.0.1:1DATABASE",
    f"host=127.0.0.1 port=1 user=bob password={PW} dbname=x",
    f"SCHEME://bob@127.0.0.1:{PW}DATABASE",
    f"SCHEME://bob:{PW}@\u2100.example:1DATABASE",
]


def _asked(scheme: str) -> Callable[[], Any]:
    """Reads something by the connection ``c``."""
    if scheme == "registry":
        return lambda: Registry("x", "c").latest("s")
    if scheme == "iceberg":
        return lambda: read("iceberg://ns.t", connection="c").to_rows()
    if scheme in ("postgresql", "mysql"):
        return lambda: read(f"{scheme}://?connection=c", query="select 1").to_rows()
    place = {
        "mongodb": "mongodb:///db/coll?connection=c&serverSelectionTimeoutMS=50",
        "kafka": "kafka:///top?connection=c&timeout_s=1",
        "s3": "s3://b/x.csv?connection=c",
    }
    return lambda: read(place.get(scheme, f"{scheme}://127.0.0.1:1/x.csv?connection=c")).to_rows()


def _told(ask: Callable[[], Any]) -> str:
    """All that a user, or a log, sees of an error."""
    with pytest.raises(OrreryError) as caught:
        ask()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mongodb", "kafka", "http", "webhdfs", "s3"])
@pytest.mark.parametrize("broken", BROKEN[-4:])
def test_a_connection_that_is_no_address_is_told_without_its_text(
    scheme: str, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    database = {"kafka": "", "http": "", "s3": "", "webhdfs": "", "mongodb": ""}.get(scheme, "/db")
    monkeypatch.setenv("ORRERY_CONNECTION__C", broken.replace("SCHEME", scheme).replace("DATABASE", database))
    told = _told(_asked(scheme))
    assert "ORRERY_CONNECTION__C does not hold an address" in told
    assert PW not in told + caplog.text


@pytest.mark.parametrize("scheme", ["registry", "http", "webhdfs", "postgresql"])
@pytest.mark.parametrize("login", LOGINS[1:4])
def test_an_odd_password_is_in_no_error_of_a_place_that_does_not_answer(
    scheme: str, login: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "orrery")
    spoken = {"registry": "http", "iceberg": "https"}.get(scheme, scheme)
    more = "?token=tok+en/hunter2XY" if scheme == "webhdfs" else ""
    monkeypatch.setenv("ORRERY_CONNECTION__C", f"{spoken}://bob:{login.format(pw=PW)}@127.0.0.1:1{more}")
    assert PW not in _told(_asked(scheme)) + caplog.text


def test_a_secret_of_s3_may_hold_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__C", "s3://AKIA:abcd/efgh+i@127.0.0.1:1?tls=false")
    from orrery.data import remote

    options = remote.options_of("s3://b/x.csv?connection=c")
    assert (options["key"], options["secret"]) == ("AKIA", "abcd/efgh+i")
    assert options["endpoint_url"] == "http://127.0.0.1:1"


@pytest.mark.parametrize("url", [line.replace("SCHEME", "http").replace("DATABASE", "") for line in BROKEN])
def test_the_address_of_a_registry(url: str) -> None:
    assert PW not in _told(lambda: Registry(url).latest("s"))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mongodb", "kafka"])
@pytest.mark.parametrize("broken", [BROKEN[3], BROKEN[-2]])
def test_a_broken_address_in_the_open(scheme: str, broken: str) -> None:
    place = broken.replace("SCHEME", scheme).replace("DATABASE", "/db/coll" if scheme == "mongodb" else "/db")
    options = {"query": "select 1"} if "sql" in scheme else {}
    if scheme == "kafka":
        place += "?timeout_s=1"
    assert PW not in _told(lambda: read(place, **options).to_rows())


OPTIONS = ["credential", "auth", "jwt", "pw", "access", "sas", "code", "authMechanismProperties"]


@pytest.mark.parametrize("name", OPTIONS)
def test_only_harmless_options_are_shown(name: str) -> None:
    assert masked(f"https://h/x.csv?page=2&{name}={PW}") == f"https://h/x.csv?page=2&{name}=***"


def test_options_of_a_driver_are_hidden() -> None:
    place = "sqlalchemy+mssql+pyodbc:///?odbc_connect=" + quote(f"DRIVER=x;UID=sa;PWD={PW}")
    table = read(place, query="select 1")
    assert PW not in repr(table) + repr(table.source.to_dict())
    assert PW not in repr(read(f"postgresql://h/db?options=-c%20x%3D{PW}", query="select 1"))


@pytest.mark.parametrize(
    "text", [f"bob:{PW}@h/db", f"host=h password={PW} user=bob", f"host=h password='{PW} x'"]
)
def test_what_has_no_scheme_is_masked_too(text: str) -> None:
    assert PW not in masked(text)


_SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=4, max_size=20)


@given(_SECRETS, st.sampled_from(["s3", "http", "postgresql", "mongodb+srv", "sqlalchemy+mssql+pyodbc"]))
def test_a_login_is_read_as_it_was_written_or_refused(secret: str, scheme: str) -> None:
    try:
        parts = urlsplit(whole(f"{scheme}://me:{secret}@host:9?tls=false"))
    except ValueError:
        assert "?" in secret
    else:
        assert (parts.username, parts.hostname, parts.port) == ("me", "host", 9)
        assert unquote(parts.password or "") == unquote(secret)


@given(_SECRETS)
def test_no_form_of_a_secret_is_left(secret: str) -> None:
    place = f"s3://me:{quote(secret, '')}@host?token={quote_plus(secret)}&region=here"
    for form in (secret, quote(secret), quote(secret, ""), quote_plus(secret), repr(secret)[1:-1]):
        assert hide(f"<{form}>", place).strip("<*>") == ""
    assert secret not in masked(place) or secret in masked("s3://me:@host?token=***&region=here")


def test_the_connection_that_an_address_names_is_hidden_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__C", "webhdfs://h:1?token=ab%2Fcdefg")
    assert hide("delegation=ab%2Fcdefg&x", "webhdfs://h:1/x?connection=c") == "delegation=***&x"


def test_an_address_in_which_the_password_cannot_be_told_is_refused() -> None:
    for address in ("bob:pw@h", "s3://me:a?b@h", "s3://me:a/b", "s3://h?token=a#b", "s3://a b/c"):
        with pytest.raises(ValueError, match="cannot be read"):
            whole(address)
    assert issubclass(SettingsError, OrreryError)


@pytest.mark.parametrize("name", ["db", "db.csv", "*.csv", "db.parquet", "db?sslmode=require"])
@pytest.mark.parametrize("start", ["", "postgresql:", "postgresql:/", "postgresql//"])
@pytest.mark.parametrize("login", [PW, f"hun/{PW}", f"{PW}@x"])
def test_an_address_without_a_scheme_is_taken_for_a_file_whose_name_is_not_told(
    start: str, login: str, name: str
) -> None:
    with pytest.raises(OrreryError) as caught:
        read(f"{start}bob:{login}@host:5432/{name}").count()
    told = "".join(traceback.format_exception(caught.value)[-1:]) + str(caught.value.__dict__)
    assert PW not in told
    assert "***@host" in told
