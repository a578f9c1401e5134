"""The OpenAPI document: it is one, and the service does what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from orrery.serving.online.server import Service


def test_the_document_has_each_column_with_its_type(client: httpx.Client, row: dict[str, Any]) -> None:
    document = client.get("/openapi.json").json()
    found = document["components"]["schemas"]["clients.Row"]
    assert found["required"] == ["age", "income €", "city", "note", "since", "member"]
    assert found["properties"]["age"] == {"type": ["number", "boolean", "null"]}
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.validate(row, found)
    answer = client.post("/v1/models/clients:predict", json={"rows": [row]}).json()["rows"][0]
    jsonschema.validate(answer, document["components"]["schemas"]["clients.Answer"])


@pytest.mark.parametrize("name", ["clients", "points"])
def test_whatever_the_document_allows_has_an_answer_that_it_describes(
    service_of: Callable[[str], Service], name: str
) -> None:
    url = service_of(name).url
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        @given(case=operation.as_strategy())
        @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            # A tensor's shape and its data, say, have to agree, which no schema can tell.
            case.call_and_validate(base_url=url, timeout=30, excluded_checks=[positive_data_acceptance])

        ask()


def test_statistics_count_what_was_answered(client_of: Callable[[str], httpx.Client]) -> None:
    client = client_of("prices")
    before, after = (_stats(client, ask=n) for n in (0, 3))
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 3
    assert after["inference_stats"]["cache_hit"] == {"count": 0, "ns": 0}


def _stats(client: httpx.Client, ask: int) -> dict[str, Any]:
    for _ in range(ask):
        assert client.post("/v1/models/prices:predict", json={"rows": [{"x": 1.0}]}).status_code == 200
    found: dict[str, Any] = client.get("/v2/models/prices/stats").json()["model_stats"][0]
    return found
