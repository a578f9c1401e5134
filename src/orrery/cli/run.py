"""``orrery run``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orrery.cli.options import FlowArgument, Output, app_of, values
from orrery.cli.output import Format, no_bars, say, show
from orrery.flow.flow import Flow
from orrery.flow.ports import describe
from orrery.flow.runner import Run
from orrery.flow.watch import Lines


def run(
    flow: FlowArgument = "flow.yaml",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting for this run: node.setting=value.")
    ] = None,
    to: Annotated[list[str] | None, typer.Option(help="Only this node and what it needs.")] = None,
    force: Annotated[list[str] | None, typer.Option(help="Run this node although nothing changed.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Run a flow. What has not changed is reused, and a run that was stopped goes on where it was.

    Examples:
      orrery run
      orrery run flow.yaml --set parts.seed=8
      orrery run --to report --force model
    """
    no_bars(output)
    loaded = Flow.load(flow).with_settings(values(changes, "setting"))
    done = loaded.run(to=to or (), force=force or (), watch=Lines(loaded))
    answers = _answers(done)
    if output is Format.TABLE:
        for node, answer in answers.items():
            say(f"\n{node}: {answer['text']}")
    else:
        facts = {node: answer["values"] for node, answer in answers.items()}
        show({**done.to_dict(), "values": facts}, output)


def _answers(done: Run) -> dict[str, dict[str, Any]]:
    """What the nodes gave that people want to read: reports, versions, decisions."""
    found = {}
    for reference in done.references("report", "published", "decision", "drift"):
        text, facts = describe(done[reference])
        found[reference] = {"text": text, "values": facts}
    return found


app = app_of(run)
