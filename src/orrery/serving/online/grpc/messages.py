"""The messages of the protocol, described in a table and made when this module is loaded.

They live in a pool of their own, so that a program may load a client of the same protocol beside them.
Source: kserve/open-inference-protocol, ``specification/protocol/inference_grpc.md``, and Triton's extensions.
Only the fields that are read or answered here are described; others are skipped by those who read.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# A message per line. A field is `name type`, its number the one before it and one more, or as `=number` says;
# `*` comes many times, `{}` is a map from text. Behind `|` at most one of the fields is there.
_TABLE = """
ServerLiveRequest:
ServerLiveResponse: live bool
ServerReadyRequest:
ServerReadyResponse: ready bool
ModelReadyRequest: name string, version string
ModelReadyResponse: ready bool
ServerMetadataRequest:
ServerMetadataResponse: name string, version string, extensions string*
ModelMetadataRequest: name string, version string
TensorMetadata: name string, datatype string, shape int64*
ModelMetadataResponse: name string, versions string*, platform string, inputs TensorMetadata*, \
outputs TensorMetadata*
InferParameter: | bool_param bool, int64_param int64, string_param string, double_param double, \
uint64_param uint64
InferTensorContents: bool_contents bool*, int_contents int32*, int64_contents int64*, uint_contents uint32*, \
uint64_contents uint64*, fp32_contents float*, fp64_contents double*, bytes_contents bytes*
InferTensor: name string, datatype string, shape int64*, parameters InferParameter{}, \
contents InferTensorContents
InferRequestedOutput: name string, parameters InferParameter{}
ModelInferRequest: model_name string, model_version string, id string, parameters InferParameter{}, \
inputs InferTensor*, outputs InferRequestedOutput*, raw_input_contents bytes*
ModelInferResponse: model_name string, model_version string, id string, parameters InferParameter{}, \
outputs InferTensor*, raw_output_contents bytes*
ModelStreamInferResponse: error_message string, infer_response ModelInferResponse
ModelConfigRequest: name string, version string
ModelConfigResponse: config ModelConfig
ModelConfig: name string, platform string, version_policy VersionPolicy, max_batch_size int32, \
input ConfiguredInput*, output ConfiguredOutput*, backend string=17
VersionPolicy: | specific SpecificVersions=3
SpecificVersions: versions int64*
ConfiguredInput: name string, data_type int32, dims int64*=4
ConfiguredOutput: name string, data_type int32, dims int64*
ModelStatisticsRequest: name string, version string
ModelStatisticsResponse: model_stats ModelStatistics*
ModelStatistics: name string, version string, last_inference uint64, inference_count uint64, \
execution_count uint64, inference_stats InferStatistics
InferStatistics: success StatisticDuration, fail StatisticDuration, queue StatisticDuration, \
compute_input StatisticDuration, compute_infer StatisticDuration, compute_output StatisticDuration, \
cache_hit StatisticDuration, cache_miss StatisticDuration
StatisticDuration: count uint64, ns uint64
RepositoryIndexRequest: repository_name string, ready bool
RepositoryIndexResponse: models ModelIndex*
ModelIndex: name string, version string, state string, reason string
RepositoryModelLoadRequest: repository_name string, model_name string, parameters RepositoryParameter{}
RepositoryModelLoadResponse:
RepositoryModelUnloadRequest: repository_name string, model_name string, parameters RepositoryParameter{}
RepositoryModelUnloadResponse:
RepositoryParameter: | bool_param bool, int64_param int64, string_param string, bytes_param bytes
"""

_NAMES = """
INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16
"""
DATA_TYPES = {f"TYPE_{name}": number for number, name in enumerate(_NAMES.split())}
"""Triton's names of datatypes, and their numbers in a ``ModelConfig``."""

_FIELD = descriptor_pb2.FieldDescriptorProto


def message(name: str) -> Any:
    """The class of a message by its name.

    >>> message("ModelReadyRequest")(name="clients").name
    'clients'
    """
    return _CLASSES[name]


def _file() -> Any:
    """The description of all messages."""
    file = descriptor_pb2.FileDescriptorProto(name="orrery/inference.proto", package=PACKAGE, syntax="proto3")
    for line in _TABLE.strip().splitlines():
        name, _, fields = line.partition(":")
        _describe(file.message_type.add(name=name), fields.strip())
    return file


def _describe(found: Any, fields: str) -> None:
    is_choice = fields.startswith("|")
    if is_choice:
        found.oneof_decl.add(name="parameter_choice")
    number = 0
    for text in filter(None, (part.strip() for part in fields.strip("| ").split(","))):
        name, _, kind = text.partition(" ")
        kind, _, given = kind.partition("=")
        number = int(given) if given else number + 1
        is_many = kind.endswith(("*", "{}"))
        field = found.field.add(
            name=name, number=number, label=_FIELD.LABEL_REPEATED if is_many else _FIELD.LABEL_OPTIONAL
        )
        if is_choice:
            field.oneof_index = 0
        _set_type(field, _map_entry(found, name, kind[:-2]) if kind.endswith("{}") else kind.rstrip("*"))


def _set_type(field: Any, kind: str) -> None:
    if kind[0].islower():
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


def _map_entry(found: Any, name: str, kind: str) -> str:
    """The message that holds one pair of a map."""
    entry = found.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    for number, (part, type_name) in enumerate((("key", "string"), ("value", kind)), 1):
        field = entry.field.add(name=part, number=number, label=_FIELD.LABEL_OPTIONAL)
        _set_type(field, type_name)
    return f"{found.name}.{entry.name}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file := _file())
    return {
        each.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{each.name}"))
        for each in file.message_type
    }


_CLASSES = _classes()
