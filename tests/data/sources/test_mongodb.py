"""MongoDB, the stand-in or a real server as the ids say: types, nesting, ranges, filters, what goes wrong."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.servers.mongodb import REAL, WHICH, MongoDb, running
from tests.servers.proxy import proxy

from orrery.data import conditions
from orrery.data.quarantine import BadRows
from orrery.data.sources import mongodb as source
from orrery.data.sources.mongodb_address import Address
from orrery.data.sources.mongodb_bson import id_of, last_id, offsets
from orrery.data.sources.mongodb_documents import Reader
from orrery.data.sources.mongodb_filters import Compared, as_filter
from orrery.data.sources.mongodb_ranges import Range
from orrery.data.sources.mongodb_types import decide
from orrery.data.table import Table, read
from orrery.errors import BadRowError, OrreryError, SchemaError, SettingsError, SourceError

NAN = float("nan")
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123_000, dt.UTC)
KEY = ObjectId("65e0701f9bf5a1d4c8b0a1b2")
UUID_4 = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")

ALL_TYPES: dict[str, Any] = {
    "_id": KEY,
    "small": 7,
    "large": Int64(2**60),
    "double": 2.5,
    "price": Decimal128("12.345"),
    "text": "größe 城市 é",
    "yes": True,
    "at": NOON,
    "other": ObjectId("65e0701f9bf5a1d4c8b0a1b3"),
    "picture": b"\x89PNG\x00",
    "uuid": Binary.from_uuid(UUID_4),
    "pattern": Regex("^a", "i"),
    "stamp": Timestamp(1_700_000_000, 3),
    "most": MaxKey(),
    "tags": ["a", "b"],
    "steps": [{"name": "one", "took": 1}, {"name": "two"}],
    "address": {"city": "Oslo", "place": {"lat": 59.9, "lon": None}},
}


@pytest.fixture(scope="module", params=[WHICH])
def server(mongodb: MongoDb) -> MongoDb:
    """The server, its name in the ids of all tests."""
    return mongodb


def place(server: MongoDb, documents: list[Any], **options: Any) -> Table:
    """These documents in a new collection, as a table."""
    return read(server.url(server.fill(documents)), **options)


# What documents become


def test_types_are_kept(server: MongoDb) -> None:
    table = place(server, [ALL_TYPES])
    assert {f.name: f.type for f in table.schema.fields} == {
        "_id": "string", "small": "int64", "large": "int64", "double": "double", "price": "decimal128(38, 3)",
        "text": "string", "yes": "bool", "at": "timestamp[ms, tz=UTC]", "other": "string",
        "picture": "binary",
        "uuid": "string", "pattern": "string", "stamp": "string", "most": "string",
        "tags": "list<item: string>", "steps": "list<item: struct<name: string, took: int64>>",
        "address.city": "string", "address.place.lat": "double", "address.place.lon": "string",
    }  # fmt: skip
    (row,) = table.to_rows()
    assert (row["_id"], row["other"], row["uuid"]) == (str(KEY), "65e0701f9bf5a1d4c8b0a1b3", str(UUID_4))
    assert (row["large"], row["price"], row["at"]) == (2**60, decimal.Decimal("12.345"), NOON)
    assert (row["text"], row["yes"], row["picture"]) == ("größe 城市 é", True, b"\x89PNG\x00")
    assert json.loads(row["pattern"]) == {"$regularExpression": {"pattern": "^a", "options": "i"}}
    assert json.loads(row["stamp"]) == {"$timestamp": {"t": 1_700_000_000, "i": 3}}
    assert json.loads(row["most"]) == {"$maxKey": 1}
    assert row["steps"] == [{"name": "one", "took": 1}, {"name": "two", "took": None}]
    assert (row["address.city"], row["address.place.lat"], row["address.place.lon"]) == ("Oslo", 59.9, None)
    assert table.schema["_id"].kind == "key"


def test_a_document_can_stay_a_struct(server: MongoDb) -> None:
    table = place(server, [ALL_TYPES], types={"address.place": "struct"}).select(
        "address.city", "address.place"
    )
    assert table.to_rows() == [{"address.city": "Oslo", "address.place": {"lat": 59.9, "lon": None}}]
    whole = place(server, [ALL_TYPES], types={"address": "struct<city: string, place: struct<lat: double>>"})
    with pytest.raises(BadRowError, match=f"{KEY}.*'address'"):  # lon has no place in it
        whole.to_rows()


def test_missing_is_null(server: MongoDb) -> None:
    documents = [
        {"_id": 1, "a": None, "n": None},
        {"_id": 2},
        {"_id": 3, "a": 5, "n": {"x": "y"}},
        {"_id": 4, "n": {}},
    ]
    rows = place(server, documents).to_rows()
    assert [(row["a"], row["n.x"]) for row in rows] == [(None, None), (None, None), (5, "y"), (None, None)]


def test_numbers_widen_and_stay_exact(server: MongoDb) -> None:
    documents = [
        {"_id": 1, "whole": 1, "both": 1, "money": 3},
        {"_id": 2, "whole": Int64(2**62), "both": 2.5, "money": Decimal128("0.25")},
        {"_id": 3, "whole": 3, "both": Int64(2**53), "money": Decimal128("1E+3")},
    ]
    table = place(server, documents)
    assert [f.type for f in table.schema.fields] == ["int64", "int64", "double", "decimal128(38, 2)"]
    assert [tuple(row.values()) for row in table.to_rows()] == [
        (1, 1, 1.0, decimal.Decimal(3)),
        (2, 2**62, 2.5, decimal.Decimal("0.25")),
        (3, 3, 2.0**53, decimal.Decimal(1000)),
    ]
    with pytest.raises(BadRowError, match=r"_id 4.*'both'.*9007199254740993.*is not double"):
        place(server, [*documents, {"_id": 4, "both": Int64(2**53 + 1)}]).to_rows()


def test_ids_of_several_types_are_text(server: MongoDb) -> None:
    table = place(server, [{"_id": key} for key in (5, "five", KEY, True)])
    assert [row["_id"] for row in table.to_rows()] == ["5", "five", str(KEY), "true"]


def test_names_with_dots(server: MongoDb) -> None:
    names = {"$price", "a.b", ""}
    column = decide([{"_id": 1, "a.b": 1, "c": 2}], {}, "here")[1]
    assert (column.name, column.can_be_asked) == ("a.b", False)
    with pytest.raises(SchemaError, match=r"'a\.b' could be two"):
        decide([{"_id": 1, "a.b": 1, "a": {"b": 2}}], {}, "here")
    assert not any(decide([{name: 1}], {}, "here")[0].can_be_asked for name in names)


def test_values_of_several_sorts_are_told(server: MongoDb) -> None:
    documents = [{"_id": i, "age": i if i % 2 else "old"} for i in range(10)]
    with pytest.raises(SchemaError, match=r"'age'.*5 text, 5 int.*types="):
        place(server, documents).to_rows()
    assert [row["age"] for row in place(server, documents, types={"age": "string"}).to_rows()][:2] == [
        "old",
        "1",
    ]
    nested = [{"_id": i, "at": {"x": 1} if i % 2 else 1} for i in range(10)]
    with pytest.raises(SchemaError, match=r"'at'.*5 object, 5 int"):
        place(server, nested).schema  # noqa: B018 - asking is the test


BAD = [
    ({"age": "old"}, "'age'", "'old' is not int64"),
    ({"age": 1.5}, "'age'", "'1.5' is not int64"),
    ({"age": [1]}, "'age'", r"\[1\]. is not int64"),
    ({"home": "Oslo"}, "'home'", "'Oslo' is not a document"),
    ({"wage": 1}, "'wage'", "is in a field that the sample"),
    ({"home": {"street": 1}}, r"'home\.street'", "is in a field that the sample"),
]


@pytest.mark.parametrize(("fields", "column", "says"), BAD)
def test_a_bad_document_is_told_or_set_aside(
    server: MongoDb, fields: dict[str, Any], column: str, says: str
) -> None:
    good = [{"_id": f"k{i:03}", "age": i, "home": {"city": "x"}} for i in range(100)]
    name = server.fill([*good, {"_id": "k050½", **fields}])
    with pytest.raises(BadRowError, match=f"_id 'k050½'.*{column}.*{says}"):
        read(server.url(name), sample=20).to_rows()
    table = read(server.url(name), sample=20, on_bad="quarantine")
    for columns in (["_id"], ["age"], ["home.city"]):
        assert table.select(columns).count() == 100
        assert len(table.select(columns).to_rows()) == 100
    (bad,) = table.quarantined().to_rows()
    assert bad["place"].endswith("_id 'k050½'")
    assert (bad["line"], f"'{bad['column']}'") == (0, column.replace("\\", ""))


def test_what_is_no_bson_is_told() -> None:
    good = bson.encode({"_id": 1, "text": "größe"})
    broken = bson.encode({"_id": 2, "text": "größe"}).replace("ö".encode(), b"\xff\xff")
    columns = decide([bson.decode(good)], {}, "here")
    reader = Reader(columns, True, "here", BadRows("quarantine"))
    rows = [row for batch in reader.batches(good + broken + good) for row in batch.to_pylist()]
    assert rows == [{"_id": 1, "text": "größe"}] * 2
    assert [(bad.place, bad.column) for bad in reader.bad.rows.values()] == [("here _id 2", None)]
    late = bson.encode({"_id": 3, "at": bson.datetime_ms.DatetimeMS(10**17)})
    columns = decide([{"_id": 1, "at": NOON}], {}, "here")
    with pytest.raises(BadRowError, match=r"_id 3.*'at'"):
        list(Reader(columns, True, "here", BadRows()).batches(late))


@given(
    st.lists(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.binary(), st.floats(), st.booleans()),
        min_size=1,
    )
)
def test_ids_are_found_without_decoding(ids: list[Any]) -> None:
    raw = b"".join(bson.encode({"_id": key, "x": "y" * i}) for i, key in enumerate(ids))
    found = [id_of(raw, at) for at in offsets(raw)[:-1]]
    assert repr(found) == repr(ids)
    assert repr(last_id(raw)) == repr(ids[-1])


VALUES = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1).map(Int64), st.integers(-9, 9), st.floats(),
    st.text(max_size=20), st.binary(max_size=20), st.booleans(), st.just(KEY), st.just(NOON),
    st.just(Binary.from_uuid(UUID_4)),
    st.just({}), st.just({"in": 5}), st.just([1, 2]), st.just(Decimal128("1.5")), st.just(Regex("x")),
)  # fmt: skip
TYPICAL: dict[str, Any] = {
    "_id": KEY, "n": 1, "x": 1.5, "text": "größe, and more than twelve bytes", "bytes": b"x" * 13,
    "yes": True, "at": NOON, "other": KEY, "o": {"in": 3, "deep": {"t": "é"}, "last": 2.5}, "list": ["a"],
    "d": Decimal128("0.25"),
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_all_at_once_is_as_one_by_one(data: st.DataObject) -> None:
    """Documents that lack fields, have others, in another order, of other types: the same rows and faults."""
    odd = st.dictionaries(st.sampled_from([*TYPICAL, "else"]), VALUES, max_size=4)
    documents = []
    for i in range(data.draw(st.integers(1, 6))):
        document = {**TYPICAL, "_id": ObjectId(f"{i:024x}"), **data.draw(odd)}
        for name in data.draw(st.sets(st.sampled_from(list(TYPICAL)[1:]), max_size=3)):
            del document[name]
        names = data.draw(st.permutations(list(document))) if data.draw(st.booleans()) else list(document)
        documents.append({name: document[name] for name in dict.fromkeys(["_id", *names])})
    columns = decide([TYPICAL], {}, "here")
    raw = b"".join(map(bson.encode, documents))
    quick, slow = (Reader(columns, True, "here", BadRows("quarantine")) for _ in range(2))
    rows = [row for batch in quick.batches(raw) for row in batch.to_pylist()]
    places = offsets(raw)
    expected = slow._one_by_one(raw, [*pairwise(places)])[0].to_pylist()
    assert repr(rows) == repr(expected)
    assert quick.bad.rows == slow.bad.rows


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 9),
)
@example(changes=[(0, 0), (1, 0)], cut=0)
@example(changes=[(0, 0), (1, 0), (3, 255)], cut=0)
def test_any_damage_to_bson_gives_rows_or_is_told(changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(b"".join(bson.encode({**TYPICAL, "_id": i}) for i in range(3)))
    for place, value in changes:
        raw[place % len(raw)] = value
    reader = Reader(decide([TYPICAL | {"_id": 1}], {}, "here"), True, "here", BadRows("quarantine"))
    with suppress(SourceError):
        found = sum(batch.num_rows for batch in reader.batches(bytes(raw[: len(raw) - cut])))
        assert found + len(reader.bad.rows) <= 3


@pytest.mark.parametrize(
    "odd",
    [
        {"n": 1.5},
        {"n": 2.0},
        {"n": 1e300},
        {"n": NAN},
        {"x": 5},
        {"x": Int64(2**53 + 1)},
        {"x": Int64(2**63 - 1)},
        {"x": Int64(2**60)},
        {"text": "short"},
        {"text": "twelve bytes"},
        {"bytes": b""},
        {"o": None},
        {"o": {"in": 3.0}},
    ],
    ids=str,
)
def test_odd_values_are_as_one_by_one(odd: dict[str, Any]) -> None:
    columns = decide([TYPICAL], {}, "here")
    documents = [TYPICAL, {**TYPICAL, **odd}, TYPICAL]
    raw = b"".join(map(bson.encode, documents))
    quick, slow = (Reader(columns, True, "here", BadRows("quarantine")) for _ in range(2))
    rows = [row for batch in quick.batches(raw) for row in batch.to_pylist()]
    assert repr(rows) == repr(slow._one_by_one(raw, [*pairwise(offsets(raw))])[0].to_pylist())
    assert quick.bad.rows == slow.bad.rows


def test_like_documents_are_not_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "_one_by_one", None)
    documents = [{**TYPICAL, "_id": ObjectId(f"{i:024x}"), "n": i} for i in range(20_000)]
    for i, name in enumerate([*TYPICAL][2:]):  # a field may be missing, or null
        del documents[i][name]
        documents[-i - 1][name] = None
    columns = decide(documents[:20], {}, "here")
    reader = Reader(columns, True, "here", BadRows())
    batches = list(reader.batches(b"".join(map(bson.encode, documents))))
    assert sum(batch.num_rows for batch in batches) == 20_000
    assert batches[0].to_pylist()[100]["text"] == TYPICAL["text"]


# What is handed to the server

PEOPLE: list[dict[str, Any]] = [
    {
        "_id": 1,
        "n": 1,
        "x": 1.5,
        "t": "a",
        "yes": True,
        "at": NOON,
        "o": {"c": "Oslo"},
        "d": Decimal128("0.1"),
    },
    {"_id": 2, "n": None, "x": NAN, "t": "B", "yes": False, "at": NOON.replace(year=2020), "o": {}},
    {"_id": 3, "x": None, "t": "", "o": None, "d": Decimal128("-3")},
    {"_id": 4, "n": Int64(2**60), "x": 4, "t": "é", "yes": None, "at": None, "o": {"c": None}},
    {"_id": 5, "n": -5, "x": -math.inf, "t": None, "o": {"c": "bergen"}, "d": Decimal128("7.25")},
]
ASKED = [
    "n > 0", "n >= 1", "n < 1", "n <= 1", "n = 1", "n <> 1", "not n > 0", "not (n = 1)", "n between -5 and 1",
    "not (n between -5 and 1)", "n in (1, -5)", "n not in (1, -5)", "n is null", "n is not null",
    "x > 1", "x >= 1.5", "x < 4", "not (x < 4)", "not (x > 4)", "x <> 4", "x between 1 and 2",
    "not (x between 1 and 2)", "x = 1.5 or x is null", "t = 'a'", "t <> 'a'", "t > 'B'", "t <= 'a'",
    "t in ('a', 'é')", "t like 'a%'", "t like '%B'", "not t like 'b%'", "t not like '%a%'", "t like 'A'",
    '"o.c" like \'%er%\'', "t like 'a%' or n > 3", "t like '$%'",
    "yes", "not yes", "yes = true", "yes <> true", "yes is null", "at > '2021-01-01'",
    "at <= '2024-02-29 12:00:00.123'", '"o.c" = \'Oslo\'', '"o.c" is null', "not (n > 0 and x < 4)",
    "not (n > 0 or t = 'B')", "d >= 0.1", "d = 0.1", "d < -2", "_id in (1, 3)", "n > 0.5",
]  # fmt: skip
HERE = [
    "t like 'a_'",
    "t like 'é%'",
    "n + 1 > 2",
    "n > x",
    "lower(t) = 'b'",
    "at > '2021-01-01 00:00:00.123456'",
    "n > 1e3",
]


@pytest.fixture(scope="module")
def people(server: MongoDb) -> Table:
    return place(server, PEOPLE)


@pytest.mark.parametrize("condition", [*ASKED, *HERE, "n > 0 and t like '_'"])
def test_conditions_mean_there_what_they_mean_here(people: Table, condition: str) -> None:
    here = read(people.to_arrow()).where(condition)
    table = people.where(condition)
    assert repr(table.to_rows()) == repr(here.to_rows())
    assert table.count() == here.count()
    taken = people.source.pushed(conditions.parse(condition, people.schema.names).sql("duckdb"))  # type: ignore[attr-defined]
    assert bool(taken) is (condition not in HERE)
    if condition in ASKED:
        there = table.source._split(conditions.parse(condition, people.schema.names).sql("duckdb"))[0]  # type: ignore[attr-defined]
        with table.source._asking() as collection:  # type: ignore[attr-defined]
            assert sorted(d["_id"] for d in collection.find(there)) == [row["_id"] for row in here.to_rows()]


def test_filters_are_refused_where_they_could_differ() -> None:
    columns = {"t": Compared("t", "text"), "o": Compared("o", "oid"), "n": Compared("n", "int")}
    for text in (
        "o = 'x'",
        "o > 'ABCDEF0123456789ABCDEF01'",
        "n = 9223372036854775808",
        "t = 5",
        "n in (1, t)",
    ):
        assert as_filter(conditions.parse(text, ("t", "o", "n")), columns) is None
    key = "65e0701f9bf5a1d4c8b0a1b2"
    assert as_filter(conditions.parse(f"o > '{key}'", ("o",)), columns) == {"o": {"$gt": ObjectId(key)}}


def test_not_a_number_is_asked_for_beside_what_is_greater() -> None:
    """To SQL it is greater than all numbers; MongoDB finds it neither above nor below any."""
    columns = {"x": Compared("x", "double")}
    for text, expected in (
        ("x > 1", "{'$or': [{'x': {'$gt': 1.0}}, {'x': nan}]}"),
        ("not x <= 1", "{'$or': [{'x': {'$gt': 1.0}}, {'x': nan}]}"),
        ("not x >= 1", "{'x': {'$lt': 1.0}}"),
    ):
        assert repr(as_filter(conditions.parse(text, ("x",)), columns)) == expected


def test_rows_come_in_the_order_of_their_ids(server: MongoDb) -> None:
    rows = place(server, [{"_id": key} for key in (30, 10, 2, 20, 1)]).to_rows()
    assert [row["_id"] for row in rows] == [1, 2, 10, 20, 30]


def test_only_columns_asked_for_are_sent(server: MongoDb) -> None:
    table = place(server, [{"_id": i, "label": "x", "picture": bytes(20_000)} for i in range(50)])
    table.select("label").to_rows()
    few = table.source.bytes_read  # type: ignore[attr-defined]
    table.to_rows()
    assert few < 50 * 100 < 50 * 20_000 < table.source.bytes_read  # type: ignore[attr-defined]
    assert "there" in str(table.where("label = 'x'").explain())


def test_filters_and_pipelines_of_ones_own(server: MongoDb) -> None:
    name = server.fill([{"_id": i, "kind": "ab"[i % 2], "n": i} for i in range(20)])
    table = read(server.url(name), filter={"kind": "a", "_id": {"$gte": {"$numberInt": "4"}}})
    assert [row["n"] for row in table.where("n < 10").to_rows()] == [4, 6, 8]
    assert table.count() == 8
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))).to_rows() == table.to_rows()
    stages = [{"$group": {"_id": "$kind", "most": {"$max": "$n"}}}, {"$sort": {"_id": 1}}]
    answer = read(server.url(), collection=name, pipeline=stages)
    assert answer.to_rows() == [{"_id": "a", "most": 18}, {"_id": "b", "most": 19}]
    assert answer.where("most > 18").to_rows() == [{"_id": "b", "most": 19}]
    assert (answer.where("most > 18").count(), answer.count()) == (1, 2)
    assert (
        answer.fingerprint() == read(server.url(name), pipeline=stages).fingerprint() != table.fingerprint()
    )


# Ranges of _id

KEYS = {
    "whole": list(range(-50, 50)),
    "numbers": [
        *([NAN] if REAL else []),
        -math.inf,  # the stand-in takes NaN to be greater than all
        *range(80),
        2.5,
        1e300,
        Int64(2**60),
    ],
    "text": [f"key {i}" for i in range(60)] + ["", "é", "😀"],
    "ObjectId": [ObjectId(f"{i:024x}") for i in range(80)],
    "documents": [{"a": i, "b": "x"} for i in range(60)],
    "mixed": [
        None,
        *range(20),
        *(f"k{i}" for i in range(20)),
        *(ObjectId(f"{i:024x}") for i in range(20)),
        True,
        NOON,
    ],
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_ranges_hold_each_document_once(
    server: MongoDb, keys: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 400)
    found = place(server, [{"_id": key, "n": i} for i, key in enumerate(keys)]).source
    parts = found.partitions()
    read_ = [[row["n"] for batch in found.read(part, ["n"]) for row in batch.to_pylist()] for part in parts]
    assert len(parts) > 3
    assert sorted(n for part in read_ for n in part) == list(range(len(keys)))
    assert [part.rows for part in parts] == list(map(len, read_))
    assert json.loads(json.dumps([part.where for part in parts])) == [part.where for part in parts]
    ranges = [Range.from_dict(part.where) for part in parts]
    assert all(r.kind is not None for r in ranges)
    with found._asking() as collection:  # type: ignore[attr-defined]
        for part, numbers in zip(ranges, read_, strict=True):
            after = part.after(keys[numbers[0]])
            assert [d["n"] for d in collection.find(after, sort=[("_id", 1)])] == numbers[1:]
        order = [n for numbers in read_ for n in numbers]
        for i in range(0, len(order), 7):  # all kinds in one range
            after = Range().after(keys[order[i]])
            assert [d["n"] for d in collection.find(after, sort=[("_id", 1)])] == order[i + 1 :]


IDS = st.one_of(
    st.integers(-99, 99),
    st.floats(allow_nan=True),
    st.text(max_size=3),
    st.binary(min_size=12, max_size=12).map(ObjectId),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(keys=st.lists(IDS, unique_by=repr, max_size=40), size=st.integers(20, 2_000))
def test_any_ids_are_cut(server: MongoDb, keys: list[Any], size: int) -> None:
    unique = {("number", float(k)) if isinstance(k, (int, float)) else k: k for k in keys if k == k}
    keys = list(unique.values())
    name = server.fill([{"_id": key, "n": i} for i, key in enumerate(keys)], "any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "PART_BYTES", size)
        rows = read(server.url(name), types={"n": "int64"}).select("n").to_rows()
    assert sorted(row["n"] for row in rows) == list(range(len(keys)))


def test_an_id_that_is_no_number_is_a_number_too() -> None:
    """MongoDB sorts NaN before all numbers, and finds it neither below nor above any."""
    assert repr(Range("number", high=3).filter()) == "{'$or': [{'_id': {'$lt': 3}}, {'_id': nan}]}"
    assert Range("number", high=3).after(NAN) == {"_id": {"$gte": -math.inf, "$lt": 3}}


# What goes wrong


@pytest.fixture(scope="module")
def few(server: MongoDb) -> Iterator[MongoDb]:
    """A database of two collections."""
    made = replace(server, database=f"{server.database}_few")
    made.fill([{"_id": 1, "name": "x"}], "people")
    made.fill([], "empty")
    yield made
    with made.client() as database:
        database.client.drop_database(made.database)


@pytest.mark.slow
def test_each_row_once_through_a_bad_network(server: MongoDb) -> None:
    name = server.fill([{"_id": ObjectId(f"{i:024x}"), "n": i, "fill": "x" * 500} for i in range(20_000)])
    port = urlsplit(server.host).port or 27_017
    with proxy(port, 700_000, 2_000_000, seed=5) as between:
        table = read(server.url(name, host=f"mongodb://127.0.0.1:{between.port}"))
        assert [row["n"] for row in table.select("n", "fill").to_rows()] == list(range(20_000))
        assert between.dropped > 2


@pytest.mark.slow
@pytest.mark.skipif(REAL, reason="a real server is not ours to stop")
def test_a_server_that_goes_away_for_good_is_told() -> None:
    with running() as alone:
        name = alone.fill([{"_id": i, "fill": "x" * 1_000} for i in range(15_000)])
        options = "?serverSelectionTimeoutMS=300"
        batches = read(alone.url(name) + options).batches(1_000)
        next(batches)
    with pytest.raises(SourceError, match=r"lost after the document with _id \d+"):
        for _ in batches:
            pass
    with pytest.raises(SourceError, match="no server answers"):
        read(alone.url(name) + options).count()


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("pymongo")}


def test_given_up_half_way_leaves_nothing(server: MongoDb) -> None:
    before = threads()
    batches = place(server, [{"_id": i, "fill": "x" * 900} for i in range(40_000)]).batches(10)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    deadline = time.monotonic() + 10
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)  # the driver's own threads notice within half a second
    assert threads() - before == set()


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("{db}/peple", {}, "no collection 'peple'.*'people'.*Did you mean 'people'"),
        ("{db}", {}, "names no collection.*'people'"),
        ("nowhere_at_all/people", {}, "there is no database 'nowhere_at_all'"),
        ("", {}, "names no database"),
        ("{db}/people", {"sample": 1}, "at least 2 documents"),
        ("{db}/people", {"pipeline": [{"$match": {}}, {"$out": "x"}]}, r"writes: \$out"),
        ("{db}/people", {"filter": {"$nonsense": 1}}, "nonsense"),
        ("{db}/people", {"types": {"name": "strng"}}, "strng"),
        ("{db}/empty", {}, "has no documents.*types="),
    ],
)
def test_what_cannot_be_asked_is_told(few: MongoDb, path: str, options: dict[str, Any], says: str) -> None:
    server = few
    address = f"{server.host}/{path.format(db=server.database)}{server.options}"
    with pytest.raises(OrreryError, match=says):
        read(address, **options).to_rows()


@pytest.mark.parametrize(
    "place", ["mongodb:///shop/people", "mongodb://a@b@host/shop/x", "mongodb://host:port:9/a/b"]
)
def test_addresses_that_cannot_be(place: str) -> None:
    with pytest.raises(SettingsError):
        read(place).to_rows()


def test_the_password_is_never_shown(server: MongoDb, monkeypatch: pytest.MonkeyPatch) -> None:
    name = server.fill([{"_id": 1}])
    hosts = server.host.removeprefix("mongodb://").rpartition("@")[2]
    address = f"mongodb://bob:wrong%2Fsecret@{hosts}/{server.database}/{name}"
    shown = [repr(read(address)), json.dumps(read(address).source.to_dict())]
    with pytest.raises(SourceError) as caught:
        read(address).count()
    shown.append(str(caught.value))
    assert not [text for text in shown if "secret" in text]
    monkeypatch.setenv("ORRERY_CONNECTION__SHOP", f"{server.host}/{server.options}")
    for table in (
        read(f"mongodb:///{server.database}/{name}", connection="shop"),
        read(f"mongodb:///{server.database}/{name}?connection=shop"),
    ):
        assert table.to_rows() == [{"_id": 1}]
        assert Table.from_dict(table.to_dict()).to_rows() == [{"_id": 1}]
    with pytest.raises(SettingsError, match="ORRERY_CONNECTION__OTHER"):
        read("mongodb:///shop/people", connection="other").count()


@pytest.mark.skipif(REAL, reason="of the stand-in")
def test_code_is_text() -> None:
    (column,) = decide([{"code": Code("x", {"y": 1})}], {}, "here")
    assert column.array([Code("x", {"y": 1})])[0].to_pylist() == [
        '{"$code": "x", "$scope": {"y": {"$numberInt": "1"}}}'
    ]


def test_an_iterator_is_what_read_gives(people: Table) -> None:
    part = people.source.partitions()[0]
    assert isinstance(people.source.read(part), Iterator)


def test_an_address_is_read_again_as_it_is_shown() -> None:
    place = "mongodb://u:p%40w@h1,h2:5/db/100%25 of? 城市#1"
    address = Address.of(place.replace("?", "%3F").replace("#", "%23"))
    assert (address.hosts, address.database, address.collection) == (
        "u:p%40w@h1,h2:5",
        "db",
        "100% of? 城市#1",
    )
    shown = address.shown()
    assert Address.of(shown) == replace(address, hosts="u@h1,h2:5")
    secret = "mongodb+srv://h/db/c?authSource=admin&authMechanismProperties=AWS_SESSION_TOKEN:abc"
    assert Address.of(secret).shown() == "mongodb+srv://h/db/c?authSource=admin"


def test_a_query_of_sql_is_told_how_mongodb_is_asked() -> None:
    with pytest.raises(SettingsError, match=r"no option 'query'.* filter=.* pipeline="):
        read("mongodb://127.0.0.1:1/a/b", query="select 1")


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_soon() -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match="no server answers"):
        read("mongodb://127.0.0.1:1/a/b").count()
    assert time.monotonic() - began < 12
