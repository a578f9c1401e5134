from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from orrery.errors import FitError, ModelFormatError
from orrery.features.feature import Output
from orrery.features.target import Target
from orrery.networks import export
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.decoders.number import NumberDecoder
from orrery.networks.export import export_onnx, made_up
from orrery.networks.network import build
from orrery.networks.session import open_session, run
from orrery.schema import Kind

TARGET = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("a", "b", "c"), width=3)


@pytest.mark.parametrize("tracer", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_onnx_answers_as_torch_does(
    outputs: tuple[Output, ...], tracer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tracer:
        monkeypatch.setattr(export, "_trace", lambda *_: b"not a network")
    module = build(outputs, TARGET, width=16).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = export_onnx(module, CategoryDecoder(), outputs, made_up(outputs, 5))
    session = open_session(content)
    for rows in (1, 2, 9):
        arrays = made_up(outputs, rows)
        with torch.no_grad():
            expected = module({name: torch.from_numpy(array) for name, array in arrays.items()})
        np.testing.assert_allclose(run(session, arrays), expected.numpy(), rtol=1e-4, atol=1e-4)
        predictions = session.run(["predictions"], arrays)[0]
        np.testing.assert_allclose(predictions, expected.softmax(1).numpy(), rtol=1e-4, atol=1e-5)


def test_the_graph_knows_the_targets_unit(outputs: tuple[Output, ...]) -> None:
    decoder = NumberDecoder(np.array([100.0]), np.array([7.0]))
    target = Target(name="y", kind=Kind.NUMBER, type="double")
    module = build(outputs[:1], target, width=8)
    session = open_session(export_onnx(module, decoder, outputs[:1], made_up(outputs[:1], 2)))
    scores, predictions = session.run(["scores", "predictions"], made_up(outputs[:1], 4))
    np.testing.assert_allclose(predictions, scores * 7 + 100, rtol=1e-6)


def test_blocks_that_a_network_ignores_are_left_out(outputs: tuple[Output, ...]) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(2, 3)

        def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
            scores: Tensor = self.map(blocks[outputs[0].name])
            return scores

    content = export_onnx(Half(), CategoryDecoder(), outputs, made_up(outputs, 2))
    assert run(open_session(content), made_up(outputs, 4)).shape == (4, 3)


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_says_why(outputs: tuple[Output, ...]) -> None:
    class Branch(nn.Module):
        def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
            x = blocks[outputs[0].name]
            scores = x[:, :1].expand(-1, 3)
            return scores if float(x.sum()) > 0 else -scores * 5

    with pytest.raises(FitError, match=r"cannot be exported.*differ.*no branches"):
        export_onnx(Branch(), CategoryDecoder(), outputs[:1], made_up(outputs[:1], 2))


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"\x80\x04\x95pickle", b"\x0a\x08location\x12\x09/etc/hosts"]
)
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFormatError):
        open_session(content)


def test_a_network_cut_short_is_refused(outputs: tuple[Output, ...]) -> None:
    content = export_onnx(
        build(outputs[:1], TARGET, width=8), CategoryDecoder(), outputs[:1], made_up(outputs[:1], 2)
    )
    with pytest.raises(ModelFormatError):
        open_session(content[: len(content) // 2])


def test_a_network_that_is_given_something_else_says_so(outputs: tuple[Output, ...]) -> None:
    module = build(outputs[:1], TARGET, width=8)
    session = open_session(export_onnx(module, CategoryDecoder(), outputs[:1], made_up(outputs[:1], 2)))
    with pytest.raises(ModelFormatError, match="cannot answer"):
        run(session, {outputs[0].name: np.zeros((1, 5), np.float32)})
