"""Raw rows over HTTP, as JSON and as forms."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from orrery.estimators.model import Model
from orrery.serving.online.server import Service

PREDICT = "/v1/models/clients:predict"


def test_rows_are_answered_as_the_model_does_to_the_last_bit(
    client: httpx.Client, saved: dict[str, Path], row: dict[str, Any]
) -> None:
    rows = [{**row, "age": age} for age in range(20, 80)]
    said = client.post(PREDICT, json={"rows": rows}).json()
    expected = Model.load(saved["clients"]).predict(rows)
    names = ["prediction", "probability", "probabilities"]
    assert [{n: r[n] for n in names} for r in said["rows"]] == [{n: r[n] for n in names} for r in expected]
    assert (said["model"], said["version"]) == ("clients", 0)


def test_ids_and_what_the_model_does_not_read_are_kept(client: httpx.Client, row: dict[str, Any]) -> None:
    rows = [{"id": 7, "note 2": None, **row}, {"id": "abc", **row}, row]
    said = client.post(PREDICT, json={"rows": rows}).json()["rows"]
    assert [said[0]["id"], said[1]["id"]] == [7, "abc"]
    assert "note 2" in said[0]
    assert "age" not in said[0]
    assert len(said[2]["id"]) == 36


def test_missing_unseen_and_strange_values_are_answered(client: httpx.Client, row: dict[str, Any]) -> None:
    rows = [
        dict.fromkeys(row),
        {**row, "city": "never seen"},
        {**row, "age": 1e300},
        {**row, "note": ""},
        {**row, "note": "\x00 \U0001f600 ' \" <script>"},
        {**row, "since": "1700-01-01"},
        {"city": "Lyon"},
    ]
    answer = client.post(PREDICT, json={"rows": rows})
    assert answer.status_code == 200
    assert all(0 <= r["probability"] <= 1 and math.isfinite(r["probability"]) for r in answer.json()["rows"])


def test_no_rows_are_no_answers(client: httpx.Client) -> None:
    assert client.post(PREDICT, json={"rows": []}).json()["rows"] == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"rows": [{"age": 1}]}', 400, "The model needs"),
        ('{"rows": [1]}', 400, "each row is an object"),
        ('{"rows": {}}', 400, "needs 'rows'"),
        ('{"row": []}', 400, "needs 'rows'"),
        ('{"rows": [], "rose": 1}', 400, "'rose'"),
        ('{"rows": [], "record": 1}', 400, "'record'"),
        ("[]", 400, "array"),
        ("null", 400, "null"),
        ("{", 400, "not JSON"),
        ("", 400, "not JSON"),
        ('{"rows": [NaN]}', 400, "not JSON"),
        ('"\\ud800"', 400, "not JSON"),
        ("[" * 200_000, 400, "nested too deep"),
        ('{"rows": [' + "{}," * 200 + "{}]}", 413, "201 rows"),
        ('{"rows": "' + "x" * (2 << 20) + '"}', 413, "2,097,152 bytes"),
    ],
)
def test_wrong_bodies_are_told_what_is_wrong(
    client: httpx.Client, body: str, status: int, words: str
) -> None:
    answer = client.post(PREDICT, content=body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"].startswith("orrery.errors/")
    assert words in problem["detail"]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("age", "abc", "'age'"),
        ("age", [1], "'age'"),
        ("city", {"a": 1}, "'city'"),
        ("since", "yesterday", "'since'"),
        ("id", 1.5, "id"),
        ("id", True, "id"),
        ("id", "x" * 300, "200"),
        ("prediction", 1, "prediction"),
    ],
)
def test_wrong_values_name_their_column(
    client: httpx.Client, row: dict[str, Any], column: str, value: Any, words: str
) -> None:
    answer = client.post(PREDICT, json={"rows": [row, {**row, column: value}]})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_another_name_is_not_found(client: httpx.Client) -> None:
    answer = client.post("/v1/models/others:predict", json={"rows": []})
    assert (answer.status_code, answer.json()["code"]) == (404, "model-not-found")


def picture_of(saved: dict[str, Path], number: int = 0) -> tuple[bytes, Any]:
    """A picture of the model's example, and its prediction."""
    model = Model.load(saved["digits"])
    assert model.example is not None
    row = model.example.to_pylist()[number]
    return row["image"], row["prediction"]


def test_pictures_as_base64_as_data_url_and_as_upload(
    client_of: Callable[[str], httpx.Client], saved: dict[str, Path]
) -> None:
    client, path = client_of("digits"), "/v1/models/digits:predict"
    data, prediction = picture_of(saved)
    text = base64.b64encode(data).decode()
    rows = [
        {"image": text},
        {"image": f"data:image/png;base64,{text}"},
        {"image": text[:40] + "\n" + text[40:]},
    ]
    said = client.post(path, json={"rows": rows}).json()["rows"]
    uploaded = client.post(path, files={"image": ("a.png", data, "image/png")}).json()["rows"]
    field = client.post(path, data={"image": text}, files={"x": b""}).json()["rows"]
    assert [r["prediction"] for r in [*said, *uploaded, *field]] == [prediction] * 5


def test_several_uploads_are_several_rows(
    client_of: Callable[[str], httpx.Client], saved: dict[str, Path]
) -> None:
    pictures = [picture_of(saved, i) for i in range(3)]
    files = [("image", (f"{i}.png", data)) for i, (data, _) in enumerate(pictures)]
    said = client_of("digits").post("/v1/models/digits:predict", files=files).json()["rows"]
    assert [r["prediction"] for r in said] == [p for _, p in pictures]


@pytest.mark.parametrize("value", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"x" * 5000])
def test_a_corrupt_picture_among_good_ones_is_named(
    client_of: Callable[[str], httpx.Client], saved: dict[str, Path], value: bytes
) -> None:
    data, _ = picture_of(saved)
    rows = [{"image": base64.b64encode(d).decode()} for d in (data, value, data)]
    answer = client_of("digits").post("/v1/models/digits:predict", json={"rows": rows})
    assert answer.status_code == 400
    assert "image" in answer.text


@pytest.mark.parametrize("value", ["%%%", "data:image/png;base64,%", 7, ["a"]])
def test_what_is_not_base64_is_named(client_of: Callable[[str], httpx.Client], value: Any) -> None:
    answer = client_of("digits").post("/v1/models/digits:predict", json={"rows": [{"image": value}]})
    assert answer.json()["pointer"] == "/rows/0/image"


def test_a_form_is_read_by_the_kinds_of_its_fields(
    client: httpx.Client, saved: dict[str, Path], row: dict[str, Any]
) -> None:
    fields = {**{name: str(value) for name, value in row.items()}, "member": "true", "id": "9"}
    said = client.post(PREDICT, data=fields, files={"other": b"x"}).json()["rows"][0]
    expected = Model.load(saved["clients"]).predict(row)
    assert (said["id"], said["probability"]) == ("9", expected["probability"])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"rubbish", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="age"\r\n\r\nold\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_wrong_forms_are_refused(client: httpx.Client, body: bytes, content_type: str) -> None:
    answer = client.post(PREDICT, content=body, headers={"content-type": content_type})
    assert answer.status_code == 400


def test_numbers_labels_and_vectors(client_of: Callable[[str], httpx.Client]) -> None:
    number = (
        client_of("prices").post("/v1/models/prices:predict", json={"rows": [{"x": 1}]}).json()["rows"][0]
    )
    assert 2 < number["prediction"] < 4
    tags = client_of("tags").post("/v1/models/tags:predict", json={"rows": [{"x": 3.0}]}).json()["rows"][0]
    assert sorted(tags["prediction"]) == ["big", "up"]
    assert tags["probabilities"].keys() == {"big", "down", "up"}
    points = client_of("points")
    vector = points.post("/v1/models/points:predict", json={"rows": [{"at": [1, 2, 3.5]}]}).json()["rows"][0]
    assert len(vector["prediction"]) == 2
    assert points.post("/v1/models/points:predict", json={"rows": [{"at": [1, 2]}]}).status_code == 400


def test_what_was_answered_is_recorded_and_can_be_left_out(
    service_of: Callable[[str], Service], client: httpx.Client, row: dict[str, Any]
) -> None:
    client.post(PREDICT, json={"rows": [{"id": "kept", **row}]})
    client.post(PREDICT, json={"rows": [{"id": "not kept", **row}], "record": False})
    recorder = service_of("clients").recorder
    assert recorder is not None
    assert recorder.flush()
    assert recorder.home is not None
    rows = [
        r
        for f in recorder.home.rglob("clients/predictions/0/*.parquet")
        for r in pq.read_table(f).to_pylist()
    ]
    by_id = {r["id"]: r for r in rows}
    assert "not kept" not in by_id
    assert by_id["kept"]["inputs"]["city"] == "北京"
    assert by_id["kept"]["inputs"]["since"].year == 2019
    assert by_id["kept"]["output"]["prediction"] == "yes"
    assert by_id["kept"]["unfit"] is None


def test_a_missing_column_is_told_with_those_needed_and_those_received(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={"rows": [{"age": 1}]})
    assert (answer.status_code, answer.json()["pointer"]) == (400, "/rows/0/income €")
    for name in ("'age'", "'income €'", "'city'", "have 'age', and lack"):
        assert name in answer.json()["detail"]


def test_one_missing_column_of_one(client_of: Callable[[str], httpx.Client]) -> None:
    said = client_of("digits").post("/v1/models/digits:predict", json={"rows": [{}]}).json()
    assert (said["code"], said["pointer"]) == ("unknown-column", "/rows/0/image")
    assert said["detail"] == ("The model needs the columns 'image'; the rows have none, and lack 'image'.")


def test_a_column_with_the_name_of_an_answer_has_a_pointer(client: httpx.Client, row: dict[str, Any]) -> None:
    said = client.post(PREDICT, json={"rows": [{**row, "prediction": 1}]}).json()
    assert said["pointer"] == "/rows/0/prediction"


def test_a_vector_of_another_length_is_told_by_row(client_of: Callable[[str], httpx.Client]) -> None:
    rows = [{"at": [1, 2, 3]}, {"at": None}, {"at": [1, 2]}]
    said = client_of("points").post("/v1/models/points:predict", json={"rows": rows}).json()
    assert (said["code"], said["pointer"]) == ("bad-row", "/rows/2/at")
    said = client_of("points").post("/v1/models/points:predict", json={"rows": [rows[2]]}).json()
    assert said["pointer"] == "/rows/0/at"
    assert said["detail"] == "Row 0, column 'at': 2 numbers where the model takes 3."


def test_a_picture_that_is_none_has_a_pointer(client_of: Callable[[str], httpx.Client]) -> None:
    rows = [{"image": None}, {"image": base64.b64encode(b"no picture").decode()}]
    said = client_of("digits").post("/v1/models/digits:predict", json={"rows": rows}).json()
    assert said["pointer"] == "/rows/1/image"
