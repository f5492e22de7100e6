"""One image and its joints scaled, turned, cut out and mirrored: the plan in float32, then pixels.

Labels are held to the last bit, so every number here is rounded to float32 exactly where the
legacy code stored one, and computed in double where it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ._joints import FLIPPED_PARTS
from ._sample_files import Image

Points = NDArray[np.float32]
"""One row per point: x, y. The last row is the person's centre, the others are joints."""

GREY = (128, 128, 128)
"""What is seen beyond the edge of an image."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How often a sample is scaled at random, between what, and the size aimed at."""

    scale_prob: float
    scale_min: float
    scale_max: float
    target_dist: float


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far samples may be changed: the fields of transform_param that are read."""

    scaling: Scaling
    max_rotate_degree: float
    center_perterb_max: float
    crop_size: tuple[int, int]
    flip_prob: float
    transform_body_joint: bool


def augment(
    image: Image, points: Points, size: float, how: Augmentation, dice: Callable[[], float]
) -> tuple[Image, Points]:
    """The crop and the points in it; `dice` gives numbers in [0, 1], 5 or 6 times.

    Args:
        size: size of the person as a share of that at which no scaling is needed.
    """
    image, points = _scale(image, points, _scale_factor(size, how.scaling, dice))
    image, points = _rotate(image, points, np.float32((dice() - 0.5) * 2 * how.max_rotate_degree))
    image, points = _crop(image, points, how, (dice(), dice()))
    if dice() <= how.flip_prob:
        image, points = _flip(image, points, how.transform_body_joint)
    return image, points


def _scale_factor(size: float, how: Scaling, dice: Callable[[], float]) -> np.float32:
    multiplier = np.float32(1)
    if not dice() > np.float32(how.scale_prob):
        low, high = np.float32(how.scale_min), np.float32(how.scale_max)
        multiplier = (high - low) * np.float32(dice()) + low
    return np.float32(how.target_dist) / np.float32(size) * multiplier


def _scale(image: Image, points: Points, factor: np.float32) -> tuple[Image, Points]:
    by = float(factor)
    resized = cv2.resize(image, None, fx=by, fy=by, interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8), points * factor


def _rotate(image: Image, points: Points, degrees: np.float32) -> tuple[Image, Points]:
    """Turn about the middle, on a canvas that holds all of the turned image."""
    height, width = image.shape[:2]
    middle = width / 2, height / 2
    canvas = _turned_box(width, height, float(degrees))
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, float(degrees), 1.0), np.float64)
    matrix[:, 2] += np.array(canvas) / 2.0 - np.array(middle)
    turned = cv2.warpAffine(
        image,
        matrix,
        canvas,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=GREY,
    )
    moved = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(turned, np.uint8), moved.astype(np.float32)


def _turned_box(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Width and height of the whole pixels that hold a turned rectangle, one more than needed."""
    turn = math.radians(degrees)
    half_sine = np.float32(math.sin(turn)) * np.float32(0.5)
    half_cosine = np.float32(math.cos(turn)) * np.float32(0.5)
    w, h = np.float32(width), np.float32(height)
    x, y = w / 2, h / 2
    xs = (x - half_sine * h - half_cosine * w, x + half_sine * h - half_cosine * w)
    ys = (y + half_cosine * h - half_sine * w, y - half_cosine * h - half_sine * w)
    return _span(xs, x), _span(ys, y)


def _span(corners: tuple[np.float32, np.float32], middle: np.float32) -> int:
    both = [*corners, *(2 * middle - corner for corner in corners)]
    return math.ceil(max(both)) - math.floor(min(both)) + 1


def _crop(
    image: Image, points: Points, how: Augmentation, draws: tuple[float, float]
) -> tuple[Image, Points]:
    offset = [np.float32(int((draw - 0.5) * 2 * how.center_perterb_max)) for draw in draws]
    x, y = (int(place) for place in points[-1] + np.array(offset, np.float32))
    width, height = how.crop_size
    left, top = x - width // 2, y - height // 2
    crop = _window(image, left, top, width, height)
    return crop, points - np.array((left, top), np.float32)


def _window(image: Image, left: int, top: int, width: int, height: int) -> Image:
    """A window of the image, grey where it reaches over the edge."""
    window = np.full((height, width, 3), GREY[0], np.uint8)
    rows = slice(max(0, top), max(0, min(image.shape[0], top + height)))
    columns = slice(max(0, left), max(0, min(image.shape[1], left + width)))
    seen = image[rows, columns]
    down, right = max(0, -top), max(0, -left)
    window[down : down + seen.shape[0], right : right + seen.shape[1]] = seen
    return window


def _flip(image: Image, points: Points, swap_sides: bool) -> tuple[Image, Points]:
    mirrored = points.copy()
    mirrored[:, 0] = np.float32(image.shape[1] - 1) - points[:, 0]
    if swap_sides:
        right, left = (list(side) for side in zip(*FLIPPED_PARTS, strict=True))
        mirrored[right + left] = mirrored[left + right]
    return np.ascontiguousarray(image[:, ::-1]), mirrored
