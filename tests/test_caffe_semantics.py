"""What Caffe's own layers do at the edges: ties, zeros, phases, normalisers, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from caffe_layers.errors import LayerError
from caffe_layers.layer import Layer
from caffe_layers.registry import find


def make(type_name: str, /, **arguments: Any) -> Layer:
    layer = find(type_name)(**arguments)
    layer.name = "this"
    return layer


def gradients(layer: Layer, *values: list[float]) -> list[list[float]]:
    """Gradients of the sum of the only top."""
    bottoms = [torch.tensor(v, requires_grad=True) for v in values]
    layer(*bottoms).sum().backward()
    return [b.grad.tolist() for b in bottoms if b.grad is not None]


def test_relu_has_the_negative_slope_at_zero() -> None:
    assert gradients(make("ReLU", negative_slope=0.25), [-1.0, 0.0, 2.0]) == [[0.25, 0.25, 1]]


class TestEltwise:
    def test_a_tie_of_the_first_two_goes_to_the_second(self) -> None:
        tied = gradients(make("Eltwise", operation="MAX"), [1.0, 3.0], [1.0, 2.0])
        assert tied == [[0, 1], [1, 0]]

    def test_a_tie_with_a_later_one_goes_to_the_earlier(self) -> None:
        tied = gradients(make("Eltwise", operation="MAX"), [1.0, 3.0], [0.0, 2.0], [1.0, 3.0])
        assert tied == [[1, 1], [0, 0], [0, 0]]

    def test_stable_product_has_a_gradient_at_zero(self) -> None:
        assert gradients(make("Eltwise", operation="PROD"), [0.0, 2.0], [3.0, 5.0])[0] == [3, 5]

    def test_unstable_product_is_nan_at_zero(self) -> None:
        layer = make("Eltwise", operation="PROD", stable_prod_grad=False)
        first = gradients(layer, [0.0, 2.0], [3.0, 5.0])[0]
        assert np.isnan(first[0])
        assert first[1] == 5


class TestBatchNorm:
    x = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(1)) * 3 + 7

    def sums(self, layer: Layer) -> list[np.ndarray]:
        return [blob.numpy().copy() for _, blob in layer.blob_tensors()]

    def test_running_sums_are_the_written_recurrence(self) -> None:
        layer = make("BatchNorm", moving_average_fraction=0.9)
        values = self.x.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1)
        layer(self.x)
        layer(self.x * 2)
        mean, variance = values.mean(1), values.var(1, ddof=1)
        wanted = [mean * (0.9 + 2), variance * (0.9 + 4), np.array([1.9])]
        found = self.sums(layer)
        assert all(np.allclose(a, b, rtol=1e-6) for a, b in zip(found, wanted, strict=True))

    def test_without_global_statistics_the_sums_move_in_phase_test(self) -> None:
        layer = make("BatchNorm", use_global_stats=False).eval()
        layer(self.x)
        assert self.sums(layer)[2] == [1]

    @pytest.mark.parametrize("train", [True, False], ids=["asked for", "phase TEST"])
    def test_global_statistics_stand_still(self, train: bool) -> None:
        layer = make("BatchNorm", use_global_stats=True if train else None).train(train)
        layer(self.x)
        assert self.sums(layer)[2] == [0]

    def test_global_statistics_are_divided_by_the_scale_factor(self) -> None:
        layer = make("BatchNorm", use_global_stats=True, eps=0.5)
        layer.set_up(self.x.shape)
        blobs = dict(layer.blob_tensors())
        blobs["mean"].copy_(torch.tensor([4.0, 6.0, 8.0]))
        blobs["variance"].copy_(torch.tensor([2.0, 4.0, 6.0]))
        blobs["scale_factor"].fill_(2)
        mean = torch.tensor([2.0, 3.0, 4.0]).view(3, 1, 1)
        std = (torch.tensor([1.0, 2.0, 3.0]) + 0.5).sqrt().view(3, 1, 1)
        assert torch.allclose(layer(self.x), (self.x - mean) / std, rtol=1e-6)

    def test_before_the_first_step_global_mean_and_variance_are_zero(self) -> None:
        layer = make("BatchNorm", eps=0.25).eval()
        assert torch.allclose(layer(self.x), self.x * 2)

    def test_one_value_per_channel(self) -> None:
        layer = make("BatchNorm")
        x = torch.tensor([[5.0, 6.0, 7.0]], requires_grad=True)
        y = layer(x)
        y.sum().backward()
        assert not y.any()
        assert x.grad is not None
        assert not x.grad.any()
        found = self.sums(layer)
        assert [blob.tolist() for blob in found] == [[5, 6, 7], [0, 0, 0], [1]]

    def test_several_passes_before_one_backward(self) -> None:
        layer = make("BatchNorm")
        weight = torch.tensor(2.0, requires_grad=True)
        (layer(self.x * weight).square().sum() + layer(self.x + weight).sum()).backward()
        assert weight.grad is not None
        assert bool(weight.grad.isfinite())

    def test_statistics_are_no_parameters(self) -> None:
        layer = make("BatchNorm")
        layer.set_up((2, 3))
        assert not list(layer.parameters())
        assert [name for name, _ in layer.blob_tensors()] == ["mean", "variance", "scale_factor"]


class TestSoftmaxWithLoss:
    scores = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(24).reshape(2, 3, 4).remainder(5).float()

    def total(self, ignore: int = -100) -> Tensor:
        target = self.labels.long()
        return functional.cross_entropy(self.scores, target, reduction="sum", ignore_index=ignore)

    @pytest.mark.parametrize(
        ("fields", "divisor"),
        [
            ({"normalization": "FULL"}, 24),
            ({"normalization": "VALID"}, 19),
            ({"normalization": "BATCH_SIZE"}, 2),
            ({"normalization": "NONE"}, 1),
            ({"normalize": True}, 19),
            ({"normalize": False}, 2),
            ({"normalize": False, "normalization": "FULL"}, 24),
        ],
        ids=str,
    )
    def test_normaliser(self, fields: dict[str, Any], divisor: int) -> None:
        loss = make("SoftmaxWithLoss", ignore_label=1, **fields)(self.scores, self.labels)
        assert torch.allclose(loss, self.total(ignore=1) / divisor, rtol=1e-6)

    def test_valid_without_ignored_label_counts_all(self) -> None:
        loss = make("SoftmaxWithLoss")(self.scores, self.labels)
        assert torch.allclose(loss, self.total() / 24, rtol=1e-6)

    def test_everything_ignored_is_zero(self) -> None:
        scores = self.scores.clone().requires_grad_()
        loss = make("SoftmaxWithLoss", ignore_label=2)(scores, torch.full((2, 3, 4), 2.0))
        loss.backward()
        assert loss.item() == 0
        assert scores.grad is not None
        assert not scores.grad.any()

    def test_ignored_label_need_not_be_a_class(self) -> None:
        labels = self.labels.where(self.labels != 1, 255)
        loss = make("SoftmaxWithLoss", ignore_label=255)(self.scores, labels)
        assert torch.allclose(loss, self.total(ignore=1) / 19, rtol=1e-6)

    @pytest.mark.parametrize("lowest", [-1e4, -float("inf")])
    def test_least_probability_bounds_the_loss_not_the_gradient(self, lowest: float) -> None:
        scores = torch.tensor([[lowest, 0.0, 0.0]], requires_grad=True)
        loss = make("SoftmaxWithLoss")(scores, torch.zeros(1))
        loss.backward()
        assert loss.item() == pytest.approx(-np.log(np.finfo(np.float32).tiny))
        assert scores.grad is not None
        assert scores.grad.tolist() == [[-1, 0.5, 0.5]]

    def test_second_top_is_the_probabilities(self) -> None:
        _, probabilities = make("SoftmaxWithLoss", tops=2)(self.scores, self.labels)
        assert torch.allclose(probabilities, self.scores.softmax(1))

    def test_half_precision_is_summed_in_float32(self) -> None:
        loss = make("SoftmaxWithLoss")(self.scores.bfloat16(), self.labels)
        assert loss.dtype == torch.float32
        assert torch.allclose(loss, self.total() / 24, rtol=1e-2)

    @pytest.mark.parametrize("wrong", [5.0, -1.0])
    def test_label_that_is_no_class(self, wrong: float) -> None:
        labels = torch.full((2, 3, 4), wrong)
        with pytest.raises(LayerError, match=f"label {wrong:.0f} is none of the 5 classes 0 to 4"):
            make("SoftmaxWithLoss")(self.scores, labels)


class TestAccuracy:
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.9, 0.0, 0.1]])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0])

    def test_a_tie_counts_against_the_label(self) -> None:
        assert make("Accuracy")(self.scores, self.labels).item() == 0.5

    def test_top_two(self) -> None:
        assert make("Accuracy", top_k=2)(self.scores, self.labels).item() == 0.75

    def test_share_per_class(self) -> None:
        share, per_class = make("Accuracy", tops=2)(self.scores, self.labels)
        assert share.item() == 0.5
        assert per_class.tolist() == [0.5, 0.5, 0]

    def test_ignored_places_do_not_count(self) -> None:
        layer = make("Accuracy", ignore_label=1, tops=2)
        share, per_class = layer(self.scores, self.labels)
        assert share.item() == 0.5
        assert per_class.tolist() == [0.5, 0, 0]

    def test_everything_ignored_is_zero(self) -> None:
        assert make("Accuracy", ignore_label=1)(self.scores, torch.ones(4)).item() == 0

    def test_first_axis_of_classes(self) -> None:
        found = make("Accuracy", axis=0)(self.scores.T.contiguous(), self.labels)
        assert found.item() == 0.5


class TestWithoutArithmetic:
    def test_silence_has_no_top(self) -> None:
        assert make("Silence")(torch.zeros(2), torch.ones(3)) is None
        assert make("Silence").top_shapes((2,), (3,)) == ()

    def test_split_adds_the_gradients(self) -> None:
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        a, b = make("Split")(x)
        (a * b).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [4, 6]

    def test_slice_counts_its_tops_from_the_points(self) -> None:
        tops = make("Slice", slice_point=(1, 4))(torch.zeros(2, 9, 3))
        assert [tuple(top.shape) for top in tops] == [(2, 1, 3), (2, 3, 3), (2, 5, 3)]

    def test_flatten_before_the_axis_puts_one_in(self) -> None:
        assert make("Flatten", axis=2, end_axis=1)(torch.zeros(2, 3, 4)).shape == (2, 3, 1, 4)

    @pytest.mark.parametrize(
        ("fields", "wanted"),
        [
            ({"shape": (0, -1)}, (2, 60)),
            ({"shape": (3, -1), "axis": 1, "num_axes": 1}, (2, 3, 4, 5)),
            ({"shape": (1, 1), "axis": -1}, (2, 12, 5, 1, 1)),
            ({"shape": (1,), "axis": 1, "num_axes": 0}, (2, 1, 12, 5)),
            ({"shape": (), "axis": 1, "num_axes": 0}, (2, 12, 5)),
        ],
        ids=str,
    )
    def test_reshape(self, fields: dict[str, Any], wanted: tuple[int, ...]) -> None:
        assert make("Reshape", **fields)(torch.zeros(2, 12, 5)).shape == wanted

    def test_blobs_are_made_at_the_first_call(self) -> None:
        layer = make("InnerProduct", num_output=4)
        assert layer(torch.ones(2, 3)).shape == (2, 4)
        assert [tuple(blob.shape) for _, blob in layer.blob_tensors()] == [(4, 3), (4,)]


X = (2, 6, 5, 4)
CONV = {"num_output": 4, "kernel_size": 3}
REFUSED: dict[str, tuple[str, dict[str, Any], list[tuple[int, ...]], str]] = {
    "no kernel": ("Convolution", {"num_output": 4}, [X], "kernel_size .* is not set"),
    "kernel both ways": ("Convolution", {**CONV, "kernel_h": 3, "kernel_w": 3}, [X], "both set"),
    "stride 0": ("Convolution", {**CONV, "stride": 0}, [X], "stride .* must be 1 or more"),
    "kernel 0": ("Convolution", {**CONV, "kernel_size": 0}, [X], "must be 1 or more"),
    "two strides of three": (
        "Convolution",
        {**CONV, "stride": (1, 2)},
        [(2, 6, 5, 4, 3)],
        "stride is given 2 times",
    ),
    "group of channels": ("Convolution", {**CONV, "group": 4}, [X], "group 4 must divide the 6"),
    "group of outputs": ("Convolution", {**CONV, "group": 3}, [X], "and num_output 4"),
    "no outputs": ("Convolution", {**CONV, "num_output": 0}, [X], "num_output is 0"),
    "kernel too large": ("Convolution", {**CONV, "dilation": 2}, [X], "leave nothing of bottom"),
    "deconvolution cut away": ("Deconvolution", {**CONV, "pad": 4}, [X], "leave nothing"),
    "no such channel axis": ("Convolution", {**CONV, "axis": 4}, [X], "axis 4 does not exist"),
    "bottoms that differ": ("Convolution", CONV, [X, (2, 6, 5, 3)], "all bottoms must have one"),
    "no inner outputs": ("InnerProduct", {"num_output": 0}, [X], "num_output is 0"),
    "inner axis": ("InnerProduct", {"num_output": 3, "axis": -5}, [X], "axis -5 does not exist"),
    "scale axes": ("Scale", {"axis": 2, "num_axes": 3}, [X], "axis 2 and num_axes 3 do not fit"),
    "scale bottom": ("Scale", {}, [X, (6, 4)], r"second bottom \[6, 4\] must have the sizes"),
    "bias bottom": ("Bias", {"axis": 2}, [X, (5, 4, 3)], "must have the sizes of the first"),
    "batch norm of a number": ("BatchNorm", {}, [()], "got one without axes"),
    "eltwise shapes": ("Eltwise", {}, [X, (2, 6, 4, 5)], "all bottoms must have one shape"),
    "eltwise coeffs": ("Eltwise", {"coeff": (1, 2, 3)}, [X, X], "2 bottoms and 3 coeffs"),
    "eltwise product": (
        "Eltwise",
        {"coeff": (1, 2), "operation": "PROD"},
        [X, X],
        "for SUM only, not for PROD",
    ),
    "eltwise alone": ("Eltwise", {}, [X], "takes 2 or more bottoms, got 1"),
    "concat sizes": ("Concat", {}, [X, (2, 6, 5, 3)], "may differ along axis 1 only"),
    "concat ranks": ("Concat", {}, [X, (2, 6, 5)], "may differ along axis 1 only"),
    "concat names": ("Concat", {"axis": 2, "concat_dim": 3}, [X, X], "axis and concat_dim"),
    "uneven slices": ("Slice", {"tops": 4}, [X], "cannot be cut into 4 equal tops"),
    "slice points": ("Slice", {"slice_point": (1,), "tops": 3}, [X], "wanted 2"),
    "slice order": ("Slice", {"slice_point": (4, 1)}, [X], "must increase between 0 and 6"),
    "slice past the end": ("Slice", {"slice_point": (6,)}, [X], "must increase"),
    "flatten order": ("Flatten", {"axis": 3, "end_axis": 1}, [X], "end_axis 1 lies before axis 3"),
    "reshape twice -1": ("Reshape", {"shape": (-1, -1)}, [X], "at most one -1"),
    "reshape count": ("Reshape", {"shape": (2, 7)}, [X], r"240 values, which do not fit \[2, 7\]"),
    "reshape indivisible": ("Reshape", {"shape": (-1, 7)}, [X], "240 values"),
    "reshape adds": ("Reshape", {"shape": (2, 1), "axis": -1}, [X], "do not fit"),
    "reshape copies nothing": ("Reshape", {"shape": (1, 0), "axis": 3}, [X], "copies axis 4"),
    "reshape axis": ("Reshape", {"shape": (1,), "axis": 5}, [X], "axis 5 with num_axes -1"),
    "reshape axes": ("Reshape", {"shape": (1,), "num_axes": 5}, [X], "num_axes 5 does not fit"),
    "softmax axis": ("Softmax", {"axis": 4}, [X], "axis 4 does not exist"),
    "euclidean items": ("EuclideanLoss", {}, [X, (3, 80)], r"got \[2, 6, 5, 4\] and \[3, 80\]"),
    "softmax labels": ("SoftmaxWithLoss", {}, [X, (2,)], "a label for each of the 40 places"),
    "accuracy labels": ("Accuracy", {}, [X, (2,)], "a label for each of the 40 places"),
    "accuracy top_k": ("Accuracy", {"top_k": 7}, [X, (2, 5, 4)], "top_k 7 must be 1 to 6"),
}


@pytest.mark.parametrize(
    ("type_name", "arguments", "shapes", "message"), REFUSED.values(), ids=list(REFUSED)
)
def test_refusals_name_the_layer(
    type_name: str, arguments: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(LayerError, match=rf"^layer 'this' \({type_name}\): .*{message}"):
        make(type_name, **arguments).set_up(*shapes)
