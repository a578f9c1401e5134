"""The operators that learn, judge, publish and learn again, in one flow of numbers."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

import orrery as ory
from orrery.flow.flow import Flow

FLOW = """\
metadata: {name: prices}
spec:
  nodes:
    - {id: rows, operator: read, with: {place: rows.csv}}
    - {id: parts, operator: split, inputs: {table: rows}, with: {ratio: 0.75, seed: 1}}
    - id: model
      operator: fit
      inputs: {table: parts.train}
      with: {target: price, learner: linear, ignore: [id]}
    - {id: report, operator: evaluate, inputs: {model: model, table: parts.test}, with: {page: report.html}}
    - {id: live, operator: publish, inputs: {model: model, test: parts.test}, with: {name: prices}}
    - {id: judged, operator: promote, inputs: {published: live, test: parts.test}}
    - {id: answers, operator: predict, inputs: {model: model, table: parts.test}}
    - {id: out, operator: write, inputs: {table: answers}, with: {place: answers.csv}}
"""

AGAIN = """\
metadata: {name: again}
spec:
  nodes:
    - {id: rows, operator: read, with: {place: rows.csv}}
    - {id: drift, operator: drift, inputs: {reference: rows}, with: {name: prices}}
    - {id: next, operator: retrain, inputs: {table: rows}, with: {name: prices}}
    - {id: live, operator: publish, inputs: {model: next, test: rows}, with: {name: prices}}
"""


@pytest.fixture(autouse=True)
def rows() -> None:
    lines = [f"{i},{i % 10},{i % 3},{3 * (i % 10) + (i % 3)}" for i in range(160)]
    Path("rows.csv").write_text("\n".join(["id,rooms,floor,price", *lines]) + "\n")


def test_from_rows_to_answers() -> None:
    run = Flow.from_yaml(FLOW).run()
    assert run["report"].metrics["r2"] > 0.99
    assert run["live"].version.version == 1
    assert run["judged"].promoted
    assert "prediction" in ory.read("answers.csv").schema
    assert Path("report.html").exists()
    again = {result.node: (result.state, result.reason) for result in Flow.from_yaml(FLOW).run().results}
    for node in ("model", "report", "live", "out"):
        assert again[node] == ("reused", "nothing changed")
    assert again["judged"] == ("done", "the champion may be another one now")


def test_stored_values_are_those_that_were_made() -> None:
    first, second = Flow.from_yaml(FLOW).run(), Flow.from_yaml(FLOW).run()
    assert second["report"].metrics == first["report"].metrics
    assert second["live"] == first["live"]
    batch = next(iter(first["parts.test"].batches()))
    assert (second["model"].scores(batch) == first["model"].scores(batch)).all()


def test_learning_again_from_what_happened() -> None:
    Flow.from_yaml(FLOW).run(to=["live"])
    with ory.serve("models:/prices", port=0, wait=False) as service:
        body = json.dumps(
            {"rows": [{"id": f"n{i}", "rooms": i % 10, "floor": 2} for i in range(30)]}
        ).encode()
        with urllib.request.urlopen(f"{service.url}/v1/models/prices:predict", body, timeout=10) as answer:
            assert len(json.load(answer)["rows"]) == 30
    ory.outcomes("prices", [{"id": f"n{i}", "price": 3 * (i % 10) + 2} for i in range(30)])
    run = Flow.from_yaml(AGAIN).run()
    assert run["drift"].rows_now == 30
    assert run["next"].lineage["parent"] == "models:/prices/1"
    assert run["live"].version.version == 2
    states = {result.node: result.reason for result in Flow.from_yaml(AGAIN).run().results}
    assert states["next"] == "what was recorded since may differ"
