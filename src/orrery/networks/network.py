"""The default network: an encoder for each kind of block, a combiner, a linear map to scores.

Any factory ``(outputs, target) -> nn.Module`` may take its place; its ``forward`` gets the blocks by name
(see ``inputs``) and gives scores [n, width]. It must export to the operators that ``graphcheck.OPERATORS``
lists (linear maps, convolutions, norms, attention, activations), for a model's file may be a stranger's; so
nothing recurrent, no branches, no sorting. Whoever opens the model needs no trust in the factory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from orrery.errors import SettingsError
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.networks.combiner import Combiner
from orrery.networks.encoders.image import SmallConvolution
from orrery.networks.encoders.resnet import ResNet18
from orrery.networks.encoders.table import TableEncoder
from orrery.networks.encoders.text import BagEncoder
from orrery.networks.inputs import ImageNetwork

Factory = Callable[[tuple[Output, ...], Target], nn.Module]

_SMALL_PICTURE = 64  # pixels on the shorter side, up to which the small network sees enough
_BAG_WIDTH = 64


class Network(nn.Module):
    """Blocks by name in, scores [n, ``width``] out."""

    def __init__(self, combiner: Combiner, width: int) -> None:
        super().__init__()
        self.combiner = combiner
        self.head = nn.Linear(combiner.width, width)

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]."""
        scores: Tensor = self.head(self.combiner(blocks))
        return scores


def build(
    outputs: Sequence[Output],
    target: Target,
    *,
    image: ImageNetwork = "auto",
    width: int = 128,
    depth: int = 2,
    dropout: float = 0.1,
) -> nn.Module:
    """The network for these blocks and this target. Raises SettingsError where there are no blocks."""
    encoders: list[nn.Module] = []
    widths: list[int] = []
    flat = [o for o in outputs if o.role is not Role.BAG and not is_picture(o)]
    if flat:
        encoders.append(TableEncoder(flat, width, depth, dropout))
        widths.append(width)
    for output in outputs:
        if output.role is Role.BAG:
            encoders.append(BagEncoder(output, _BAG_WIDTH))
            widths.append(_BAG_WIDTH)
        elif is_picture(output):
            encoder = image_encoder(output, image, dropout)
            encoders.append(encoder)
            widths.append(encoder.width)
    if not encoders:
        raise SettingsError("A network needs at least one feature.", hint="Say which columns to learn from.")
    return Network(Combiner(encoders, widths, width, dropout), target.width)


def is_picture(output: Output) -> bool:
    """Whether a block holds pictures: tensors of channels, height and width."""
    return output.role is Role.TENSOR and len(output.shape) == 3


def image_encoder(output: Output, kind: ImageNetwork, dropout: float) -> SmallConvolution | ResNet18:
    """The encoder that was asked for, or the one that suits the size."""
    if kind == "auto":
        kind = "small" if min(output.shape[1:]) <= _SMALL_PICTURE else "resnet18"
    return SmallConvolution(output, dropout) if kind == "small" else ResNet18(output, dropout)


def find_factory(name: str) -> Factory:
    """The user's own factory by ``package.module:function``. It is run: trusted code only.

    >>> find_factory("orrery.networks.network:build").__name__
    'build'
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"There is no network factory {name!r}: {error}.",
            hint="Write 'package.module:function', importable from here; it is run, so trust it.",
        ) from None
    if not callable(found):
        raise SettingsError(f"{name!r} is not a function that makes a network.")
    return cast(Factory, found)
