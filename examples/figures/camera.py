"""Four pinhole cameras, and what they see of random skeletons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .skeleton import Floats, random_skeletons


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera: focal lengths and principal point in pixels of the full frame."""

    focal: tuple[float, float]
    centre: tuple[float, float]
    yaw: float
    """Degrees; only the R and T lines of the camera file depend on it."""


CAMERAS = (
    Camera((1145.05, 1143.78), (512.54, 515.45), 20.0),
    Camera((1149.68, 1147.59), (508.85, 508.06), 110.0),
    Camera((1149.14, 1148.80), (519.82, 501.40), 200.0),
    Camera((1145.51, 1144.77), (514.97, 501.88), 290.0),
)


@dataclass(frozen=True, slots=True)
class Poses:
    """All samples: joints in the camera frame, their projections, boxes, cameras."""

    joints: Floats
    """`[N, 32, 3]`, mm in the camera frame."""
    pixels: Floats
    """`[N, 32, 2]`, x y in the crop."""
    boxes: Floats
    """`[N, 4]`, x1 y1 x2 y2 of the square crop in the camera image, whole pixels."""
    cameras: NDArray[np.int64]
    """`[N]`, index into CAMERAS."""
    size: int
    """Side of the crop in its own pixels."""


def random_poses(count: int, size: int, rng: np.random.Generator) -> Poses:
    """Pose, place and photograph the skeleton `count` times, for crops of `size` pixels."""
    place = rng.uniform((-500, -250, 3600), (500, 250, 5400), (count, 1, 3))
    joints = random_skeletons(count, rng) + place
    cameras = rng.integers(len(CAMERAS), size=count)
    frame = project(joints, cameras)
    boxes = _square_boxes(frame)
    side = (boxes[:, 2:] - boxes[:, :2])[:, None, :]
    return Poses(joints, (frame - boxes[:, None, :2]) / side * size, boxes, cameras, size)


def project(joints: Floats, cameras: NDArray[np.int64]) -> Floats:
    """Pinhole projection `[N, 32, 3]` mm to `[N, 32, 2]` pixels of the full frame."""
    focal = np.array([camera.focal for camera in CAMERAS])[cameras][:, None, :]
    centre = np.array([camera.centre for camera in CAMERAS])[cameras][:, None, :]
    seen: Floats = joints[..., :2] / joints[..., 2:] * focal + centre
    return seen


def _square_boxes(frame: Floats) -> Floats:
    low, high = frame.min(axis=1), frame.max(axis=1)
    half = np.round(0.6 * (high - low).max(axis=1, keepdims=True))
    middle = np.round((low + high) / 2)
    return np.concatenate([middle - half, middle + half], axis=1)
