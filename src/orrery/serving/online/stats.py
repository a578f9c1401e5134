"""How much a model has answered, as Triton's tools ask: ``GET /v2/models/{name}/stats``.

Source: triton-inference-server/server, ``docs/protocol/extension_statistics.md``. There is no cache here, and
waiting is counted with the model's own time.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery.serving.online.desk import Desk


async def statistics(desk: Desk, request: Request) -> Response:
    """Requests, rows and time of the version that answers, since the service began."""
    live = desk.asked(request)
    labels = {"service": live.name, "version": str(live.version)}
    rows, requests, seconds = (
        desk.metrics.registry.get_sample_value(f"orrery_{name}", labels) or 0.0
        for name in ("predictions_total", "model_seconds_count", "model_seconds_sum")
    )
    spent, nothing = _spent(requests, seconds), _spent(0, 0)
    names = ("fail", "queue", "compute_input", "compute_output", "cache_hit", "cache_miss")
    found = {
        "name": live.name,
        "version": str(live.version),
        "last_inference": 0,
        "inference_count": int(rows),
        "execution_count": int(requests),
        "inference_stats": {
            "success": spent, "compute_infer": spent, **dict.fromkeys(names, nothing),
        },
        "batch_stats": [],
    }  # fmt: skip
    return Response(msgspec.json.encode({"model_stats": [found]}), media_type="application/json")


def _spent(count: float, seconds: float) -> dict[str, Any]:
    return {"count": int(count), "ns": int(seconds * 1e9)}
