"""Caffe's own layers in float64: gradients against finite differences, and torch.export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, as_tuple
from caffe_layers.registry import find

WIDE = Filler("gaussian", std=0.7)
X = (2, 4, 6, 5)


@dataclass(frozen=True)
class Case:
    """A layer, the shapes of its bottoms and how many of them take a gradient."""

    type: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = (X,)
    differentiable: int | None = None
    train: bool = True
    classes: int | None = None

    def layer(self) -> Layer:
        torch.manual_seed(5)
        layer = find(self.type)(**self.arguments).train(self.train)
        layer.set_up(*self.shapes)
        return layer.double()

    def bottoms(self) -> tuple[Tensor, ...]:
        """Values at least 1/200 apart and away from 0, in no order; labels are class numbers."""
        made = [_distinct(shape, seed) for seed, shape in enumerate(self.shapes)]
        if self.classes is not None:
            labels = torch.arange(made[1].numel()) % self.classes
            made[1] = labels.reshape(self.shapes[1]).double()
        return tuple(made)


def _distinct(shape: tuple[int, ...], seed: int) -> Tensor:
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return ((order.double() - count / 2) / 100 + 0.005 + seed * 0.0013).reshape(shape)


CONV = {"num_output": 6, "weight_filler": WIDE, "bias_filler": WIDE}
CASES = {
    "conv": Case("Convolution", {**CONV, "kernel_h": 3, "kernel_w": 2, "pad_h": 2, "group": 2}),
    "conv pad beyond kernel": Case("Convolution", {**CONV, "kernel_size": 2, "pad": 3}),
    "conv 1-d": Case("Convolution", {**CONV, "kernel_size": 3, "stride": 2}, ((2, 4, 7),)),
    "conv 3-d axis 2": Case(
        "Convolution",
        {**CONV, "axis": 2, "kernel_size": 2, "dilation": (1, 2, 1), "bias_term": False},
        ((2, 3, 4, 3, 5, 2),),
    ),
    "conv 4-d": Case(
        "Convolution",
        {**CONV, "kernel_size": (3, 1, 2, 2), "stride": (2, 1, 1, 2), "pad": (1, 0, 1, 0)}
        | {"dilation": (2, 1, 1, 1), "group": 2},
        ((2, 4, 7, 1, 3, 2),),
    ),
    "conv 0-d": Case("Convolution", {**CONV, "group": 2}, ((3, 4),)),
    "conv axis 0": Case("Convolution", {**CONV, "axis": 0, "kernel_size": 2}, ((4, 6, 5),)),
    "conv two bottoms": Case("Convolution", {**CONV, "kernel_size": 2}, ((1, 4, 3, 2),) * 2),
    "deconv": Case("Deconvolution", {**CONV, "kernel_size": 3, "stride": 2, "group": 2}),
    "deconv 1-d": Case("Deconvolution", {**CONV, "kernel_size": 3, "pad": 1}, ((2, 4, 7),)),
    "deconv 3-d": Case(
        "Deconvolution", {**CONV, "kernel_size": 2, "dilation": 2}, ((1, 2, 4, 3, 2),)
    ),
    "deconv 4-d": Case(
        "Deconvolution",
        {**CONV, "kernel_size": (3, 1, 2, 2), "stride": (2, 1, 1, 2), "pad": (1, 0, 1, 0)}
        | {"dilation": (2, 1, 1, 1), "group": 2},
        ((2, 4, 3, 1, 3, 2),),
    ),
    "deconv 0-d": Case("Deconvolution", {**CONV, "group": 2}, ((3, 4),)),
    "pool max": Case("Pooling", {"kernel_size": 3, "stride": 2, "pad": 1}),
    "pool max wide pad": Case("Pooling", {"kernel_size": 3, "stride": 2, "pad": 2}),
    "pool max mask": Case("Pooling", {"kernel_size": 2, "stride": 3, "tops": 2}),
    "pool ave": Case("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 2, "pad": 1}),
    "pool ave wide pad": Case("Pooling", {"pool": "AVE", "kernel_size": 3, "pad": 2}),
    "pool global": Case("Pooling", {"pool": "AVE", "global_pooling": True}),
    "pool stochastic": Case(
        "Pooling", {"pool": "STOCHASTIC", "kernel_size": 3, "stride": 2}, train=False
    ),
    "inner product": Case("InnerProduct", CONV),
    "inner product transposed": Case("InnerProduct", {**CONV, "axis": -1, "transpose": True}),
    "batch norm": Case("BatchNorm"),
    "batch norm vector": Case("BatchNorm", {}, ((7,),)),
    "batch norm global": Case("BatchNorm", {"use_global_stats": True}),
    "scale": Case("Scale", {"filler": WIDE, "bias_term": True, "bias_filler": WIDE}),
    "scale without bias": Case("Scale", {"filler": WIDE}),
    "scale two axes": Case("Scale", {"filler": WIDE, "bias_term": True, "num_axes": 2}),
    "scale number": Case("Scale", {"filler": WIDE, "bias_term": True, "num_axes": 0}),
    "scale two bottoms": Case("Scale", {"axis": 0, "bias_term": True}, (X, (2, 4))),
    "scale channel bottom": Case("Scale", {}, (X, (4,))),
    "bias": Case("Bias", {"num_axes": -1}),
    "bias two bottoms": Case("Bias", {"axis": -2}, (X, (6, 5))),
    "relu": Case("ReLU"),
    "relu leaky": Case("ReLU", {"negative_slope": 0.3}),
    "tanh": Case("TanH"),
    "eltwise sum": Case("Eltwise", {}, (X, X, X)),
    "eltwise coeff": Case("Eltwise", {"coeff": (1, -2)}, (X, X)),
    "eltwise prod": Case("Eltwise", {"operation": "PROD"}, (X, X, X)),
    "eltwise prod unstable": Case(
        "Eltwise", {"operation": "PROD", "stable_prod_grad": False}, (X, X, X)
    ),
    "eltwise max": Case("Eltwise", {"operation": "MAX"}, (X, X, X)),
    "concat": Case("Concat", {"axis": -2}, (X, (2, 4, 3, 5))),
    "concat old name": Case("Concat", {"concat_dim": 3}, (X, (2, 4, 6, 1))),
    "slice": Case("Slice", {"slice_point": (1, 3)}),
    "slice old name": Case("Slice", {"slice_dim": 2, "tops": 3}),
    "split": Case("Split", {"tops": 3}),
    "flatten": Case("Flatten", {"axis": -3, "end_axis": 2}),
    "reshape": Case("Reshape", {"shape": (0, 3, -1), "axis": -4, "num_axes": 2}, ((2, 12, 5),)),
    "softmax": Case("Softmax", {"axis": -2}),
    "euclidean": Case("EuclideanLoss", {}, (X, (2, 120))),
    "softmax loss": Case("SoftmaxWithLoss", {}, ((6, 5), (6,)), 1, classes=5),
    "softmax loss ignoring": Case(
        "SoftmaxWithLoss", {"axis": 2, "ignore_label": 3, "tops": 2}, (X, (2, 4, 5)), 1, classes=6
    ),
    "softmax loss full": Case(
        "SoftmaxWithLoss", {"normalization": "FULL"}, (X, (2, 1, 6, 5)), 1, classes=4
    ),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_gradients_are_the_derivatives(case: Case) -> None:
    layer, bottoms = case.layer(), case.bottoms()
    count = len(bottoms) if case.differentiable is None else case.differentiable
    fixed = bottoms[count:]
    names = [name for name, _ in layer.named_parameters()]

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        blobs = dict(zip(names, values[count:], strict=True))
        tops = torch.func.functional_call(layer, blobs, (*values[:count], *fixed))
        return tuple(top for top in as_tuple(tops) if top.requires_grad)

    values = (*bottoms[:count], *(p.detach() for p in layer.parameters()))
    assert torch.autograd.gradcheck(run, tuple(v.clone().requires_grad_() for v in values))


def test_export_computes_the_same(case: Case) -> None:
    layer, bottoms = case.layer(), case.bottoms()
    wanted = as_tuple(layer(*bottoms))
    exported = torch.export.export(case.layer(), bottoms).module()
    found = as_tuple(exported(*bottoms))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_double_stays_double(case: Case) -> None:
    tops = as_tuple(case.layer()(*case.bottoms()))
    assert {top.dtype for top in tops} == {torch.float64}


def test_shapes_on_meta(case: Case) -> None:
    layer = case.layer().float()
    tops = as_tuple(layer(*(bottom.float() for bottom in case.bottoms())))
    wanted = tuple(tuple(top.shape) for top in tops)
    assert layer.top_shapes(*case.shapes) == wanted
