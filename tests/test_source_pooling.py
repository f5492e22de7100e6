"""Pooling in PyTorch source is Caffe's at every size of image, not only at the sample's."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from converter import load_net
from converter.exports import pytorch
from converter.exports.source.lower import program_of
from converter.exports.source.module_text import source_of
from converter.net import Net

POOLINGS = {
    "halved": "kernel_size: 2 stride: 2",
    "overlapping": "kernel_size: 3 stride: 2",
    "mean": "pool: AVE kernel_size: 3 stride: 2",
    "padded": "kernel_size: 3 stride: 2 pad: 1",
    "padded_mean": "pool: AVE kernel_size: 4 stride: 3 pad: 2",
    "far_padded": "kernel_size: 3 stride: 2 pad: 2",
    "oblong": "kernel_h: 2 kernel_w: 5 stride_h: 1 stride_w: 4 pad_h: 0 pad_w: 1",
    "sparse": "kernel_size: 1 stride: 2",
    "sparse_mean": "pool: AVE kernel_size: 2 stride: 5",
    "sparse_padded": "kernel_size: 2 stride: 5 pad: 1",
    "sparse_floor": "kernel_size: 1 stride: 2 round_mode: FLOOR",
    "floor": "kernel_size: 3 stride: 2 round_mode: FLOOR",
    "floor_mean": "pool: AVE kernel_size: 3 stride: 2 pad: 1 ceil_mode: false",
    "dense": "kernel_size: 3 stride: 1 pad: 1",
    "dense_mean": "pool: AVE kernel_size: 4",
}
MADE_FOR = (13, 15)
SIZES = [(7, 9), (8, 12), (10, 11), (14, 13), (16, 22), (17, 18), (19, 20)]


def pooled_net(folder: Path, height: int, width: int) -> Net:
    """All the poolings side by side, for images of this size."""
    layers = [
        f'layer {{ name: "{name}" type: "Pooling" bottom: "data" top: "{name}" '
        f"pooling_param {{ {settings} }} }}"
        for name, settings in POOLINGS.items()
    ]
    shape = f"shape {{ dim: 2 dim: 3 dim: {height} dim: {width} }}"
    given = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ {shape} }} }}'
    path = folder / f"pooled_{height}_{width}.prototxt"
    path.write_text("\n".join(['name: "pooled"', given, *layers]), encoding="utf-8")
    return load_net(path, phase="TEST")


def source_text(folder: Path) -> str:
    return source_of(program_of(pooled_net(folder, *MADE_FOR)), "Poolings.").text


def outputs_of(text: str, image: Tensor) -> dict[str, Tensor]:
    with pytorch.module_of(text) as module:
        made: nn.Module = module.Pooled().eval()
        found: dict[str, Tensor] = made(image)
    return found


def caffe_size(
    size: int, kernel: int, stride: int, pad: int, *, any_pad: bool, floor: bool = False
) -> int:
    """What pooling_layer.cpp says, line by line."""
    exact = (size + 2 * pad - kernel) / stride
    pooled = (math.floor(exact) if floor else math.ceil(exact)) + 1
    return pooled - 1 if any_pad and (pooled - 1) * stride >= size + pad else pooled


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_source_does_what_the_net_does_at_other_sizes(
    height: int, width: int, tmp_path: Path
) -> None:
    image = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    found = outputs_of(source_text(tmp_path), image)
    wanted = pooled_net(tmp_path, height, width)(image)
    torch.testing.assert_close(found, dict(wanted), rtol=0, atol=1e-6, equal_nan=True)


SQUARE = {
    "halved": (2, 2, 0),
    "overlapping": (3, 2, 0),
    "mean": (3, 2, 0),
    "padded": (3, 2, 1),
    "padded_mean": (4, 3, 2),
    "far_padded": (3, 2, 2),
    "sparse": (1, 2, 0),
    "sparse_mean": (2, 5, 0),
    "sparse_padded": (2, 5, 1),
    "dense": (3, 1, 1),
    "dense_mean": (4, 1, 0),
}
"""Kernel, stride and pad."""
FLOOR = {"sparse_floor": (1, 2, 0), "floor": (3, 2, 0), "floor_mean": (3, 2, 1)}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_maps_are_of_caffes_size(height: int, width: int, tmp_path: Path) -> None:
    found = outputs_of(source_text(tmp_path), torch.zeros(1, 3, height, width))
    wanted = {
        name: tuple(
            caffe_size(size, *plan, any_pad=plan[2] > 0, floor=name in FLOOR)
            for size in (height, width)
        )
        for name, plan in {**SQUARE, **FLOOR}.items()
    }
    wanted["oblong"] = (
        caffe_size(height, 2, 1, 0, any_pad=True),
        caffe_size(width, 5, 4, 1, any_pad=True),
    )
    assert {name: tuple(y.shape[2:]) for name, y in found.items()} == wanted


def test_the_source_says_torchs_words_where_they_are_caffes_at_every_size(tmp_path: Path) -> None:
    text = " ".join(source_text(tmp_path).split())
    said = [
        "F.max_pool2d(data, 2, ceil_mode=True)",
        "F.max_pool2d(data, 3, 2, ceil_mode=True)",
        "F.avg_pool2d(data, 4, 3, padding=2, ceil_mode=True)",
        "F.max_pool2d(data, (2, 5), (1, 4), padding=(0, 1), ceil_mode=True)",
        "F.max_pool2d(data, 2, 5, padding=1, ceil_mode=True)",
        "F.max_pool2d(data, 1, 2)",
        "F.max_pool2d(data, 3, 2)",
        "F.avg_pool2d(data, 3, 2, padding=1)",
        "F.max_pool2d(data, 3, 1, padding=1)",
        "F.avg_pool2d(data, 4, 1)",
        "self.far_padded(data)",
        "self.sparse(data)",
        "self.sparse_mean(data)",
    ]
    assert [each for each in said if each not in text] == []
