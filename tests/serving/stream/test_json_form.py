"""JSON messages and their answers, byte by byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orrery as ory
from orrery.serving.route import Route
from orrery.serving.stream.broker import Message
from orrery.serving.stream.form import each_answered
from orrery.serving.stream.json_form import JsonForm

ANSWER = {"prediction", "probability", "probabilities"}


def scored(model: ory.Model, *texts: bytes | None, form: JsonForm | None = None) -> Any:
    with Route(model) as route:
        messages = [Message(text, f"t/{i}") for i, text in enumerate(texts)]
        return (form or JsonForm()).score(route.live, messages)


def test_an_answer_is_the_message_and_the_prediction_behind_it(tall: ory.Model) -> None:
    texts = [
        b'{"height": 195, "city": "Lyon", "big": 123456789012345678901234567890, "half": 1.50}',
        b' {"city":null,"height":150.5 , "deep":{"a":[{}]}} \r\n',
        '\ufeff{"height": 1e2, "city": "北京"}'.encode(),
    ]
    found = scored(tall, *texts)
    assert found.faults == {}
    for text, (value,) in zip(texts, found.values, strict=True):
        row = json.loads(value)
        assert row.keys() >= ANSWER
        assert {k: v for k, v in row.items() if k not in ANSWER} == json.loads(text.decode("utf-8-sig"))
    assert b'"half": 1.50,"prediction":"yes"' in found.values[0][0], "digit by digit"
    assert found.rows == 3


def test_its_predictions_are_those_of_the_model(tall: ory.Model) -> None:
    rows = [{"height": 140 + i / 7, "city": "Lyon" if i % 3 else None} for i in range(200)]
    found = scored(tall, *(json.dumps(row).encode() for row in rows))
    expected = tall.predict(rows)
    assert [json.loads(value) for (value,) in found.values] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "truncated"),
        (b"rubbish", "malformed"),
        (b"[1]", "object"),
        (b'{"city": "a"}', "`height`"),
        (b'{"height": "high", "city": "a"}', "'high'"),
        (b'{"height": 1, "city": "a", "prediction": 1}', "'prediction' already"),
        (b'{"height": 1, "city": "a", "x": "\xff"}', "utf-8"),
        (b'{"height": 1, "city": "a"} x', "trailing"),
        (b'{"height": NaN, "city": "a"}', "malformed"),
        (b'{"height": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_a_message_that_cannot_be_answered_takes_no_other_with_it(
    tall: ory.Model, text: bytes, said: str
) -> None:
    good = b'{"height": 195, "city": "Lyon"}'
    found = scored(tall, good, text, good)
    assert list(found.faults) == [1]
    assert said in found.faults[1].reason
    assert found.values[0] == found.values[2]
    assert json.loads(found.values[0][0])["prediction"] == "yes"
    assert found.rows == 2


def test_a_deleted_key_is_passed_on(tall: ory.Model) -> None:
    found = scored(tall, None, b'{"height": 195, "city": "Lyon"}')
    assert found.values[0] == (None,)
    assert (found.rows, found.faults) == (1, {})


def test_columns_may_be_absent_where_that_is_said(tall: ory.Model) -> None:
    found = scored(tall, b"{}", b"{ }", b'{"height": 195}', form=JsonForm(absent_is_null=True))
    assert found.faults == {}
    none, same, other = (json.loads(value) for (value,) in found.values)
    assert (
        none == same == {k: v for k, v in tall.predict({"height": None, "city": None}).items() if k in ANSWER}
    )
    assert other["prediction"] == tall.predict({"height": 195, "city": None})["prediction"]


def test_tags_stand_in_the_answer_where_there_are_no_headers(tall: ory.Model) -> None:
    found = scored(tall, b'{"height": 195, "city": "Lyon"}', b'{"_id": 1}', form=JsonForm(tagged=True))
    row = json.loads(found.values[0][0])
    assert (row["_id"], row["_model"]) == ("t/0", "model/0")
    assert list(found.faults) == [1]


def test_what_is_recorded(tall: ory.Model) -> None:
    found = scored(
        tall, b'{"height": 195, "city": "Lyon", "id": 7}', b"?", b'{"height": 1, "city": "a", "id": [1]}'
    )
    record = found.recorded()
    assert list(record.ids) == ["7", "t/2"], "its own id where it has one, else where it stands"
    assert list(record.columns["height"]) == [195, 1]
    assert [answer["prediction"] for answer in record.answers] == ["yes", "no"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_each_item_is_answered_or_faulty(good: list[bool]) -> None:
    calls = []

    def answer(low: int, high: int) -> list[int]:
        calls.append(high - low)
        if not all(good[low:high]):
            raise ValueError("bad")
        return list(range(low, high))

    found = each_answered(len(good), answer)
    assert found.answers == {i: i for i, is_good in enumerate(good) if is_good}
    assert sorted(found.faults) == [i for i, is_good in enumerate(good) if not is_good]
    assert list(found.answers) == sorted(found.answers), "in order"
    assert sum(calls) <= len(good) * 8


def values() -> st.SearchStrategy[Any]:
    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
    )
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=6), values(), max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_any_object_comes_through(
    tall: ory.Model, row: dict[str, Any], is_ascii: bool, indent: int | None
) -> None:
    row = {**row, "height": 150, "city": "Lyon"}
    text = json.dumps(row, ensure_ascii=is_ascii, indent=indent).encode("utf-8", "surrogatepass")
    found = scored(tall, text)
    if found.faults:
        assert (
            ANSWER & row.keys() or any("\ud800" <= c <= "\udfff" for c in str(row)) or "range" in str(found)
        )
        return
    answer = json.loads(found.values[0][0])
    assert {name: answer[name] for name in row} == row


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_stop_it(tall: ory.Model, text: bytes) -> None:
    assert list(scored(tall, text).faults) == [0]
