"""``orrery stream``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer
import yaml

from orrery.cli.options import ModelArgument, app_of
from orrery.serving.stream.stream import stream as stream_model


def stream(
    source: Annotated[str, typer.Argument(metavar="FROM", help="kafka://host:9092/topic, or - for a pipe.")],
    model: ModelArgument,
    to: Annotated[str, typer.Argument(metavar="TO", help="Where the answers go, written likewise.")],
    payload: Annotated[
        str,
        typer.Option(help="json, arrow, text, csv in a pipe, or settings: '{kind: avro, registry: …}'."),
    ] = "json",
    to_payload: Annotated[str, typer.Option(help="That of the answers, if it is another.")] = "",
    exactly_once: Annotated[
        bool, typer.Option("--exactly-once", help="Answers and offsets as one, in Kafka's transactions.")
    ] = False,
    dead_letter: Annotated[str, typer.Option(help="The topic for messages that cannot be answered.")] = "",
    group: Annotated[str, typer.Option(help="Streams of one group share the messages.")] = "",
    instance: Annotated[
        str, typer.Option(help="A name in the group; after a crash the next of that name goes on at once.")
    ] = "",
    absent_is_null: Annotated[
        bool, typer.Option("--absent-is-null", help="JSON objects may lack columns of the model.")
    ] = False,
    record: Annotated[bool, typer.Option(help="Keep predictions, to join them to their outcomes.")] = False,
    past: Annotated[
        str | None, typer.Option(metavar="TABLE", help="What happened before, for a model with windows.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve a live page and /metrics on 127.0.0.1.")
    ] = None,
) -> None:
    """Answer the messages of a broker with a published model, until Ctrl-C. A moved alias is followed.

    Every column of a message is kept beside its prediction, the key too. What cannot be answered goes, as it
    came, to the dead letters, with the reason.

    Examples:
      orrery stream kafka://host:9092/orders models:/fraud@champion kafka://host:9092/scores
      orrery stream kafka://host/orders models:/fraud kafka://host/scores --exactly-once
      cat rows.jsonl | orrery stream - models:/digits - > answers.jsonl
    """
    with suppress(BrokenPipeError):  # ``orrery stream … - | head``: the reader has seen enough
        stream_model(
            source,
            model,
            to,
            record=record,
            metrics_port=metrics_port,
            past=past,
            payload=_payload(payload),
            to_payload=_payload(to_payload),
            absent_is_null=absent_is_null,
            guarantee="exactly-once" if exactly_once else "at-least-once",
            dead_letter=dead_letter,
            group=group,
            instance=instance,
        )


def _payload(text: str) -> str | dict[str, Any]:
    found = yaml.safe_load(text) if text.lstrip().startswith("{") else text
    return found if isinstance(found, dict) else text


app = app_of(stream)
