"""``orrery check``."""

from __future__ import annotations

from pathlib import Path

from orrery.cli.options import FlowArgument, Output, app_of
from orrery.cli.output import Format, show
from orrery.errors import FlowCheckError
from orrery.flow.document import read_document
from orrery.flow.flow import Flow
from orrery.flow.parse import parse


def check(flow: FlowArgument = "flow.yaml", output: Output = Format.TABLE) -> int:
    """Find what is wrong with a flow before anything runs: keys, wiring, types, settings, columns.

    Exits with 2 if something is.

    Examples:
      orrery check
      orrery check flows/train.yaml --output json
    """
    document = read_document(Path(flow))
    _, findings = parse(document)
    if not findings:
        findings = Flow.load(flow).check()
    lines = "\n".join(str(finding) for finding in findings)
    show([finding.to_dict() for finding in findings], output, text=lines or f"{flow}: nothing is wrong.")
    return FlowCheckError.exit_code if findings else 0


app = app_of(check)
