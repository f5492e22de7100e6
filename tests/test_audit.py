"""What `caffe audit` finds: on nets with known faults, on the published nets, and on good ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.audit.finding import Finding, Report
from converter.audit.page import page
from converter.audit.report import audit
from pycaffe.command import main

I1 = "strawberryfg+int-3dhuman-I1"
NETS = Path(__file__).parent.parent / "examples" / "prototxt"

FAULTY = """
name: "faulty"
layer { name: "index" type: "GenRandIndex" top: "image_index"
  gen_rand_index_param { index_lower_bound: 0 index_upper_bound: 1559571 batch_size: 2 } }
layer { name: "box" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "box"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/box/" num_to_read: 4 } }
layer { name: "corners" type: "Slice" bottom: "box" top: "x1" top: "y1" top: "x2" top: "y2"
  slice_param { axis: 1 slice_point: 1 slice_point: 2 slice_point: 3 } }
layer { name: "cx" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "cx"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/cx/" num_to_read: 1 } }
layer { name: "cy" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "cy"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/cy/" num_to_read: 1 } }
layer { name: "size" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "size"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/size/" num_to_read: 1 } }
layer { name: "share" type: "ScaleVector" bottom: "size" top: "share"
  scale_vector_param { scale_factor: 0.005 } }
layer { name: "all_2d" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "all_2d"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/2d/" num_to_read: 64 } }
layer { name: "parts_2d" type: "DeepHumanModelConvert2D" bottom: "all_2d" top: "parts_2d" }
layer { name: "crop" type: "GenUnifiedDataAndLabel" bottom: "image_index" bottom: "cx"
  bottom: "cy" bottom: "share" bottom: "parts_2d" top: "image" top: "joints_px"
  transform_param { crop_size_x: 64 crop_size_y: 64 num_parts: 16 max_rotate_degree: 30
    scale_prob: -1 center_perterb_max: 0 target_dist: 0.25 file_name_file_prefix: "/nowhere/n/" } }
layer { name: "joints" type: "ScaleVector" bottom: "joints_px" top: "joints"
  scale_vector_param { scale_factor: 0.015625 } }
layer { name: "all_3d" type: "ReadBlobFromFileIndexing" bottom: "image_index" top: "all_3d"
  read_blob_from_file_indexing_param { file_prefix: "/nowhere/3d/" num_to_read: 96 } }
layer { name: "parts_3d" type: "DeepHumanModelConvert3D" bottom: "all_3d" top: "parts_3d" }
layer { name: "aug_3d" type: "DeepHumanModelH36MGenAug3D" bottom: "joints_px" bottom: "parts_3d"
  bottom: "x1" bottom: "y1" bottom: "x2" bottom: "y2" bottom: "image_index" top: "aug_3d"
  gen_aug_3d_param { crop_bbx_size: 64 camera_parameters_prefix: "/nowhere/camera/" } }
layer { name: "depth" type: "DeepHumanModelConvertDepth" bottom: "aug_3d" bottom: "parts_3d"
  top: "depth" convert_depth_param { depth_lb: -1200 depth_ub: 1300 } }
layer { name: "maps" type: "GenHeatmapAllChannels" bottom: "joints" top: "maps"
  gen_heatmap_all_channels_param { gen_size: 16 use_cpm_render: false use_baseline_render: true
    stride: 4 crop_size: 64 render_sigma: 1 } }
layer { name: "conv1" type: "Convolution" bottom: "image" top: "conv1"
  convolution_param { num_output: 5 kernel_size: 5 stride: 4 pad: 2
    weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "bn"
  batch_norm_param { use_global_stats: false } }
layer { name: "conv2" type: "Convolution" bottom: "bn" top: "heat" param { lr_mult: 0 }
  convolution_param { num_output: 16 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "guess" type: "InnerProduct" bottom: "pool" top: "guess"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "lost" type: "InnerProduct" bottom: "pool" top: "lost"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "DeepHumanModelSoftmaxHM" bottom: "heat" top: "norm" }
layer { name: "places" type: "DeepHumanModelNumericalCoordinateRegression" bottom: "norm"
  top: "places" }
layer { name: "best" type: "DeepHumanModelArgmaxHM" bottom: "heat" top: "best" }
layer { name: "heat_loss" type: "EuclideanLoss" bottom: "heat" bottom: "maps" top: "heat_loss" }
layer { name: "place_loss" type: "EuclideanLoss" bottom: "places" bottom: "joints"
  top: "place_loss" }
layer { name: "best_loss" type: "EuclideanLoss" bottom: "best" bottom: "joints" top: "best_loss"
  loss_weight: 0 }
layer { name: "depth_loss" type: "EuclideanLoss" bottom: "guess" bottom: "depth"
  top: "depth_loss" }
layer { name: "decoded" type: "DeepHumanModelConvertDepth" bottom: "guess" bottom: "parts_3d"
  top: "decoded" convert_depth_param { depth_lb: -1000 depth_ub: 1000 } }
layer { name: "pose" type: "DeepHumanModelH36MGenPredMono3D" bottom: "places" bottom: "decoded"
  bottom: "x1" bottom: "y1" bottom: "x2" bottom: "y2" bottom: "image_index" top: "pose"
  gen_pred_mono_3d_param { camera_parameters_prefix: "/nowhere/camera/" } }
layer { name: "mm" type: "Joint3DSquareRootLoss" bottom: "pose" bottom: "aug_3d" top: "mm"
  loss_weight: 0 }
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("repo")
    net = folder / "faulty.prototxt"
    net.write_text(FAULTY)
    (folder / "solver.prototxt").write_text('net: "elsewhere.prototxt"\nbase_lr: 0.1\n')
    (folder / "good.prototxt").write_text('net: "faulty.prototxt"\nbase_lr: 0.1\n')
    return audit(net, repo=folder)


def of_kind(report: Report, kind: str, word: str = "") -> Finding:
    found = [f for f in report.findings if f.kind == kind and word in f.title]
    assert len(found) == 1, [f.title for f in report.findings]
    return found[0]


def test_every_check_was_made(faulty: Report) -> None:
    assert not faulty.skipped
    assert faulty.facts["data"] == "made-up data"


def test_a_backward_pass_that_writes_one_map_of_sixteen(faulty: Report) -> None:
    found = of_kind(faulty, "gradient", "NumericalCoordinate")
    assert found.severity == "wrong"
    assert found.defect == "G1"
    assert 80 < found.numbers["angle"] <= 180
    assert found.numbers["off_differences"] < 1e-4
    assert found.switch == "--gradient=exact"
    line = FAULTY[: FAULTY.index('name: "places"')].count("\n") + 1
    assert found.places[0].endswith(f"faulty.prototxt:{line} 'places'")


def test_the_diagonal_of_a_softmax(faulty: Report) -> None:
    found = of_kind(faulty, "gradient", "SoftmaxHM")
    assert found.defect == "G4"
    assert found.severity == "wrong"


def test_depths_decoded_with_other_bounds_than_encoded(faulty: Report) -> None:
    found = of_kind(faulty, "labels", "Perfect coordinates")
    assert found.defect == "M2"
    assert found.switch == "--fixes=depth_bounds"
    # d = (2500·s - 1200) comes back as 2000·s - 1000 = 0.8·d - 40
    assert found.numbers["slope"] == pytest.approx(0.8, abs=1e-4)
    assert found.numbers["offset"] == pytest.approx(-40, abs=0.05)
    assert found.numbers["error"] > 20
    assert found.numbers["error_fixed"] < 0.01
    assert len(found.places) == 2


def test_half_a_cell_between_labels_and_decoder(faulty: Report) -> None:
    found = of_kind(faulty, "labels", "cells off")
    assert found.defect == "M3"
    assert found.numbers["offset_cells"] == pytest.approx(0.5, abs=0.1)
    assert found.numbers["offset_cells_fixed"] == pytest.approx(0, abs=0.1)
    assert [place.rpartition(" ")[2] for place in found.places] == ["'best'"]


def test_a_flip_that_leaves_depths_behind(faulty: Report) -> None:
    found = of_kind(faulty, "flips")
    assert found.defect == "L1"
    assert found.numbers["share"] == 0.5
    assert found.numbers["depth_error"] > 50


def test_batches_that_repeat(faulty: Report) -> None:
    found = of_kind(faulty, "repeats")
    assert found.defect == "R1"
    assert found.numbers["distinct"] == 1
    assert found.numbers["distinct_fixed"] == 6


def test_a_logit_too_large_for_float32(faulty: Report) -> None:
    found = of_kind(faulty, "exponentials")
    assert found.numbers["forward_limit"] == pytest.approx(88.72, abs=0.02)  # ln of the largest
    assert found.numbers["backward_limit"] == pytest.approx(44.36, abs=0.02)  # and half of it


def test_maps_that_are_empty(faulty: Report) -> None:
    found = of_kind(faulty, "collapse")
    assert found.numbers["loss"] == pytest.approx(found.numbers["all_zero"], rel=0.05)
    assert found.severity == "note", "with fresh weights it is no wonder"


@pytest.mark.parametrize(
    ("kind", "word", "count"),
    [
        ("losses", "weight 0", 2),
        ("unread", "'lost'", 1),
        ("parameters", "never updated", 1),
        ("parameters", "no loss", 1),
        ("convolutions", "no activation", 1),
        ("paths", "absolute", 8),
        ("solvers", "solver.prototxt", 1),
        ("normalization", "from 2 samples", 1),
        ("normalization", "phase TEST", 1),
    ],
)
def test_what_stands_in_the_files(faulty: Report, kind: str, word: str, count: int) -> None:
    found = of_kind(faulty, kind, word)
    counted = {"unread": "tops", "paths": "paths", "solvers": "solvers", "convolutions": "pairs"}
    assert found.numbers[counted.get(kind, "layers")] == count
    assert found.places


def test_a_sample_that_depends_on_its_neighbour(faulty: Report) -> None:
    assert of_kind(faulty, "normalization", "phase TEST").numbers["moved"] > 0.001


def test_shares_add_up(faulty: Report) -> None:
    shares = of_kind(faulty, "shares").numbers
    assert len(shares) == 3
    assert sum(shares.values()) == pytest.approx(1)


def test_the_page_needs_nothing_else(faulty: Report) -> None:
    html = page(faulty)
    assert html.index("<h1>") < html.index("<article")
    assert "http" not in html
    assert "src=" not in html
    titles = [f.title for f in faulty.findings]
    assert all(title.replace("'", "&#x27;") in html for title in titles)


@pytest.mark.parametrize("name", ["lenet/train_test.prototxt", "lenet/lenet.prototxt"])
def test_a_good_net_has_nothing_wrong(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(NETS.parent.parent)
    assert main(["audit", str(NETS / name), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["findings"] == []
    assert report["skipped"] == {}


def test_the_command_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = NETS / "lenet" / "lenet.prototxt"
    assert main(["audit", str(net), "-o", "report.html"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_file_that_does_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.prototxt"
    broken.write_text('layer { name: "a" type: "ReLU" bottom: "nothing" top: "a" }')
    assert main(["audit", str(broken)]) == 2
    assert "broken.prototxt:1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def published(corpus: Path) -> Report:
    return audit(corpus / I1 / "training" / "d2=8" / "train_d8_ada.prototxt", repo=corpus / I1)


@pytest.mark.parametrize("defect", ["G1", "G3", "G4", "M2", "M3", "L1", "R1"])
def test_the_defects_of_the_published_net(published: Report, defect: str) -> None:
    found = [finding for finding in published.findings if finding.defect == defect]
    assert len(found) == 1
    assert found[0].severity in ("wrong", "risk")
    assert found[0].numbers


def test_depth_bounds_of_the_published_net(published: Report) -> None:
    found = next(finding for finding in published.findings if finding.defect == "M2")
    # (892.544664 + 950.637313)/(980.8599 + 1005.185902), and what that does to -1005.185902
    assert found.numbers["slope"] == pytest.approx(0.92807, abs=2e-4)
    assert found.numbers["offset"] == pytest.approx(-17.76, abs=0.05)


def test_layers_written_once_per_phase_and_saying_the_same(tmp_path: Path) -> None:
    layer = """layer {{ name: "{0}" type: "Convolution" bottom: "x" top: "{0}"
  include {{ {1} }} param {{ lr_mult: 1 }}
  convolution_param {{ num_output: {2} kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
"""
    start = 'layer { name: "x" type: "Input" top: "x" input_param { shape: '
    start += "{ dim: 1 dim: 3 dim: 8 dim: 8 } } }\n"
    path = tmp_path / "net.prototxt"
    rules = {
        "alike": ("phase: TRAIN", "phase: TEST"),
        "staged": ('stage: "a"', 'stage: "b"'),
        "deployed": ("phase: TRAIN", 'phase: TEST stage: "deploy"'),
    }
    twice = [layer.format(name, rule, 2) for name, pair in rules.items() for rule in pair]
    other = [
        layer.format("other", f"phase: {phase}", n) for phase, n in (("TRAIN", 2), ("TEST", 4))
    ]
    path.write_text(start + "".join(twice + other))
    found = of_kind(audit(path), "names", "written twice")
    assert found.numbers["layers"] == 1
    assert "'alike'" in found.places[0]


def test_a_solver_of_the_published_repository_names_no_net(published: Report) -> None:
    places = of_kind(published, "solvers").places
    assert any("solver_d64_ada.prototxt:1 names 'train_d64_ada_int.prototxt'" in p for p in places)
