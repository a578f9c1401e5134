"""A trained network as ONNX, checked against torch before anybody relies on it.

The tracer is tried first: it takes a hundredth of a second where the newer exporter takes seconds. A network
that it gets wrong (one whose path depends on the data) is caught by the check, and goes to the newer one.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orrery.errors import FitError
from orrery.features.feature import Encoded, Output, Role
from orrery.features.forms import Bag
from orrery.networks.decoders.decoder import Decoder
from orrery.networks.inputs import as_arrays, input_names
from orrery.networks.session import open_session, run

TOLERANCE = 1e-4
"""How far ONNX Runtime may be from torch, relative to scores of about one."""

_OPSET = 18

Arrays = Mapping[str, NDArray[Any]]


class Exported(nn.Module):
    """The graph: named inputs in line, two outputs; ``scores`` as the head gave them, and ``predictions``."""

    def __init__(self, module: nn.Module, decoder: Decoder, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.decoder = decoder
        self.names = names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and predictions, both [n, width]."""
        scores = self.module(dict(zip(self.names, inputs, strict=True)))
        return scores, self.decoder.predict(scores)


def export_onnx(module: nn.Module, decoder: Decoder, outputs: Sequence[Output], example: Arrays) -> bytes:
    """ONNX of a module, equal to torch on example rows and on made-up ones. Raises FitError."""
    axes = {
        name: f"{output.name}.ids" if output.role is Role.BAG and not name.endswith(".sizes") else "rows"
        for output in outputs
        for name in input_names(output)
    }
    graph = Exported(module.cpu(), decoder, tuple(axes)).eval()
    checks = [made_up(outputs, 1), made_up(outputs, 7), example]
    reasons = []
    for exporter in (_trace, _export):
        try:
            with _quiet(), torch.no_grad():
                content = exporter(graph, made_up(outputs, 3), axes)
                worst = max(_difference(graph, content, check) for check in checks)
        except Exception as error:  # whatever two large exporters and a user's own network may raise
            reason = str(error).strip().splitlines()
            reasons.append(f"{type(error).__name__}: {reason[0] if reason else ''}")
            continue
        if worst <= TOLERANCE:
            return content
        reasons.append(f"its answers differ from torch's by {worst:.2g}")
    raise FitError(
        f"The network cannot be exported to ONNX: {'; '.join(reasons)}.",
        hint="Use operations that orrery.networks.graphcheck.OPERATORS lists, and no branches on the values "
        "of tensors.",
    )


def made_up(outputs: Sequence[Output], rows: int) -> dict[str, NDArray[Any]]:
    """Arrays of so many rows as a network takes them, of no meaning."""
    chance = np.random.default_rng(rows)
    blocks: dict[str, Encoded] = {}
    for output in outputs:
        if output.role is Role.BAG:
            ids = chance.integers(0, output.sizes[0], 2 * rows, dtype=np.int32)
            blocks[output.name] = Bag(np.arange(rows + 1) * 2, ids, np.ones(2 * rows, np.float32))
        elif output.role is Role.CODE:
            blocks[output.name] = chance.integers(0, output.sizes, (rows, output.width), dtype=np.int32)
        elif output.role is Role.TENSOR and output.dtype == "uint8":
            blocks[output.name] = chance.integers(0, 256, (rows, *output.shape), dtype=np.uint8)
        else:
            shape = output.shape if output.role is Role.TENSOR else (output.width,)
            blocks[output.name] = chance.standard_normal((rows, *shape))
    return as_arrays(blocks, outputs)


def _trace(graph: nn.Module, example: Arrays, axes: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    torch.onnx.export(
        graph,
        tuple(torch.from_numpy(example[name]) for name in axes),
        file,  # type: ignore[arg-type]  # the tracer writes to files in memory too
        input_names=list(axes),
        output_names=["scores", "predictions"],
        dynamic_axes={
            **{name: {0: axis} for name, axis in axes.items()},
            "scores": {0: "rows"},
            "predictions": {0: "rows"},
        },
        opset_version=_OPSET,
        dynamo=False,
    )
    return file.getvalue()


def _export(graph: nn.Module, example: Arrays, axes: Mapping[str, str]) -> bytes:
    program: Any = torch.onnx.export(
        graph,
        tuple(torch.from_numpy(example[name]) for name in axes),
        input_names=list(axes),
        output_names=["scores", "predictions"],
        dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC} for _ in axes),),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    content: bytes = program.model_proto.SerializeToString()
    return content


def _difference(graph: nn.Module, content: bytes, arrays: Arrays) -> float:
    """The largest difference between ONNX Runtime and torch, relative to scores of about one."""
    expected = graph(*(torch.from_numpy(array) for array in arrays.values()))[0].double().numpy()
    found = run(open_session(content), arrays)
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0), initial=0.0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Both exporters talk a good deal, to warnings and to logs."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    fast = torch.backends.mha.get_fastpath_enabled()
    # The tracer does not know the fast path of attention, and prints the whole graph to say so.
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(before)
            torch.backends.mha.set_fastpath_enabled(fast)
