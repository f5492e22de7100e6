"""transform_param: the arithmetic by hand, the draws by counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffe_layers.data._transform import Transform
from caffe_layers.errors import DataError

IMAGE = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)


def run(transform: Transform, image: np.ndarray = IMAGE, *, train: bool = False) -> np.ndarray:
    transform.prepare()
    out = np.empty(transform.shape(image.shape), np.float32)
    transform.into(out, image, train=train)
    return out


def mean_of(values: np.ndarray) -> dict[str, Any]:
    return {"mean_file": "mean", "read_blob": lambda path: values}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, IMAGE),
        ({"scale": 0.5}, IMAGE * 0.5),
        ({"mean_value": (3,)}, IMAGE - 3.0),
        ({"mean_value": (3, 9), "scale": 2}, (IMAGE - np.array([3.0, 9.0])[:, None, None]) * 2),
        ({"crop_size": 4}, IMAGE[:, 0:4, 1:5]),
        ({"crop_size": 3, "mean_value": (1,)}, IMAGE[:, 1:4, 2:5] - 1.0),
        (mean_of(IMAGE[None] * 2.0), IMAGE * -1.0),
        ({"crop_size": 3, **mean_of(IMAGE * 2.0)}, IMAGE[:, 1:4, 2:5] * -1.0),
    ],
    ids=[
        *("nothing", "scale", "one mean", "mean per channel", "crop", "crop and mean"),
        *("mean image", "mean image cropped"),
    ],
)
def test_test_phase(settings: dict[str, Any], wanted: np.ndarray) -> None:
    assert np.array_equal(run(Transform(**settings)), wanted.astype(np.float32))


def test_float_images_stay_what_they_are() -> None:
    assert np.array_equal(run(Transform(), IMAGE / np.float32(3)), IMAGE / np.float32(3))


def test_mirrored_every_other_time_in_test_too_and_the_mean_with_it() -> None:
    torch.manual_seed(2)
    transform = Transform(mirror=True, **mean_of(IMAGE * 2.0))
    made = [run(transform) for _ in range(400)]
    flipped = sum(np.array_equal(one, IMAGE[..., ::-1] * -1.0) for one in made)
    plain = sum(np.array_equal(one, IMAGE * -1.0) for one in made)
    assert flipped + plain == 400
    assert 150 < flipped < 250


def test_train_crops_are_anywhere_equally_often() -> None:
    torch.manual_seed(3)
    corners = [int(run(Transform(crop_size=3), train=True)[0, 0, 0]) for _ in range(3000)]
    places, counts = np.unique(corners, return_counts=True)
    assert places.tolist() == [7 * top + left for top in range(3) for left in range(5)]
    assert abs(counts - 200).max() < 60  # more than four standard deviations of 13.7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean_value": (1,), **mean_of(IMAGE)}, "mean_file and mean_value are both set"),
        ({"mean_value": (1, 2, 3)}, "3 mean_value for images of 2 channels"),
        (mean_of(IMAGE[:, :4]), r"holds \[2, 4, 7\], the image is \[2, 5, 7\]"),
        (mean_of(np.zeros((3, 2, 5, 7))), r"one image .* found \[3, 2, 5, 7\]"),
        ({"crop_size": 6}, "crop_size 6 is larger than an image of height 5 and width 7"),
        ({"mean_file": "mean"}, "needs read_blob"),
    ],
    ids=["two means", "mean values", "mean size", "several means", "crop", "no reader"],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(Transform(**settings))
