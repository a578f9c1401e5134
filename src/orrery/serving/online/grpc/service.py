"""The calls that say what is served: health, metadata, configuration, statistics, the repository."""

from __future__ import annotations

import asyncio
from typing import Any

from orrery import __version__
from orrery.errors import BadRequestError, ModelNotFoundError
from orrery.serving.online.desk import Desk
from orrery.serving.online.grpc.messages import DATA_TYPES, message
from orrery.serving.online.oip import input_heads, output_heads


async def server_live(desk: Desk, request: Any) -> Any:
    """The process answers."""
    return message("ServerLiveResponse")(live=True)


async def server_ready(desk: Desk, request: Any) -> Any:
    """A model is live."""
    return message("ServerReadyResponse")(ready=bool(desk.live(desk.route.name)))


async def model_ready(desk: Desk, request: Any) -> Any:
    """Whether a model is live; one that is not here is not ready, which is no error."""
    try:
        ready = bool(desk.live(request.name, version=request.version))
    except ModelNotFoundError:
        ready = False
    return message("ModelReadyResponse")(ready=ready)


async def server_metadata(desk: Desk, request: Any) -> Any:
    """Who answers, in which release."""
    extensions = ["binary_tensor_data", "model_configuration", "statistics"]
    return message("ServerMetadataResponse")(name="orrery", version=__version__, extensions=extensions)


async def model_metadata(desk: Desk, request: Any) -> Any:
    """The inputs and outputs of a model."""
    live = desk.live(request.name, version=request.version)
    answer = message("ModelMetadataResponse")(name=live.name, versions=[str(live.version)], platform="orrery")
    for heads, tensors in (
        (input_heads(live.runner.signature), answer.inputs),
        (output_heads(live.runner.signature), answer.outputs),
    ):
        for head in heads:
            tensors.add(name=head["name"], datatype=head["datatype"], shape=head["shape"])
    return answer


async def model_config(desk: Desk, request: Any) -> Any:
    """The same as Triton's tools ask for it."""
    live = desk.live(request.name, version=request.version)
    answer = message("ModelConfigResponse")()
    config = answer.config
    config.name, config.platform, config.backend = live.name, "orrery", "orrery"
    config.version_policy.specific.versions.append(live.version)
    for heads, tensors in (
        (input_heads(live.runner.signature), config.input),
        (output_heads(live.runner.signature), config.output),
    ):
        for head in heads:
            kind = DATA_TYPES["TYPE_STRING" if head["datatype"] == "BYTES" else f"TYPE_{head['datatype']}"]
            tensors.add(name=head["name"], data_type=kind, dims=head["shape"])
    return answer


async def model_statistics(desk: Desk, request: Any) -> Any:
    """How many rows and calls were answered, and how long they took. No name asks for all models."""
    names = [request.name] if request.name else list(desk.shelf.routes)
    answer = message("ModelStatisticsResponse")()
    for name in names:
        live = desk.live(name, version=request.version) if request.version else desk.shelf.route(name).live
        label = {"service": live.name, "version": str(live.version)}
        rows, calls, took_s = (
            desk.metrics.registry.get_sample_value(one, label) or 0.0
            for one in ("orrery_predictions_total", "orrery_model_seconds_count", "orrery_model_seconds_sum")
        )
        took = message("StatisticDuration")(count=int(calls), ns=int(1e9 * took_s))
        answer.model_stats.add(
            name=live.name,
            version=str(live.version),
            inference_count=int(rows),
            execution_count=int(calls),
            inference_stats=message("InferStatistics")(success=took, compute_infer=took),
        )
    return answer


async def repository_index(desk: Desk, request: Any) -> Any:
    """The models that are here, and those that could be opened."""
    answer = message("RepositoryIndexResponse")()
    for entry in await asyncio.to_thread(desk.shelf.index):
        if not request.ready or entry["state"] == "READY":
            answer.models.add(**{name: str(entry[name]) for name in ("name", "version", "state", "reason")})
    return answer


async def load(desk: Desk, request: Any) -> Any:
    """Open a model, or the one of its versions that the parameter ``version`` names."""
    await asyncio.to_thread(desk.shelf.load, request.model_name, _version(request))
    return message("RepositoryModelLoadResponse")()


async def unload(desk: Desk, request: Any) -> Any:
    """Close a model, or one version of it."""
    await asyncio.to_thread(desk.shelf.unload, request.model_name, _version(request))
    return message("RepositoryModelUnloadResponse")()


def _version(request: Any) -> int | None:
    """The version that a parameter names, as a number or as text. Raises BadRequestError."""
    if "version" not in request.parameters:
        return None
    given = request.parameters["version"]
    text = given.string_param or str(given.int64_param)
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise BadRequestError(f"'version' is the number of a version, not {text!r:.40}.")
    return int(text)
