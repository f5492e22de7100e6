"""The examples: what the generators write, and that the nets they write run on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from converter import load_net
from converter.graph import Graph
from converter.load import load_graph
from converter.net import Net

ROOT = Path(__file__).parent.parent
PROTOTXT = ROOT / "examples" / "prototxt"
RECIPES = ("adaptive_h1", "adaptive_i1", "manual")
PART_OF_ALL = [0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 17, 18, 19, 25, 26, 27]

each_recipe = pytest.mark.parametrize("recipe", RECIPES)
each_phase = pytest.mark.parametrize("phase", ["TRAIN", "TEST"])


@pytest.fixture(scope="module")
def generators() -> Iterator[dict[str, ModuleType]]:
    """The scripts of examples/, imported as Python runs them: their folder first on the path."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import make_digits
        import make_nets
        import make_toy_pose

        yield {"nets": make_nets, "pose": make_toy_pose, "digits": make_digits}
    finally:
        sys.path.remove(str(ROOT / "examples"))


@pytest.fixture(scope="module")
def toy(generators: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole pose set and the digits in it, where a clone would have them."""
    folder = tmp_path_factory.mktemp("clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("pose", "digits"):
            patch.setattr(sys, "argv", [name])
            generators[name].main()
    return folder


def numbers(folder: Path, kind: str, index: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array((folder / kind / f"{index}.txt").read_text().split(), float)


def camera(folder: Path, index: int) -> dict[str, list[float]]:
    lines = (folder / "camera_all" / f"{index}.txt").read_text().splitlines()
    return {
        label.rstrip(":"): [float(number) for number in line.split()]
        for label, line in zip(lines[::2], lines[1::2], strict=True)
    }


# The nets as files


@each_recipe
@pytest.mark.parametrize("file", ["train_val.prototxt", "solver.prototxt"])
def test_checked_in_files_are_what_the_generator_writes(
    generators: dict[str, ModuleType], recipe: str, file: str
) -> None:
    texts = {path.name: text for path, text in generators["nets"].files(recipe).items()}
    assert (PROTOTXT / recipe / file).read_text(encoding="utf-8") == texts[file]


@pytest.mark.parametrize("file", ["train_val_terms.prototxt", "solver_terms.prototxt"])
def test_the_terms_of_adaptive_i1_are_five_losses(
    generators: dict[str, ModuleType], file: str
) -> None:
    made = {path.name: text for path, text in generators["nets"].files("adaptive_i1").items()}
    path = PROTOTXT / "adaptive_i1" / file
    assert path.read_text(encoding="utf-8") == made[file]
    if file.startswith("train"):
        weighed = [n for n in train_graph(path).nodes if n.loss_weights and n.loss_weights[0]]
        assert [(n.type, n.loss_weights) for n in weighed] == [("EuclideanLoss", (1.0,))] * 5


def written_net(generators: dict[str, ModuleType], folder: Path, recipe: str, depth: int) -> Path:
    """The net of a recipe at a depth, in a file."""
    texts = generators["nets"].files(recipe, depth, folder)
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / recipe / "train_val.prototxt"


def train_graph(path: Path) -> Graph:
    return load_graph(path, phase="TRAIN")


def layer_named(graph: Graph, name: str) -> Any:
    return next(node for node in graph.nodes if node.name == name)


@each_recipe
@each_phase
@pytest.mark.parametrize("depth", [1, 5, 64])
def test_every_depth_makes_a_net(
    generators: dict[str, ModuleType], tmp_path: Path, recipe: str, depth: int, phase: Any
) -> None:
    path = written_net(generators, tmp_path, recipe, depth)
    with torch.device("meta"):
        net = load_net(path, phase=phase)
    assert net.blob_shapes["heatmap2"] == net.blob_shapes["label_3dhm"]
    assert net.blob_shapes["heatmap2"][1:] == (16 * depth, 16, 16)
    assert net.blob_shapes["pred_joint_2d_s2_int"][1:] == (32,)
    assert f"conv_5_d{depth}" in net.layers


@pytest.mark.parametrize("depth", [0, 65])
def test_a_depth_out_of_range_is_refused(
    generators: dict[str, ModuleType], tmp_path: Path, depth: int
) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        written_net(generators, tmp_path, "manual", depth)


@pytest.mark.parametrize(
    ("recipe", "depth", "std"),
    [
        ("adaptive_h1", 4, 0.01),
        ("adaptive_h1", 16, 0.01),
        ("adaptive_h1", 32, 0.001),
        ("adaptive_h1", 64, 0.0003),
        ("adaptive_i1", 8, 0.01),
        ("adaptive_i1", 16, 0.002),
        ("adaptive_i1", 64, 0.002),
        ("manual", 8, 0.01),
        ("manual", 16, 0.002),
        ("manual", 64, 0.001),
    ],
)
def test_heatmap2_starts_as_published(
    generators: dict[str, ModuleType], tmp_path: Path, recipe: str, depth: int, std: float
) -> None:
    graph = train_graph(written_net(generators, tmp_path, recipe, depth))
    node = layer_named(graph, f"conv_5_d{depth}")
    filler = node.record.get("convolution_param").get("weight_filler")
    assert filler.get("std") == pytest.approx(std, rel=1e-6)


@pytest.mark.parametrize(
    ("depth", "weight"), [(1, 1.0), (2, 0.1), (4, 0.3), (8, 0.1), (16, 0.3), (64, 0.08)]
)
def test_hand_set_weights_are_the_published_ones(
    generators: dict[str, ModuleType], tmp_path: Path, depth: int, weight: float
) -> None:
    graph = train_graph(written_net(generators, tmp_path, "manual", depth))
    given = {
        node.name: node.record.get("loss_weight")[0]
        for node in graph.nodes
        if node.record.get("loss_weight", (0,))[0]
    }
    assert given == pytest.approx(
        {
            "loss_2dhm": 1.0,
            "loss_3dhm": weight,
            "joint2dloss_s2_int": 1.0,
            "depthloss_s2_int": 1.0,
        },
        rel=1e-6,
    )


HEATMAPS = (
    "heatmap_flatten",
    "label_2dhm_flatten",
    "heatmap2_flatten",
    "label_3dhm_flatten",
)
COORDINATES = (
    "pred_joint_2d_s2_int",
    "crop_gt_joint_2d",
    "pred_depth_s2_int",
    "annot_depth",
    "pred_joint_2d_s1_int",
    "crop_gt_joint_2d",
)


@pytest.mark.parametrize(
    ("recipe", "name", "bottoms"),
    [
        pytest.param("adaptive_h1", "ada_loss", HEATMAPS, id="h1"),
        pytest.param("adaptive_i1", "ada_loss_all", HEATMAPS + COORDINATES, id="i1"),
    ],
)
def test_adaptive_loss_pairs_are_the_memos(
    recipe: str, name: str, bottoms: tuple[str, ...]
) -> None:
    node = layer_named(train_graph(PROTOTXT / recipe / "train_val.prototxt"), name)
    assert tuple(node.bottom_names) == bottoms
    assert node.record.get("loss_weight") == (1.0,)


# The toy set


def test_the_same_settings_draw_the_same_set(
    generators: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = generators["pose"]
    settings = pose.Settings(train=3, test=2, size=48)
    written = []
    for copy in ("one", "two"):
        (tmp_path / copy).mkdir()
        monkeypatch.chdir(tmp_path / copy)
        pose.make(settings, Path("toy/pose"))
        files = sorted(path for path in Path().rglob("*") if path.is_file())
        written.append({path.as_posix(): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert len(written[0]) == 5 * 10 + 3


def test_a_finished_set_is_left_alone(
    generators: dict[str, ModuleType], toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(toy)
    monkeypatch.setattr(sys, "argv", ["make_toy_pose.py"])
    before = (toy / "toy/pose/images/0.png").stat().st_mtime_ns
    generators["pose"].main()
    assert "already there" in capsys.readouterr().out
    assert (toy / "toy/pose/images/0.png").stat().st_mtime_ns == before


def test_the_set_stays_small(toy: Path) -> None:
    sizes = [path.stat().st_size for path in (toy / "toy" / "pose").rglob("*") if path.is_file()]
    assert sum(sizes) < 10e6


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("bbx_all_new", 4),
        ("center_x", 1),
        ("center_y", 1),
        ("scale", 1),
        ("gt_joint_2d_raw_new", 64),
        ("gt_joint_3d_mono_raw", 96),
    ],
)
@pytest.mark.parametrize("index", [0, 511, 639])
def test_every_file_holds_its_numbers(toy: Path, kind: str, count: int, index: int) -> None:
    assert len(numbers(toy / "toy/pose", kind, index)) == count


@pytest.mark.parametrize("index", [0, 17, 512, 639])
def test_crop_pixels_are_the_camera_joints_projected(toy: Path, index: int) -> None:
    pose = toy / "toy" / "pose"
    joints = numbers(pose, "gt_joint_3d_mono_raw", index).reshape(32, 3)
    pixels = numbers(pose, "gt_joint_2d_raw_new", index).reshape(32, 2)
    x1, y1, x2, y2 = numbers(pose, "bbx_all_new", index)
    lens = camera(pose, index)
    seen = joints[:, :2] / joints[:, 2:] * lens["f"] + lens["c"]
    np.testing.assert_allclose(pixels / 64 * [x2 - x1, y2 - y1] + [x1, y1], seen, rtol=0, atol=2e-4)
    assert x2 - x1 == y2 - y1


@pytest.mark.parametrize("index", [3, 600])
def test_rotations_are_rotations_and_bones_keep_their_ratio(toy: Path, index: int) -> None:
    pose = toy / "toy" / "pose"
    rotation = np.array(camera(pose, index)["R"]).reshape(3, 3)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    joints = numbers(pose, "gt_joint_3d_mono_raw", index).reshape(32, 3)
    left_shin = np.linalg.norm(joints[8] - joints[7])
    right_upper_arm = np.linalg.norm(joints[26] - joints[25])
    assert left_shin / right_upper_arm == pytest.approx(440 / 280, rel=1e-6)


def test_every_joint_lies_within_the_nets_bounds(toy: Path) -> None:
    pose = toy / "toy" / "pose"
    joints = np.stack([numbers(pose, "gt_joint_3d_mono_raw", i) for i in range(640)])
    depth = joints.reshape(640, 32, 3)[:, PART_OF_ALL, 2]
    assert np.abs(depth - depth[:, :1]).max() < 1000
    pixels = np.stack([numbers(pose, "gt_joint_2d_raw_new", i) for i in range(640)])
    assert pixels.min() > 0
    assert pixels.max() < 64


# Nets and set together


def ready(recipe: str, phase: Any) -> Net:
    torch.manual_seed(11)
    return load_net(PROTOTXT / recipe / "train_val.prototxt", phase=phase)


@each_recipe
def test_a_training_step_reaches_every_learnable_blob(
    recipe: str, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy)
    net = ready(recipe, "TRAIN")
    loss = net.loss(net())
    assert torch.isfinite(loss)
    loss.backward()
    silent = [
        f"{blob.layer}[{blob.index}]"
        for blob in net.learnable()
        if blob.lr_mult and (blob.tensor.grad is None or not blob.tensor.grad.abs().sum())
    ]
    assert silent == []


def test_a_test_pass_goes_over_the_test_samples_in_order(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy)
    index = ready("manual", "TEST").layers["gen_sequential_ind"]
    (toy / "toy/pose/test_index/manual.txt").write_text("-1\n")
    drawn = torch.cat([index().flatten() for _ in range(8)])
    assert drawn.tolist() == list(range(512, 640))
    assert index().flatten()[0] == 512
    (toy / "toy/pose/test_index/manual.txt").write_text("-1\n")


def test_perfect_heatmaps_decode_to_the_error_that_quantisation_leaves(
    generators: dict[str, ModuleType], toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data side and both decoders against the formulas, from the text files alone.

    The maximum of a label volume is its bin's middle, half a cell right of and below the joint's
    rounded place: what a perfect net is left with.
    """
    monkeypatch.chdir(toy)
    (toy / "toy/pose/test_index/manual.txt").write_text("-1\n")
    (toy / "perfect.prototxt").write_text(perfect_net())
    net = load_net("perfect.prototxt")
    outputs = net()
    expected = np.mean([quantised_error(toy / "toy" / "pose", 512 + i) for i in range(16)])
    assert outputs["error(mm)_3d_s2_max"].item() == pytest.approx(expected, rel=1e-4)
    assert outputs["error(mm)_3d_s2_int"].item() == pytest.approx(expected, rel=0.05)
    (toy / "toy/pose/test_index/manual.txt").write_text("-1\n")


def perfect_net() -> str:
    """The manual net with its labels in place of what it computes."""
    from pose_net.data import data_side
    from pose_net.heads import heads
    from pose_net.recipe import Recipe
    from pose_net.text import layer

    recipe = Recipe("manual", 16)
    known = [
        layer("guess2", "Concat", "label_2dhm", "heatmap"),
        layer("guess3", "Concat", "label_3dhm", "heatmap2"),
    ]
    return "\n".join([*data_side(recipe), *known, *heads(recipe)])


def quantised_error(pose: Path, index: int) -> float:
    """Mean distance (mm) of the 16 joints to themselves, coded on a 16 x 16 x 16 grid."""
    joints = numbers(pose, "gt_joint_3d_mono_raw", index).reshape(32, 3)[PART_OF_ALL]
    x1, y1, x2, _ = numbers(pose, "bbx_all_new", index)
    lens = camera(pose, index)
    # At rotation 0 the augmentation still moves everything by half a pixel.
    crop = numbers(pose, "gt_joint_2d_raw_new", index).reshape(32, 2)[PART_OF_ALL] + 0.5
    depth, root = joints[:, 2:], joints[0, 2]

    def camera_frame(unit: Any, z: Any) -> Any:
        return np.hstack([(unit * (x2 - x1) + [x1, y1] - lens["c"]) / lens["f"] * z, z])

    cell = np.floor(crop / 4 + 0.5)
    bin_ = np.ceil((depth - root + 1000) / 2000 * 16) - 1
    truth = camera_frame(crop / 64, depth)
    coded = camera_frame((cell + 0.5) / 16, (bin_ + 0.5) / 16 * 2000 - 1000 + root)
    return float(np.linalg.norm(truth - coded, axis=1).mean())


# LeNet


@each_phase
def test_lenet_runs_on_the_digits(toy: Path, monkeypatch: pytest.MonkeyPatch, phase: Any) -> None:
    monkeypatch.chdir(toy)
    net = load_net(PROTOTXT / "lenet" / "train_test.prototxt", phase=phase)
    outputs = net()
    assert net.blob_shapes["ip2"] == ({"TRAIN": 64, "TEST": 72}[phase], 10)
    assert net.loss(outputs).item() == pytest.approx(np.log(10), rel=0.2)


def test_lenet_deployed_has_the_trained_nets_layers() -> None:
    deployed = load_net(PROTOTXT / "lenet" / "lenet.prototxt")
    probabilities = deployed(data=torch.rand(3, 1, 28, 28))["prob"]
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(dim=1).detach(), np.ones(3), rtol=1e-5)


# The depth curriculum


def test_checked_in_curriculum_is_what_the_generator_writes(
    generators: dict[str, ModuleType],
) -> None:
    texts = generators["nets"].curriculum_files()
    assert len(texts) == 18
    found = {path: (ROOT / path).read_text(encoding="utf-8") for path in texts}
    assert found == texts


def head_of(folder: Path) -> tuple[str, float, set[str]]:
    """Name and std of the layer that makes heatmap2, and the names of all layers with weights."""
    nodes = load_graph(folder / "train_val.prototxt", phase="TRAIN", fork="integral").nodes
    (head,) = (node for node in nodes if node.top_names == ("heatmap2",))
    std = head.record["convolution_param"]["weight_filler"]["std"]
    return head.name, std, {n.name for n in nodes if n.type in ("Convolution", "Scale")}


def test_curriculum_carries_all_but_a_new_head() -> None:
    stages = [head_of(folder) for folder in sorted((PROTOTXT / "curriculum").iterdir())]
    heads = [f"conv_5_d{depth}" for depth in (2, 4, 8, 8, 16, 16, 32, 64, 64)]
    assert [name for name, _, _ in stages] == heads
    published = [0.01, 0.01, 0.01, 0.01, 0.002, 0.002, 0.002, 0.002, 0.001]
    np.testing.assert_allclose([std for _, std, _ in stages], published, rtol=1e-6)
    for (old, _, before), (new, _, after) in pairwise(stages):
        assert before - {old} == after - {new}


@pytest.mark.parametrize("filler", ["msra", "xavier"])
def test_curriculum_variants_change_every_convolutions_filler(
    generators: dict[str, ModuleType], filler: str, tmp_path: Path
) -> None:
    stage, variant = curriculum(filler)
    text = generators["nets"].net_text(stage.recipe(variant))
    assert 'type: "gaussian"' not in text
    assert text.count(f'type: "{filler}"') == text.count('type: "Convolution"') > 50


def curriculum(name: str) -> tuple[Any, Any]:
    """The first stage, and the variant of this name."""
    from pose_net.curriculum import STAGES, VARIANTS

    return STAGES[0], next(variant for variant in VARIANTS if variant.name == name)
