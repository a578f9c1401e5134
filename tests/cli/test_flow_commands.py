"""``check``, ``plan``, ``run``, ``schema`` and ``init``, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orrery.cli.main import run
from orrery.flow.flow import Flow

Capture = pytest.CaptureFixture[str]

FLOW = """\
metadata: {name: people}
spec:
  nodes:
    - {id: rows, operator: read, with: {place: rows.csv}}
    - {id: parts, operator: split, inputs: {table: rows}, with: {ratio: 0.5}}
    - {id: out, operator: write, inputs: {table: parts.train}, with: {place: out.csv}}
"""


@pytest.fixture(autouse=True)
def flow(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("\n".join(["id,age", *(f"{i},{i % 7}" for i in range(40))]) + "\n")
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW)
    return path


def test_check(flow: Path, capsys: Capture) -> None:
    assert run(["check"]) == 0
    assert capsys.readouterr().out == "flow.yaml: nothing is wrong.\n"
    flow.write_text(FLOW.replace("{table: rows}", "{table: row}"))
    assert run(["check"]) == 2
    assert "flow.yaml:5: ORR006 node 'parts', inputs.table" in capsys.readouterr().out
    assert run(["check", "--output", "json"]) == 2
    assert json.loads(capsys.readouterr().out)[0]["code"] == "ORR006"


def test_a_broken_shape(flow: Path, capsys: Capture) -> None:
    flow.write_text(FLOW.replace("spec:", "specs:"))
    assert run(["check"]) == 2
    assert "flow.yaml:2: ORR001: Unknown key 'specs'" in capsys.readouterr().out
    assert run(["check", "--output", "json"]) == 2
    assert [found["code"] for found in json.loads(capsys.readouterr().out)] == ["ORR001", "ORR002"]
    assert run(["run"]) == 2
    assert "ORR001: Unknown key 'specs'" in capsys.readouterr().err


def test_plan_and_run(capsys: Capture) -> None:
    assert run(["plan", "--output", "json"]) == 0
    assert [p["action"] for p in json.loads(capsys.readouterr().out)] == ["read", "read", "run"]
    assert run(["run"]) == 0
    assert "✓ out" in capsys.readouterr().err
    assert run(["run", "--output", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["nodes"][2]["reason"] == "nothing changed"
    assert "reused: nothing changed" in told.err
    assert run(["plan", "--set", "parts.seed=8"]) == 0
    assert "parts: setting seed changed not set → 8" in capsys.readouterr().out


def test_a_failed_run_has_the_exit_code_of_its_cause(flow: Path, capsys: Capture) -> None:
    (flow.parent / "rows.csv").write_text("id,age\n1,2\n")
    flow.write_text(FLOW.replace("out.csv", "/proc/nowhere/out.csv"))
    assert run(["run"]) == 3
    assert "flow.yaml:6: Node 'out' (write) failed" in capsys.readouterr().err


def test_schemas(capsys: Capture) -> None:
    assert run(["schema"]) == 0
    names = capsys.readouterr().out.split()
    assert {"flow", "estimator", "operators/split", "learners/network", "features/image"} <= set(names)
    for name in names:
        assert run(["schema", name]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict), name
    assert run(["schema", "operator/split"]) == 2
    assert "Did you mean 'operators/split'" in capsys.readouterr().err


def test_init_makes_a_project_that_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run(["init", "mine"]) == 0
    assert "cd mine" in capsys.readouterr().out
    assert {"flow.yaml", "digits.db", "flow.schema.json"} <= {path.name for path in Path("mine").iterdir()}
    assert run(["init", "mine"]) == 2
    assert run(["init", "other", "--example", "digit"]) == 2
    assert "Did you mean 'digits'" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "mine")
    assert Flow.load("flow.yaml").check() == []
