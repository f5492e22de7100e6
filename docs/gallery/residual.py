"""residual in PyTorch, converted from residual.prototxt.

    from safetensors.torch import load_file

    net = Residual()
    net.load_state_dict(load_file("residual.safetensors"))
    net.eval()

It takes data [1, 3, 32, 32].
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBatchNormReLU(nn.Module):
    """19 in the net: conv1, res2a_reduce, res2a_3x3, res2b_reduce, …, res4c_3x3."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels, momentum=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ConvBatchNorm(nn.Module):
    """12 in the net: res2a_shortcut, res2a_expand, res2b_expand, …, res4c_expand."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, momentum=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Bottleneck(nn.Module):
    """6 in the net: res2b, res2c, res3b, res3c, res4b, res4c."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvBatchNormReLU(channels, channels // 4, 1)
        self.conv_3x3 = ConvBatchNormReLU(channels // 4, channels // 4, 3)
        self.expand = ConvBatchNorm(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        expand = self.expand(self.conv_3x3(self.reduce(x)))
        return F.relu(x + expand)


class ProjectedBottleneck(nn.Module):
    """3 in the net: res2a, res3a, res4a."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.shortcut = ConvBatchNorm(channels, 2 * channels, stride=stride)
        self.reduce = ConvBatchNormReLU(channels, channels // 2, 1, stride=stride)
        self.conv_3x3 = ConvBatchNormReLU(channels // 2, channels // 2, 3)
        self.expand = ConvBatchNorm(channels // 2, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        x = self.expand(self.conv_3x3(self.reduce(x)))
        return F.relu(shortcut + x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBatchNormReLU(3, 16, 3)
        self.res2 = nn.Sequential(
            ProjectedBottleneck(16), Bottleneck(32), Bottleneck(32)
        )
        self.res3 = nn.Sequential(
            ProjectedBottleneck(32, stride=2), Bottleneck(64), Bottleneck(64)
        )
        self.res4 = nn.Sequential(
            ProjectedBottleneck(64, stride=2), Bottleneck(128), Bottleneck(128)
        )
        self.score = nn.Linear(128, 10)

    def forward(self, data: Tensor) -> Tensor:
        x = self.res3(self.res2(self.conv1(data)))
        x = self.res4(x).mean((2, 3))
        return F.softmax(self.score(x), dim=1)
