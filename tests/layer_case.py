"""Layers to be tried, with bottoms in float64 that are the same every time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from caffe_layers.layer import Layer
from caffe_layers.registry import find


def make(type_name: str, /, **arguments: Any) -> Any:
    layer = find(type_name)(**arguments)
    layer.name = "this"
    return layer


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """A layer and its bottoms; `differentiable` are the places of those that take a gradient."""

    type: str
    bottoms: tuple[Tensor, ...]
    differentiable: tuple[int, ...] = (0,)
    arguments: dict[str, Any] = field(default_factory=dict)

    def layer(self) -> Layer:
        torch.manual_seed(3)
        layer = make(self.type, **self.arguments)
        layer.set_up(*(bottom.shape for bottom in self.bottoms))
        return layer.double()
