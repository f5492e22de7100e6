"""Readers, augmentation, camera frame and writers of the integral repositories."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from golden_case import FORWARD
from torch import Tensor

import caffe_layers
from caffe_layers.errors import CaffeError, DataError, LayerError
from caffe_layers.layer import Layer

VECTORS = json.loads(
    Path(__file__).parent.joinpath("golden", "integral_golden_vectors.json").read_text()
)
CROPS = VECTORS["gen_unified_data_and_label"]
ON_CAMERA = {
    case["id"]: case for case in VECTORS["cases"] if case["id"] in ("genaug3d", "genmono3d")
}

CAMERA_100 = """R:
   -0.915362    0.401808    0.025748
    0.051548    0.180374   -0.982246
   -0.399319   -0.897784   -0.185820
T:
 1841.107028 4955.284623 1563.445396
f:
 1145.049405 1143.781096
c:
  512.541505  515.451487
k:
   -0.207099    0.247775   -0.003075
p:
   -0.001424   -0.000976
"""
"""The toy sample's camera."""


def make(kind: str, **arguments: Any) -> Layer:
    return getattr(caffe_layers, kind)(**arguments)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def saved(path: Path, image: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return str(path)


def load(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


# --- indices -------------------------------------------------------------------------------------


def test_random_indices_stay_within_both_bounds_and_reach_them() -> None:
    torch.manual_seed(3)
    index = make("GenRandIndex", index_lower_bound=7, index_upper_bound=11, batch_size=200)()
    assert index.shape == (200, 1)
    assert index.dtype == torch.float32
    assert set(index.flatten().tolist()) == {7.0, 8.0, 9.0, 10.0, 11.0}


@pytest.mark.parametrize("option", [0, 1])
def test_random_indices_are_uniform(option: int) -> None:
    torch.manual_seed(4)
    layer = make(
        "GenRandIndex",
        index_lower_bound=5,
        index_upper_bound=9,
        batch_size=20_000,
        rand_generator_option=option,
    )
    counts = torch.bincount(layer().flatten().long(), minlength=10)[5:]
    chi_square = float(((counts - 4000.0) ** 2 / 4000).sum())
    assert chi_square < 18.5  # 0.1 % for four degrees of freedom


def test_random_indices_follow_the_seed() -> None:
    layer = make("GenRandIndex", batch_size=9)
    torch.manual_seed(1)
    first, second = layer(), layer()
    torch.manual_seed(1)
    assert torch.equal(layer(), first)
    assert not torch.equal(first, second)


def test_reseeding_repeats_the_batch_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1234.9)
    layer = make("GenRandIndex", batch_size=9, reseed_each_second=True)
    first = layer()
    assert torch.equal(layer(), first)
    monkeypatch.setattr("time.time", lambda: 1235.1)
    assert not torch.equal(layer(), first)


def test_the_constant_index_of_other_options() -> None:
    layer = make(
        "GenRandIndex",
        index_lower_bound=0,
        index_upper_bound=1559571,
        batch_size=3,
        rand_generator_option=2,
    )
    with pytest.warns(UserWarning, match="always gives the index 205142"):
        index = layer()
    assert index.flatten().tolist() == [205142.0] * 3


def test_missing_indices_are_not_drawn(tmp_path: Path) -> None:
    listed = written(tmp_path / "missing.txt", "3\n4 6\n 8 99")
    bounds = {"index_lower_bound": 4, "index_upper_bound": 8}
    layer = make("GenRandIndex", **bounds, batch_size=300, missing_index_file=str(listed))
    assert set(layer().flatten().tolist()) == {5.0, 7.0}


def test_sequential_indices_wrap_and_keep_their_place(tmp_path: Path) -> None:
    state = written(tmp_path / "cur.txt", "-1\n")
    settings: dict[str, Any] = {"num_of_samples": 5, "start_index": 100, "batch_size": 3}
    layer = make("GenSequentialIndex", current_index_file_path=str(state), **settings)
    assert layer().flatten().tolist() == [100, 101, 102]
    assert layer().flatten().tolist() == [103, 104, 100]
    assert state.read_text() == "0\n"
    again = make("GenSequentialIndex", current_index_file_path=str(state), **settings)
    assert again().flatten().tolist() == [101, 102, 103]


def test_listed_indices_repeat_the_last_at_the_end(tmp_path: Path) -> None:
    listed, state = written(tmp_path / "all.txt", "10 20\n30 40 50"), written(tmp_path / "k", "-1")
    layer = make(
        "ReadIndexFromFile",
        index_file_path=str(listed),
        current_index_file_path=str(state),
        batch_size=2,
        num_of_samples=5,
    )
    batches = [layer().flatten().tolist() for _ in range(6)]
    assert batches == [[10, 20], [30, 40], [50, 50], [20, 30], [40, 50], [10, 20]]


def test_one_of_each_row_is_chosen() -> None:
    torch.manual_seed(0)
    rows = torch.arange(6.0).view(2, 3)
    layer = make("CrossValidationRandomChooseIndex")
    chosen = torch.stack([layer(rows) for _ in range(60)])
    assert chosen.shape == (60, 2, 1)
    assert set(chosen[:, 0].flatten().tolist()) == {0.0, 1.0, 2.0}
    assert set(chosen[:, 1].flatten().tolist()) == {3.0, 4.0, 5.0}


# --- numbers -------------------------------------------------------------------------------------


def test_numbers_of_each_sample(tmp_path: Path) -> None:
    written(tmp_path / "7.txt", "  265 264\n658 657 1\n")
    written(tmp_path / "1000006.txt", "-1.5\t2e3 3 4.25")
    layer = make("ReadBlobFromFileIndexing", file_prefix=f"{tmp_path}/", num_to_read=4)
    numbers = layer(column(7.9, 1000006))
    assert numbers.tolist() == [[265, 264, 658, 657], [-1.5, 2000, 3, 4.25]]


def test_files_are_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "0.txt", "1")
    layer = make("ReadBlobFromFileIndexing", file_prefix=f"{tmp_path}/", num_to_read=1)
    before = layer(column(0)).item()
    written(path, "2")
    assert (before, layer(column(0)).item()) == (1, 2)


def test_the_same_numbers_for_all(tmp_path: Path) -> None:
    path = written(tmp_path / "mean.txt", "1 2\n3 4")
    layer = make("ReadBlobFromFile", file_path=str(path), num_to_read=3, batch_size=2)
    assert layer().tolist() == [[1, 2, 3], [1, 2, 3]]


# --- augmentation --------------------------------------------------------------------------------


@pytest.fixture
def toy_image(corpus: Path) -> Path:
    toy = corpus / "strawberryfg+c2f-3dhm-human-caffe" / "data" / "toy_example"
    return toy / "images" / "1000.png"


def crop_arguments(case: dict[str, Any]) -> dict[str, Any]:
    given = {key.split(".")[1]: float(value) for key, value in case["params"].items()}
    return {
        "num_parts": 16,
        "crop_size_x": 256,
        "crop_size_y": 256,
        "scale_min": 0.7,
        "scale_max": 1.3,
        "center_perterb_max": 0.0,
        **given,
    }


def dice_of(draws: list[int], limit: int) -> Callable[[], float]:
    """The legacy layer's numbers: rand()/RAND_MAX in float32."""
    numbers: Iterator[int] = iter(draws)
    return lambda: float(np.float32(next(numbers)) / np.float32(limit))


def one_sample(case: dict[str, Any]) -> list[Tensor]:
    center_x, center_y = case["center"]
    singles = [column(v) for v in (1000, center_x, center_y, case["scale_provided"])]
    return [*singles, torch.tensor([case["joints_in"]])]


@pytest.mark.parametrize("number", range(len(CROPS)))
def test_labels_of_the_legacy_augmentation_to_the_bit(number: int, tmp_path: Path) -> None:
    case = CROPS[number]
    image = saved(tmp_path / "grey.png", np.full((224, 224, 3), 90, np.uint8))
    written(tmp_path / "1000.txt", f"{image}\n")
    layer = make(
        "GenUnifiedDataAndLabel", file_name_file_prefix=f"{tmp_path}/", **crop_arguments(case)
    )
    layer.dice = dice_of(case["first_six_draws"], case["RAND_MAX"])
    crop, joints = layer(*one_sample(case))
    assert list(crop.shape) == case["image_shape"]
    np.testing.assert_array_equal(joints[0].numpy(), np.array(case["joints_out"], np.float32))


@pytest.mark.parametrize("number", range(len(CROPS)))
def test_pixels_of_the_legacy_augmentation(number: int, tmp_path: Path, toy_image: Path) -> None:
    case = CROPS[number]
    written(tmp_path / "1000.txt", str(toy_image))
    layer = make(
        "GenUnifiedDataAndLabel", file_name_file_prefix=f"{tmp_path}/", **crop_arguments(case)
    )
    layer.dice = dice_of(case["first_six_draws"], case["RAND_MAX"])
    mean = layer(*one_sample(case))[0].mean().item()
    assert mean == pytest.approx(case["image_mean"], abs=0.1 / 256)  # OpenCV versions differ


def crop_of(tmp_path: Path, image: np.ndarray, joints: Tensor, **arguments: Any) -> list[Tensor]:
    """One sample without scaling, turning or shifting, its centre at (30, 20)."""
    written(tmp_path / "5.txt", saved(tmp_path / "image.png", image))
    still = {"scale_prob": -1.0, "max_rotate_degree": 0.0, "center_perterb_max": 0.0}
    layer = make(
        "GenUnifiedDataAndLabel",
        file_name_file_prefix=f"{tmp_path}/",
        **{**still, "flip_prob": -1.0, "num_parts": joints.shape[1] // 2, **arguments},
    )
    return layer(column(5), column(30), column(20), column(1), joints)


def test_an_untouched_crop_still_moves_by_half_a_pixel(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (40, 1, 3))
    crop, joints = crop_of(
        tmp_path, ramp, torch.tensor([[12.0, 7.0]]), crop_size_x=20, crop_size_y=10
    )
    assert joints.tolist() == [[12.5 - 20, 7.5 - 15]]
    inner = crop[0, 0, 4].numpy() * 256 + 128
    np.testing.assert_allclose(inner, 4 * (np.arange(20) + 20) - 2, atol=1)


def test_outside_of_the_image_is_grey(tmp_path: Path) -> None:
    dark = np.zeros((40, 60, 3), np.uint8)
    crop, _ = crop_of(tmp_path, dark, torch.zeros(1, 2), crop_size_x=80, crop_size_y=10)
    row = (crop[0, 1, 5] * 256 + 128).tolist()
    assert row[:9] == [128] * 9
    assert row[13:68] == [0] * 55
    assert row[-8:] == [128] * 8


def test_minus_pixel_value_and_channel_order(tmp_path: Path) -> None:
    blue = np.zeros((40, 60, 3), np.uint8)
    blue[:, :, 0] = 192
    crop, _ = crop_of(
        tmp_path, blue, torch.zeros(1, 2), crop_size_x=8, crop_size_y=6, minus_pixel_value=64.0
    )
    assert crop[0, :, 3, 4].tolist() == [0.5, -0.25, -0.25]


@pytest.mark.parametrize("swap", [True, False], ids=["swapped", "left as they are"])
def test_mirroring_exchanges_sides(tmp_path: Path, swap: bool) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    joints = torch.arange(32.0)[None]
    settings: dict[str, Any] = {"crop_size_x": 20, "crop_size_y": 10}
    plain = crop_of(tmp_path, image, joints, **settings)[1].view(16, 2)
    flipped = crop_of(
        tmp_path, image, joints, **settings, flip_prob=1.0, transform_body_joint=swap
    )[1].view(16, 2)
    order = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 13, 14, 15, 10, 11, 12] if swap else list(range(16))
    wanted = torch.stack((19 - plain[order, 0], plain[order, 1]), 1)
    assert torch.equal(flipped, wanted)


def test_augmentation_follows_the_seed(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    chance = {"scale_prob": 1.0, "max_rotate_degree": 30.0, "flip_prob": 0.5}
    draw = lambda: crop_of(tmp_path, image, torch.ones(1, 32), **chance)  # noqa: E731
    torch.manual_seed(5)
    first, other = draw(), draw()
    torch.manual_seed(5)
    torch.testing.assert_close(draw(), first, rtol=0, atol=0)
    assert not torch.equal(first[1], other[1])


# --- camera frame --------------------------------------------------------------------------------

BOX = (265.0, 264.0, 658.0, 657.0)


@pytest.fixture
def camera_prefix(tmp_path: Path) -> str:
    written(tmp_path / "camera" / "100.txt", CAMERA_100)
    focal_first = CAMERA_100.replace("1145.049405 1143.781096", "900 800").replace("512.5", "400.5")
    written(tmp_path / "camera" / "7.txt", focal_first)
    return f"{tmp_path}/camera/"


@pytest.mark.parametrize("name", ON_CAMERA)
def test_camera_frame_of_the_legacy_layer(name: str, camera_prefix: str) -> None:
    case = ON_CAMERA[name]
    bottoms = [torch.tensor(b["data"]).view(b["shape"]) for b in case["bottoms"]]
    found = make(case["type"], camera_parameters_prefix=camera_prefix)(*bottoms)
    wanted = np.array(case["tops"][0]["data"], np.float32).reshape(found.shape)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=FORWARD * np.abs(wanted).max())


def boxes(samples: int) -> list[Tensor]:
    steps = torch.arange(float(samples), dtype=torch.float64)[:, None]
    return [edge + 10 * steps for edge in BOX]


def projected(joints: Tensor) -> Tensor:
    """Pixels of joints in mm by the cameras 100 and 7, written out."""
    focal = torch.tensor([[1145.049405, 1143.781096], [900, 800]], dtype=torch.float64)[:, None]
    centre = torch.tensor([[512.541505, 515.451487], [400.541505, 515.451487]]).double()[:, None]
    return joints[:, :, :2] / joints[:, :, 2:] * focal + centre


@pytest.mark.parametrize("kind", ["DeepHumanModelH36MGenAug3D", "DeepHumanModelH36MGenPredMono3D"])
def test_projected_joints_come_back(kind: str, camera_prefix: str) -> None:
    joints = torch.randn(2, 3, 3, dtype=torch.float64) * 300 + torch.tensor([0, 0, 4000.0])
    x1, y1, x2, y2 = boxes(2)
    low, high = torch.stack((x1, y1), 2), torch.stack((x2, y2), 2)
    share = (projected(joints) - low) / (high - low)
    augmented = kind.endswith("Aug3D")
    layer = make(
        kind,
        joint_num=3,
        camera_parameters_prefix=camera_prefix,
        **({"crop_bbx_size": 128} if augmented else {}),
    )
    places = (128 * share if augmented else share).flatten(1)
    depths = joints.flatten(1) if augmented else joints[:, :, 2]
    found = layer(places, depths, x1, y1, x2, y2, column(100, 7))
    torch.testing.assert_close(found.view(2, 3, 3), joints, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("kind", ["DeepHumanModelH36MGenAug3D", "DeepHumanModelH36MGenPredMono3D"])
def test_exact_gradient_to_the_metric_frame(kind: str, camera_prefix: str) -> None:
    layer = make(kind, joint_num=3, camera_parameters_prefix=camera_prefix, gradient="exact")
    depths = 9 if kind.endswith("Aug3D") else 3
    free = [torch.rand(2, 6).double(), 4000 + torch.rand(2, depths).double(), *boxes(2)]
    free = [bottom.requires_grad_() for bottom in free]
    assert torch.autograd.gradcheck(lambda *b: layer(*b, column(100, 7)), free, atol=1e-3)


@pytest.mark.parametrize("kind", ["DeepHumanModelH36MGenAug3D", "DeepHumanModelH36MGenPredMono3D"])
def test_legacy_passes_no_gradient_from_the_metric_frame(kind: str, camera_prefix: str) -> None:
    layer = make(kind, joint_num=3, camera_parameters_prefix=camera_prefix)
    depths = 9 if kind.endswith("Aug3D") else 3
    places = torch.rand(1, 6, requires_grad=True)
    box = [column(edge) for edge in BOX]
    assert not layer(places, torch.rand(1, depths), *box, column(100)).requires_grad


def test_a_changed_camera_file_is_read_again(camera_prefix: str) -> None:
    layer = make(
        "DeepHumanModelH36MGenPredMono3D", joint_num=1, camera_parameters_prefix=camera_prefix
    )
    bottoms = [torch.rand(1, 2), torch.full((1, 1), 4000.0), *(column(e) for e in BOX), column(7)]
    before = layer(*bottoms)
    path = Path(camera_prefix, "7.txt")
    written(path, CAMERA_100)
    os.utime(path, (1, 1))
    assert not torch.equal(layer(*bottoms), before)


# --- images --------------------------------------------------------------------------------------


def test_images_by_padded_index(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (5, 5, 3), np.uint8)
    saved(tmp_path / "00042.png", picture)
    layer = make("ReadImage", read_path=f"{tmp_path}/", resize_size=5, zero_pad=5)
    np.testing.assert_array_equal(layer(column(42))[0].permute(1, 2, 0), picture)


def test_images_by_name_are_padded_to_a_square(tmp_path: Path) -> None:
    picture = np.full((4, 7, 3), 200, np.uint8)
    written(tmp_path / "3.txt", saved(tmp_path / "wide.png", picture) + " ignored")
    layer = make("ReadImageFromFileName", file_name_file_prefix=f"{tmp_path}/", resize_size=7)
    rows = layer(column(3))[0, 0].mean(1)
    assert rows.tolist() == [0, 200, 200, 200, 200, 0, 0]


def test_images_from_a_list(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{v}.png", np.full((3, 3, 3), v, np.uint8)) for v in (10, 20, 30)]
    listed, state = written(tmp_path / "list", "\n".join(paths)), written(tmp_path / "k", "0")
    layer = make(
        "ReadImageFromImagePathFile",
        image_path_file_path=str(listed),
        current_index_file_path=str(state),
        batch_size=2,
        num_of_samples=3,
        resize_image_size=2,
    )
    assert layer()[:, 1, 0, 0].tolist() == [20, 30]


# --- writers -------------------------------------------------------------------------------------


def test_numbers_are_written_as_text(tmp_path: Path) -> None:
    layer = make("OutputBlob", save_path=f"{tmp_path}/new/g/", blob_name="an")
    assert layer(torch.tensor([[1.5, -2, 1e7], [0, 0.25, 3]]), column(4, 12)) is None
    folder = tmp_path / "new" / "g"
    assert (folder / "an_4.txt").read_text() == "    1.500000    -2.000000 10000000.000000 \n"
    assert (folder / "an_12.txt").read_text() == "    0.000000     0.250000     3.000000 \n"
    assert sorted(os.listdir(folder)) == ["an_12.txt", "an_4.txt"]


def test_numbers_are_written_in_sections(tmp_path: Path) -> None:
    layer = make(
        "OutputBlob",
        save_path=f"{tmp_path}/",
        if_per_section_output=True,
        per_section_row_num=2,
        per_section_col_num=3,
    )
    layer(torch.arange(8.0)[None], column(0))
    lines = (tmp_path / "pred_joint_3d_0.txt").read_text().split("\n")
    assert [line.split() for line in lines] == [
        ["0.000000"], [], ["1.000000", "2.000000", "3.000000"],
        ["4.000000", "5.000000", "6.000000"], [], ["7.000000"], [],
    ]  # fmt: skip


def test_a_map_is_written_as_an_image(tmp_path: Path) -> None:
    maps = torch.tensor([[-1, 0, 0.5], [0.999, 1, 2], [0.25, 0.75, 0.1]])
    layer = make("OutputHeatmapOneChannel", save_path=f"{tmp_path}/", save_size=3, heatmap_size=3)
    layer(maps.view(1, 9), column(6))
    wanted = [[0, 0, 127], [254, 255, 255], [63, 191, 25]]
    assert load(tmp_path / "6.png")[:, :, 0].tolist() == wanted


def test_maps_of_joints_wrap_where_bright(tmp_path: Path) -> None:
    maps = torch.tensor([0.5, 1.0, 1.5, -1]).view(1, 4, 1, 1).repeat(1, 1, 2, 2)
    layer = make(
        "DeepHumanModelOutputHeatmapSepChannel",
        save_path=f"{tmp_path}/",
        save_size=2,
        heatmap_size=2,
        joint_num=4,
        output_joint_1=False,
    )
    layer(maps, column(8))
    values = {int(p.parent.name): load(p)[0, 0, 0] for p in tmp_path.glob("*/8.png")}
    assert values == {0: 127, 2: 382 % 256, 3: 0}


# --- skeletons -----------------------------------------------------------------------------------

BLUE, GREEN, RED, PINK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (143, 62, 255)
Q = 100
PART_PLACES = torch.stack(
    (0.08 + 0.28 * (torch.arange(16) % 4), 0.08 + 0.28 * (torch.arange(16) // 4)), 1
)
"""16 joints on a grid, 28 pixels apart."""


def overlay(tmp_path: Path, predicted: Tensor, true: Tensor, **arguments: Any) -> np.ndarray:
    """The image written for one sample over a black canvas of 100 × 100."""
    layer = make(
        "DeepHumanModelOutputJointOnSkeletonMapH36M",
        **{"save_path": f"{tmp_path}/o/", "skeleton_size": Q, "save_size": Q, **arguments},
    )
    image = arguments.get("image", torch.zeros(1, 3 * Q * Q))
    assert layer(image, column(3), predicted.reshape(1, -1), true.reshape(1, -1)) is None
    return load(tmp_path / "o" / "3.png")


def colours(image: np.ndarray, places: Tensor) -> list[tuple[int, ...]]:
    pixels = (places * Q).round().long()
    return [tuple(image[y, x].tolist()) for x, y in pixels.tolist()]


def test_joints_by_side_of_the_body(tmp_path: Path) -> None:
    image = overlay(tmp_path, PART_PLACES, PART_PLACES - 9, show_gt=False)
    centre, left = (0, 7, 8, 9), (4, 5, 6, 10, 11, 12)
    wanted = [BLUE if j in centre else RED if j in left else GREEN for j in range(16)]
    assert colours(image, PART_PLACES) == wanted


def test_discs_have_a_radius_of_five(tmp_path: Path) -> None:
    image = overlay(tmp_path, PART_PLACES - 9 * (torch.arange(16) != 5)[:, None], PART_PLACES - 9)
    x, y = (PART_PLACES[5] * Q).round().long().tolist()
    row = image[y].any(1).nonzero()[0]
    assert row.tolist() == list(range(x - 5, x + 6))


def test_true_joints_are_pink_and_lie_above(tmp_path: Path) -> None:
    image = overlay(tmp_path, PART_PLACES, PART_PLACES, line_width=1.0)
    seen = colours(image, PART_PLACES + 0.03)
    assert seen.count(PINK) >= 12  # some lie under a bone


def test_bones_only_where_the_true_ends_are_inside(tmp_path: Path) -> None:
    ends = PART_PLACES[[1, 2]]
    middle = ends.mean(0, keepdim=True)
    inside = overlay(tmp_path, PART_PLACES, PART_PLACES, show_gt=False)
    true = PART_PLACES.clone()
    true[2, 0] = -0.1
    outside = overlay(tmp_path, PART_PLACES, true, show_gt=False)
    beyond = true.clone()
    beyond[2] = torch.tensor([1.7, -0.4])
    untested = overlay(tmp_path, PART_PLACES, beyond, show_gt=False)
    assert colours(inside, middle) == [GREEN]
    assert colours(outside, middle) == [(0, 0, 0)]
    assert colours(untested, middle) == [GREEN]


def test_seventeen_joints_draw_every_bone(tmp_path: Path) -> None:
    places = torch.cat((PART_PLACES, torch.tensor([[0.5, 0.5]])))
    image = overlay(tmp_path, places, places - 9, show_gt=False, is_c2f=True)
    assert colours(image, places[[1, 2]].mean(0, keepdim=True)) == [RED]


def test_values_above_zero_are_the_canvas(tmp_path: Path) -> None:
    layer = make(
        "DeepHumanModelOutputJointOnSkeletonMapH36M",
        save_path=f"{tmp_path}/",
        skeleton_size=4,
        save_size=4,
        show_gt=False,
    )
    values = torch.stack((torch.full((4, 4), 77.9), torch.full((4, 4), 258.0), -torch.ones(4, 4)))
    layer(values[None], column(1), torch.full((1, 32), -9.0), torch.full((1, 32), -9.0))
    assert (load(tmp_path / "1.png") == [77, 2, 0]).all()


def test_a_raw_image_lies_under_the_canvas(tmp_path: Path) -> None:
    saved(tmp_path / "raw" / "3.png", np.full((30, 50, 3), 60, np.uint8))
    image = overlay(
        tmp_path,
        PART_PLACES - 9,
        PART_PLACES - 9,
        use_raw_rgb_image=True,
        image_source=f"{tmp_path}/raw/",
    )
    assert (image == 60).all()


def test_joints_that_are_no_numbers_are_off_the_canvas(tmp_path: Path) -> None:
    lost = torch.full((16, 2), float("nan"))
    assert not overlay(tmp_path, lost, lost).any()


# --- refusals ------------------------------------------------------------------------------------


def crop_layer(prefix: str) -> Layer:
    return make("GenUnifiedDataAndLabel", file_name_file_prefix=prefix, flip_prob=-1.0, num_parts=1)


def read(kind: str, tmp_path: Path, **arguments: Any) -> Layer:
    return make(
        kind, **{k: v.format(tmp_path) if isinstance(v, str) else v for k, v in arguments.items()}
    )


REFUSED: dict[str, tuple[type[CaffeError], str, Callable[[Path], Any]]] = {
    "missing numbers": (
        DataError,
        r"ReadBlobFromFileIndexing: cannot read .*/0\.txt: No such file",
        lambda t: read("ReadBlobFromFileIndexing", t, file_prefix="{}/")(column(0)),
    ),
    "Windows path": (
        DataError,
        r"cannot read D:\\0\.txt: .*that is a Windows path",
        lambda _: make("ReadBlobFromFileIndexing")(column(0)),
    ),
    "short file": (
        DataError,
        r"/s\.txt holds 3 numbers, 4 are wanted",
        lambda t: make(
            "ReadBlobFromFile", file_path=str(written(t / "s.txt", "1 2 3")), num_to_read=4
        )(),
    ),
    "no number": (
        DataError,
        r"/s\.txt holds 'two' where a number is wanted",
        lambda t: make(
            "ReadBlobFromFile", file_path=str(written(t / "s.txt", "1 two")), num_to_read=2
        )(),
    ),
    "bounds": (
        LayerError,
        "index_lower_bound 9 is above index_upper_bound 8",
        lambda _: make("GenRandIndex", index_lower_bound=9, index_upper_bound=8)(),
    ),
    "all missing": (
        DataError,
        "lists every index from 4 to 5",
        lambda t: make(
            "GenRandIndex",
            index_lower_bound=4,
            index_upper_bound=5,
            missing_index_file=str(written(t / "m", "2 4 5")),
        )(),
    ),
    "no state": (
        DataError,
        r"cannot read .*/none: .*write -1 into it",
        lambda t: read("GenSequentialIndex", t, current_index_file_path="{}/none")(),
    ),
    "empty state": (
        DataError,
        "holds no whole number; write -1 into it",
        lambda t: make("GenSequentialIndex", current_index_file_path=str(written(t / "k", "")))(),
    ),
    "list too short": (
        DataError,
        r"entry 4 of .* is wanted, it has 2; correct num_of_samples, 100",
        lambda t: make(
            "ReadIndexFromFile",
            index_file_path=str(written(t / "l", "1 2")),
            current_index_file_path=str(written(t / "k", "3")),
        )(),
    ),
    "image of another machine": (
        DataError,
        r"cannot read E:\\frames\\20\.png \(named by .*/5\.txt\): .*Windows path",
        lambda t: (
            written(t / "5.txt", "E:\\frames\\20.png"),
            crop_layer(f"{t}/")(*[column(5)] * 4, torch.zeros(1, 2)),
        ),
    ),
    "no image": (
        DataError,
        r"/5\.png \(named by .*\) is not an image",
        lambda t: (
            written(t / "5.txt", str(written(t / "5.png", "text"))),
            crop_layer(f"{t}/")(*[column(5)] * 4, torch.zeros(1, 2)),
        ),
    ),
    "no image named": (
        DataError,
        r"/5\.txt is empty, the path of an image is wanted",
        lambda t: (
            written(t / "5.txt", " \n"),
            crop_layer(f"{t}/")(*[column(5)] * 4, torch.zeros(1, 2)),
        ),
    ),
    "size of 0": (
        DataError,
        "sample 5 has size 0, not above 0",
        lambda t: (
            crop_of(t, np.zeros((4, 4, 3), np.uint8), torch.zeros(1, 2), target_dist=1.0)
            and crop_layer(f"{t}/")(column(5), column(1), column(1), column(0), torch.zeros(1, 2))
        ),
    ),
    "too few joints to mirror": (
        LayerError,
        "mirroring exchanges joints up to number 15: set transform_body_joint false",
        lambda _: make("GenUnifiedDataAndLabel")(*[column(1)] * 4, torch.zeros(1, 28)),
    ),
    "joints of another number": (
        LayerError,
        r"joints \[N, 2\] \(num_parts 1\), found",
        lambda _: crop_layer("")(*[column(1)] * 4, torch.zeros(1, 3)),
    ),
    "camera cut short": (
        DataError,
        "is no camera file .*it has 18 words, 20 are wanted",
        lambda t: camera_frame(t, CAMERA_100.split("c:")[0] + "c:"),
    ),
    "camera garbled": (
        DataError,
        "is no camera file .*could not convert",
        lambda t: camera_frame(t, CAMERA_100.replace("1145.049405", "wide")),
    ),
    "no camera": (
        DataError,
        r"DeepHumanModelH36MGenPredMono3D: cannot read .*/7\.txt",
        lambda t: camera_frame(t, None),
    ),
    "camera bottoms": (
        LayerError,
        r"wants bottoms \[N, 2\], \[N, 1\] and five of one number",
        lambda _: make("DeepHumanModelH36MGenPredMono3D", joint_num=1)(*[torch.zeros(1, 1)] * 7),
    ),
    "folder that cannot be": (
        DataError,
        "OutputBlob: cannot write .*/file/x_1.txt",
        lambda t: make("OutputBlob", save_path=f"{written(t / 'file', '')}/", blob_name="x")(
            torch.zeros(1, 2), column(1)
        ),
    ),
    "too few indices": (
        LayerError,
        r"one index per sample, found samples \[2, 3\] and indices \[1, 1\]",
        lambda t: make("OutputBlob", save_path=f"{t}/")(torch.zeros(2, 3), column(1)),
    ),
    "maps of another size": (
        LayerError,
        r"wants maps \['N', 3, 4, 4\]",
        lambda _: make("DeepHumanModelOutputHeatmapSepChannel", heatmap_size=4, joint_num=3)(
            torch.zeros(1, 2, 4, 4), column(1)
        ),
    ),
    "overlay of another size": (
        LayerError,
        r"wants images of 3·4·4 values \(skeleton_size 4\)",
        lambda _: make("DeepHumanModelOutputJointOnSkeletonMapH36M", skeleton_size=4)(
            torch.zeros(1, 3, 5, 5), column(1), torch.zeros(1, 32), torch.zeros(1, 32)
        ),
    ),
    "image too large": (
        DataError,
        "larger than pad_to_constant_size 6",
        lambda t: (
            written(t / "5.txt", saved(t / "i.png", np.zeros((4, 7, 3), np.uint8))),
            make("ReadImageFromFileName", file_name_file_prefix=f"{t}/", pad_to_constant_size=6)(
                column(5)
            ),
        ),
    ),
    "grey image": (
        LayerError,
        "channel_num is 1, only 3 works",
        lambda _: make("ReadImageFromFileName", channel_num=1)(column(5)),
    ),
}


def camera_frame(tmp_path: Path, text: str | None) -> Tensor:
    prefix = tmp_path / "camera"
    prefix.mkdir()
    if text is not None:
        written(prefix / "7.txt", text)
    layer = make(
        "DeepHumanModelH36MGenPredMono3D", joint_num=1, camera_parameters_prefix=f"{prefix}/"
    )
    return layer(torch.zeros(1, 2), torch.zeros(1, 1), *[column(1)] * 4, column(7))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    error, message, act = REFUSED[name]
    with pytest.raises(error, match=message):
        act(tmp_path)


SHAPES: dict[str, tuple[dict[str, Any], list[tuple[int, ...]], list[tuple[int, ...]]]] = {
    "GenRandIndex": ({"batch_size": 3}, [], [(3, 1)]),
    "GenSequentialIndex": ({"batch_size": 3}, [], [(3, 1)]),
    "ReadIndexFromFile": ({"batch_size": 3}, [], [(3, 1)]),
    "ReadBlobFromFile": ({"batch_size": 3, "num_to_read": 5}, [], [(3, 5)]),
    "ReadBlobFromFileIndexing": ({"num_to_read": 5}, [(3, 1)], [(3, 5)]),
    "CrossValidationRandomChooseIndex": ({}, [(3, 5)], [(3, 1)]),
    "GenUnifiedDataAndLabel": (
        {"crop_size_x": 7, "crop_size_y": 5, "num_parts": 16},
        [*[(3, 1)] * 4, (3, 32)],
        [(3, 3, 5, 7), (3, 32)],
    ),
    "DeepHumanModelH36MGenAug3D": (
        {"joint_num": 2}, [(3, 4), (3, 6), *[(3, 1)] * 5], [(3, 6)]
    ),
    "DeepHumanModelH36MGenPredMono3D": (
        {"joint_num": 2}, [(3, 4), (3, 2), *[(3, 1)] * 5], [(3, 6)]
    ),
    "ReadImage": ({"resize_size": 5}, [(3, 1)], [(3, 3, 5, 5)]),
    "ReadImageFromFileName": ({"resize_size": 5}, [(3, 1)], [(3, 3, 5, 5)]),
    "ReadImageFromImagePathFile": (
        {"resize_image_size": 5, "batch_size": 2}, [], [(2, 3, 5, 5)]
    ),
    "OutputBlob": ({}, [(3, 5), (3, 1)], []),
    "OutputHeatmapOneChannel": ({"heatmap_size": 5}, [(3, 25), (3, 1)], []),
    "DeepHumanModelOutputHeatmapSepChannel": (
        {"heatmap_size": 5, "joint_num": 2}, [(3, 2, 5, 5), (3, 1)], []
    ),
    "DeepHumanModelOutputJointOnSkeletonMapH36M": (
        {"skeleton_size": 5}, [(3, 75), (3, 1), (3, 32), (3, 32)], []
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_without_files(kind: str) -> None:
    arguments, bottoms, tops = SHAPES[kind]
    layer = make(kind, **arguments)
    layer.set_up(*bottoms)
    assert list(layer.top_shapes(*bottoms)) == tops
