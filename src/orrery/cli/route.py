"""``orrery route``: which versions of a name answer whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from orrery.cli.options import Output, help_of, new_app, pairs
from orrery.cli.output import Format, show
from orrery.display.terminal import shorten
from orrery.errors import SettingsError
from orrery.registry.folder import open_registry
from orrery.registry.routes import Canary, RouteChange, Routing

_WHY_SHOWN, _BY_SHOWN = 60, 24  # of the places in a table

app = new_app("Who answers for a name: split, shadow, canary, fallback. Services follow within a second.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The published name.")]
Why = Annotated[str, typer.Option(help="The reason, for the history.")]
Revision = Annotated[
    int | None, typer.Option(help="Change it only if it is still at this revision, which you have read.")
]


def get(name: Name, output: Output = Format.TABLE) -> None:
    """Show who answers for a name now, and since when.

    Examples:
      orrery route get fraud
    """
    _show(name, open_registry().route(name), output)


def set_route(
    name: Name,
    main: Annotated[
        str | None, typer.Option(help="Who answers the rest: a version or an alias; else the champion.")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="A version and its share: 4=0.1. May be given several times.")
    ] = None,
    by: Annotated[str, typer.Option(help="A column (or id): equal values go to the same version.")] = "",
    shadow: Annotated[
        list[str] | None, typer.Option(help="A version that is asked too, and not heard. May be repeated.")
    ] = None,
    fallback: Annotated[
        str | None, typer.Option(help="Who answers when the main version fails: 2, or models:/rules.")
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Seconds that a version has where another could answer.")
    ] = 10.0,
    why: Why = "",
    revision: Revision = None,
    output: Output = Format.TABLE,
) -> None:
    """Set the whole route of a name. Without options the champion answers everybody.

    Examples:
      orrery route set fraud --arm 4=0.1 --by card --why "a first look at 4"
      orrery route set fraud --shadow challenger --fallback models:/rules --deadline 0.2
      orrery route set fraud
    """
    routing = Routing.from_dict(
        {
            "main": main,
            "arms": [
                {"to": to, "share": share} for to, share in pairs(arm, "version with its share").items()
            ],
            "by": by,
            "shadows": shadow or [],
            "fallback": fallback,
            "deadline_s": deadline,
        }
    )
    _show(name, open_registry().reroute(name, routing, revision=revision, why=why), output)


def canary(
    name: Name,
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="A number or an alias.")] = None,
    share: Annotated[float, typer.Option(help="Of the requests, to begin with.")] = 0.05,
    step: Annotated[
        list[float] | None, typer.Option(help="A share it grows to. May be given several times.")
    ] = None,
    step_s: Annotated[float, typer.Option(help="Seconds that each step lasts at least.")] = 300.0,
    least_requests: Annotated[int, typer.Option(help="Requests in each step at least.")] = 100,
    promote: Annotated[bool, typer.Option(help="Make it the champion after the last step.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the canary under way.")] = False,
    why: Why = "",
    output: Output = Format.TABLE,
) -> None:
    """Try a version on a growing share of the requests; errors, delay or drift stop it by themselves.

    Examples:
      orrery route canary fraud challenger --share 0.05 --step 0.2 --step 0.5
      orrery route canary fraud --stop --why "too early"
    """
    if (version is None) != stop:
        raise SettingsError("A canary needs a version.", hint="Or --stop, to end the one under way.")
    registry = open_registry()
    now = registry.route(name)
    tried: dict[str, Any] | None = None
    if not stop:
        tried = {"to": version, "share": share, "step_s": step_s, "promote": promote}
        tried |= {"least_requests": least_requests, **({"steps": step} if step else {})}
    routing = now.routing.replace(canary=None if tried is None else Canary.from_dict(tried))
    _show(name, registry.reroute(name, routing, revision=now.revision, why=why), output)


def history(name: Name, output: Output = Format.TABLE) -> None:
    """List every change of a name's route: when, who, why; long texts cut, and whole in JSON.

    Examples:
      orrery route history fraud
      orrery route history fraud --output json
    """
    changes = open_registry().routes(name).changes
    if output is Format.TABLE:
        show([_cut(change) for change in changes], output, widest=140)
    else:
        show([change.to_dict() for change in changes], output)


def _row(change: RouteChange) -> dict[str, Any]:
    return {
        "revision": change.revision,
        "at": change.at[:19].replace("T", " "),
        "who": change.who,
        "why": change.why,
        "route": str(change.routing),
    }


def _cut(change: RouteChange) -> dict[str, Any]:
    """The row of a table that stays readable, however long a reason or a column's name is."""
    routing = change.routing.model_copy(update={"by": shorten(change.routing.by, _BY_SHOWN)})
    short = change.model_copy(update={"routing": routing})
    return {
        name: shorten(str(value), _WHY_SHOWN) if name in {"who", "why"} else value
        for name, value in _row(short).items()
    }


def _show(name: str, change: RouteChange, output: Format) -> None:
    if output is Format.TABLE:
        show({"name": name, **_row(change)}, output)
    else:
        show({"name": name, **change.to_dict()}, output)


_COMMANDS: dict[str, Callable[..., None]] = {
    "get": get,
    "set": set_route,
    "canary": canary,
    "history": history,
}
for _name, _function in _COMMANDS.items():
    app.command(_name, help=help_of(_function))(_function)
