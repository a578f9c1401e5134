"""Small pictures: a plain convolutional network whose depth follows from their size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from orrery.features.feature import Output

_STEM = 32  # channels of the first stage
_WIDEST = 256


class SmallConvolution(nn.Module):
    """One picture block [n, channels, height, width] in, [n, ``width``] out.

    Stages of two 3 × 3 convolutions, halved in between until about 4 × 4 is left, then the mean over
    what is left.
    """

    def __init__(self, output: Output, dropout: float) -> None:
        super().__init__()
        channels, height, width = output.shape
        self.name = output.name
        self.scale = PictureScale(output)
        layers: list[nn.Module] = []
        before, after, side = channels, _STEM, min(height, width)
        while True:
            layers += [*_convolution(before, after, side), *_convolution(after, after, side)]
            before, after = after, min(_WIDEST, 2 * after)
            if side < 8:
                break
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.width = before

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, width]."""
        features: Tensor = self.layers(self.scale(blocks[self.name]))
        return features


def _convolution(before: int, after: int, side: int) -> list[nn.Module]:
    # Norms over the batch need more than one value: where a picture is that small, norm each alone.
    norm = nn.BatchNorm2d(after) if side > 1 else nn.GroupNorm(8, after)
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), norm, nn.ReLU()]


class PictureScale(nn.Module):
    """Pixels to about zero mean and unit spread per channel, inside the graph, as the feature learnt it."""

    mean: Tensor
    spread: Tensor

    def __init__(self, output: Output) -> None:
        super().__init__()
        top = 255.0 if output.dtype == "uint8" else 1.0
        mean = torch.tensor(output.mean or (0.0,)) if output.mean else torch.full((1,), top / 2)
        spread = torch.tensor(output.std) if output.std else torch.full((1,), top / 4)
        self.register_buffer("mean", mean.float().reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("spread", spread.float().clamp(min=1e-6).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, channels, height, width], float32."""
        return (pixels.float() - self.mean) / self.spread
