"""Secrets in addresses are shown nowhere."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable

import pytest

from orrery.data.masking import hide, masked
from orrery.data.table import read
from orrery.errors import OrreryError

PW = "s3cr3tPW"
ADDRESSES = [
    f"postgresql://bob:{PW}@127.0.0.1:1/db",
    f"postgresql://bob@127.0.0.1:1/db?password={PW}",
    f"postgres://127.0.0.1:1/db?user=bob&password={PW}",
    f"POSTGRESQL://bob:{PW}@127.0.0.1:1/db",
    f"postgresql://bob:{PW}@[bad/db",
    f"postgresql://bob:{PW}x@y@127.0.0.1:1/db",
    f"postgresql://bob:x@{PW}y@127.0.0.1:1/db",
    f"postgresql://bob:p/{PW}@127.0.0.1:1/db",
    f"postgresql://bob:1/{PW}@127.0.0.1:1/db",
    f"postgresql://bob:p%40{PW}@127.0.0.1:1/db",
    f"postgresql://bob:p#{PW}@127.0.0.1:1/db",
    f"postgresql://bob:p?{PW}@127.0.0.1:1/db",
    f"postgresql://bob:{PW}@127.0.0.1:1/db?sslpassword={PW}&sslmode=disable",
    f"mysql://bob:{PW}@h/db",
    f"ftp://bob:{PW}@127.0.0.1:1/x.csv",
    f"https://bob:{PW}@127.0.0.1:1/x.csv",
    f"https://127.0.0.1:1/x.csv?token={PW}",
    f"https://127.0.0.1:1/x.csv?X-Amz-Signature={PW}",
    f"s3://k:{PW}@b/x.parquet",
    f"nosuch://k:{PW}@b/x.parquet",
    f"postgresql+psycopg://bob:{PW}@h/db",
]


@pytest.mark.parametrize("place", ADDRESSES)
def test_no_error_or_repr_shows_a_password(place: str) -> None:
    options = {"table": "t"} if place.lower().startswith("postgres") else {}
    asked: list[Callable[[], object]] = [
        lambda: read(place, **options),
        lambda: read(place, **options).head(1),
        lambda: json.dumps(read(place, **options).to_dict()),
        lambda: read([{"a": 1}]).write(place),
    ]
    for ask in asked:
        try:
            shown = repr(ask())
        except OrreryError as error:
            shown = "".join(traceback.format_exception_only(error)) + repr(error.__dict__)
        assert PW not in shown


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("rows.csv", "rows.csv"),
        ("C:/rows@home.csv", "C:/rows@home.csv"),
        ("https://host:8080/rows.csv?page=2", "https://host:8080/rows.csv?page=2"),
        ("https://h/x?page=1&Api-Key=b&lang=d", "https://h/x?page=1&Api-Key=***&lang=d"),
        ("postgresql://bob@host/db", "postgresql://bob@host/db"),
        ("postgresql://bob:a b\n@c@host/db", "postgresql://bob:***@host/db"),
    ],
)
def test_masked(place: str, shown: str) -> None:
    assert masked(place) == shown


def test_what_others_say_is_cleared_too() -> None:
    place = "postgresql://bob:p%40w@host/db?token=abc"
    assert hide(f"no {place}: p%40w or p@w or abc", place) == (
        "no postgresql://bob:***@host/db?token=***: *** or *** or ***"
    )
