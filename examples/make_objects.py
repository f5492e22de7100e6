"""Draw ten kinds of objects on 32 x 32 colour images, as the LMDBs that CIFAR-10 nets read.

    python examples/make_objects.py             # writes toy/objects/ unless it is already there

Disc, square, triangle, cross, ring, bar, star, diamond, arc and checkerboard, at a random place,
size, turn and colour, over a ground that shades from one colour to another, with noise. Training
images go to train_lmdb, the rest to test_lmdb, their records as `caffe convert_imageset` makes
them; mean.binaryproto is the mean training image, as `caffe compute_image_mean` makes it. The same
settings give the same records.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from converter.blob import mean_to_bytes
from converter.datum import datum_to_bytes

SIZE, KINDS, SEED = 32, 10, 2018
_SCALE = 8  # drawn this much larger, for smooth edges

Image = NDArray[np.uint8]


def main() -> None:
    """Make the set unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("toy/objects"), help="toy/objects")
    parser.add_argument("--train", type=int, default=10000, help="default 10000")
    parser.add_argument("--test", type=int, default=2000, help="default 2000")
    given = parser.parse_args()
    root: Path = given.into
    if (root / "mean.binaryproto").is_file():
        print(f"{root.as_posix()} is already there")
        return
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(SEED))
    mean = write(root / "train_lmdb", given.train, rng)
    write(root / "test_lmdb", given.test, rng)
    (root / "mean.binaryproto").write_bytes(mean_to_bytes(mean))
    print(f"{root.as_posix()}: {given.train} train and {given.test} test images")


def write(folder: Path, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Write `count` images of kinds drawn at random; returns their mean [3, 32, 32]."""
    total = np.zeros((3, SIZE, SIZE))
    with new_records(str(folder), "LMDB") as records:
        for index in range(count):
            kind = int(rng.integers(KINDS))
            image = picture(kind, rng).transpose(2, 0, 1)
            total += image
            records.put(b"%08d" % index, datum_to_bytes(Datum(kind, image)))
    return (total / count).astype(np.float32)


def picture(kind: int, rng: np.random.Generator) -> Image:
    """An image [32, 32, 3] of one object."""
    shade = np.linspace(0, 1, SIZE)[:, None, None]
    first, second, colour = rng.integers(0, 256, (3, 3))
    ground = np.broadcast_to(first + (second - first) * shade, (SIZE, SIZE, 3))
    cover = cv2.resize(_mask(kind, rng), (SIZE, SIZE), interpolation=cv2.INTER_AREA) / 255
    mixed = ground * (1 - cover[..., None]) + colour * cover[..., None]
    noisy = mixed + rng.normal(0, 8, mixed.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _mask(kind: int, rng: np.random.Generator) -> Image:
    """Where the object is, drawn large: 255, elsewhere 0."""
    mask = np.zeros((SIZE * _SCALE, SIZE * _SCALE), np.uint8)
    radius = rng.uniform(8, 13) * _SCALE
    middle = rng.uniform(13, 19, 2) * _SCALE
    turn = rng.uniform(0, 2 * np.pi)
    if kind in (0, 4, 8):
        line = -1 if kind == 0 else round(radius / 3)
        extent = 200 if kind == 8 else 360
        axes = (round(radius * 0.8),) * 2
        cv2.ellipse(mask, _whole(middle), axes, np.degrees(turn), 0, extent, 255, line)
    else:
        for corners in _outlines(kind):
            placed = corners @ _rotation(turn) * radius + middle
            cv2.fillPoly(mask, [placed.round().astype(np.int32)], 255)
    return mask


def _outlines(kind: int) -> list[NDArray[np.float64]]:
    """The polygons of a kind, about the origin, within a circle of radius 1."""
    if kind == 3:
        return [_box(1, 0.3), _box(0.3, 1)]
    if kind == 9:
        places = [(-0.5, -0.5), (0.0, 0.0), (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5)]
        return [_box(0.25, 0.25) + place for place in places]
    if kind == 6:
        points = _ring(10)
        points[1::2] *= 0.4
        return [points]
    return [{1: _box(0.75, 0.75), 2: _ring(3), 5: _box(1, 0.25), 7: _ring(4) * (1, 0.5)}[kind]]


def _ring(corners: int) -> NDArray[np.float64]:
    turns = np.arange(corners) * 2 * np.pi / corners
    return np.stack((np.cos(turns), np.sin(turns)), 1)


def _box(half_width: float, half_height: float) -> NDArray[np.float64]:
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    return signs * (half_width, half_height)


def _rotation(turn: float) -> NDArray[np.float64]:
    return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _whole(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


if __name__ == "__main__":
    main()
