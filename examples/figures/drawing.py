"""Paint the figures: hue tells the limb and its side, brightness how near it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .camera import CAMERAS, Poses

Pixels = NDArray[np.float32]
CHUNK = 64
"""Pictures painted at once: bounds the memory, not the result."""


class Limb(NamedTuple):
    """A drawn limb: a tapering capsule from one joint to another, radii in mm, colour RGB 0…1."""

    start: int
    end: int
    start_radius: float
    end_radius: float
    colour: tuple[float, float, float]


LIMBS: tuple[Limb, ...] = (
    Limb(0, 12, 110, 110, (0.75, 0.75, 0.75)),
    Limb(12, 13, 120, 70, (0.85, 0.85, 0.75)),
    Limb(13, 14, 55, 60, (0.95, 0.85, 0.75)),
    Limb(14, 15, 90, 80, (1.0, 0.9, 0.85)),
    Limb(0, 1, 80, 80, (0.95, 0.6, 0.3)),
    Limb(1, 2, 80, 60, (1.0, 0.35, 0.1)),
    Limb(2, 3, 60, 45, (0.9, 0.1, 0.2)),
    Limb(3, 5, 45, 35, (1.0, 0.3, 0.5)),
    Limb(0, 6, 80, 80, (0.3, 0.6, 0.95)),
    Limb(6, 7, 80, 60, (0.1, 0.4, 1.0)),
    Limb(7, 8, 60, 45, (0.15, 0.15, 0.9)),
    Limb(8, 10, 45, 35, (0.5, 0.3, 1.0)),
    Limb(16, 17, 60, 60, (0.3, 0.85, 0.85)),
    Limb(17, 18, 55, 45, (0.1, 0.9, 0.8)),
    Limb(18, 19, 45, 38, (0.1, 0.9, 0.3)),
    Limb(19, 23, 45, 30, (0.5, 1.0, 0.4)),
    Limb(24, 25, 60, 60, (0.95, 0.8, 0.3)),
    Limb(25, 26, 55, 45, (1.0, 0.9, 0.1)),
    Limb(26, 27, 45, 38, (0.9, 0.4, 0.9)),
    Limb(27, 31, 45, 30, (1.0, 0.7, 1.0)),
)


def draw(poses: Poses, rng: np.random.Generator) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield every index with its picture `[size, size, 3]`, RGB, 8 bit."""
    for first in range(0, len(poses.joints), CHUNK):
        chosen = slice(first, first + CHUNK)
        picture = _background(len(poses.joints[chosen]), poses.size, rng)
        _draw_limbs(picture, poses, chosen)
        shown = np.clip(np.round(picture * 255), 0, 255).astype(np.uint8)
        yield from enumerate(shown, start=first)


def _background(count: int, size: int, rng: np.random.Generator) -> Pixels:
    """Dim blocks of random colour: something to tell the figure from, yet small as a PNG."""
    cells = -(-size // 4)
    level = rng.uniform(0.05, 0.35, (count, 1, 1, 3))
    noise = rng.normal(0, 0.05, (count, cells, cells, 3))
    blocks = np.repeat(np.repeat(level + noise, 4, 1), 4, 2)[:, :size, :size]
    return blocks.astype(np.float32)


def _draw_limbs(picture: Pixels, poses: Poses, chosen: slice) -> None:
    """Paint the limbs of every picture from the farthest to the nearest."""
    joints, pixels = poses.joints[chosen], poses.pixels[chosen]
    side = poses.boxes[chosen, 2] - poses.boxes[chosen, 0]
    per_mm = np.array([CAMERAS[c].focal[0] for c in poses.cameras[chosen]]) * poses.size / side
    ends = np.array([(limb.start, limb.end) for limb in LIMBS])
    radii = np.array([(limb.start_radius, limb.end_radius) for limb in LIMBS])
    colours = np.array([limb.colour for limb in LIMBS])
    order = np.argsort(-joints[:, ends, 2].mean(axis=2), axis=1)
    row = np.arange(len(joints))
    for limb in order.T:
        start, end = ends[limb].T
        depth = np.stack([joints[row, start, 2], joints[row, end, 2]], 1)
        _paint(
            picture,
            np.stack([pixels[row, start], pixels[row, end]], 1).astype(np.float32),
            (radii[limb] * per_mm[:, None] / depth).astype(np.float32),
            (depth - joints[:, :1, 2]).astype(np.float32),
            colours[limb].astype(np.float32),
        )


def _paint(picture: Pixels, ends: Pixels, radii: Pixels, depth: Pixels, colour: Pixels) -> None:
    """Paint one capsule per picture: `ends` [B, 2, 2], `radii` and `depth` [B, 2], `colour` [B, 3].

    `depth` is relative to the hips: 700 mm nearer is brightest, 700 mm farther darkest.
    """
    side = np.arange(picture.shape[1], dtype=np.float32) + np.float32(0.5)
    (x, y), (dx, dy) = (part.T[..., None, None] for part in (ends[:, 0], ends[:, 1] - ends[:, 0]))
    x, y = side[None, None, :] - x, side[None, :, None] - y
    along = np.clip((x * dx + y * dy) / np.maximum(dx**2 + dy**2, 1e-9), 0, 1)
    distance = np.hypot(x - along * dx, y - along * dy)
    radius, z = (_between(pair, along) for pair in (radii, depth))
    roundness = 0.8 + 0.2 * np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
    light = np.clip(0.62 - 0.38 / 700 * z, 0.2, 1.0) * roundness
    cover = np.clip(radius - distance + 0.5, 0, 1)
    shaded = colour[:, None, None, :] * light[..., None]
    picture += cover[..., None] * (shaded - picture)


def _between(ends: Pixels, along: Pixels) -> Pixels:
    """From the first of `ends` [B, 2] (along = 0) to the second (along = 1)."""
    first, second = ends.T[..., None, None]
    blend: Pixels = first + (second - first) * along
    return blend
