"""Caffe's own layers, built from Python, against what genuine Caffe computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, as_tuple
from caffe_layers.registry import find

FORWARD, BACKWARD = 1e-5, 1e-4
"""Relative to the blob's largest value: what float32 justifies (forward, gradients)."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "accuracy": ("Accuracy", {}),
    "accuracy_top2_ignore": ("Accuracy", {"top_k": 2, "ignore_label": 1}),
    "batch_norm_test": ("BatchNorm", {"use_global_stats": True, "eps": 0.001}),
    "batch_norm_train": ("BatchNorm", {}),
    "bias_channel": ("Bias", {"filler": Filler("gaussian", std=1)}),
    "bias_two_bottoms": ("Bias", {"axis": 0}),
    "concat": ("Concat", {}),
    "concat_axis": ("Concat", {"axis": -1}),
    "conv": ("Convolution", {"num_output": 6, "kernel_size": (3,)}),
    "conv_3d": (
        "Convolution",
        {"num_output": 3, "kernel_size": (3,), "pad": (1,), "stride": (1, 2, 1)},
    ),
    "conv_group_dil": (
        "Convolution",
        {"num_output": 8, "group": 2, "kernel_size": (3,), "dilation": (2,), "pad": (2,)},
    ),
    "conv_stride_pad": (
        "Convolution",
        {"num_output": 6, "kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "pad_h": 1},
    ),
    "deconv": (
        "Deconvolution",
        {"num_output": 6, "kernel_size": (4,), "stride": (2,), "pad": (1,)},
    ),
    "deconv_group_bilinear": (
        "Deconvolution",
        {
            "num_output": 4,
            "group": 4,
            "kernel_size": (4,),
            "stride": (2,),
            "pad": (1,),
            "bias_term": False,
            "weight_filler": Filler("bilinear"),
        },
    ),
    "eltwise_max": ("Eltwise", {"operation": "MAX"}),
    "eltwise_prod": ("Eltwise", {"operation": "PROD"}),
    "eltwise_sum_coeff": ("Eltwise", {"operation": "SUM", "coeff": (0.5, -2, 1.5)}),
    "euclidean_loss": ("EuclideanLoss", {}),
    "flatten": ("Flatten", {}),
    "flatten_axis": ("Flatten", {"axis": 2, "end_axis": -1}),
    "inner_product": ("InnerProduct", {"num_output": 7}),
    "inner_product_axis2_T": ("InnerProduct", {"num_output": 4, "axis": 2, "transpose": True}),
    "pool_ave": ("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 2}),
    "pool_ave_pad": ("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 2, "pad": 1}),
    "pool_global_ave": ("Pooling", {"pool": "AVE", "global_pooling": True}),
    "pool_max": ("Pooling", {"kernel_size": 3, "stride": 2}),
    "pool_max_mask": ("Pooling", {"kernel_size": 2, "stride": 2, "tops": 2}),
    "pool_max_pad": ("Pooling", {"kernel_size": 3, "stride": 2, "pad": 1}),
    "relu": ("ReLU", {}),
    "relu_leaky": ("ReLU", {"negative_slope": 0.13}),
    "reshape": ("Reshape", {"shape": (0, 2, -1, 3)}),
    "reshape_axis": ("Reshape", {"shape": (4, -1), "axis": 1, "num_axes": 1}),
    "scale_axis0_two_axes": ("Scale", {"axis": 0, "num_axes": 2}),
    "scale_channel": ("Scale", {"bias_term": True}),
    "scale_two_bottoms": ("Scale", {"axis": 1}),
    "slice_even": ("Slice", {"tops": 3}),
    "slice_points": ("Slice", {"axis": 1, "slice_point": (1, 4)}),
    "softmax": ("Softmax", {}),
    "softmax_loss": ("SoftmaxWithLoss", {}),
    "softmax_loss_norm_batch": ("SoftmaxWithLoss", {"normalization": "BATCH_SIZE"}),
    "softmax_loss_norm_none": ("SoftmaxWithLoss", {"ignore_label": 1, "normalization": "NONE"}),
    "softmax_loss_spatial_ignore": ("SoftmaxWithLoss", {"ignore_label": 2}),
    "split": ("Split", {"tops": 2}),
    "tanh": ("TanH", {}),
}
LOSS_WEIGHTS = {"euclidean_loss": 0.3, "softmax_loss_norm_none": 0.01}
EXACT = ("accuracy", "flatten", "reshape", "slice", "split", "concat", "pool_max")


@dataclass
class Golden:
    """The numbers of one case, by kind."""

    numbers: dict[str, NDArray[np.float32]]

    def part(self, kind: str) -> dict[str, NDArray[np.float32]]:
        head = f"{kind}:"
        return {k.removeprefix(head): v for k, v in self.numbers.items() if k.startswith(head)}


@dataclass
class Run:
    """One case, forward and backward."""

    name: str
    golden: Golden
    layer: Layer
    bottoms: dict[str, Tensor]
    tops: dict[str, Tensor]

    def backward(self) -> None:
        diffs = self.golden.part("topdiff")
        if diffs:
            torch.autograd.backward(
                [self.tops[name] for name in diffs], [torch.from_numpy(d) for d in diffs.values()]
            )
        elif self.layer.is_loss:
            (next(iter(self.tops.values())) * LOSS_WEIGHTS.get(self.name, 1)).backward()

    def blob(self, key: str) -> Tensor:
        return self.layer.blob_tensors()[int(key.rsplit(":", 1)[1])][1]


@pytest.fixture(params=CASES)
def run(request: pytest.FixtureRequest, golden: Path) -> Run:
    name = request.param
    with np.load(golden / "layers" / f"{name}.npz") as file:
        numbers = Golden({key: file[key] for key in file.files})
    type_name, arguments = CASES[name]
    layer = find(type_name)(**arguments)
    layer.train(not name.endswith("_test") and not name.startswith("accuracy"))
    differentiable = numbers.part("indiff")
    bottoms = {
        key: torch.from_numpy(value).requires_grad_(key in differentiable)
        for key, value in numbers.part("in").items()
    }
    layer.set_up(*(tuple(b.shape) for b in bottoms.values()))
    for key, value in numbers.part("param").items():
        blob = layer.blob_tensors()[int(key.rsplit(":", 1)[1])][1]
        assert tuple(blob.shape) == value.shape
        blob.data.copy_(torch.from_numpy(value))
    outputs = [
        as_tuple(layer(*bottoms.values())) for _ in range(3 if name == "batch_norm_train" else 1)
    ][-1]
    names = [key for key in numbers.part("out") if key not in bottoms]
    tops = dict(zip(names, outputs, strict=True))
    return Run(name, numbers, layer, bottoms, tops)


def off(found: Tensor | None, wanted: NDArray[np.float32]) -> float:
    """Largest difference, relative to the largest wanted value. No gradient counts as 0."""
    value = np.zeros_like(wanted) if found is None else found.detach().numpy()
    assert value.shape == wanted.shape
    return float(np.abs(value - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def test_tops_are_caffes(run: Run) -> None:
    tolerance = 0 if run.name.startswith(EXACT) else FORWARD
    wanted = run.golden.part("out")
    errors = {name: off(top, wanted[name]) for name, top in run.tops.items()}
    assert max(errors.values()) <= tolerance, errors


def test_gradients_are_caffes(run: Run) -> None:
    run.backward()
    into = {k: off(run.bottoms[k].grad, v) for k, v in run.golden.part("indiff").items()}
    blobs = {k: off(run.blob(k).grad, v) for k, v in run.golden.part("paramdiff").items()}
    assert max([0.0, *into.values(), *blobs.values()]) <= BACKWARD, (into, blobs)


def test_blobs_afterwards_are_caffes(run: Run) -> None:
    errors = {k: off(run.blob(k), v) for k, v in run.golden.part("after").items()}
    assert max([0.0, *errors.values()]) <= FORWARD, errors


def test_meta_shapes_are_the_tops_shapes(run: Run) -> None:
    shapes = run.layer.top_shapes(*(tuple(b.shape) for b in run.bottoms.values()))
    assert shapes == tuple(tuple(top.shape) for top in run.tops.values())
