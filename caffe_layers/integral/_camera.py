"""Camera files, and joints from image pixels into a camera's frame."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Layer, Shape
from ._sample_files import indices_of, unreadable

_FOCAL, _CENTRE = slice(15, 17), slice(18, 20)
"""Words of a camera file: "R:" and 9 numbers, "T:" and 3, "f:" and 2, "c:" and 2, and more."""


@dataclass(frozen=True, slots=True)
class Camera:
    """Focal lengths and principal point in pixels."""

    focal: tuple[float, float]
    centre: tuple[float, float]


def need_camera_bottoms(layer: Layer, shapes: Sequence[Shape], counts: tuple[int, int]) -> None:
    """Two bottoms of so many numbers per sample, then box and index with one each.

    Raises:
        LayerError: anything else.
    """
    batch = shapes[0][0] if shapes[0] else 0
    wanted = [batch * count for count in (*counts, 1, 1, 1, 1, 1, 6)[: len(shapes)]]
    if [prod(shape) for shape in shapes] != wanted:
        raise layer.error(
            f"wants bottoms [N, {counts[0]}], [N, {counts[1]}] and five of one number per sample, "
            f"found {[list(shape) for shape in shapes]}"
        )


def cameras(layer: Layer, prefix: str, index: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Focal lengths and principal points of the samples' cameras, each [N, 1, 2], in double.

    A file is read again only when it has changed.

    Raises:
        DataError: a camera file is missing or is none.
    """
    found = [_camera(layer, f"{prefix}{number}.txt") for number in indices_of(index)]
    pairs = [[camera.focal, camera.centre] for camera in found]
    values = torch.tensor(pairs, dtype=torch.float64).to(like.device, non_blocking=True)
    return values[:, :1], values[:, 1:]


def unproject(
    share: Tensor, depth: Tensor, corners: tuple[Tensor, ...], camera: tuple[Tensor, Tensor]
) -> Tensor:
    """Joints X, Y, z in mm, [N, 3J]: U = u·(x2 - x1) + x1, X = (U - c)/f·z, likewise Y.

    Args:
        share: [N, J, 2], u and v as shares of the person's box.
        depth: [N, J], z in mm.
        corners: x1, y1, x2, y2 of the boxes in image pixels, N numbers each; double, as all here.
        camera: as `cameras` gives them.
    """
    focal, centre = camera
    x1, y1, x2, y2 = (corner.reshape(-1) for corner in corners)
    low = torch.stack((x1, y1), 1)[:, None]
    high = torch.stack((x2, y2), 1)[:, None]
    pixels = share * (high - low) + low
    plane = (pixels - centre) / focal * depth[:, :, None]
    return torch.cat((plane, depth[:, :, None]), 2).flatten(1)


def uncut(share: Tensor, cut: Tensor) -> Tensor:
    """Places [N, J, 2] as shares of the crop, as shares of the box that the crop was cut from.

    Args:
        cut: [N, 6], how each crop was cut, as GenUnifiedDataAndLabel says it.
    """
    matrix = cut.reshape(-1, 2, 3)
    moved = share - matrix[:, None, :, 2]
    return torch.linalg.solve(matrix[:, :, :2], moved.transpose(1, 2)).transpose(1, 2)


def mirrored(cut: Tensor) -> Tensor:
    """Which crops, [N], show their image as in a mirror."""
    return torch.linalg.det(cut.reshape(-1, 2, 3)[:, :, :2]) < 0


def stored_as(joints: Tensor) -> torch.dtype:
    """The dtype for millimetres: half precision would round them to several."""
    return torch.promote_types(joints.dtype, torch.float32)


def _camera(layer: Layer, path: str) -> Camera:
    try:
        state = os.stat(path)
        return _parsed(path, (state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise unreadable(layer, path, error) from error
    except ValueError as error:
        raise DataError(
            f"{layer.label}: {path} is no camera file (R: 9 numbers, T: 3, f: 2, c: 2): {error}"
        ) from error


@functools.lru_cache(maxsize=4096)
def _parsed(path: str, state: tuple[int, int]) -> Camera:
    """The camera in a file; `state` is there to tell a changed file from the one parsed."""
    words = Path(path).read_text(encoding="utf-8").split()
    if len(words) < _CENTRE.stop:
        raise ValueError(f"it has {len(words)} words, {_CENTRE.stop} are wanted")
    focal, centre = (tuple(float(word) for word in words[part]) for part in (_FOCAL, _CENTRE))
    return Camera((focal[0], focal[1]), (centre[0], centre[1]))
