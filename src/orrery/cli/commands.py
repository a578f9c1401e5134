"""All commands, where each lives, and the page that ``orrery --help`` prints. Loads none of them."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One word after ``orrery``."""

    section: str
    help: str
    module: str


def _command(section: str, name: str, text: str) -> tuple[str, Command]:
    return name, Command(section, text, f"orrery.cli.{name}")


COMMANDS: dict[str, Command] = dict(
    [
        _command("Start", "init", "Make a new project from an example."),
        _command("Start", "doctor", "Say what is installed here, and what is missing for what."),
        _command("Data", "data", "Look at rows where they lie: head, describe, schema, explain."),
        _command("Models", "fit", "Learn a model that predicts one column from the others."),
        _command("Models", "evaluate", "Judge a model on rows it has not seen."),
        _command("Models", "predict", "Add predictions to rows."),
        _command(
            "Models", "publish", "Publish a model under a name; champion if it is the first, or better."
        ),
        _command("Models", "serve", "Answer over HTTP with a published model."),
        _command("Models", "stream", "Answer the messages of Kafka, or of a pipe, with a published model."),
        _command("Models", "model", "Published models: list, get, describe, alias, rollback, delete."),
        _command("Models", "route", "Who answers for a name: get, set, canary, history."),
        _command(
            "Models", "feedback", "What happened afterwards: outcomes, drift, retrain, promote, decisions."
        ),
        _command("Models", "client", "Print a typed client of one model, as Python code."),
        _command("Models", "launch", "Run a training script of your own as several workers, unchanged."),
        _command("Flows", "check", "Find what is wrong with a flow before anything runs."),
        _command("Flows", "plan", "Say what a run would do, and why."),
        _command("Flows", "run", "Run a flow; what has not changed is reused."),
        _command("Flows", "schema", "JSON Schemas of flows, operators, estimators, learners, features."),
    ]
)

_EXAMPLES = """\
Examples
  orrery init my-digits && cd my-digits && orrery run
  orrery data describe rows.csv
  orrery fit rows.csv --target price --to model
  orrery predict model new.csv --to answers.csv
  orrery publish model prices && orrery serve models:/prices
  orrery model list --output json | jq '.[].version'
"""

_OPTIONS = """\
Options
  --version   the release
  --debug     where an error comes from, in full
  --help      this page; after a command, its own: orrery fit --help

Exit codes: 0 good · 1 failed · 2 wrong use · 3 wrong data · 4 not found: no such model or flow file ·
130 interrupted
"""


def overview(version: str) -> str:
    """The page of all commands.

    >>> print(overview("1.0")[:34])
    orrery 1.0: the complete loop of d
    """
    lines = [
        f"orrery {version}: the complete loop of deep learning on the data platform you already have.",
        "",
        "Usage: orrery COMMAND [ARGUMENTS]",
    ]
    section = ""
    for name, command in COMMANDS.items():
        if command.section != section:
            section = command.section
            lines += ["", section]
        lines.append(f"  {name:10}{command.help}")
    return "\n".join([*lines, "", _EXAMPLES, _OPTIONS])
