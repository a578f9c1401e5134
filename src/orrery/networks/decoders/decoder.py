"""What a decoder is: it knows what scores mean for one kind of target."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor

from orrery.errors import SettingsError
from orrery.features.target import Target
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.decoders.labels import LabelsDecoder
from orrery.networks.decoders.number import NumberDecoder
from orrery.schema import Kind


class Decoder(Protocol):
    """Truth in, losses and predictions out. Legend: n rows, w scores per row."""

    def truth(self, values: NDArray[Any]) -> Tensor:
        """What :meth:`Target.encode` gave, as the losses want it."""

    def losses(self, scores: Tensor, truth: Tensor) -> Tensor:
        """One loss per row, [n]."""

    def predict(self, scores: Tensor) -> Tensor:
        """Probabilities, or values in the target's own unit, [n, w]."""

    def metrics(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """More to watch than the loss: a number per row, by name; means are reported."""


def decoder_for(target: Target, values: NDArray[Any]) -> Decoder:
    """The decoder of a target; ``values`` are the encoded training targets, from which a scale is learnt."""
    if target.kind is Kind.CATEGORY:
        return CategoryDecoder()
    if target.kind is Kind.LABELS:
        return LabelsDecoder()
    if target.kind in {Kind.NUMBER, Kind.VECTOR}:
        return NumberDecoder.fit(values)
    raise SettingsError(f"A network cannot predict a {target.kind.value}.")
