"""MLflow's scoring protocol, by hand and by MLflow's own client."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from orrery.estimators.model import Model
from orrery.serving.online.server import Service


def _expected(saved: dict[str, Path], row: dict[str, Any]) -> dict[str, Any]:
    return Model.load(saved["clients"]).predict_values({name: [v] for name, v in row.items()}, 1)[0]


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_each_form_is_answered_as_the_model_does(
    client: httpx.Client, saved: dict[str, Path], row: dict[str, Any], form: str
) -> None:
    bodies: dict[str, Any] = {
        "dataframe_split": {"columns": list(row), "index": [0], "data": [list(row.values())]},
        "dataframe_records": [row],
        "instances": [row],
        "inputs": {name: [value] for name, value in row.items()},
    }
    answer = client.post("/invocations", json={form: bodies[form]})
    assert answer.json() == {"predictions": [_expected(saved, row)]}


def test_a_csv_is_answered(client: httpx.Client, saved: dict[str, Path], row: dict[str, Any]) -> None:
    text = pd.DataFrame([row]).to_csv(index=False)
    answer = client.post("/invocations", content=text, headers={"content-type": "text/csv; charset=utf-8"})
    assert answer.json() == {"predictions": [_expected(saved, row)]}


def test_mlflow_s_own_client(
    service_of: Callable[[str], Service], saved: dict[str, Path], row: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own types when it is imported
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = service_of("clients").url.removeprefix("http://").split(":")
    mlflow: Any = ScoringServerClient(host, port)  # type: ignore[no-untyped-call]
    mlflow.wait_server_ready()
    found = mlflow.invoke(pd.DataFrame([row, {**row, "age": 20}])).get_predictions()
    assert found["prediction"].tolist() == [
        _expected(saved, row)["prediction"],
        _expected(saved, {**row, "age": 20})["prediction"],
    ]


def test_a_model_of_one_column_takes_bare_values(client_of: Callable[[str], httpx.Client]) -> None:
    said = client_of("prices").post("/invocations", json={"instances": [1.0, 2.0]}).json()
    assert [list(answer) for answer in said["predictions"]] == [["prediction"], ["prediction"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": []},
        {"instances": [], "inputs": {}},
        {"instances": 3},
        {"instances": [3]},
        {"inputs": {"age": [1, 2], "city": ["a"]}},
        {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["age", "age"], "data": []}},
        {"dataframe_records": [{"age": 1}], "params": {"a": 1}},
    ],
)
def test_wrong_bodies_are_refused(client: httpx.Client, body: Any) -> None:
    answer = client.post("/invocations", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_csv_that_is_none_or_too_long_is_refused(client: httpx.Client) -> None:
    def status(text: bytes) -> int:
        return client.post("/invocations", content=text, headers={"content-type": "text/csv"}).status_code

    assert [status(t) for t in (b"age\n1,2\n", b"\xff\n", b"age\n" + b"1\n" * 201)] == [400, 400, 413]
