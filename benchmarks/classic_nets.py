"""Classic nets written by hand in PyTorch, with the operations of their prototxts.

Each takes (data, label) and returns the training loss. Parameters are made in the prototxt's
order, so that a Net's weights can be copied over one by one. Pooling rounds up, as Caffe does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Classifier(nn.Module):
    """A body of layers in a row, and cross entropy on what it gives."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, data: Tensor, label: Tensor) -> Tensor:
        """The loss."""
        return F.cross_entropy(self.body(data).flatten(1), label)


class WithinChannelNorm(nn.Module):
    """x / (1 + alpha · mean of x² over size × size pixels)^beta."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        """Divide by the root of what is around each pixel."""
        mean = F.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (1 + self.alpha * mean) ** -self.beta


class Scale(nn.Module):
    """x · weight + bias per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def max_pool(kernel: int, stride: int, padding: int = 0) -> nn.Module:
    return nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)


def mean_pool(kernel: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, ceil_mode=True)


def conv_relu(inputs: int, outputs: int, kernel: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, **options), relu())


def lenet() -> nn.Module:
    return Classifier(
        *(nn.Conv2d(1, 20, 5), max_pool(2, 2), nn.Conv2d(20, 50, 5), max_pool(2, 2)),
        *(nn.Flatten(), nn.Linear(800, 500), relu(), nn.Linear(500, 10)),
    )


def cifar10_quick() -> nn.Module:
    return Classifier(
        *(nn.Conv2d(3, 32, 5, padding=2), max_pool(3, 2), relu()),
        *(conv_relu(32, 32, 5, padding=2), mean_pool(3, 2)),
        *(conv_relu(32, 64, 5, padding=2), mean_pool(3, 2)),
        *(nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10)),
    )


def cifar10_full() -> nn.Module:
    return Classifier(
        *(nn.Conv2d(3, 32, 5, padding=2), max_pool(3, 2), relu(), WithinChannelNorm(3, 5e-5, 0.75)),
        *(conv_relu(32, 32, 5, padding=2), mean_pool(3, 2), WithinChannelNorm(3, 5e-5, 0.75)),
        *(conv_relu(32, 64, 5, padding=2), mean_pool(3, 2), nn.Flatten(), nn.Linear(1024, 10)),
    )


def _fully_connected(inputs: int, classes: int) -> list[nn.Module]:
    return [
        *(nn.Flatten(), nn.Linear(inputs, 4096), relu(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), relu(), nn.Dropout(0.5), nn.Linear(4096, classes)),
    ]


def _alexnet(*, pool_first: bool) -> nn.Module:
    def between() -> list[nn.Module]:
        pair = [nn.LocalResponseNorm(5, 1e-4, 0.75), max_pool(3, 2)]
        return pair[::-1] if pool_first else pair

    return Classifier(
        *(conv_relu(3, 96, 11, stride=4), *between()),
        *(conv_relu(96, 256, 5, padding=2, groups=2), *between()),
        *(conv_relu(256, 384, 3, padding=1), conv_relu(384, 384, 3, padding=1, groups=2)),
        *(conv_relu(384, 256, 3, padding=1, groups=2), max_pool(3, 2)),
        *_fully_connected(9216, 1000),
    )


def alexnet() -> nn.Module:
    return _alexnet(pool_first=False)


def caffenet() -> nn.Module:
    return _alexnet(pool_first=True)


def vgg16() -> nn.Module:
    body: list[nn.Module] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            body.append(conv_relu(channels, width, 3, padding=1))
            channels = width
        body.append(max_pool(2, 2))
    return Classifier(*body, *_fully_connected(25088, 100))


class Branches(nn.Module):
    """Several bodies over one input, their channels put together."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate what the branches give."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _fire(inputs: int, squeeze: int, expand: int) -> nn.Module:
    return nn.Sequential(
        conv_relu(inputs, squeeze, 1),
        Branches(conv_relu(squeeze, expand, 1), conv_relu(squeeze, expand, 3, padding=1)),
    )


def squeezenet() -> nn.Module:
    """Version 1.0."""
    return Classifier(
        *(conv_relu(3, 96, 7, stride=2), max_pool(3, 2)),
        *(_fire(96, 16, 64), _fire(128, 16, 64), _fire(128, 32, 128), max_pool(3, 2)),
        *(_fire(256, 32, 128), _fire(256, 48, 192), _fire(384, 48, 192), _fire(384, 64, 256)),
        *(max_pool(3, 2), _fire(512, 64, 256), nn.Dropout(0.5)),
        *(conv_relu(512, 1000, 1, padding=1), nn.AdaptiveAvgPool2d(1)),
    )


def _inception(inputs: int, widths: Sequence[int]) -> nn.Module:
    one, reduce3, three, reduce5, five, pooled = widths
    return Branches(
        conv_relu(inputs, one, 1),
        nn.Sequential(conv_relu(inputs, reduce3, 1), conv_relu(reduce3, three, 3, padding=1)),
        nn.Sequential(conv_relu(inputs, reduce5, 1), conv_relu(reduce5, five, 5, padding=2)),
        nn.Sequential(max_pool(3, 1, 1), conv_relu(inputs, pooled, 1)),
    )


def _side_loss(inputs: int) -> nn.Module:
    return Classifier(
        *(mean_pool(5, 3), conv_relu(inputs, 128, 1), nn.Flatten(), nn.Linear(2048, 1024), relu()),
        *(nn.Dropout(0.7), nn.Linear(1024, 1000)),
    )


class GoogLeNet(nn.Module):
    """With its two side losses of weight 0.3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(conv_relu(3, 64, 7, stride=2, padding=3), max_pool(3, 2)),
            *(nn.LocalResponseNorm(5, 1e-4, 0.75), conv_relu(64, 64, 1)),
            *(conv_relu(64, 192, 3, padding=1), nn.LocalResponseNorm(5, 1e-4, 0.75)),
            *(max_pool(3, 2), _inception(192, (64, 96, 128, 16, 32, 32))),
            *(_inception(256, (128, 128, 192, 32, 96, 64)), max_pool(3, 2)),
            _inception(480, (192, 96, 208, 16, 48, 64)),
        )
        self.side1 = _side_loss(512)
        self.middle = nn.Sequential(
            _inception(512, (160, 112, 224, 24, 64, 64)),
            _inception(512, (128, 128, 256, 24, 64, 64)),
            _inception(512, (112, 144, 288, 32, 64, 64)),
        )
        self.side2 = _side_loss(528)
        self.end = Classifier(
            *(_inception(528, (256, 160, 320, 32, 128, 128)), max_pool(3, 2)),
            _inception(832, (256, 160, 320, 32, 128, 128)),
            _inception(832, (384, 192, 384, 48, 128, 128)),
            *(nn.AvgPool2d(7, 1), nn.Dropout(0.4), nn.Flatten(), nn.Linear(1024, 1000)),
        )

    def forward(self, data: Tensor, label: Tensor) -> Tensor:
        """The three losses, weighed."""
        early = self.stem(data)
        late = self.middle(early)
        sides = self.side1(early, label) + self.side2(late, label)
        return 0.3 * sides + self.end(late, label)


def googlenet() -> nn.Module:
    return GoogLeNet()


class Residual(nn.Module):
    """relu(shortcut(x) + branch(x))."""

    def __init__(self, shortcut: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.branch = shortcut, branch

    def forward(self, x: Tensor) -> Tensor:
        """Add the two ways."""
        return F.relu(self.shortcut(x) + self.branch(x), inplace=True)


def resnet50(*, idiomatic: bool = False) -> nn.Module:
    """BatchNorm without affine and a Scale; `idiomatic` has one affine BatchNorm2d instead."""

    def norm(channels: int) -> nn.Module:
        if idiomatic:
            return nn.BatchNorm2d(channels)
        return nn.Sequential(nn.BatchNorm2d(channels, affine=False), Scale(channels))

    def conv_norm(inputs: int, outputs: int, kernel: int, **options: int) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
        return nn.Sequential(conv, norm(outputs))

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        shortcut: nn.Module = nn.Identity()
        if inputs != 4 * width:
            shortcut = conv_norm(inputs, 4 * width, 1, stride=stride)
        return Residual(
            shortcut,
            nn.Sequential(
                *(conv_norm(inputs, width, 1, stride=stride), relu()),
                *(conv_norm(width, width, 3, padding=1), relu(), conv_norm(width, 4 * width, 1)),
            ),
        )

    body = [nn.Conv2d(3, 64, 7, stride=2, padding=3), norm(64), relu(), max_pool(3, 2)]
    channels = 64
    for stage, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for index in range(count):
            body.append(block(channels, width, 2 if index == 0 and stage else 1))
            channels = 4 * width
    return Classifier(*body, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(2048, 1000))
