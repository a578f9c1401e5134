"""What several commands share: an app from a function, options that mean the same, pairs such as ``a=b``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import yaml

from orrery.cli.output import Format
from orrery.errors import SettingsError

Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]
Query = Annotated[str | None, typer.Option(help="The SQL to send to a database.")]
Where = Annotated[str | None, typer.Option(help="Only rows that fulfil this SQL condition.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="What a column means: postcode=category. May be given several times."),
]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="How to read a file: delimiter=';', encoding=latin-1, header=false. May be given several times.",
    ),
]
DataArgument = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A path or URL: rows.parquet, 'folder/*.csv', sqlite:///file.db …"),
]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder or zip file, or models:/name, /name/3, /name@alias.")
]
FlowArgument = Annotated[str, typer.Argument(metavar="FLOW", help="The flow's file.")]


def app_of(function: Callable[..., Any]) -> typer.Typer:
    """A command line of one function; what stands under ``Examples:`` in its docstring keeps its lines."""
    app = new_app()
    app.command(help=help_of(function))(function)
    return app


def new_app(text: str | None = None) -> typer.Typer:
    """An app whose errors reach ``main``, which prints them."""
    return typer.Typer(
        help=text,
        add_completion=False,
        no_args_is_help=text is not None,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def help_of(function: Callable[..., Any]) -> str:
    """The docstring with its examples marked, so that their lines are not joined."""
    text = re.sub(r"\n +", "\n", function.__doc__ or "")
    before, found, examples = text.partition("Examples:\n")
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return f"{before}\b\nExamples:\n{lines}" if found else before


def pairs(texts: Sequence[str] | None, what: str) -> dict[str, str]:
    """``["a=1", "b=2"]`` as a mapping. Raises SettingsError for a text without ``=``."""
    found = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise SettingsError(f"{text!r} is no {what}.", hint="Write name=value.")
        found[name] = value
    return found


def values(texts: Sequence[str] | None, what: str) -> dict[str, Any]:
    """Like :func:`pairs`, values read as YAML: numbers, true, lists."""
    return {name: yaml.safe_load(text) for name, text in pairs(texts, what).items()}
