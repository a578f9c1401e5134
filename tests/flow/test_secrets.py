"""What a ``${VAR}`` holds is used, and written nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from orrery import settings
from orrery.data.table import Table
from orrery.errors import NodeError
from orrery.flow.flow import Flow
from orrery.registry.folder import open_registry

PW = "s3cr3tPW"
FLOW = """\
metadata: {name: secret}
spec:
  nodes:
    - {id: rows, operator: read, with: {place: "${FOLDER}/rows.csv", options: {types: {b: string}}}}
    - {id: some, operator: where, inputs: {table: rows}, with: {condition: "b <> '${PW}'"}}
    - id: more
      operator: sql
      inputs: {table: some}
      with: {query: "select a, b, y from this where b <> '${PW}' and b <> '${OTHER:-none}'"}
    - {id: parts, operator: split, inputs: {table: more}, with: {rule: "a < 150 or b = '${PW}'"}}
    - {id: model, operator: fit, inputs: {table: parts.train}, with: {target: y, learner: linear}}
    - {id: kept, operator: write, inputs: {table: parts.test}, with: {place: "${FOLDER}/test.parquet"}}
    - {id: report, operator: evaluate, inputs: {model: model, table: kept}, with: {page: report.html}}
    - {id: live, operator: publish, inputs: {model: model, test: kept}, with: {name: secret}}
"""


@pytest.fixture(autouse=True)
def _rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{i},{'xyz'[i % 3]},{'yes' if i % 7 < 3 else 'no'}" for i in range(200)]
    Path("rows.csv").write_text("\n".join(["a,b,y", *lines, f"200,{PW},no"]), encoding="utf-8")
    monkeypatch.setenv("PW", PW)
    monkeypatch.setenv("FOLDER", ".")


def _leaks() -> list[Path]:
    """Every file that Orrery keeps, or a report, in which the secret stands."""
    files = [path for path in [*settings.home().rglob("*"), Path("report.html")] if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if path.suffix in {".zip", ".gz"}]  # one cannot look into those so
    return [path for path in files if PW.encode() in path.read_bytes()]


def test_no_file_holds_what_a_variable_held() -> None:
    flow = Flow.from_yaml(FLOW)
    flow.run()
    flow.plan()
    assert _leaks() == []
    plan = open_registry().get("secret").lineage["data"]
    assert plan["place"] == "${FOLDER}/rows.csv"
    assert plan["steps"][0] == {"step": "where", "condition": "b <> '${PW}'"}
    assert Table.from_dict(plan).count() == 150


def test_a_failure_does_not_tell_it_either() -> None:
    Flow.from_yaml(FLOW).run()
    text = FLOW.replace("learner: linear", "learner: linear, weight: w")
    text = text.replace("b, y from", "b, y, '${PW}' as w from")
    with pytest.raises(NodeError) as caught:
        Flow.from_yaml(text).run()
    assert PW not in str(caught.value)
    assert _leaks() == []


def test_findings_name_the_variable() -> None:
    text = FLOW.replace("b <> '${PW}' and", "nosuch <> '${PW}' and")
    told = "\n".join(str(finding) for finding in Flow.from_yaml(text).check())
    assert "nosuch" in told
    assert PW not in told
