"""The clients against a real service: every form of rows, parts, errors, many threads, an event loop."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import orrery as ory
from orrery.errors import (
    BadRequestError,
    ModelNotFoundError,
    SchemaError,
    ServingError,
    SettingsError,
    TooLargeError,
)
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

ROWS = [
    {
        "age": 18 + i % 50,
        "day": f"2024-05-{1 + i % 28:02d}",
        "photo": bytes([i % 7]),
        "buys": "no" if i % 3 else "yes",
    }
    for i in range(120)
]


@pytest.fixture(scope="module")
def model() -> ory.Model:
    table = pa.Table.from_pylist([{k: v for k, v in row.items() if k != "photo"} for row in ROWS])
    return ory.fit(table, "buys", learner="linear")


@pytest.fixture(scope="module")
def service(model: ory.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(tmp_path_factory.mktemp("home")))
        limits = Limits(rows=50, body_bytes=1 << 16)
        with serve(model, name="shop", port=0, wait=False, limits=limits) as opened:
            yield opened


@pytest.fixture
def client(service: Service) -> Iterator[ory.Client]:
    with ory.Client(service.url) as opened:
        yield opened


def asked(count: int) -> list[dict[str, Any]]:
    """Rows without the target."""
    return [{"age": ROWS[i % 120]["age"], "day": ROWS[i % 120]["day"]} for i in range(count)]


def test_rows_come_back_with_the_model_s_own_answers(client: ory.Client, model: ory.Model) -> None:
    found = client.predict(asked(7))
    expected = model.predict(asked(7))
    assert [{k: v for k, v in row.items() if k != "id"} for row in found] == expected
    assert len({row["id"] for row in found}) == 7


def test_more_rows_than_the_service_takes_are_sent_in_parts(client: ory.Client, model: ory.Model) -> None:
    rows = [{**row, "id": i} for i, row in enumerate(asked(333))]
    found = client.predict(rows)
    assert [row["id"] for row in found] == list(range(333))
    assert [row["probability"] for row in found] == [r["probability"] for r in model.predict(asked(333))]


def test_one_row(client: ory.Client, model: ory.Model) -> None:
    (row,) = asked(1)
    assert client.predict({**row, "id": "a", "extra": 5}) == {
        **row,
        "id": "a",
        "extra": 5,
        **{k: v for k, v in model.predict([row])[0].items() if k not in row},
    }


def test_no_rows(client: ory.Client) -> None:
    assert client.predict([]) == []


def test_an_arrow_table(client: ory.Client, model: ory.Model) -> None:
    table = pa.Table.from_pylist(asked(60))
    found = client.predict(table)
    assert found.column_names == ["age", "day", "id", "prediction", "probability", "probabilities"]
    assert found.select(["age", "day"]).equals(table)
    assert found.column("prediction").to_pylist() == [r["prediction"] for r in model.predict(asked(60))]


def test_a_pandas_frame_keeps_its_index(client: ory.Client, model: ory.Model) -> None:
    frame = pd.DataFrame(asked(5), index=list("abcde"))
    found = client.predict(frame)
    assert list(found.index) == list("abcde")
    assert list(found["prediction"]) == [r["prediction"] for r in model.predict(asked(5))]
    assert "prediction" not in frame


def test_values_that_json_does_not_know(client: ory.Client) -> None:
    rows: list[dict[str, Any]] = [
        {"age": np.int64(30), "day": dt.date(2024, 5, 3), "more": np.array([1.5, 2])},
        {"age": float("nan"), "day": pd.NaT, "more": b"\xff"},
        {"age": pd.NA, "day": dt.datetime(2024, 5, 3, 1), "more": {"a": (1, None)}},
    ]
    found = client.predict(rows)
    assert [row["more"] for row in found] == [row["more"] for row in rows]
    assert all(row["prediction"] in ("yes", "no") for row in found)


def test_a_value_that_cannot_be_sent_is_named(client: ory.Client) -> None:
    with pytest.raises(ory.errors.BadRowError, match="Row 1, column 'age' cannot be sent: inf is no number"):
        client.predict([asked(1)[0], {"age": float("inf"), "day": "x"}])
    with pytest.raises(ory.errors.BadRowError, match="a object is no value"):
        client.predict([{"age": object()}])
    with pytest.raises(SettingsError, match="not Unicode"):
        client.predict([{"age": 1, "day": "\ud800"}])
    with pytest.raises(SettingsError, match="not a int"):
        client.predict(5)


def test_errors_are_those_of_the_service_and_name_the_row(client: ory.Client) -> None:
    with pytest.raises(SchemaError, match="lack 'age'"):
        client.predict([{"day": "2024-05-01"}])
    rows = asked(120)
    rows[77]["age"] = "old"  # type: ignore[call-overload]
    with pytest.raises(ory.errors.OrreryError, match="Row 77, column 'age'") as caught:
        client.predict(rows)
    assert caught.value.pointer == "/rows/77/age"
    assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)


def test_one_row_that_is_too_large_is_an_error(client: ory.Client) -> None:
    with pytest.raises(TooLargeError):
        client.predict([{**asked(1)[0], "note": "x" * 70_000}])


def test_another_name_is_told(service: Service) -> None:
    with (
        ory.Client(service.url, "nope") as client,
        pytest.raises(ModelNotFoundError, match="no model 'nope'"),
    ):
        client.predict(asked(1))
    with ory.Client(service.url, "../v2") as client, pytest.raises(ServingError):
        client.metadata()


def test_what_is_told_of_the_model(client: ory.Client) -> None:
    assert client.ready()
    assert client.models() == [{"name": "shop", "version": 0}]
    assert [field["name"] for field in client.metadata()["inputs"]] == ["age", "day"]


def test_outcomes_are_kept(client: ory.Client) -> None:
    found = client.predict(asked(60))
    assert client.outcomes({"id": row["id"], "buys": "yes"} for row in found) == 60
    with pytest.raises(BadRequestError):
        client.outcomes([{"id": "x", "bought": "yes"}])


def test_threads_share_a_client(client: ory.Client, model: ory.Model) -> None:
    expected = [row["probability"] for row in model.predict(asked(40))]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: client.predict(asked(40)), range(24)):
            assert [row["probability"] for row in found] == expected


def test_the_awaited_client(service: Service, model: ory.Model) -> None:
    async def main() -> list[Any]:
        async with ory.AsyncClient(service.url, "shop") as client:
            assert await client.ready()
            assert await client.models() == [{"name": "shop", "version": 0}]
            assert (await client.metadata())["name"] == "shop"
            found = await asyncio.gather(*(client.predict(asked(120)) for _ in range(8)))
            assert await client.outcomes([{"id": found[0][0]["id"], "buys": "no"}]) == 1
            with pytest.raises(SchemaError):
                await client.predict([{"day": "x"}])
        return found

    expected = [row["probability"] for row in model.predict(asked(120))]
    for found in asyncio.run(main()):
        assert [row["probability"] for row in found] == expected


def test_a_model_that_reads_an_id_is_given_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    rows = [{"id": i, "y": float(i)} for i in range(60)]
    fitted = ory.fit(rows, "y", learner="linear", kinds={"id": "number"})
    with (
        serve(fitted, name="ids", port=0, wait=False) as service,
        ory.Client(service.url) as client,
        pytest.raises(SchemaError, match="'id'"),
    ):
        client.predict([{"other": 1}])
