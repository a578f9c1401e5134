"""What happened afterwards: ``POST /v1/models/{name}:outcomes``.

``{"outcomes": [{"id": "…", "<target>": …}]}``, the id being that of the prediction. They are on disk when the
answer comes; whether such a prediction was ever made is found when they are joined.
"""

from __future__ import annotations

import asyncio

import msgspec
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from orrery.errors import BadRequestError, OverloadedError, TooLargeError
from orrery.features.target import Target
from orrery.schema import parse_type
from orrery.serving.online.body import kind_of, read_body, read_object
from orrery.serving.online.desk import Desk
from orrery.serving.online.problem import pointer_to
from orrery.serving.online.values import as_id
from orrery.serving.record import write_outcomes


async def take(desk: Desk, request: Request) -> Response:
    """Keep outcomes."""
    live = desk.asked(request)
    with desk.seat(request) as seat:
        rows = (await read_object(await read_body(request, seat), seat)).get("outcomes")
        if not isinstance(rows, list):
            raise BadRequestError("The body needs 'outcomes', a list of objects.")
        if len(rows) > desk.limits.rows:
            raise TooLargeError(f"The request has {len(rows):,} outcomes; the limit is {desk.limits.rows:,}.")
        table = outcomes_table(rows, live.runner.signature.target)
        loop = asyncio.get_running_loop()
        try:
            kept = (
                await loop.run_in_executor(None, write_outcomes, live.name, table, desk.home) if rows else 0
            )
        except OSError as error:
            raise OverloadedError(
                f"The outcomes could not be kept: {error.strerror}.", hint="None was; send them again later."
            ) from None
    said = {"model": live.name, "received": kept}
    return Response(msgspec.json.encode(said), media_type="application/json")


def outcomes_table(rows: list[object], target: Target) -> pa.Table:
    """Outcomes as a table of ``id`` and the target. Raises BadRequestError, TargetError."""
    ids, values = [], []
    for i, row in enumerate(rows):
        place = pointer_to("outcomes", i)
        if not isinstance(row, dict) or row.keys() != {"id", target.name}:
            said = f"has {', '.join(map(repr, row))}" if isinstance(row, dict) else f"is a {kind_of(row)}"
            raise BadRequestError(
                f"Outcome {i} {said:.200}; it needs 'id' and {target.name!r}, and nothing else.",
                pointer=place,
            )
        ids.append(as_id(row["id"], f"{place}/id"))
        values.append(_typed(row[target.name], target, place + pointer_to(target.name)))
    column = pa.array(values, parse_type(target.type))
    if rows:
        target.encode(column)  # an outcome that the model cannot mean is an error
    return pa.table({"id": pa.array(ids, pa.string()), target.name: column})


def _typed(value: object, target: Target, place: str) -> object:
    try:
        pa.array([value], parse_type(target.type))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise BadRequestError(
            f"{value!r:.60} is no {target.type}, which {target.name!r} is.", pointer=place
        ) from None
    return value
