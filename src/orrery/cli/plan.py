"""``orrery plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from orrery.cli.options import FlowArgument, Output, app_of, values
from orrery.cli.output import Format, show, tell
from orrery.errors import FlowCheckError
from orrery.flow.flow import Flow

_DOES = {"read": "adds a step", "run": "runs", "reuse": "is reused"}


def plan(
    flow: FlowArgument = "flow.yaml",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: node.setting=value.")
    ] = None,
    to: Annotated[list[str] | None, typer.Option(help="Only this node and what it needs.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what a run would do with each node, and why. Runs nothing.

    Examples:
      orrery plan
      orrery plan flow.yaml --set parts.seed=8
    """
    loaded = Flow.load(flow).with_settings(values(changes, "setting"))
    findings = loaded.check()
    if findings:
        raise FlowCheckError("\n".join(str(finding) for finding in findings))
    planned = loaded.plan(to=to or ())
    rows = [
        {"node": p.node, "operator": p.operator, "it": _DOES[p.action], "because": p.reason} for p in planned
    ]
    if output is Format.TABLE:
        show(rows, output, widest=140)
        running = sum(p.action == "run" for p in planned)
        tell(f"\n{running} of {len(planned)} nodes would run.")
    else:
        show([p.to_dict() for p in planned], output)


app = app_of(plan)
