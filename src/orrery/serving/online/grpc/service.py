"""The calls that say what is served: health, metadata, configuration, statistics, the repository."""

from __future__ import annotations

from typing import Any

from orrery import __version__
from orrery.errors import ModelNotFoundError
from orrery.serving.online.desk import Desk
from orrery.serving.online.grpc.messages import DATA_TYPES, message
from orrery.serving.online.oip import input_heads, output_heads


def server_live(desk: Desk, request: Any) -> Any:
    """The process answers."""
    return message("ServerLiveResponse")(live=True)


def server_ready(desk: Desk, request: Any) -> Any:
    """A model is live."""
    return message("ServerReadyResponse")(ready=bool(desk.live(desk.route.name)))


def model_ready(desk: Desk, request: Any) -> Any:
    """Whether a model is live; one that is not here is not ready, which is no error."""
    try:
        ready = bool(desk.live(request.name, version=request.version))
    except ModelNotFoundError:
        ready = False
    return message("ModelReadyResponse")(ready=ready)


def server_metadata(desk: Desk, request: Any) -> Any:
    """Who answers, in which release."""
    extensions = ["binary_tensor_data", "model_configuration", "statistics"]
    return message("ServerMetadataResponse")(name="orrery", version=__version__, extensions=extensions)


def model_metadata(desk: Desk, request: Any) -> Any:
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


def model_config(desk: Desk, request: Any) -> Any:
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


def model_statistics(desk: Desk, request: Any) -> Any:
    """How many rows and calls were answered, and how long they took. No name asks for all models."""
    live = desk.live(request.name or desk.route.name, version=request.version)
    label = {"service": live.name, "version": str(live.version)}

    def counted(name: str) -> float:
        return desk.metrics.registry.get_sample_value(name, label) or 0.0

    calls = int(counted("orrery_model_seconds_count"))
    took = message("StatisticDuration")(count=calls, ns=int(1e9 * counted("orrery_model_seconds_sum")))
    answer = message("ModelStatisticsResponse")()
    answer.model_stats.add(
        name=live.name,
        version=str(live.version),
        inference_count=int(counted("orrery_predictions_total")),
        execution_count=calls,
        inference_stats=message("InferStatistics")(success=took, compute_infer=took),
    )
    return answer


def repository_index(desk: Desk, request: Any) -> Any:
    """The models that are here."""
    live = desk.live(desk.route.name)
    answer = message("RepositoryIndexResponse")()
    answer.models.add(name=live.name, version=str(live.version), state="READY")
    return answer
