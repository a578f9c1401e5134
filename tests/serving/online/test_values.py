"""Values of JSON and of forms as columns."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import BadRequestError
from orrery.schema import Field, Kind
from orrery.serving.online.desk import new_id
from orrery.serving.online.values import from_base64, from_field, ids_of, is_bytes


@given(st.binary(max_size=99))
def test_base64_reads_back(data: bytes) -> None:
    assert from_base64(base64.b64encode(data).decode()) == data


@given(st.text(max_size=30) | st.integers() | st.none())
def test_anything_is_bytes_or_a_value_error(value: Any) -> None:
    with suppress(ValueError):
        assert isinstance(from_base64(value), bytes)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.NUMBER, "3.5", 3.5),
        (Kind.NUMBER, "true", 1.0),
        (Kind.NUMBER, "False", 0.0),
        (Kind.NUMBER, "", None),
        (Kind.CATEGORY, "3.5", "3.5"),
        (Kind.CATEGORY, "", None),
        (Kind.TEXT, "", ""),
        (Kind.VECTOR, "1, 2", [1, 2]),
        (Kind.VECTOR, "[1, 2]", [1, 2]),
        (Kind.LABELS, "a, b", ["a", "b"]),
        (Kind.LABELS, '["a, b"]', ["a, b"]),
        (Kind.IMAGE, "aGk=", b"hi"),
        (Kind.DATETIME, "2020-01-02", "2020-01-02"),
    ],
)
def test_a_field_is_read_by_its_kind(kind: Kind, text: str, value: object) -> None:
    assert from_field(text, Field(name="x", type="string", kind=kind)) == value


@pytest.mark.parametrize(
    ("kind", "text"), [(Kind.NUMBER, "x"), (Kind.VECTOR, "[1"), (Kind.LABELS, "["), (Kind.IMAGE, "%")]
)
def test_a_wrong_field_is_named(kind: Kind, text: str) -> None:
    with pytest.raises(BadRequestError, match="Field 'x'"):
        from_field(text, Field(name="x", type="string", kind=kind))


def test_bytes_are_known_by_kind_or_type() -> None:
    assert is_bytes(Field(name="x", type="string", kind=Kind.IMAGE))
    assert is_bytes(Field(name="x", type="large_binary"))
    assert not is_bytes(Field(name="x", type="string", kind=Kind.TEXT))


def test_ids_are_those_given_or_new_and_sorted_by_time() -> None:
    ids = ids_of([{"id": 7}, {"id": "a"}, {}, {"id": None}])
    assert ids[:2] == ["7", "a"]
    assert len(set(ids)) == 4
    many = [new_id() for _ in range(2000)]
    assert len(set(many)) == 2000
    assert [i[:13] for i in many] == sorted(i[:13] for i in many)
