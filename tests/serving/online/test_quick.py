"""The quick way in says what the application says: a header with an option asks the latter."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

SLOWLY = {"x-request-timeout-ms": "60000"}
AGE = {"name": "age", "shape": [1], "datatype": "INT64", "data": [50]}


def _tensors(row: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {"age": "INT64", "income €": "FP64", "member": "BOOL"}
    return [{"name": n, "shape": [1], "datatype": kinds.get(n, "BYTES"), "data": [v]} for n, v in row.items()]


def _both(client: httpx.Client, path: str, body: Any) -> list[tuple[int, Any]]:
    found = [client.post(path, json=body, headers=headers) for headers in ({}, SLOWLY)]
    return [(answer.status_code, answer.json()) for answer in found]


def test_tensors_have_the_same_answer(client: httpx.Client, row: dict[str, Any]) -> None:
    quick, slow = _both(client, "/v2/models/clients/infer", {"id": "q", "inputs": _tensors(row)})
    assert quick == slow
    assert quick[0] == 200


def test_rows_have_the_same_answer(client: httpx.Client, row: dict[str, Any]) -> None:
    rows = [{"id": "a", **row}, {"id": "b", **row, "age": None, "more": [1]}]
    quick, slow = _both(client, "/v1/models/clients:predict", {"rows": rows})
    assert quick == slow
    assert [said["id"] for said in quick[1]["rows"]] == ["a", "b"]


@pytest.mark.parametrize(
    "inputs",
    [[], [AGE], [AGE, AGE], [{**AGE, "data": [[50]]}], [{**AGE, "shape": []}], [{**AGE, "datatype": "X"}], 3],
)
def test_what_is_wrong_is_said_alike(client: httpx.Client, inputs: Any) -> None:
    quick, slow = _both(client, "/v2/models/clients/infer", {"inputs": inputs})
    assert quick == slow
    assert quick[0] == 400
