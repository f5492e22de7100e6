"""Losses and maps beyond Caffe's own: derivatives, half precision, export, prototxts, refusals."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from layer_case import Case, draw, make, numbers
from loss_cases import (
    BINARY,
    BOXES,
    CASES,
    CELLS,
    CLASSES,
    DETACHED,
    DISCS,
    FACE,
    HEAT,
    IMAGE,
    JOINTS,
    LABELS,
    MAPS,
    NEW,
    OTHER_HEAT,
    OTHER_JOINTS,
    PLACE,
    PLANES,
    RANDOM,
    RATE,
    SCORES,
    SERIES,
    SMOOTH,
    WANTED_RATE,
    WEIGHTS,
)
from torch import Tensor
from torch.nn import functional

import caffe_layers
from caffe_layers.errors import LayerError
from caffe_layers.layer import as_tuple
from caffe_layers.registry import find
from converter import load_net


def run(case: Case, bottoms: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
    torch.manual_seed(7)
    return as_tuple(case.layer()(*(case.bottoms if bottoms is None else bottoms)))


@pytest.mark.parametrize("name", sorted(set(SMOOTH) - DETACHED))
def test_gradients_are_the_derivatives(name: str) -> None:
    case = SMOOTH[name]
    layer = case.layer()

    def tops(*values: Tensor) -> tuple[Tensor, ...]:
        bottoms = list(case.bottoms)
        for place, value in zip(case.differentiable, values, strict=True):
            bottoms[place] = value
        return tuple(top for top in as_tuple(layer(*bottoms)) if top.requires_grad)

    inputs = [case.bottoms[i].detach().clone().requires_grad_() for i in case.differentiable]
    assert torch.autograd.gradcheck(tops, inputs)


def anchored(q: Tensor, fixed: Tensor, gamma: float, target: Tensor, kind: str) -> Tensor:
    """Equation 2 of the paper and its variants, anchors out of `fixed`; a row per sample."""
    is_target = functional.one_hot(target, q.shape[1]).bool()
    own = fixed.gather(1, target[:, None]) - 0.05
    rival = fixed.masked_fill(is_target, 0).amax(1, keepdim=True) + 0.05
    hard = (1 - q + rival.clamp(max=1)) ** (0 if kind == "BACKGROUND" else gamma)
    easy = (1 + q - own.clamp(min=0)) ** (0 if kind == "TARGET" else gamma)
    terms = torch.where(is_target, -hard * q.log(), -easy * (1 - q).log())
    return terms.sum() / len(q)


@pytest.mark.parametrize("kind", ["BACKGROUND", "TARGET", "BOTH"])
def test_gradient_of_the_anchor_loss_with_its_anchors_held(kind: str) -> None:
    scores = SCORES.clone().requires_grad_()
    layer = make("AnchorLoss", gamma=1.7, anchor=kind)
    (found,) = torch.autograd.grad(layer(scores, LABELS), scores)
    fixed = SCORES.sigmoid()

    def formula(x: Tensor) -> Tensor:
        return anchored(x.sigmoid(), fixed, 1.7, LABELS.long(), kind)

    assert torch.autograd.gradcheck(formula, [scores])
    torch.testing.assert_close(found, torch.func.grad(formula)(SCORES), rtol=1e-12, atol=1e-12)


def test_gradient_of_the_anchor_pose_loss_with_its_anchors_held() -> None:
    maps = MAPS.clone().requires_grad_()
    layer = make("AnchorPoseLoss", gamma=1.5)
    (found,) = torch.autograd.grad(layer(maps, DISCS), maps)
    inside = MAPS.sigmoid().where(DISCS > 0.5, -1)
    anchor = inside.amax((2, 3), keepdim=True)

    def formula(x: Tensor) -> Tensor:
        q = x.sigmoid()
        entropy = functional.binary_cross_entropy(q, DISCS, reduction="none")
        return torch.where(DISCS == 0, (1 + q - anchor) ** 1.5, 1).mul(entropy).sum() / 2

    assert bool((anchor > 0).all())
    torch.testing.assert_close(found, torch.func.grad(formula)(MAPS), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_export_computes_the_same(name: str) -> None:
    case = CASES[name]
    exported = torch.export.export(case.layer(), case.bottoms).module()
    wanted = run(case)
    torch.manual_seed(7)
    found = as_tuple(exported(*case.bottoms))
    assert len(found) == len(wanted)
    if name not in RANDOM:
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_foretold(name: str) -> None:
    tops = run(CASES[name])
    shapes = [tuple(bottom.shape) for bottom in CASES[name].bottoms]
    assert CASES[name].layer().top_shapes(*shapes) == tuple(tuple(top.shape) for top in tops)
    assert {top.dtype for top in tops} == {torch.float64}


@pytest.mark.parametrize("name", sorted(set(CASES) - RANDOM))
def test_float32_follows_float64(name: str) -> None:
    case = CASES[name]
    narrow = as_tuple(case.layer().float()(*(bottom.float() for bottom in case.bottoms)))
    for found, wanted in zip(narrow, run(case), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=2e-5)


SCORED = {
    "AnchorLoss": {"gamma": 0.5},
    "AnchorPoseLoss": {},
    "SigmoidFocalLoss": {},
    "OHEMSoftmaxLoss": {"fraction": 0.5},
    "TemporalConsistencyLoss": {},
    "SoftArgmax": {},
    "WingLoss": {},
    "AdaptiveWingLoss": {},
    "IntegralLoss": {},
    "MPJPELoss": {"axes": 2},
    "OHKMLoss": {"topk": 2},
}
EXTREMES = {
    "large": 1e4,
    "nothing": 0.0,
    "huge only in float32": 6e4,
}


def hard_bottoms(type_name: str, size: float, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Scores of ± size for two classes, or maps, and what is wanted of them."""
    scores = torch.tensor([[-size, size], [size, -size], [size, size], [-size, -size]])
    if type_name in ("AnchorLoss", "OHEMSoftmaxLoss"):
        return scores.to(dtype), torch.tensor([0.0, 0, 1, 1])
    if type_name in ("TemporalConsistencyLoss", "SoftArgmax"):
        return (scores[None].to(dtype),)
    wanted = torch.tensor([[0.0, 1], [0, 1], [0, 1], [1, 0]])
    return scores[None].to(dtype), wanted[None].to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", EXTREMES.values(), ids=list(EXTREMES))
@pytest.mark.parametrize("type_name", SCORED)
@pytest.mark.parametrize("arguments", [{}, {"gamma": 0.5, "margin": 0.0}], ids=["", "γ=½, δ=0"])
def test_extreme_scores_have_finite_losses_and_gradients(
    type_name: str, size: float, dtype: torch.dtype, arguments: dict[str, float]
) -> None:
    keywords = inspect.signature(find(type_name)).parameters
    given = SCORED[type_name] | {k: v for k, v in arguments.items() if k in keywords}
    scores, *others = hard_bottoms(type_name, size, dtype)
    scores.requires_grad_()
    top = make(type_name, **given)(scores, *others)
    top.sum().backward()
    assert bool(top.isfinite().all())
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert scores.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(k for k, c in SMOOTH.items() if c.type != "CoordConv"))
def test_half_precision_is_finite(name: str, dtype: torch.dtype) -> None:
    case = SMOOTH[name]
    bottoms = [bottom.to(dtype) for bottom in case.bottoms]
    for place in case.differentiable:
        bottoms[place].requires_grad_()
    tops = as_tuple(case.layer()(*bottoms))
    sum(top.float().sum() for top in tops).backward()
    assert all(bool(top.isfinite().all()) for top in tops)
    assert all(bool(bottoms[place].grad.isfinite().all()) for place in case.differentiable)
    if find(case.type).is_loss:
        assert tops[0].dtype == torch.float32


SUMMED = {
    "SmoothL1Loss": ({}, 7.5 * 12288),
    "EuclideanLoss": ({}, 32.0 * 12288),
    "Joint3DSquareRootLoss": ({"joint_num": 4096}, 192**0.5),
}
"""Arguments, and the loss of an error of 8 everywhere in 12288 numbers."""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("type_name", SUMMED)
def test_sums_of_half_precision_are_kept_in_float32(type_name: str, dtype: torch.dtype) -> None:
    arguments, wanted = SUMMED[type_name]
    pred = torch.full((1, 12288), 9.0, dtype=dtype).requires_grad_()
    loss = make(type_name, **arguments)(pred, torch.ones_like(pred))
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor(wanted))
    assert pred.grad is not None
    assert pred.grad.dtype == dtype


PERFECT = {
    "WingLoss": (JOINTS, JOINTS),
    "AdaptiveWingLoss": (DISCS, DISCS),
    "MPJPELoss": (JOINTS, JOINTS),
    "IntegralLoss": (JOINTS, JOINTS),
    "JSDivergenceLoss": (HEAT, HEAT),
    "SmoothL1Loss": (JOINTS, JOINTS),
    "AdaptiveWeightEucLoss": (JOINTS[0], JOINTS[0]),
    "TemporalConsistencyLoss": (torch.ones(4, 2).double(),),
}


@pytest.mark.parametrize("type_name", PERFECT)
def test_perfect_predictions_cost_nothing_and_pull_nowhere(type_name: str) -> None:
    bottoms = [bottom.clone() for bottom in PERFECT[type_name]]
    bottoms[0].requires_grad_()
    loss = make(type_name)(*bottoms)
    loss.backward()
    assert abs(loss.item()) < 1e-15
    assert float(bottoms[0].grad.abs().max()) < 1e-15


@pytest.mark.parametrize("empty", ["p", "q", "both"])
def test_divergence_of_maps_with_zeros(empty: str) -> None:
    p, q = HEAT.float(), OTHER_HEAT.float()
    p = p.where((torch.arange(3) > 0) | (empty == "q"), 0).requires_grad_()
    q = q.where((torch.arange(3) > 0) | (empty == "p"), 0)
    loss = make("JSDivergenceLoss")(p, q)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(p.grad.isfinite().all())


def test_a_target_above_alpha_minus_1_has_no_nan() -> None:
    p = numbers(1.5, 1.5001, 3).requires_grad_()
    make("AdaptiveWingLoss")(p, numbers(1.5, 1.5, 1.5)).backward()
    assert bool(p.grad.isfinite().all())
    assert float(p.grad[0]) == 0


class TestHardestOfTheLabelled:
    """Places of the ignored label are none: shares, counts and means are of the others."""

    SCORES = draw(9, 4, seed=31)
    LABELS = numbers(0, 3, 1, 3, 2, 3, 0, 1, 2)

    def entropies(self) -> Tensor:
        labelled = self.LABELS != 3
        return functional.cross_entropy(
            self.SCORES[labelled], self.LABELS[labelled].long(), reduction="none"
        )

    @pytest.mark.parametrize(
        ("share", "kept"),
        [({"fraction": 0.5}, 3), ({"fraction": 1.0}, 6), ({"keep": 4}, 4), ({"keep": 8}, 6)],
        ids=["half", "all", "4", "more than there are"],
    )
    def test_mean(self, share: dict[str, float], kept: int) -> None:
        found = make("OHEMSoftmaxLoss", ignore_label=3, **share)(self.SCORES, self.LABELS)
        torch.testing.assert_close(found, self.entropies().sort(descending=True)[0][:kept].mean())

    def test_all_of_them_are_softmax_with_loss(self) -> None:
        bottoms = self.SCORES, self.LABELS
        every = make("OHEMSoftmaxLoss", fraction=1.0, ignore_label=3)(*bottoms)
        torch.testing.assert_close(every, make("SoftmaxWithLoss", ignore_label=3)(*bottoms))

    def test_none_labelled(self) -> None:
        scores = self.SCORES.clone().requires_grad_()
        loss = make("OHEMSoftmaxLoss", keep=2, ignore_label=3)(scores, torch.full((9,), 3.0))
        loss.backward()
        assert loss.item() == 0
        assert scores.grad is not None
        assert not scores.grad.any()

    def test_no_examples_at_all(self) -> None:
        assert make("OHEMLoss", keep=3)(torch.empty(0)).item() == 0
        assert make("OHEMSoftmaxLoss", keep=3)(torch.empty(0, 4), torch.empty(0)).item() == 0


@dataclass(frozen=True)
class Documented:
    """The arguments that the prototxt in a docstring sets, and bottoms that fit it."""

    arguments: dict[str, Any]
    bottoms: tuple[Tensor, ...]


JOINT_HEAT = draw(2, 4 * 64, 3, 5, seed=21)
DOCUMENTED = {
    "AddCoords": Documented({"with_r": True, "with_boundary": True}, (MAPS, DISCS)),
    "AdaptiveWingLoss": Documented({}, (MAPS, DISCS, DISCS + 1)),
    "AnchorLoss": Documented({}, (SCORES, LABELS)),
    "AnchorPoseLoss": Documented({}, (MAPS, DISCS)),
    "AnchorTarget": Documented({}, (draw(1, 18, 40, 41), BOXES * 5, IMAGE * 6)),
    "BalancedSampling": Documented({}, (BINARY,)),
    "BoundaryHeatmap": Documented({"height": 64, "width": 64}, (draw(2, 136) * 9 + 30,)),
    "CoordConv": Documented({}, (draw(2, 3, 8, 9),)),
    "DSNT": Documented({}, (HEAT,)),
    "DSNTLoss": Documented({}, (HEAT, PLACE)),
    "IntegralLoss": Documented({}, (JOINTS, OTHER_JOINTS, WEIGHTS)),
    "JSDivergenceLoss": Documented({}, (HEAT, OTHER_HEAT)),
    "JointRegressionClassificationLoss": Documented(
        {"tops": 4}, (RATE, WANTED_RATE, SERIES, CLASSES)
    ),
    "MPJPELoss": Documented({"root": 0}, (JOINTS, OTHER_JOINTS)),
    "OHEMLoss": Documented({"keep": 128}, (WEIGHTS[0], WEIGHTS[1])),
    "OHEMSoftmaxLoss": Documented({"fraction": 0.9}, (SCORES, LABELS)),
    "OHKMLoss": Documented({}, (draw(2, 9, 4, 5), draw(2, 9, 4, 5), draw(2, 9) + 1)),
    "SigmoidFocalLoss": Documented({"ignore_label": -1}, (draw(4, 10), BINARY)),
    "SoftArgmax": Documented({"depth": 64, "beta": 30.0, "tops": 2}, (JOINT_HEAT,)),
    "TemporalConsistencyLoss": Documented({}, (SERIES,)),
    "WeightedLossMap": Documented({}, (DISCS,)),
    "WingLoss": Documented({}, (JOINTS, OTHER_JOINTS)),
}


def test_every_type_is_documented_with_a_prototxt() -> None:
    assert sorted(DOCUMENTED) == NEW


@pytest.mark.parametrize("type_name", NEW)
def test_the_prototxt_in_the_docstring_is_that_layer(type_name: str, tmp_path: Path) -> None:
    case = DOCUMENTED[type_name]
    text = prototxt_of(type_name)
    blobs = re.findall(r'bottom: "(\w+)"', text)
    shapes = [" ".join(f"dim: {size}" for size in bottom.shape) for bottom in case.bottoms]
    head = [
        f'layer {{ type: "Input" name: "{b}" top: "{b}" input_param {{ shape {{ {s} }} }} }}'
        for b, s in zip(blobs, shapes, strict=True)
    ]
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join([*head, text]), encoding="utf-8")
    torch.manual_seed(5)
    net = load_net(path)
    bottoms = [bottom.float() for bottom in case.bottoms]
    torch.manual_seed(6)
    tops = net(**dict(zip(blobs, bottoms, strict=True)))
    layer = net.layers[re.findall(r'name: "([\w-]+)"', text)[0]]
    if type_name != "CoordConv":
        layer = make(type_name, **case.arguments)
    torch.manual_seed(6)
    wanted = as_tuple(layer(*bottoms))
    for name, top in zip(re.findall(r'top: "(\w+)"', text), wanted, strict=True):
        torch.testing.assert_close(tops[name], top)
    weight = 0.15 if "loss_weight: 0.15" in text else 1.0
    first = re.findall(r'top: "(\w+)"', text)[0]
    assert net.loss_weights == pytest.approx({first: weight} if find(type_name).is_loss else {})


@pytest.mark.parametrize("type_name", NEW)
def test_the_python_call_in_the_docstring_runs(type_name: str) -> None:
    text = re.search(r"Python: `(.*?)`", inspect.getdoc(find(type_name)) or "")
    assert text is not None
    call = ast.parse(text[1])
    names = [n.id for n in ast.walk(call) if isinstance(n, ast.Name)]
    given = [n for n in dict.fromkeys(re.findall(r"\w+", text[1].split("=", 1)[1])) if n in names]
    unknown = [n for n in given if n[0].islower()]
    values = dict(
        zip(unknown, OTHERWISE.get(type_name, DOCUMENTED[type_name].bottoms), strict=False)
    )
    classes = {n: getattr(caffe_layers, n) for n in given if n not in unknown}
    assert values.keys() == set(unknown)
    exec(text[1], classes | {n: v.float() for n, v in values.items()})


OTHERWISE = {
    "IntegralLoss": (MAPS, PLACE),
    "TemporalConsistencyLoss": (numbers(1)[0], SERIES),
    "WeightedLossMap": (MAPS, DISCS),
}
"""Bottoms of a call that has others than the prototxt."""


def prototxt_of(type_name: str) -> str:
    """The layer in a class's docstring."""
    text = inspect.getdoc(find(type_name)) or ""
    if line := re.search(r"Prototxt: `(.*)`", text):
        return line[1]
    block = re.search(r"Prototxt:\n\n((?:    .*\n)+)", text)
    assert block is not None
    return textwrap.dedent(block[1])


REFUSED = {
    "anchor": ("AnchorLoss", {"anchor": "X"}, (SCORES, LABELS), "anchor wants one of BACKGROUND"),
    "norm": ("IntegralLoss", {"norm": "L3"}, (JOINTS, JOINTS), "norm wants one of L1, L2, got"),
    "convention": ("SoftArgmax", {"convention": "X"}, (MAPS,), "convention wants one of INDEX"),
    "normalize": ("SoftArgmax", {"normalize": "MAX"}, (MAPS,), "normalize wants one of SOFTMAX"),
    "divisor": ("SigmoidFocalLoss", {"normalization": "X"}, (RATE, RATE), "one of POSITIVES"),
    "divergence": ("DSNTLoss", {"regularization": "X"}, (HEAT, PLACE), "wants one of JS, KL"),
    "form": ("TemporalConsistencyLoss", {"form": "TV"}, (SERIES,), "form wants one of T_MSE"),
    "compare": ("WeightedLossMap", {"compare": "LT"}, (MAPS,), "compare wants one of GE, GT"),
    "negative gamma": ("AnchorLoss", {"gamma": -1.0}, (SCORES, LABELS), "gamma must be 0 or more"),
    "margin": ("AnchorLoss", {"margin": 2.0}, (SCORES, LABELS), "margin must be 0 to 1, found 2"),
    "labels": ("AnchorLoss", {}, (SCORES, LABELS[:4]), "wants a label for each of the 5 places"),
    "no class": ("AnchorLoss", {}, (SCORES, LABELS + 1), "label 3 is none of the 3 classes"),
    "pose": ("AnchorPoseLoss", {}, (MAPS, DISCS[:, :3]), "compares as many items"),
    "pose maps": ("AnchorPoseLoss", {}, (SCORES, SCORES), r"wants maps \[N, K, ...\]"),
    "focal": ("SigmoidFocalLoss", {}, (SCORES, LABELS), "as many items of as many values"),
    "focal divisor": ("SigmoidFocalLoss", {}, (SCORES, SCORES, LABELS), "one number to divide by"),
    "ohem neither": ("OHEMLoss", {}, (LABELS,), "wants one of keep"),
    "ohem both": ("OHEMLoss", {"keep": 1, "fraction": 0.5}, (LABELS,), "wants one of keep"),
    "ohem keep": ("OHEMLoss", {"keep": 0}, (LABELS,), "keep must be 1 or more, found 0"),
    "ohem fraction": ("OHEMLoss", {"fraction": 1.5}, (LABELS,), "fraction must be above 0"),
    "ohem shapes": ("OHEMLoss", {"keep": 1}, (LABELS, SCORES), "losses of as many examples"),
    "ohkm": ("OHKMLoss", {}, (MAPS, DISCS), "topk must be 1 to the 4 keypoints, found 8"),
    "ohkm valid": ("OHKMLoss", {"topk": 2}, (MAPS, DISCS, LABELS), r"wants valid as \[N, K\]"),
    "wing": ("WingLoss", {"epsilon": 0.0}, (JOINTS, JOINTS), "must be above 0"),
    "adaptive wing": ("AdaptiveWingLoss", {"theta": 0.0}, (MAPS, DISCS), "must be above 0"),
    "js mask": ("JSDivergenceLoss", {}, (HEAT, HEAT, LABELS), r"wants the mask as \[N, K\]"),
    "dsnt": ("DSNTLoss", {}, (HEAT, JOINTS), r"places \[N, K, axes\]"),
    "dsnt sigma": ("DSNTLoss", {"sigma": 0.0}, (HEAT, PLACE), "sigma must be above 0"),
    "soft-argmax": ("SoftArgmax", {}, (SCORES,), "1 to 3 spatial axes"),
    "soft-argmax depth": ("SoftArgmax", {"depth": 3}, (MAPS,), r"wants \[N, K·3, H, W\]"),
    "integral": ("IntegralLoss", {}, (JOINTS, JOINTS, SCORES), "wants a weight per value"),
    "mpjpe": ("MPJPELoss", {"axes": 2}, (JOINTS, JOINTS), r"wants joints \[N, K, 2\]"),
    "mpjpe root": ("MPJPELoss", {"root": 5}, (JOINTS, JOINTS), "root 5 is none of the 5 joints"),
    "mpjpe mask": ("MPJPELoss", {}, (JOINTS, JOINTS, LABELS), r"wants the mask as \[2, 5\]"),
    "no labels": (
        "TemporalConsistencyLoss",
        {"edge_aware": True},
        (SERIES,),
        "takes labels and, if wanted, cont beside the logits",
    ),
    "one axis": ("TemporalConsistencyLoss", {"axis": 0}, (SERIES,), "both time and classes"),
    "tau": ("TemporalConsistencyLoss", {"tau": 0.0}, (SERIES,), "tau must be above 0"),
    "cont": ("TemporalConsistencyLoss", {}, (SERIES, LABELS), "wants 12 values, one per place"),
    "joint": (
        "JointRegressionClassificationLoss",
        {},
        (RATE, RATE, SERIES, LABELS),
        "wants one label",
    ),
    "boundary": ("AddCoords", {}, (MAPS, MAPS), "takes one bottom, got 2"),
    "boundary size": ("AddCoords", {"with_boundary": True}, (MAPS, PLANES), "wants the boundary"),
    "kernel": ("CoordConv", {"num_output": 2, "kernel_size": 9}, (MAPS,), "leaves nothing"),
    "even size": ("WeightedLossMap", {"size": 2}, (MAPS,), "size must be odd, found 2"),
    "two images": ("AnchorTarget", {}, (MAPS, BOXES, IMAGE), "of one image"),
    "share": ("AnchorTarget", {"positive_weight": 1.0}, (CELLS, BOXES, IMAGE), "positive_weight"),
    "batch": ("BalancedSampling", {"batch_size": 0}, (BINARY,), "batch_size 0 must be 1 or more"),
    "contour": (
        "BoundaryHeatmap",
        {"height": 3, "width": 4, "contours": ((0, 9),)},
        (FACE,),
        "landmarks 0 to 5",
    ),
}


@pytest.mark.parametrize(
    "type_name", ["AnchorLoss", "AnchorPoseLoss", "OHEMSoftmaxLoss", "SigmoidFocalLoss"]
)
def test_a_block_that_would_not_be_read_is_refused(type_name: str, tmp_path: Path) -> None:
    block = find(type_name).param_blocks[0]
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 2 dim: 3 dim: 4 }\n'
        f'layer {{ name: "a" type: "{type_name}" bottom: "x" bottom: "x" top: "a"\n'
        "  loss_param { ignore_label: 1 } }",
        encoding="utf-8",
    )
    with pytest.raises(LayerError, match=f"takes no loss_param: .* in {block}"):
        load_net(path)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    type_name, arguments, bottoms, message = REFUSED[name]
    with pytest.raises(LayerError, match=message):
        make(type_name, **arguments)(*bottoms)
