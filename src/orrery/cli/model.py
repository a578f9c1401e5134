"""``orrery model``: published models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from orrery.cli.options import ModelArgument, Output, help_of, new_app
from orrery.cli.output import Format, show
from orrery.errors import SettingsError
from orrery.feedback.promotion import rollback as roll_back
from orrery.registry.folder import open_registry
from orrery.registry.load import load
from orrery.registry.registry import Version
from orrery.registry.routes import Routing
from orrery.registry.url import ModelUrl

app = new_app("Published models: names, versions and aliases.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The published name.")]


def list_models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this name.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List names and versions.

    Examples:
      orrery model list
      orrery model list prices --output json | jq '.[-1].metrics'
    """
    versions = open_registry().versions(name)
    if output is Format.TABLE:
        show([_row(version) for version in versions], output)
    else:
        show([version.to_dict() for version in versions], output)


def get(
    model: ModelArgument,
    to: Annotated[Path | None, typer.Option(help="Copy the model's files to this new folder.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one version, or copy its files out of the registry.

    Examples:
      orrery model get models:/prices@champion
      orrery model get models:/prices/3 --to prices-3
    """
    version = _version(model)
    if to is not None:
        if to.exists():
            raise SettingsError(f"{str(to)!r} is there already.", hint="Name a new folder.")
        source = Path(version.path)
        shutil.copytree(source, to) if source.is_dir() else shutil.copy(source, to)
    if output is Format.TABLE:
        facts = {
            "url": version.url,
            **_row(version),
            "path": version.path,
            "parent": version.lineage.get("parent", ""),
        }
        show({**facts, **({"copied to": str(to)} if to else {})}, output)
    else:
        show(version.to_dict(), output)


def describe(model: ModelArgument, output: Output = Format.TABLE) -> None:
    """Tell all about a model: columns, features, learner, what was tried, metrics, where it comes from.

    Examples:
      orrery model describe models:/prices
      orrery model describe model --output json | jq .lineage
    """
    found = load(model).describe()
    show(found, Format.YAML if output is Format.TABLE else output)


def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="champion, challenger, or a word of yours.")],
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="Which version it names.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Let an alias name a version; services that answer for the alias follow.

    Examples:
      orrery model alias prices champion 2
      orrery model alias prices challenger --remove
    """
    if (version is None) != remove:
        raise SettingsError("An alias needs a version.", hint="Or --remove, to take it away; not both.")
    registry = open_registry()
    registry.alias(name, alias, version)
    show([_row(found) for found in registry.versions(name)], output)


def rollback(name: Name, output: Output = Format.TABLE) -> None:
    """Take the last change of who answers back: a canary under way, a route, or a champion.

    Examples:
      orrery model rollback prices
    """
    version = roll_back(name)
    routing = open_registry().route(name).routing
    said = f"{version.url} answers again."
    if routing != Routing():
        said = f"The route of {name} is: {routing}. Its main version is {version.version}."
    show(version.to_dict(), output, text=said)


def delete(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="models:/name/3, or a name for all of it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete one version, or a name with all its versions. A version with an alias is kept.

    Examples:
      orrery model delete models:/prices/2
      orrery model delete prices --yes
    """
    url = ModelUrl.parse(model if model.startswith("models:") else f"models:/{model}")
    number = None if url.which is None else open_registry().get(url.name, url.which).version
    what = f"all versions of {url.name!r}" if number is None else f"version {number} of {url.name!r}"
    if not yes and not _confirmed(f"Delete {what}?"):
        raise SettingsError("Not deleted.")
    open_registry().delete(url.name, number)
    typer.echo(f"Deleted {what}.", err=True)


def _confirmed(question: str) -> bool:
    """Ask a person. Raises SettingsError where nobody is there to answer."""
    try:
        return bool(typer.confirm(question, err=True))
    except typer.Abort as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise SettingsError("Not deleted; add --yes.") from None


_HEADLINES = ("accuracy", "log_loss", "rmse", "r2")


def _version(model: str) -> Version:
    url = ModelUrl.parse(model if model.startswith("models:") else f"models:/{model}")
    return open_registry().get(url.name, url.which)


def _row(version: Version) -> dict[str, Any]:
    figures = {name: value for name, value in version.metrics.items() if isinstance(value, int | float)}
    shown = [name for name in _HEADLINES if name in figures][:2] or list(figures)[:2]
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "created": version.created[:16].replace("T", " "),
        **{name: f"{figures[name]:.4g}" for name in shown},
        "note": version.note,
    }


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_models,
    "get": get,
    "describe": describe,
    "alias": alias,
    "rollback": rollback,
    "delete": delete,
}
for _name, _function in _COMMANDS.items():
    app.command(_name, help=help_of(_function))(_function)
