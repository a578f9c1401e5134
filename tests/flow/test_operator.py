from __future__ import annotations

from typing import Annotated, NamedTuple

import pytest

from orrery.data.table import Table, read
from orrery.errors import FlowError, SettingsError
from orrery.flow.operator import OUTSIDE, Column, Context, Port, operator
from orrery.flow.operators import find, names
from orrery.flow.schema import operator_schema


class Two(NamedTuple):
    left: Table
    right: Table


@operator(lazy=True)
def cut(
    table: Table,
    others: list[Table] | None = None,
    *,
    by: Annotated[str, Column("table")],
    also: Annotated[list[str] | None, Column("table")] = None,
    share: float = 0.5,
    context: Context = OUTSIDE,
) -> Two:
    """Cut a table.

    Args:
        table: The rows.
        others: More rows.
        by: The column to
            cut by.
        share: How much goes left.
        context: Not used.
    """
    return Two(table, table)


def test_ports_and_settings_come_from_the_signature() -> None:
    assert cut.name == "cut"
    assert cut.inputs["table"] == Port("table", "table", True, False, "The rows.")
    assert list(cut.settings.model_fields) == ["by", "also", "share"]
    assert cut.settings.model_fields["by"].description == "The column to cut by."
    assert cut.outputs == {"left": "table", "right": "table"}
    assert cut.context_name == "context"
    assert cut.help == "Cut a table."


def test_settings_are_checked() -> None:
    assert cut.settings.from_dict({"by": "a"}).to_dict() == {"by": "a", "also": None, "share": 0.5}
    with pytest.raises(SettingsError, match="share"):
        cut.settings.from_dict({"by": "a", "share": "much"})
    with pytest.raises(SettingsError, match="by: this setting is needed"):
        cut.settings.from_dict({})


def test_settings_that_name_columns_are_known() -> None:
    settings = cut.settings.from_dict({"by": "a", "also": ["b", "c"]})
    assert cut.columns_named(settings) == {"by": ("table", ["a"]), "also": ("table", ["b", "c"])}


def test_it_is_still_the_function() -> None:
    table = read([{"a": 1}])
    assert cut(table, by="a") == Two(table, table)


def test_steps_are_wired_in_python() -> None:
    rows = find("read").node("rows", place="x.csv")
    parts = cut.node("parts", table=rows, by="a")
    again = cut.node("again", table=parts.left, by="a")
    assert parts.node.inputs == {"table": ("rows",)}
    assert again.node.inputs == {"table": ("parts.left",)}
    assert [node.id for node in again.upstream()] == ["rows", "parts", "again"]
    with pytest.raises(AttributeError, match="gives 'left', 'right', not 'middle'"):
        _ = parts.middle


def test_an_unknown_argument_is_told_with_a_suggestion() -> None:
    with pytest.raises(FlowError, match=r"no 'tabel'.*Did you mean 'table'"):
        cut.node("x", tabel=None)


def test_what_does_not_flow_cannot_be_an_output() -> None:
    def number(table: Table) -> int:
        """Count."""
        return 1

    with pytest.raises(FlowError, match="not a kind of value that flows"):
        operator()(number)


def test_columns_are_marked_in_the_schema() -> None:
    schema = operator_schema(cut)
    assert schema["with"]["properties"]["by"]["x-column-of"] == "table"
    assert schema["inputs"]["table"]["help"] == "The rows."


@pytest.mark.parametrize("name", names())
def test_every_operator_is_documented(name: str) -> None:
    found = find(name)
    assert found.name == name
    assert found.help.endswith(".")
    for port in found.inputs.values():
        assert port.help, port
    for setting, field in found.settings.model_fields.items():
        assert field.description, setting
