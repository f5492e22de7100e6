"""Drawing joints and bones over an image, as the overlay layer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import _joints as tables
from ._sample_files import Image

Joints = NDArray[np.float32]
"""One row per joint: x, y as shares of the image."""
Pixel = tuple[int, int]

RADIUS = 5
_FAR = 2**20
"""Pixels beyond which a joint may as well be here: OpenCV counts in whole numbers."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One numbering of joints: its bones and the colours of both, in drawing order."""

    joints: int
    bones: Sequence[tuple[int, int]]
    joint_colours: Sequence[tuple[int, int, int]]
    bone_colours: Sequence[tuple[int, int, int]]


PART = Skeleton(
    tables.PART_JOINTS, tables.PART_BONES, tables.PART_JOINT_COLOURS, tables.PART_BONE_COLOURS
)
C2F = Skeleton(
    tables.C2F_JOINTS, tables.C2F_BONES, tables.C2F_JOINT_COLOURS, tables.C2F_BONE_COLOURS
)


def draw_joints(
    canvas: Image, skeleton: Skeleton, predicted: Joints, true: Joints | None, thickness: int
) -> None:
    """A disc (or, with a thickness above 0, a ring) for each joint, the true one after it."""
    size = canvas.shape[0]
    for joint, colour in enumerate(skeleton.joint_colours):
        cv2.circle(canvas, _pixel(predicted[joint], size), RADIUS, colour, thickness)
        if true is not None:
            place = _pixel(true[joint], size)
            cv2.circle(canvas, place, RADIUS, tables.TRUE_JOINT_COLOUR, thickness)


def draw_bones(
    canvas: Image,
    skeleton: Skeleton,
    predicted: Joints,
    true: Joints | None,
    shown: Sequence[bool],
    width: int,
) -> None:
    """A line for each predicted bone that is `shown`, and for each true one, in one colour."""
    size = canvas.shape[0]
    for bone, colour, visible in zip(skeleton.bones, skeleton.bone_colours, shown, strict=True):
        sources = [predicted] if visible else []
        sources += [] if true is None else [true]
        for joints in sources:
            start, end = (_pixel(joints[joint], size) for joint in bone)
            cv2.line(canvas, start, end, colour, width)


def inside(skeleton: Skeleton, true: Joints) -> list[bool]:
    """Of which bones the true ends u, v have u.x > 0, u.y < 1, v.x > 0 and v.y < 1."""
    ends = true[np.array(skeleton.bones)]
    return ((ends[:, :, 0] > 0) & (ends[:, :, 1] < 1)).all(1).tolist()


def _pixel(joint: Joints, size: int) -> Pixel:
    """The nearest pixel, of two equally near the even one."""
    x, y = np.clip(np.nan_to_num(np.rint(joint * np.float32(size)), nan=-_FAR), -_FAR, _FAR)
    return int(x), int(y)
