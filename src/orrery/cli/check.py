"""``orrery check``."""

from __future__ import annotations

from orrery.cli.options import FlowArgument, Output, app_of
from orrery.cli.output import Format, show
from orrery.errors import FlowCheckError
from orrery.flow.flow import Flow


def check(flow: FlowArgument = "flow.yaml", output: Output = Format.TABLE) -> int:
    """Find what is wrong with a flow before anything runs: keys, wiring, types, settings, columns.

    Exits with 2 if something is.

    Examples:
      orrery check
      orrery check flows/train.yaml --output json
    """
    try:
        loaded = Flow.load(flow)
    except FlowCheckError as error:
        if output is Format.TABLE:
            raise
        show([{"message": line} for line in str(error).splitlines()], output)
        return error.exit_code
    findings = loaded.check()
    lines = "\n".join(str(finding) for finding in findings)
    good = f"{flow}: nothing is wrong with its {len(loaded.nodes)} nodes."
    show([finding.to_dict() for finding in findings], output, text=lines or good)
    return FlowCheckError.exit_code if findings else 0


app = app_of(check)
