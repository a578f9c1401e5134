"""What Prometheus reads."""

from __future__ import annotations

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families


def samples(client: httpx.Client) -> dict[tuple[str, frozenset[str]], float]:
    """Each sample by its name and labels, as Prometheus would parse it."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def test_requests_and_rows_are_counted(client: httpx.Client, row: dict[str, Any]) -> None:
    before = samples(client)
    client.post("/v1/models/clients:predict", json={"rows": [row, row]})
    client.post("/v1/models/clients:predict", json={"rows": [3]})
    after = samples(client)

    def more(name: str, *labels: str) -> float:
        key = name, frozenset(labels)
        return after[key] - before.get(key, 0.0)

    assert more("orrery_requests_total", "clients", "rows.predict", "200") == 1
    assert more("orrery_requests_total", "clients", "rows.predict", "400") == 1
    assert more("orrery_predictions_total", "clients", "0") == 2
    assert more("orrery_request_seconds_count", "clients", "rows.predict") == 2
    assert more("orrery_model_seconds_count", "clients", "0") == 1
    assert after["orrery_model_info", frozenset(["clients", "0"])] == 1
    assert after["orrery_records_lost_total", frozenset(["clients"])] == 0


def test_a_caller_s_words_never_become_labels(client: httpx.Client) -> None:
    client.get("/v1/models/evil-label")
    client.get("/evil-label")
    assert "evil-label" not in client.get("/metrics").text
