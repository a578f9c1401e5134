from __future__ import annotations

from typing import Any

import pytest

from orrery.flow.document import parse_document
from orrery.flow.parse import parse

GOOD = """\
metadata: {name: small}
spec:
  nodes:
    - id: rows
      operator: read
      with: {place: rows.csv}
"""


def findings(text: str) -> list[str]:
    return [f"{f.where} {f.code} {f.message} {f.hint}".strip() for f in parse(parse_document(text))[1]]


def test_a_good_flow_has_no_findings() -> None:
    values, found = parse(parse_document(GOOD))
    assert found == []
    assert values["name"] == "small"
    assert [node.id for node in values["nodes"]] == ["rows"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("spec:", "specs:", "flow.yaml:2 ORR001 Unknown key 'specs'"),
        ("operator: read", "operater: read", "flow.yaml:5 ORR001 Unknown key 'operater'"),
        ("metadata: {name: small}", "metadata: {name: a b}", "flow.yaml:1 ORR002 The flow's name is 'a b'"),
        ("metadata:", "apiVersion: orrery/v9\nmetadata:", "flow.yaml:1 ORR002 The version is 'orrery/v9'"),
        ("metadata:", "kind: Model\nmetadata:", "flow.yaml:1 ORR002 The kind is 'Model'"),
        ("id: rows", "id: 1 x", "flow.yaml:4 ORR003 A node's id is '1 x'"),
        ("with: {place: rows.csv}", "with: 3", "flow.yaml:6 ORR002 spec/nodes/0/with is 3"),
        ("with: {place: rows.csv}", "inputs: {table: 3}", "flow.yaml:6 ORR002 An input is the id of a node"),
        ("with: {place: rows.csv}", "tags: 3", "flow.yaml:6 ORR002 Tags are a list"),
    ],
)
def test_what_is_wrong_is_found_at_its_line(before: str, after: str, expected: str) -> None:
    found = findings(GOOD.replace(before, after))
    assert any(line.startswith(expected) for line in found), found


def test_suggestions_and_all_findings_at_once() -> None:
    found = findings(GOOD.replace("operator", "operater").replace("metadata", "metdata"))
    assert len(found) >= 3
    assert any("Did you mean 'operator'?" in line for line in found)
    assert any("Did you mean 'metadata'?" in line for line in found)


def test_two_nodes_of_one_id() -> None:
    twice = GOOD + "    - {id: rows, operator: read, with: {place: b.csv}}\n"
    assert findings(twice) == ["flow.yaml:7 ORR003 Two nodes have the id 'rows'. Rename one of them."]


@pytest.mark.parametrize(
    "value", ["", "3", "[]", "spec: {}", "spec: {nodes: []}", "spec: {nodes: [3]}", "a: {b: c}"]
)
def test_rubbish_gives_findings(value: str) -> None:
    found: Any = parse(parse_document(value))[1]
    assert found
