from __future__ import annotations

from pathlib import Path

import pytest

from orrery.flow.finding import Finding
from orrery.flow.flow import Flow

GOOD = """\
metadata: {name: people}
spec:
  nodes:
    - id: rows
      operator: read
      with: {place: rows.csv}
    - id: parts
      operator: split
      inputs: {table: rows}
      with: {ratio: 0.8, stratify: city}
    - id: model
      operator: fit
      inputs: {table: parts.train}
      with: {target: city}
    - id: report
      operator: evaluate
      inputs: {model: model, table: parts.test}
"""


def check(text: str, path: Path) -> list[Finding]:
    file = path / "flow.yaml"
    file.write_text(text)
    return Flow.load(file).check()


def test_a_good_flow(rows: Path) -> None:
    assert check(GOOD, rows.parent) == []


@pytest.mark.parametrize(
    ("before", "after", "code", "node", "line", "says"),
    [
        ("operator: split", "operator: splitt", "ORR004", "parts", 8, "Did you mean 'split'?"),
        ("{table: rows}", "{tabel: rows}", "ORR005", "parts", 9, "Did you mean 'table'?"),
        ("inputs: {table: rows}", "tags: [a]", "ORR005", "parts", 7, "'table', a table, is needed"),
        ("{table: rows}", "{table: [rows, rows]}", "ORR005", "parts", 9, "takes one value, and 2"),
        ("{table: rows}", "{table: row}", "ORR006", "parts", 9, "Did you mean 'rows'?"),
        ("{table: parts.train}", "{table: parts}", "ORR006", "model", 13, "Say which: parts.train."),
        ("{table: parts.train}", "{table: parts.trian}", "ORR006", "model", 13, "Did you mean 'train'?"),
        ("{table: rows}", "{table: rows.all}", "ORR006", "parts", 9, "it gives one value. Write rows."),
        (
            "model: model,",
            "model: rows,",
            "ORR007",
            "report",
            17,
            "takes a model, and 'rows' is a table. Of that",
        ),
        ("ratio: 0.8", "ratoi: 0.8", "ORR009", "parts", 10, "Did you mean 'ratio'"),
        ("ratio: 0.8", "ratio: much", "ORR009", "parts", 10, "received 'much'"),
        ("{target: city}", "{seed: 3}", "ORR009", "model", 14, "'target' is needed"),
        (
            "{target: city}",
            "{target: city, learner: bosted}",
            "ORR009",
            "model",
            14,
            "Did you mean 'boosted'?",
        ),
        ("rows.csv", "'${NOWHERE}/rows.csv'", "ORR010", "rows", 6, "'NOWHERE' is not set"),
        ("rows.csv", "none.csv", "ORR011", "rows", 6, "none.csv"),
        ("stratify: city", "stratify: ctiy", "ORR012", "parts", 10, "Did you mean 'city'?"),
        ("{target: city}", "{target: town}", "ORR012", "model", 14, "There is no column 'town'"),
    ],
)
def test_each_rule_names_its_node_its_line_and_what_to_do(
    rows: Path, before: str, after: str, code: str, node: str, line: int, says: str
) -> None:
    found = check(GOOD.replace(before, after), rows.parent)
    assert [(f.code, f.node, f.where.rpartition(":")[2]) for f in found] == [(code, node, str(line))]
    assert says in str(found[0])
    assert "Value error" not in str(found[0])


def test_a_circle(rows: Path) -> None:
    text = GOOD.replace("inputs: {table: rows}", "inputs: {table: again}")
    text += "    - {id: again, operator: where, inputs: {table: parts.test}, with: {condition: age > 3}}\n"
    found = check(text, rows.parent)
    assert [f.code for f in found] == ["ORR008"]
    assert "in a circle" in found[0].message


def test_a_condition_on_an_unknown_column(rows: Path) -> None:
    text = GOOD + "    - {id: old, operator: where, inputs: {table: rows}, with: {condition: aeg > 3}}\n"
    found = check(text, rows.parent)
    assert [(f.code, f.node, f.column) for f in found] == [("ORR012", "old", "aeg")]


def test_a_table_without_the_columns_of_the_model(rows: Path) -> None:
    text = GOOD.replace("table: parts.test", "table: less")
    text += "    - {id: less, operator: select, inputs: {table: rows}, with: {columns: [age, city]}}\n"
    found = check(text, rows.parent)
    assert [(f.code, f.node, f.column) for f in found] == [("ORR013", "report", "id")]


def test_all_findings_come_at_once(rows: Path) -> None:
    text = GOOD.replace("operator: split", "operator: splitt").replace("target:", "taget:")
    assert {f.code for f in check(text, rows.parent)} == {"ORR004", "ORR009"}


def test_variables_are_filled_in(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(rows))
    assert check(GOOD.replace("rows.csv", "'${PLACE}'"), rows.parent) == []
