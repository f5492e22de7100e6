"""Every layer type whose tops have a gradient is held against finite differences, or says why not.

The cases lie in the tables of several files, each with a gradcheck over its table. Here they are
counted: which types have one, and whether a case leaves a bottom or a blob out that has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import test_caffe_gradients
import test_integral_layers
import test_losses_and_recurrent
import test_more_layers
import torch
from layer_case import Case, draw, numbers
from loss_cases import DETACHED, OTHERS, SMOOTH
from torch import Tensor
from torch.func import functional_call

from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, as_tuple
from caffe_layers.registry import registered

HERE = Path(__file__).parent
LEGACY_NONE = ("test_integral_layers.py", "test_no_gradient_where_legacy_wrote_none")
WIDE = Filler("gaussian", std=0.6)
X = draw(3, 4, 5, 2, seed=21)
CASES = {
    "batch norm and scale": Case(
        "BatchNormScale", (X,), arguments={"filler": WIDE, "bias_term": True, "bias_filler": WIDE}
    ),
    "batch norm and scale, global": Case(
        "BatchNormScale", (X,), arguments={"filler": WIDE, "use_global_stats": True}
    ),
    "coord conv": Case(
        "CoordConv",
        (X, draw(3, 1, 5, 2, seed=22)),
        (0,),
        {"num_output": 3, "kernel_size": 2, "weight_filler": WIDE, "with_boundary": True},
    ),
    "volumetric soft-argmax": Case(
        "VolumetricSoftArgmax",
        (draw(2, 6, 3, 3, seed=23),),
        arguments={"joint_num": 2, "depth_dims": 3, "scale_factor": 1.5, "gradient": "exact"},
    ),
    "group norm": Case("GroupNorm", (X,), arguments={"group_num": 2}),
    "normalised maps": Case(
        "DeepHumanModelNormalizationResponse",
        (draw(2, 3, 4, 4, seed=24).abs() + 0.1,),
        arguments={"gradient": "exact"},
    ),
    "crop": Case("Crop", (draw(2, 3, 7, 5), draw(2, 3, 4, 2)), (0,), {"offset": (1, 2)}),
}
"""Those that no other table has, or not with all their bottoms and blobs."""

BINARY = numbers(1, 0, -1, 0, 0, 1, 0, 0).reshape(2, 4)
CONSTANT = {
    "Accuracy": Case("Accuracy", (draw(3, 4, seed=25), numbers(1, 0, 3)), ()),
    "AnchorTarget": OTHERS["anchor targets"],
    "ArgMax": Case("ArgMax", (X,), (), {"axis": 1}),
    "BalancedSampling": Case("BalancedSampling", (BINARY,), (), {"batch_size": 3}),
    "BoundaryHeatmap": OTHERS["boundary"],
    "Gen3DHeatmapInMoreDetailV3": Case(
        "Gen3DHeatmapInMoreDetailV3",
        (draw(2, 3, seed=26), draw(2, 6, seed=27).sigmoid()),
        (),
        {"joint_num": 3, "depth_dims": 4, "map_size": 8},
    ),
    "Threshold": Case("Threshold", (X,), ()),
    "WeightedLossMap": OTHERS["loss map"],
}
"""Tops that are counts, choices or labels: Caffe passes nothing back from them, and so do these."""
INSTEAD = {
    "AdaptiveWeightEucLoss": (  # its weights count as constants, by design
        *("test_adaptive_weight_euc_loss.py", "test_closed_form"),
    ),
    "AnchorPoseLoss": (  # its anchors count as constants, by design
        "test_losses_of_pose_and_detection.py",
        "test_gradient_of_the_anchor_pose_loss_with_its_anchors_held",
    ),
    "DeepHumanModelH36MGenPredMono3D": (  # a gradcheck with a camera file
        *("test_integral_data.py", "test_exact_gradient_to_the_metric_frame"),
    ),
    "DeepHandModel": (  # gradchecks with files of bones and bounds
        *("test_hand_model.py", "test_its_gradient_is_the_jacobian_and_none_for_listed_parameters"),
    ),
    "DeepHandModelDofConstraintLoss": ("test_hand_model.py", "test_the_constraint"),
    "Python": ("test_drop_in_python.py", "test_gradients_by_autograd"),  # a user's own backward
    # No gradient was ever written for these:
    "DeepHumanModelArgmaxHM": LEGACY_NONE,
    "DeepHumanModelGen3DHeatmapInMoreDetailV3": LEGACY_NONE,
    "DeepHumanModelH36MChaGenJointFrXYZHeatmap": LEGACY_NONE,
    "GenHeatmapAllChannels": LEGACY_NONE,
    # No tops, or tops that are copies of what was written into files:
    "DeepHumanModelOutputHeatmapSepChannel": (
        *("test_integral_data.py", "test_maps_of_joints_wrap_where_bright"),
    ),
    "DeepHumanModelOutputJointOnSkeletonMapH36M": (
        *("test_integral_data.py", "test_discs_have_a_radius_of_five"),
    ),
    "HDF5Output": ("test_memory_data_and_hdf5_output.py", "test_rows_of_all_passes"),
    "OutputBlob": ("test_integral_data.py", "test_numbers_are_written_as_text"),
    "OutputHeatmapOneChannel": ("test_integral_data.py", "test_a_map_is_written_as_an_image"),
    "Silence": ("test_caffe_semantics.py", "test_silence_has_no_top"),
}
"""The test that stands in where a type has no gradcheck in a table, and why it has none."""


@dataclass(frozen=True)
class Tried:
    """A case of some table: the layer, its bottoms, and which places of them were checked."""

    layer: Layer
    bottoms: tuple[Tensor, ...]
    places: frozenset[int]
    with_blobs: bool = True


def _caffe(case: test_caffe_gradients.Case) -> Tried:
    bottoms = case.bottoms()
    count = len(bottoms) if case.differentiable is None else case.differentiable
    return Tried(case.layer(), bottoms, frozenset(range(count)))


def _more(case: test_more_layers.Case) -> Tried:
    layer, bottoms = test_more_layers.build(case, torch.float64)
    takes = (test_more_layers.takes_gradient(layer, i, bottoms) for i in range(len(bottoms)))
    return Tried(layer, bottoms, frozenset(i for i, yes in enumerate(takes) if yes))


def _integral(name: str) -> Tried:
    layer, bottoms = test_integral_layers.sample(name, "exact")
    return Tried(layer, tuple(bottoms), frozenset(range(len(bottoms))))


def _plain(case: Case, *, with_blobs: bool) -> Tried:
    return Tried(case.layer(), case.bottoms, frozenset(case.differentiable), with_blobs)


def _all_cases() -> Iterator[tuple[str, str, Callable[[], Tried]]]:
    """Name, type and case of every table that a gradcheck goes through."""
    for name, caffe in test_caffe_gradients.CASES.items():
        yield f"caffe {name}", caffe.type, lambda case=caffe: _caffe(case)
    for name, more in test_more_layers.CASES.items():
        yield f"more {name}", more.type, lambda case=more: _more(case)
    for name, (kind, *_) in test_integral_layers.SAMPLES.items():
        yield f"integral {name}", kind, lambda name=name: _integral(name)
    for name, case in (test_losses_and_recurrent.CASES | CASES).items():
        yield f"here {name}", case.type, lambda case=case: _plain(case, with_blobs=True)
    for name, case in SMOOTH.items():
        if name not in DETACHED and case.type != "CoordConv":
            yield f"loss {name}", case.type, lambda case=case: _plain(case, with_blobs=False)


TRIED: dict[str, tuple[str, Callable[[], Tried]]] = {n: (t, make) for n, t, make in _all_cases()}


@pytest.mark.parametrize("name", CASES)
def test_gradcheck(name: str) -> None:
    case = CASES[name]
    layer = case.layer()
    if case.arguments.get("use_global_stats"):
        layer.variance.fill_(2.5)
        layer.scale_factor.fill_(1.5)
    names = [n for n, _ in layer.named_parameters()]
    count = len(case.differentiable)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        bottoms = list(case.bottoms)
        for place, value in zip(case.differentiable, values, strict=False):
            bottoms[place] = value
        blobs = dict(zip(names, values[count:], strict=True))
        return as_tuple(functional_call(layer, blobs, tuple(bottoms)))

    values = [case.bottoms[i] for i in case.differentiable] + list(layer.parameters())
    assert torch.autograd.gradcheck(run, [v.detach().clone().requires_grad_() for v in values])


@pytest.mark.parametrize("name", TRIED)
def test_no_bottom_with_a_gradient_is_left_out(name: str) -> None:
    tried = TRIED[name][1]()
    assert tried.with_blobs or not list(tried.layer.parameters()), "its blobs are not checked"
    bottoms = [bottom.detach().clone().requires_grad_() for bottom in tried.bottoms]
    tops = [top for top in as_tuple(tried.layer(*bottoms)) if top.requires_grad]
    torch.stack([top.square().sum() for top in tops]).sum().backward()
    reached = {i for i, bottom in enumerate(bottoms) if bottom.grad is not None}
    assert reached <= tried.places
    assert all(blob.grad is not None for blob in tried.layer.parameters()), "a blob without one"


@pytest.mark.parametrize("name", CONSTANT)
def test_no_gradient_from_a_count_a_choice_or_a_label(name: str) -> None:
    case = CONSTANT[name]
    assert case.type == name
    bottoms = [bottom.detach().clone().requires_grad_() for bottom in case.bottoms]
    assert not any(top.requires_grad for top in as_tuple(case.layer()(*bottoms)))


def _can_have_one(cls: type[Layer]) -> bool:
    """Whether there is anything to take a derivative by: a bottom that is no index, or a blob."""
    return not cls.feeds and (cls.bottom_count[1] != 0 or bool(cls.blobs))


@pytest.mark.parametrize("name", sorted(n for n, cls in registered().items() if _can_have_one(cls)))
def test_every_type_is_checked_or_says_why_not(name: str) -> None:
    checked = {kind for kind, _ in TRIED.values()}
    if name in INSTEAD:
        file, test = INSTEAD[name]
        text = HERE.joinpath(file).read_text(encoding="utf-8")
        assert f"def {test}(" in text, "the test that stands in is not there"
        assert name in text
    else:
        assert name in checked | set(CONSTANT), "no gradcheck, and no reason"
    assert name not in checked & (set(INSTEAD) | set(CONSTANT)), "a reason that is none"
