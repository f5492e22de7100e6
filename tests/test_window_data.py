"""WindowData: which windows are drawn, and how they lie in the crop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from caffe_layers.data._windows import Cut, Window, cut_of, read_windows
from caffe_layers.errors import DataError, LayerError
from caffe_layers.registry import find

FILE = """
# 0
one.png 3 20 30
3
2 0.9 4 5 11 12
1 0.6 0 0 9 7
7 0.2 10 10 17 15
# 1
two.png 3 16 24
2
3 0.5 2 3 9 8
9 0.499 1 1 4 4
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(6)
    for name, height, width in (("one", 20, 30), ("two", 16, 24)):
        cv2.imwrite(f"{name}.png", draw.integers(1, 256, (height, width, 3), np.uint8))
    Path("windows.txt").write_text(FILE)
    return tmp_path


def make(**arguments: Any) -> Any:
    settings = {"source": "windows.txt", "batch_size": 8, "crop_size": 8, **arguments}
    layer = find("WindowData")(**settings)
    layer.name = "this"
    layer.set_up()
    return layer


def test_background_comes_first_then_the_share_of_foreground() -> None:
    torch.manual_seed(1)
    layer = make(fg_fraction=0.4)
    rows = np.stack([layer()[1].numpy() for _ in range(300)])
    assert not rows[:, :5].any()
    assert set(Counter(rows[:, 5:].ravel())) == {1, 2, 3}
    assert min(Counter(rows[:, 5:].ravel()).values()) > 240  # 300 each, deviation 14


def test_thresholds_part_the_windows() -> None:
    layer = make(fg_threshold=0.6, bg_threshold=0.3, fg_fraction=0.5)
    torch.manual_seed(1)
    rows = np.stack([layer()[1].numpy() for _ in range(60)])
    assert set(rows.ravel()) == {0, 1, 2}


def one_window(window: str, **arguments: Any) -> np.ndarray:
    """What comes out for one foreground window of one.png, which is 20 high and 30 wide."""
    Path("w.txt").write_text(f"# 0\none.png\n3 20 30\n2\n1 1.0 {window}\n0 0.0 0 0 3 3\n")
    return make(source="w.txt", batch_size=1, fg_fraction=1.0, **arguments)()[0][0].numpy()


def part(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    return cv2.imread("one.png")[y1 : y2 + 1, x1 : x2 + 1]


def planes(image: np.ndarray) -> np.ndarray:
    return image.transpose(2, 0, 1).astype("float32")


def test_a_window_of_the_crops_size_is_cut_out() -> None:
    wanted = planes(part(4, 5, 11, 12)) * 0.5 - 1.5
    found = one_window("4 5 11 12", mean_value=(3,), scale=0.5)
    assert np.array_equal(found, wanted)


def test_another_window_is_warped() -> None:
    wanted = planes(cv2.resize(part(2, 3, 14, 9), (8, 8)))
    assert np.array_equal(one_window("2 3 14 9"), wanted)


def test_square_takes_what_is_around() -> None:
    # 13 by 7 pixels; its square is x 2…15 and y 0…13 (13/2 around 8.5 and 6.5)
    wanted = planes(cv2.resize(part(2, 0, 15, 13), (8, 8)))
    assert np.array_equal(one_window("2 3 14 9", crop_mode="square"), wanted)


def test_context_beyond_the_image_is_empty() -> None:
    # crop 8 with 2 pixels of context: factor 2. x 0…3 becomes -2…6, of which 2 of 9 lie outside
    found = one_window("0 4 3 7", context_pad=2, mean_value=(1,))
    left = round(2 * 8 / 9)
    width = round(7 * 8 / 9)
    wanted = planes(cv2.resize(part(0, 2, 6, 10), (width, 8))) - 1
    assert np.array_equal(found[:, :, left : left + width], wanted)
    assert not found[:, :, :left].any()


def test_mirroring_turns_the_empty_part_too() -> None:
    torch.manual_seed(0)
    made = [one_window("0 4 3 7", context_pad=2, mirror=True) for _ in range(20)]
    plain = one_window("0 4 3 7", context_pad=2)
    turned = [not np.array_equal(one, plain) for one in made]
    mirrored = np.stack(made)[turned]
    assert 4 <= sum(turned) <= 16
    assert np.array_equal(mirrored[0][:, :, :6], plain[:, :, :1:-1])
    assert not mirrored[0][:, :, 6:].any()


def test_the_middle_of_the_mean_image_is_taken_off() -> None:
    mean = np.arange(3 * 12 * 12, dtype="float32").reshape(1, 3, 12, 12)
    found = one_window("4 5 11 12", mean_file="m", read_blob=lambda path: mean)
    assert np.array_equal(found, planes(part(4, 5, 11, 12)) - mean[0, :, 2:10, 2:10])


def test_images_kept_in_memory_are_not_read_again() -> None:
    torch.manual_seed(0)
    layer = make(cache_images=True, batch_size=32, root_folder="./")
    before = layer()[0].shape
    Path("one.png").unlink()
    Path("two.png").unlink()
    assert layer()[0].shape == before


@pytest.mark.parametrize("where", [(0, 0), (7, 2), (29, 19), (13, 0)])
@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("context", [0, 1, 3])
def test_cuts_stay_in_the_image(where: tuple[int, int], square: bool, context: int) -> None:
    x, y = where
    window = Window("i", 1, 1.0, x, y, min(x + 8, 29), min(y + 4, 19))
    cut = cut_of(window, image_width=30, image_height=20, side=16, context=context, square=square)
    assert isinstance(cut, Cut)
    assert 0 <= cut.x1 <= cut.x2 < 30
    assert 0 <= cut.y1 <= cut.y2 < 20
    assert cut.left + cut.width + cut.right <= 17  # one too many at most, by rounding


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("# 0 a.png 3 4 5 2 1 0.9 0 0 1 1", "it breaks off"),
        ("0 a.png 3 4 5 0 0 0", "should be '#'"),
        ("# 1 a.png 3 4 5 0", "image number 1 stands where 0 should"),
        ("# 0 a.png 3 4 5 one", "is no window file: invalid literal"),
    ],
    ids=["empty", "breaks off", "no hash", "number", "no number"],
)
def test_a_bad_file(content: str, message: str) -> None:
    Path("bad.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        read_windows("bad.txt")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_size": 0}, "crop_size is 0; it must be set"),
        ({"context_pad": 4}, "larger than twice context_pad 4"),
        ({"fg_threshold": 2.0}, "has 0 foreground and"),
        ({"fg_threshold": 0.1, "bg_threshold": 0.1}, "5 foreground and 0 background"),
        ({"source": "none.txt"}, "cannot read the window file none.txt"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, LayerError), match=message):
        make(**settings)
