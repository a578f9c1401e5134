"""The predictor of a network: ONNX Runtime on plain arrays, the same before and after saving."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from orrery.errors import ModelFormatError, ModelVersionError, OrreryError
from orrery.features.feature import Encoded, Output, Role
from orrery.features.target import Target
from orrery.learners import openmp
from orrery.networks.inputs import as_arrays, count_rows, input_names, row_chunks
from orrery.networks.session import open_session, run
from orrery.schema import Kind

FORMAT = 1

_CHUNK_BYTES = 1 << 20  # of input per call; hidden layers take a multiple of it


class NetworkPredictor:
    """A trained network. ``network.onnx`` answers; ``weights.safetensors`` are for training on."""

    kind: ClassVar[str] = "network"

    def __init__(
        self,
        session: Any,
        files: Mapping[str, bytes],
        outputs: tuple[Output, ...],
        target: Target,
        scale: Any,
    ) -> None:
        self.outputs = outputs
        self.target = target
        self._session = session
        self._files = dict(files)
        self._scale = scale  # of numbers: mean and spread, [width] each
        self._rows = _rows_per_call(outputs)

    @classmethod
    def make(
        cls,
        onnx: bytes,
        weights: bytes,
        card: Mapping[str, Any],
        outputs: Sequence[Output],
        target: Target,
        scale: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> Self:
        """From a network just trained; ``card`` says how, for people."""
        values = {
            **card,
            "format": FORMAT,
            "outputs": [output.to_dict() for output in outputs],
            "width": target.width,
            "mean": scale[0].tolist() if scale else None,
            "spread": scale[1].tolist() if scale else None,
        }
        text = json.dumps(values, ensure_ascii=False, indent=1).encode()
        files = {"network.onnx": onnx, "weights.safetensors": weights, "network.json": text}
        return cls.load(files, target)

    @property
    def reads(self) -> tuple[Output, ...]:
        """The blocks that it needs."""
        return self.outputs

    def predict(self, blocks: Mapping[str, Encoded]) -> NDArray[np.float64]:
        """Probabilities of classes or labels, or values; [n, width]."""
        rows = count_rows(blocks, self.outputs)
        if rows <= self._rows:
            return self._answer(self._run(blocks)) if rows else np.zeros((0, self.target.width))
        pieces = row_chunks(blocks, self.outputs, self._rows)  # of one size, so threads change no bit
        with ThreadPoolExecutor(openmp.threads()) as threads:
            return self._answer(np.concatenate(list(threads.map(self._run, pieces))))

    def _run(self, blocks: Mapping[str, Encoded]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = run(self._session, as_arrays(blocks, self.outputs))
        return scores

    def _answer(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        wide = scores.astype(np.float64)
        if self._scale is not None:
            answer: NDArray[np.float64] = wide * self._scale[1] + self._scale[0]
            return answer
        if self.target.kind is Kind.CATEGORY:
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
            return shares
        return 0.5 * (1.0 + np.tanh(0.5 * wide))  # the logistic function, without overflow

    def files(self) -> dict[str, bytes]:
        """``network.onnx``, ``weights.safetensors`` and ``network.json``."""
        return dict(self._files)

    @classmethod
    def load(cls, files: Mapping[str, bytes], target: Target) -> Self:
        """From files, without torch. Raises ModelFormatError and ModelVersionError."""
        wanted = ("network.onnx", "weights.safetensors", "network.json")
        missing = [name for name in wanted if name not in files]
        if missing:
            raise ModelFormatError(f"The network lacks {', '.join(missing)}.")
        outputs, scale = _read_card(files["network.json"], target)
        session = open_session(files["network.onnx"])
        _check_session(session, outputs, target)
        return cls(session, {name: files[name] for name in wanted}, outputs, target, scale)

    def describe(self) -> dict[str, Any]:
        """How the network was made, for people."""
        card: dict[str, Any] = json.loads(self._files["network.json"])
        return {"learner": card.get("learner"), "inputs": [o.name for o in self.outputs]}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load, (self._files, self.target)


def _rows_per_call(outputs: Sequence[Output]) -> int:
    row_bytes = 0
    for output in outputs:
        values = (
            64 if output.role is Role.BAG else int(np.prod(output.shape)) if output.shape else output.width
        )
        row_bytes += values * (1 if output.dtype == "uint8" else 4)
    return int(np.clip(_CHUNK_BYTES // max(row_bytes, 1), 16, 1024))


def _read_card(text: bytes, target: Target) -> tuple[tuple[Output, ...], Any]:
    try:
        card = json.loads(text)
        version = card["format"]
        if version != FORMAT:
            raise ModelVersionError(f"The network has format {version!r:.40}; this release reads {FORMAT}.")
        outputs = tuple(Output.from_dict(values) for values in card["outputs"])
        if card["width"] != target.width or not outputs:
            raise ModelFormatError(f"The network is not one for the target {target.name!r}.")
        if target.kind not in {Kind.NUMBER, Kind.VECTOR}:
            return outputs, None
        scale = np.array([card["mean"], card["spread"]], np.float64)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFormatError(f"network.json cannot be read: {type(error).__name__}.") from None
    except OrreryError as error:
        if isinstance(error, ModelFormatError | ModelVersionError):
            raise
        raise ModelFormatError(f"network.json cannot be read: {error}") from None
    if scale.shape != (2, target.width) or not np.isfinite(scale).all():
        raise ModelFormatError("network.json holds no finite mean and spread for each score.")
    return outputs, scale


def _check_session(session: Any, outputs: Sequence[Output], target: Target) -> None:
    """Whether the graph takes these blocks and gives scores of the target's width. Runs nothing."""
    expected = {name for output in outputs for name in input_names(output)}
    found = {given.name for given in session.get_inputs()}
    if found - expected:
        raise ModelFormatError(
            f"The ONNX network asks for {sorted(found - expected)}, which nobody gives it."
        )
    scores = [given for given in session.get_outputs() if given.name == "scores"]
    if not scores or scores[0].type != "tensor(float)":
        raise ModelFormatError("The ONNX network gives no scores.")
