"""Generated clients: they run, their types hold, and no name of a column becomes code."""

from __future__ import annotations

import ast
import datetime as dt
import keyword
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orrery as ory
from orrery.client import template
from orrery.client.client import Client
from orrery.client.generate import client_code, identifiers
from orrery.errors import ServingError
from orrery.serving.online.server import serve

NASTY = [
    "income €",
    "城市",
    "class",
    "int",
    "self",
    "__init__",
    "__class__",
    "2nd",
    "",
    " ",
    "a b",
    "a-b",
    "a_b",
    "A",
    "id",
    'x"""\nimport os\n"""',
    "x' + __import__('os').system('true') + '",
    "#",
    "\\",
    "\u202egnirts",
    "ﬁ",
    "fi",
    "\ud800",
    "str",
    "Row",
    "dataclass",
    "{MODEL}",
    "x\r\ny",
]


def told(names: list[str], labels: list[str], **more: Any) -> dict[str, Any]:
    """What a service might tell of a model."""
    inputs = [{"name": name, "type": "double", "kind": "number"} for name in names]
    target = {"name": "kind", "kind": "category", "type": "string", "labels": labels}
    return {"name": "pets", "version": 3, "inputs": inputs, "target": target, **more}


def made(code: str) -> Any:
    """A generated module, run."""
    module = types.ModuleType("made")
    sys.modules["made"] = module
    exec(compile(code, "made.py", "exec"), module.__dict__)
    return module


def shape(code: str) -> str:
    """The code with its literals and the fields of its rows taken out: what no name may change."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = None
        if isinstance(node, ast.ClassDef) and node.name == "Row":
            fields = [one for one in node.body[1:] if not isinstance(one, ast.Pass)]
            assert all(isinstance(one, ast.AnnAssign) and one.value is None for one in fields)
            node.body = node.body[:1]
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name) and target.id in ("COLUMNS", "LABELS") and node.value is not None:
                ast.literal_eval(node.value)
                node.value = ast.Constant(None)
    return ast.dump(tree)


EXPECTED = shape(client_code(told(["a"], ["b"])))


@given(
    st.lists(st.text(max_size=20) | st.sampled_from(NASTY), max_size=8),
    st.lists(st.text(max_size=20), max_size=4),
    st.text(max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_names_become_literals_and_identifiers_only(names: list[str], labels: list[str], model: str) -> None:
    code = client_code(told(names, labels, name=model))
    if any("\ud800" <= c <= "\udfff" for c in "".join([*names, *labels, model])):
        code.encode()  # written as escapes
    assert shape(code) == EXPECTED
    module = made(code)
    assert list(module.COLUMNS.values()) == list(dict.fromkeys(names))
    assert list(module.LABELS) == labels
    assert model == module.MODEL


@given(st.lists(st.text(max_size=12) | st.sampled_from(NASTY), max_size=12))
def test_identifiers_are_identifiers_and_differ(names: list[str]) -> None:
    found = identifiers(names)
    assert list(found) == list(dict.fromkeys(names))
    assert len(set(found.values())) == len(found)
    for one in found.values():
        assert one.isidentifier()
        assert not keyword.iskeyword(one)
        assert not one.startswith("_")


def test_the_template_is_itself_a_client() -> None:
    assert [*template.COLUMNS] == ["weight"]
    assert template.Row(weight=3.0).weight == 3.0


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": "x"},
        {"name": "x", "version": "1; import os", "inputs": [], "target": {}},
        {
            "name": "x",
            "version": 1,
            "inputs": [5],
            "target": {"name": "y", "kind": "number", "type": "double"},
        },
        {"name": "x", "version": 1, "inputs": [], "target": {"name": "y", "kind": "os", "type": "double"}},
    ],
)
def test_what_is_no_description_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServingError, match="not what a service tells"):
        client_code(wrong)


@pytest.mark.slow
def test_types_are_clean_for_every_kind_of_column(tmp_path: Path) -> None:
    kinds = [
        ("n", "int64", "number"), ("f", "double", "number"), ("b", "bool", "number"),
        ("c", "string", "category"),
        ("t", "large_string", "text"), ("d", "timestamp[us]", "datetime"), ("i", "binary", "image"),
        ("v", "fixed_size_list<item: double>[3]", "vector"), ("s", "list<item: double>", "series"),
        ("x", "binary", "tensor"), ("l", "list<item: string>", "labels"), ("m", "map<string, double>", "map"),
        ("g", "struct<lat: double, lon: double>", "geo"), ("k", "int32", "category"), ("o", "null", None),
    ]  # fmt: skip
    for number, target in enumerate(("category", "labels", "number", "vector")):
        description = told(NASTY, ["a", "b"])
        description["inputs"] += [{"name": f"of {n}", "type": t, "kind": k} for n, t, k in kinds]
        description["target"]["kind"] = target
        (tmp_path / f"made_{number}.py").write_text(client_code(description), "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_generated_client_asks_its_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    table = pa.table(
        {
            "class": list(range(60)),
            "on day": [dt.date(2024, 1, 1 + i % 28) for i in range(60)],
            "big": ["yes" if i > 30 else "no" for i in range(60)],
        }
    )
    model = ory.fit(table, "big", learner="linear", kinds={"class": "number"})
    with serve(model, name="sizes", port=0, wait=False) as service:
        with Client(service.url) as asked:
            module = made(client_code(asked.metadata()))
        days = [dt.date(2024, 2, 1 + i % 28) for i in range(40)]
        with module.Client(service.url) as client:
            rows = [module.Row(class_=i, on_day=day) for i, day in enumerate(days)] * 40
            found = client.predict(rows)
            named = client.predict(rows[:2], ids=["a", "b"])
            kept = client.outcomes({"a": "yes", "b": "no"})
            module.MODEL = "nope"
            with pytest.raises(module.ServiceError, match="404"):
                client.predict(rows[:1])
    expected = model.predict([{"class": i, "on day": day} for i, day in enumerate(days)])
    assert [one.probability for one in found] == [row["probability"] for row in expected] * 40
    assert [one.prediction for one in found[:40]] == [row["prediction"] for row in expected]
    assert [one.id for one in named] == ["a", "b"]
    assert kept == 2


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    rows = [{"x y": float(i), "z": float(2 * i)} for i in range(60)]
    ory.fit(rows, "z", learner="linear").save(tmp_path / "lines.zip")
    command = [
        str(Path(sys.executable).parent / "orrery"),
        "client",
        str(tmp_path / "lines.zip"),
        "--name",
        "lines",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    module = made(done.stdout)
    assert module.COLUMNS == {"x_y": "x y"}
    assert module.MODEL == "lines"
