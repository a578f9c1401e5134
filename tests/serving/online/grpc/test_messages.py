"""Our messages are on the wire what others' are."""

from __future__ import annotations

from typing import Any

import tritonclient.grpc.model_config_pb2 as config_pb2
import tritonclient.grpc.service_pb2 as service_pb2

from orrery.serving.online.grpc import messages

_OURS = {
    "TensorMetadata": service_pb2.ModelMetadataResponse.TensorMetadata,
    "InferTensor": service_pb2.ModelInferRequest.InferInputTensor,
    "InferRequestedOutput": service_pb2.ModelInferRequest.InferRequestedOutputTensor,
    "ModelConfig": config_pb2.ModelConfig,
    "VersionPolicy": config_pb2.ModelVersionPolicy,
    "SpecificVersions": config_pb2.ModelVersionPolicy.Specific,
    "ConfiguredInput": config_pb2.ModelInput,
    "ConfiguredOutput": config_pb2.ModelOutput,
    "ModelIndex": service_pb2.RepositoryIndexResponse.ModelIndex,
    "RepositoryParameter": service_pb2.ModelRepositoryParameter,
}
"""Messages that have another name, or another home, in Triton's files."""


def fields_of(descriptor: Any) -> dict[str, Any]:
    """What of each field is on the wire; a number of an enumeration is a number."""
    integer = 5
    return {
        f.name: (f.number, integer if f.enum_type else f.type, f.is_repeated, bool(f.containing_oneof))
        for f in descriptor.fields
    }


def test_every_field_is_that_of_the_public_protocol() -> None:
    names = [line.partition(":")[0] for line in messages._TABLE.strip().splitlines()]
    assert len(names) > 30
    for name in names:
        theirs = fields_of((_OURS.get(name) or getattr(service_pb2, name)).DESCRIPTOR)
        ours = fields_of(messages.message(name).DESCRIPTOR)
        assert ours == {field: theirs[field] for field in ours}, name
        if name not in ("ModelConfig", "VersionPolicy", "ConfiguredInput", "ConfiguredOutput"):
            assert ours.keys() >= theirs.keys() - {"batch_stats", "memory_usage", "response_stats"}, name


def test_input_and_output_tensors_are_alike() -> None:
    assert fields_of(service_pb2.ModelInferResponse.InferOutputTensor.DESCRIPTOR) == fields_of(
        messages.message("InferTensor").DESCRIPTOR
    )


def test_numbers_of_datatypes() -> None:
    assert dict(config_pb2.DataType.items()) == messages.DATA_TYPES


def test_a_request_comes_back_unchanged() -> None:
    theirs = service_pb2.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"ab", b""])
    theirs.inputs.add(name="x", datatype="FP32", shape=[2, -1]).parameters["p"].string_param = "北京"
    theirs.inputs[0].contents.fp32_contents.extend([0.5, float("inf")])
    theirs.parameters["flag"].bool_param = False
    ours = messages.message("ModelInferRequest").FromString(theirs.SerializeToString())
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs
