"""``orrery client``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orrery.cli.options import app_of
from orrery.client.client import Client
from orrery.client.generate import client_code
from orrery.registry.folder import open_registry
from orrery.registry.load import load
from orrery.registry.url import ModelUrl


def client(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="models:/name, a folder or zip file, or a service: http://host:8080"
        ),
    ],
    name: Annotated[
        str, typer.Option(help="The model's name at the service, where MODEL does not say it.")
    ] = "",
) -> None:
    """Print a client of one model, typed by its columns: one Python file that needs only httpx.

    Examples:
      orrery client models:/prices > prices_client.py
      orrery client http://127.0.0.1:8080 > prices_client.py
    """
    if model.startswith(("http://", "https://")):
        with Client(model, name) as asked:
            told = asked.metadata()
    else:
        url = ModelUrl.parse(model)
        signature = load(model).signature
        told = {
            "name": name or url.name or "model",
            "version": open_registry().get(url.name, url.which).version if url.name else 0,
            "inputs": [field.to_dict() for field in signature.inputs.each()],
            "target": signature.target.to_dict(),
        }
    sys.stdout.write(client_code(told))


app = app_of(client)
