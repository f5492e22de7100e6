"""Fixes: each defect of a legacy forward pass, mended, against a closed form; and how to ask."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from test_audit import FAULTY
from torch import Tensor

import caffe_layers
from caffe_layers.errors import LayerError
from caffe_layers.integral._joints import ALL_OF_PART, FLIPPED_PARTS
from caffe_layers.layer import Layer
from converter.audit.made_up import made_up
from converter.fixes import known_fixes, settle_fixes, with_fixes
from converter.graph import build_graph
from converter.load import load_graph, load_net
from converter.message import read_text
from converter.net import build_net
from converter.schema import load_schema
from pycaffe.command import main


def make(kind: str, *fixes: str, **arguments: Any) -> Layer:
    return getattr(caffe_layers, kind)(fixes=fixes, **arguments)


def numbers(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


# One layer each


def test_an_empty_map_stays_alone() -> None:
    maps = torch.zeros(1, 3, 4, 4)
    maps[0, 0, 1, 2], maps[0, 2, 3, 3] = 0.5, 2.0
    top = make("DeepHumanModelNormalizationResponseV0", "empty_map")(maps)
    assert top[0, 0, 1, 2] == 1
    assert torch.equal(top[0, 1], torch.full((4, 4), 1 / 16))
    assert top[0, 2, 3, 3] == 1


def test_parts_become_recorded_joints_again() -> None:
    parts = numbers(2, 48)
    layer = make("DeepHumanModelConvert3D", "parts_to_all")
    recorded = layer(parts)
    assert recorded.shape == (2, 96)
    assert torch.equal(make("DeepHumanModelConvert3D")(recorded), parts)
    others = [joint for joint in range(32) if joint not in ALL_OF_PART]
    assert (recorded.view(2, 32, 3)[:, others] == 400).all()


def test_joints_that_no_part_is_are_in_the_middle() -> None:
    recorded = make("DeepHumanModelConvert2D", "missing_joints")(numbers(2, 32)).view(2, 32, 2)
    assert (recorded[:, 28:] == 0.5).all()


@pytest.mark.parametrize(
    ("depth", "bin_"),
    [(-1, 0), (-0.76, 0), (-0.74, 1), (0.01, 4), (0.99, 7), (1, 7), (-5, 0), (5, 7)],
)
def test_depths_go_to_the_bins_they_are_in(depth: float, bin_: int) -> None:
    layer = make(
        "DeepHumanModelGen3DHeatmapInMoreDetailV3",
        "depth_bins",
        depth_dims=8,
        map_size=6,
        crop_size=24,
        joint_num=1,
        output_res=8,
    )
    column = layer(torch.tensor([[float(depth)]]), torch.tensor([[0.5, 0.5]]))[0, :, 3, 3]
    assert int(column.argmax()) == bin_


def test_images_are_padded_as_the_flag_says(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "white.png"), np.full((2, 2, 3), 255, np.uint8))
    (tmp_path / "7.txt").write_text(f"{tmp_path / 'white.png'}\n")
    shared = {"file_name_file_prefix": f"{tmp_path}/", "resize_size": 4, "pad_to_constant_size": 4}
    layer = make(
        "ReadImageFromFileName",
        "image_padding",
        pad_to_a_constant_size_before_resize=True,
        channel_num=1,
        **shared,
    )
    wanted = torch.zeros(4, 4)
    wanted[1:3, 1:3] = 255
    assert torch.equal(layer(torch.tensor([[7.0]]))[0, 0], wanted)
    plain = make("ReadImageFromFileName", "image_padding", **shared)
    assert (plain(torch.tensor([[7.0]])) == 255).all()


def test_a_list_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("10 20 30 40 50")
    (tmp_path / "state.txt").write_text("-1")
    layer = make(
        "ReadIndexFromFile",
        "list_wrap",
        index_file_path=str(tmp_path / "list.txt"),
        current_index_file_path=str(tmp_path / "state.txt"),
        batch_size=2,
        num_of_samples=5,
    )
    batches = [layer().flatten().tolist() for _ in range(5)]
    assert batches == [[10, 20], [30, 40], [50, 10], [20, 30], [40, 50]]


def test_every_option_draws() -> None:
    layer = make("GenRandIndex", "random_option", rand_generator_option=3, batch_size=20)
    torch.manual_seed(2)
    assert len(set(layer().flatten().tolist())) > 15


@pytest.mark.parametrize(
    ("written", "meant"), [((0, 1559571), (0, 1559751)), ((1559572, 2108570), (1559752, 2108570))]
)
def test_the_border_between_training_and_test(
    written: tuple[int, int], meant: tuple[int, int], tmp_path: Path
) -> None:
    low, high = written
    drawn = make("GenRandIndex", "split_typo", index_lower_bound=low, index_upper_bound=high)
    assert (drawn.index_lower_bound, drawn.index_upper_bound) == meant
    (tmp_path / "state.txt").write_text("-1")
    listed = make(
        "GenSequentialIndex",
        "split_typo",
        start_index=low,
        num_of_samples=high - low + 1,
        current_index_file_path=str(tmp_path / "state.txt"),
        batch_size=1,
    )
    assert listed().item() == meant[0]
    assert listed.num_of_samples == meant[1] - meant[0] + 1


def test_bright_pixels_are_white(tmp_path: Path) -> None:
    layer = make(
        "DeepHumanModelOutputHeatmapSepChannel",
        "bright_pixels",
        save_path=f"{tmp_path}/",
        heatmap_size=2,
        save_size=2,
        joint_num=1,
    )
    layer(torch.tensor([[[[0.0, 0.5], [1.5, 300.0]]]]), torch.tensor([[4.0]]))
    image = cv2.imread(str(tmp_path / "0" / "4.png"), cv2.IMREAD_GRAYSCALE)
    assert image.tolist() == [[0, 127], [255, 255]]


CELLS = torch.tensor([[3.0, 7.0, 11.0, 2.0]])


def maps_of(places: Tensor) -> Tensor:
    return caffe_layers.GenHeatmapAllChannels(
        gen_size=16, crop_size=64, joint_num=2, render_sigma=1, use_cpm_render=False,
        use_baseline_render=True,
    )(places)  # fmt: skip


def test_a_perfect_map_decodes_to_its_joints() -> None:
    places = CELLS / 16
    assert torch.equal(make("DeepHumanModelArgmaxHM", "half_cell")(maps_of(places)), places)
    assert torch.equal(make("DeepHumanModelArgmaxHM")(maps_of(places)), places + 0.5 / 16)


def test_a_perfect_volume_decodes_to_its_joints() -> None:
    places, depth = CELLS / 16, torch.tensor([[2.5 / 8, 5.5 / 8]])
    volume = caffe_layers.DeepHumanModelGen3DHeatmapInMoreDetailV3(
        depth_dims=8, map_size=16, crop_size=64, joint_num=2, z_lower_bound=0, output_res=8,
        render_sigma=1,
    )(depth, places)  # fmt: skip
    layer = make(
        "DeepHumanModelH36MChaGenJointFrXYZHeatmap", "half_cell", depth_dims=8, map_size=16,
        joint_num=2, x_lb=0, y_lb=0, z_lb=0,
    )  # fmt: skip
    found = layer(volume).view(2, 3)
    assert torch.equal(found[:, :2].reshape(1, 4), places)
    assert torch.equal(found[:, 2].reshape(1, 2), depth)


@pytest.mark.parametrize(("maker", "offset"), [("X", 0.0), ("Y", 0.0), ("Z", 0.5)])
def test_the_mean_of_a_single_bin(maker: str, offset: float) -> None:
    layer = make(
        "DeepHumanModelIntegralVector",
        "half_cell",
        dim_lb=0,
        bottom_types=(f"DeepHumanModelIntegral{maker}",),
    )
    assert layer(torch.eye(5)[3:4]).item() == pytest.approx((3 + offset) / 5)


def test_the_maximum_itself() -> None:
    maps = torch.full((1, 1, 4, 4), -3.0)
    maps[0, 0, 2, 1] = -3 + 1e-7 * 4
    assert make("DeepHumanModelArgmaxHM", "true_argmax")(maps).tolist() == [[1.5 / 4, 2.5 / 4]]


def test_poses_apart_by_a_shift_are_equal() -> None:
    pose = numbers(2, 48)
    moved = (pose.view(2, 16, 3) + torch.tensor([3.0, -2.0, 70.0])).view(2, 48)
    loss = make("Joint3DSquareRootLoss", "root_aligned")
    assert loss(moved, pose).item() == pytest.approx(0, abs=1e-5)
    assert make("Joint3DSquareRootLoss")(moved, pose) > 70


@pytest.mark.parametrize("kind", ["DeepHumanModelSoftmaxHM", "DeepHumanModelSoftmax3DHM"])
def test_no_logit_is_too_large(kind: str) -> None:
    logits = (numbers(1, 2, 3, 3) * 500).requires_grad_()
    sizes = {} if kind.endswith("xHM") else {"joint_num": 2, "depth_dims": 1}
    top = make(kind, "stable_softmax", **sizes)(logits)
    wanted = torch.softmax(logits.detach().double().view(1, 2, 9), -1).view(1, 2, 3, 3)
    torch.testing.assert_close(top.detach().double(), wanted, rtol=1e-5, atol=1e-12)
    diff = numbers(1, 2, 3, 3)
    top.backward(diff)
    torch.testing.assert_close(logits.grad, diff * top.detach() * (1 - top.detach()))  # still G4


# Several layers of a net


def built(tmp_path: Path, *fixes: str, flip: float = 0.5) -> dict[str, Tensor]:
    """All blobs of the net with faults, its data made up."""
    text = FAULTY.replace("center_perterb_max: 0", f"center_perterb_max: 0 flip_prob: {flip}")
    record = read_text(text, "faulty", "NetParameter", load_schema("integral"))
    graph = with_fixes(made_up(build_graph(record, phase="TRAIN"), tmp_path), frozenset(fixes))
    torch.manual_seed(8)
    return build_net(graph).all_blobs()


def test_with_the_margin_undone_the_true_pose_comes_out(tmp_path: Path) -> None:
    blobs = built(tmp_path, "crop_margin", flip=-1)
    torch.testing.assert_close(blobs["aug_3d"], blobs["parts_3d"], rtol=0, atol=0.1)  # mm
    legacy = built(tmp_path, flip=-1)
    assert (legacy["aug_3d"] - legacy["parts_3d"]).abs().max() > 50


def test_a_mirrored_pose_is_the_true_one_with_sides_exchanged(tmp_path: Path) -> None:
    blobs = built(tmp_path, "crop_margin", "flip_depth", flip=1.5)
    order = list(range(16))
    for right, left in FLIPPED_PARTS:
        order[right], order[left] = left, right
    wanted = blobs["parts_3d"].view(-1, 16, 3)[:, order]
    torch.testing.assert_close(blobs["aug_3d"].view(-1, 16, 3), wanted, rtol=0, atol=0.1)


def test_depths_come_back_as_they_went_in(tmp_path: Path) -> None:
    record = read_text(FAULTY, "faulty", "NetParameter", load_schema("integral"))
    graph = with_fixes(build_graph(record, phase="TRAIN"), frozenset(["depth_bounds"]))
    layers = {node.name: node.record["convert_depth_param"] for node in graph.nodes
              if "convert_depth_param" in node.record}  # fmt: skip
    assert layers["decoded"]["depth_lb"] == layers["depth"]["depth_lb"] == -1200
    assert layers["decoded"]["depth_ub"] == layers["depth"]["depth_ub"] == 1300


def test_off_is_off(tmp_path: Path) -> None:
    record = read_text(FAULTY, "faulty", "NetParameter", load_schema("integral"))
    graph = build_graph(record, phase="TRAIN")
    assert with_fixes(graph, frozenset()) == graph


def test_all_of_them_run(tmp_path: Path) -> None:
    blobs = built(tmp_path, *known_fixes())
    assert all(torch.isfinite(blob).all() for blob in blobs.values())


# How to ask

SMALL = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "best" type: "DeepHumanModelArgmaxHM" bottom: "x" top: "best" }
"""


def test_a_file_beside_the_net(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(SMALL)
    assert load_graph(net).fixes == frozenset()
    (tmp_path / "net.fixes.yaml").write_text("fixes: [half_cell]\n")
    with caplog.at_level(logging.INFO, "converter"):
        found = load_net(net)
    assert found.layers["best"].fixes == {"half_cell"}
    assert "net.fixes.yaml: fixes half_cell" in caplog.text
    assert load_net(net, fixes="none").layers["best"].fixes == frozenset()
    assert load_net(net, fixes="all").layers["best"].fixes == {"half_cell", "true_argmax"}


@pytest.mark.parametrize("text", ["fixes: 3", "half_cell", "fixes: [half_cell", "other: all"])
def test_a_file_that_does_not_say(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.fixes.yaml").write_text(text)
    with pytest.raises(LayerError, match=r"net.fixes.yaml: wants `fixes: all`"):
        settle_fixes(None, tmp_path / "net.prototxt")


def test_unknown_names() -> None:
    with pytest.raises(
        LayerError, match=r"no layer has a fix 'halfcell'. Did you mean 'half_cell'"
    ):
        settle_fixes("halfcell", "net.prototxt")
    with pytest.raises(LayerError, match=r"DeepHumanModelArgmaxHM: has no fix 'depth_bins'"):
        make("DeepHumanModelArgmaxHM", "depth_bins")


def test_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.prototxt").write_text(SMALL)
    (tmp_path / "none.caffemodel").write_bytes(b"")
    flags = [f"--model={tmp_path}/net.prototxt", f"--weights={tmp_path}/none.caffemodel"]
    assert main(["test", *flags, "--fixes=half_cel"]) == 2
    assert "Did you mean 'half_cell'?" in capsys.readouterr().err


def test_the_command_tells_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.prototxt").write_text(SMALL)
    (tmp_path / "net.fixes.yaml").write_text("fixes: all\n")
    (tmp_path / "none.caffemodel").write_bytes(b"")
    flags = [f"--model={tmp_path}/net.prototxt", f"--weights={tmp_path}/none.caffemodel"]
    main(["test", *flags])
    assert "net.fixes.yaml: fixes bright_pixels, crop_margin" in capsys.readouterr().err


def test_every_fix_says_what_it_does() -> None:
    assert set(known_fixes()) == {
        *("empty_map", "parts_to_all", "missing_joints", "depth_bins", "image_padding"),
        *("list_wrap", "random_option", "bright_pixels", "flip_depth", "split_typo"),
        *("crop_margin", "depth_bounds", "half_cell", "root_aligned", "stable_softmax"),
        "true_argmax",
    }
    assert all(known_fixes().values())
