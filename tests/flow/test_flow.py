from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import FlowCheckError
from orrery.flow.flow import Flow
from orrery.flow.graph import Node
from orrery.flow.operators.read import read
from orrery.flow.operators.split import split
from orrery.flow.operators.union import union
from orrery.flow.schema import flow_schema


def small() -> Flow:
    rows = read.node("rows", place="rows.csv")
    parts = split.node("parts", table=rows, ratio=0.5)
    both = union.node("both", tables=[parts.train, parts.test])
    return Flow.of("small", both, description="Cut and joined again")


def test_a_flow_in_python_is_the_flow_in_yaml() -> None:
    text = small().to_yaml()
    assert text.startswith("$schema: flow.schema.json\napiVersion: orrery/v1\nkind: Flow\n")
    assert "tables: [parts.train, parts.test]" in text
    assert Flow.from_yaml(text) == small()
    assert Flow.from_dict(small().to_dict()) == small()


def test_a_flow_in_python_runs(rows: Path) -> None:
    assert sorted(row["id"] for row in small().run()["both"].to_rows()) == list(range(100))


def test_two_nodes_of_one_id_in_python() -> None:
    one, two = read.node("rows", place="a.csv"), read.node("rows", place="b.csv")
    with pytest.raises(FlowCheckError, match="Two nodes have the id 'rows'"):
        Flow.of("twice", union.node("both", tables=[one, two]))


def test_it_shows_itself() -> None:
    assert "parts  split  table ← rows  ratio=0.5" in repr(small())
    flow = Flow(name="x", nodes=(Node(id="a", operator="read", settings={"place": "<script>"}),))
    assert "<script>" not in flow._repr_html_().replace("<script>(", "")
    assert "&lt;script&gt;" in flow._repr_html_()


def test_the_layout_stands_at_the_end() -> None:
    flow = small().model_copy(update={"layout": {"rows": {"x": 1.0, "y": 2.0}}})
    assert list(flow.to_dict())[-1] == "layout"
    assert Flow.from_yaml(flow.to_yaml()).layout == flow.layout


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.lists(st.text(max_size=5), max_size=3)
)


@settings(max_examples=40)
@given(st.dictionaries(names, st.dictionaries(names, values, max_size=3), min_size=1, max_size=5))
def test_any_flow_is_read_as_it_was_written(nodes: dict[str, dict[str, object]]) -> None:
    flow = Flow(name="f", nodes=tuple(Node(id=i, operator="read", settings=s) for i, s in nodes.items()))
    assert Flow.from_yaml(flow.to_yaml()) == flow


def test_the_schema_names_every_operator_and_its_settings() -> None:
    schema = flow_schema()
    node = schema["properties"]["spec"]["properties"]["nodes"]["items"]
    assert "split" in node["properties"]["operator"]["enum"]
    rule = next(r for r in node["allOf"] if r["if"]["properties"]["operator"]["const"] == "split")
    assert "stratify" in rule["then"]["properties"]["with"]["properties"]
    assert rule["then"]["properties"]["inputs"]["required"] == ["table"]
