"""Larger pictures: ResNet-18."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from orrery.features.feature import Output
from orrery.networks.encoders.image import PictureScale

_STAGES = (64, 128, 256, 512)


class ResNet18(nn.Module):
    """One picture block [n, channels, height, width] in, [n, 512] out.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1, 18 layers.
    """

    width = _STAGES[-1]

    def __init__(self, output: Output, dropout: float) -> None:
        super().__init__()
        self.name = output.name
        self.scale = PictureScale(output)
        self.stem = nn.Sequential(
            nn.Conv2d(output.shape[0], _STAGES[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(_STAGES[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        before = _STAGES[0]
        for after in _STAGES:
            blocks += [ResidualBlock(before, after), ResidualBlock(after, after)]
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))

    def forward(self, blocks: Mapping[str, Tensor]) -> Tensor:
        """[n, 512]."""
        features: Tensor = self.end(self.blocks(self.stem(self.scale(blocks[self.name]))))
        return features


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut; halves the picture where the channels grow."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        nn.init.zeros_(self.second_norm.weight)  # each block begins as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[n, before, h, w] to [n, after, h / stride, w / stride]."""
        hidden = functional.relu(self.first_norm(self.first(x)))
        summed: Tensor = self.second_norm(self.second(hidden)) + self.shortcut(x)
        return functional.relu(summed)
