"""inception in PyTorch, converted from inception.prototxt.

    from safetensors.torch import load_file

    net = InceptionNet()
    net.load_state_dict(load_file("inception.safetensors"))
    net.eval()

It takes data [1, 3, 32, 32].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvReLU(nn.Module):
    """25 in the net: conv1, inception_2a/1x1, …, inception_3b/pool_proj."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Inception(nn.Module):
    """4 in the net: inception_2a, inception_2b, inception_3a, inception_3b."""

    def __init__(
        self, channels: int, conv_1x1_channels: int, conv_3x3_reduce_channels: int
    ) -> None:
        super().__init__()
        self.conv_1x1 = ConvReLU(channels, conv_1x1_channels, 1)
        self.conv_3x3_reduce = ConvReLU(channels, conv_3x3_reduce_channels, 1)
        self.conv_3x3 = ConvReLU(conv_3x3_reduce_channels, 2 * conv_1x1_channels, 3)
        self.conv_5x5_reduce = ConvReLU(channels, conv_1x1_channels // 4, 1)
        self.conv_5x5 = ConvReLU(conv_1x1_channels // 4, conv_1x1_channels // 2, 5)
        self.pool_proj = ConvReLU(channels, conv_1x1_channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        conv_1x1 = self.conv_1x1(x)
        conv_3x3 = self.conv_3x3(self.conv_3x3_reduce(x))
        conv_5x5 = self.conv_5x5(self.conv_5x5_reduce(x))
        x = F.max_pool2d(x, 3, 1, padding=1)
        return torch.cat([conv_1x1, conv_3x3, conv_5x5, self.pool_proj(x)], dim=1)


class InceptionNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvReLU(3, 32, 3)
        self.inception_2 = nn.Sequential(Inception(32, 16, 24), Inception(64, 16, 24))
        self.inception_3 = nn.Sequential(Inception(64, 32, 48), Inception(128, 32, 48))
        self.drop = nn.Dropout(0.4)
        self.score = nn.Linear(128, 10)

    def forward(self, data: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(data), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.inception_2(x), 3, 2, ceil_mode=True)
        x = self.inception_3(x).mean((2, 3))
        return F.softmax(self.score(self.drop(x)), dim=1)
