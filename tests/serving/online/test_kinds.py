"""A model of every new kind of column, asked over HTTP: as JSON, as a form with uploads, as tensors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from tests.media import clip, tone

import orrery as ory
from orrery.data.codecs import audio, tensor
from orrery.estimators.model import Model
from orrery.learners.linear import Linear
from orrery.schema import Field, Kind
from orrery.serving.online.described import sendable
from orrery.serving.online.server import serve
from orrery.serving.online.tensors import as_column, datatype_of, shape_of
from orrery.serving.online.values import from_field

N = 40
YES = np.arange(N) % 2 == 0


def table() -> Any:
    chance = np.random.default_rng(0)
    return pa.table(
        {
            "call": [audio.encode(tone(900 if y else 300, 0.1, seed=i), 8000) for i, y in enumerate(YES)],
            "film": [clip(200 if y else 60, 16, 16, 0.2) for y in YES],
            "field": tensor.to_arrow([chance.normal(y, 1, (2, 3)).astype(np.float32) for y in YES]),
            "pulse": [chance.normal(y, 1, 3 + i % 4).tolist() for i, y in enumerate(YES)],
            "part": pa.array(
                [{"size": float(y), str(i): 1.0} for i, y in enumerate(YES)], pa.map_("string", "double")
            ),
            "at": [{"lat": 50.0 + y, "lon": 10.0 - i / 9} for i, y in enumerate(YES)],
            "tags": [["a"] if y else ["b", "c"] for y in YES],
            "y": ["yes" if y else "no" for y in YES],
        }
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return ory.fit(table(), target="y", learner=Linear())


@pytest.fixture(scope="module")
def client(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    place = tmp_path_factory.mktemp("kinds") / "model"
    model.save(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(tmp_path_factory.mktemp("kinds-home")))
        with (
            serve(place, port=0, wait=False) as service,
            httpx.Client(base_url=service.url, timeout=30) as found,
        ):
            yield found


@pytest.fixture(scope="module")
def expected(model: Model) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        model.predict(table().slice(0, 4)).select(["prediction", "probability"]).to_pylist()
    )
    return rows


def sent() -> list[dict[str, Any]]:
    return [{k: sendable(v) for k, v in row.items() if k != "y"} for row in table().slice(0, 4).to_pylist()]


def name_of(client: httpx.Client) -> str:
    return str(client.get("/v2").json() and client.post("/v2/repository/index").json()[0]["name"])


def check(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [row["prediction"] for row in rows] == [row["prediction"] for row in expected]
    assert [row["probability"] for row in rows] == pytest.approx([row["probability"] for row in expected])


def test_json_is_answered_as_the_table_is(client: httpx.Client, expected: list[dict[str, Any]]) -> None:
    answer = client.post(f"/v1/models/{name_of(client)}:predict", json={"rows": sent()})
    assert answer.status_code == 200, answer.text
    check(answer.json()["rows"], expected)


def test_a_form_with_uploads_is_answered_as_the_table_is(
    client: httpx.Client, expected: list[dict[str, Any]]
) -> None:
    row = table().slice(0, 1).to_pylist()[0]
    uploads = {name: (f"{name}.bin", row[name]) for name in ("call", "film")}
    at = row["at"]
    fields = {
        "field": json.dumps(sent()[0]["field"]),
        "pulse": ", ".join(map(repr, row["pulse"])),
        "part": ", ".join(f"{k}={v}" for k, v in row["part"]),
        "at": f"{at['lat']}, {at['lon']}",
        "tags": ",".join(row["tags"]),
    }
    answer = client.post(f"/v1/models/{name_of(client)}:predict", data=fields, files=uploads)
    assert answer.status_code == 200, answer.text
    check(answer.json()["rows"], expected[:1])


def test_tensors_are_answered_as_the_table_is(client: httpx.Client, expected: list[dict[str, Any]]) -> None:
    rows = sent()
    inputs: list[dict[str, Any]] = []
    for head in client.get(f"/v2/models/{name_of(client)}").json()["inputs"]:
        name = head["name"]
        values = [row[name] for row in rows]
        if name == "field":
            assert (head["datatype"], head["shape"]) == ("FP64", [-1, 2, 3])
            inputs.append(
                {"name": name, "datatype": "FP64", "shape": [4, 2, 3], "data": np.ravel(values).tolist()}
            )
            continue
        texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
        inputs.append({"name": name, "datatype": "BYTES", "shape": [4], "data": texts})
    answer = client.post(f"/v2/models/{name_of(client)}/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    assert outputs["prediction"] == [row["prediction"] for row in expected]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("call", "!!"),
        ("call", "aGVsbG8="),
        ("film", "aGVsbG8="),
        ("field", [[1.0]]),
        ("pulse", "x"),
        ("part", 3),
        ("at", [95, 0]),
    ],
)
def test_a_value_that_cannot_be_read_is_pointed_at(client: httpx.Client, name: str, value: object) -> None:
    rows = sent()
    rows[1][name] = value if name != "field" else [value]
    answer = client.post(f"/v1/models/{name_of(client)}:predict", json={"rows": rows})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["pointer"] == f"/rows/1/{name}"


def test_the_page_has_a_control_for_each(client: httpx.Client) -> None:
    page = client.get("/").text
    assert 'accept="audio/*"' in page
    assert 'accept="video/*"' in page
    assert "latitude, longitude" in page


def test_fields_of_a_form_hold_every_kind() -> None:
    def read(text: str, kind: Kind, type_name: str = "binary") -> object:
        return from_field(text, Field(name="x", type=type_name, kind=kind))

    assert read("[1, 2]", Kind.SERIES) == read("1, 2", Kind.SERIES) == [1, 2]
    assert read("[[1], [2]]", Kind.TENSOR) == [[1], [2]]
    assert read("aGk=", Kind.TENSOR) == read("aGk=", Kind.AUDIO) == b"hi"
    assert read("a=1, b=red", Kind.MAP) == {"a": 1.0, "b": "red"}
    assert read("59.9, 10.7", Kind.GEO) == [59.9, 10.7]
    assert read("59.9", Kind.GEO, "double") == 59.9
    assert read("", Kind.GEO) is None


def test_tensors_of_the_protocol_become_columns() -> None:
    field = Field(
        name="x", type="extension<arrow.fixed_shape_tensor[value_type=float, shape=[2,2]]>", kind=Kind.TENSOR
    )
    assert (datatype_of(field.type, field.kind), shape_of(field)) == ("FP64", [-1, 2, 2])
    head = {"name": "x", "datatype": "FP64", "shape": [2, 2, 2]}
    assert [row.tolist() for row in as_column(field, head, list(range(8)))] == [
        [[0, 1], [2, 3]],
        [[4, 5], [6, 7]],
    ]
    series = Field(name="x", type="list<item: double>", kind=Kind.SERIES)
    assert as_column(series, {"name": "x", "datatype": "BYTES", "shape": [1]}, ["[1.5, 2]"]) == [[1.5, 2]]
