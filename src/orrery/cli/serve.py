"""``orrery serve``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orrery.cli.options import app_of
from orrery.errors import SettingsError
from orrery.registry.url import SCHEME
from orrery.serving.fill import fill_pasts
from orrery.serving.keeping import Keeping
from orrery.serving.online.access import VARIABLE, Access
from orrery.serving.online.crew import Crew
from orrery.serving.online.job import Job
from orrery.serving.online.jsonlog import log_as_json
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve as serve_model
from orrery.serving.shelf import Shelf


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="models:/name, /name/3, /name@alias, a folder or zip file."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every model of the registry, opened when it is asked for.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 lets others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Answer over gRPC too, here; 0 takes a free one.")
    ] = None,
    record: Annotated[bool, typer.Option(help="Keep every prediction, to join it to its outcome.")] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that requests may call this host by; for a proxy. May be repeated."),
    ] = None,
    token_env: Annotated[
        str, typer.Option(metavar="NAME", help="The variable with the tokens: ask:TOKEN manage:TOKEN ...")
    ] = VARIABLE,
    certificate: Annotated[str, typer.Option(metavar="FILE", help="PEM: answer over TLS.")] = "",
    key: Annotated[str, typer.Option(metavar="FILE", help="PEM: the certificate's private key.")] = "",
    record_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the rows, to keep.")] = 1.0,
    redact: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Null in the record. May be repeated.")
    ] = None,
    record_to: Annotated[
        str,
        typer.Option(metavar="URL", help="kafka://host/topic, a URL of SQLAlchemy, or a connection's name."),
    ] = "",
    past: Annotated[
        str | None, typer.Option(metavar="TABLE", help="What happened before, for models with windows.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = 1,
    log: Annotated[str, typer.Option(metavar="FORM", help="text, or json: an object per line.")] = "text",
) -> None:
    """Answer over HTTP with published models, until Ctrl-C. Moved aliases and routes are followed at once.

    Examples:
      orrery serve models:/prices
      orrery serve models:/prices models:/fraud@champion
      orrery serve --all
      orrery serve models:/prices@challenger --port 9000 --no-record
      curl -s localhost:8080/v1/models/prices:predict -d '{"rows": [{"rooms": 4, "city": "Lyon"}]}'
    """
    limits = Limits(allowed_hosts=tuple(allow_host or ()))
    whats = [*(models or ()), *([SCHEME] if everything else [])]
    access = Access(tokens_from=token_env, certificate=certificate, private_key=key)
    if log not in ("text", "json"):
        raise SettingsError(f"--log is text or json, not {log!r}.")
    if log == "json":
        log_as_json()
    keeping = Keeping(share=record_share or 1.0, redact=tuple(redact or ()), to=without_password(record_to))
    if workers == 1:
        kept = keeping if record and record_share else False
        serve_model(
            whats,
            host=host,
            port=port,
            record=kept,
            limits=limits,
            grpc_port=grpc_port,
            access=access,
            past=past,
        )
        return
    job = Job(
        models=tuple(whats),
        host=host,
        port=port,
        grpc_port=grpc_port,
        record=record and record_share > 0,
        keeping=keeping,
        log="json" if log == "json" else "text",
        limits=limits,
        access=access,
    )
    if past is not None:
        with Shelf(whats) as shelf:
            sys.stderr.writelines(f"{line}\n" for line in fill_pasts(shelf.routes.values(), past))
    Crew(job, workers).start().wait()


def without_password(url: str) -> str:
    """A URL that holds no password. Raises SettingsError for one that does: others can read command lines."""
    if "@" in url and ":" in url.partition("://")[2].rpartition("@")[0]:
        raise SettingsError(
            "The address for the record holds a password, which others on this machine could read.",
            hint="Set ORRERY_CONNECTION__NAME to it, and give --record-to NAME.",
        )
    return url


app = app_of(serve)
