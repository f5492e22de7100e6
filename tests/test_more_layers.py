"""Activations, normalisation, Crop, SPP and kin: gradients, export, closed forms, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from caffe_layers.errors import LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer, Shape
from caffe_layers.normalization.lrn import sum_by_shifts, sum_by_window
from caffe_layers.registry import find
from converter import load_net

MAP: Shape = (2, 3, 5, 4)


@dataclass(frozen=True)
class Case:
    """A layer with its bottoms: shapes of drawn values, or the values themselves."""

    type: str
    arguments: dict[str, Any] = field(default_factory=dict)
    bottoms: tuple[Shape | list[Any], ...] = (MAP,)
    low: float = 0.2
    """Drawn values have sizes from `low` to 2: away from kinks and poles."""
    signs: bool = True
    phase: str = "TRAIN"


CASES = {
    "AbsVal": Case("AbsVal"),
    "BNLL": Case("BNLL"),
    "Clip": Case("Clip", {"min": -0.9, "max": 1.1}),
    "Crop-one-offset": Case("Crop", {"offset": 1}, (MAP, (7, 6, 3, 2))),
    "Crop-axis-1": Case("Crop", {"axis": 1, "offset": (1, 0, 2)}, (MAP, (7, 1, 4, 2))),
    "Dropout-test": Case("Dropout", {"dropout_ratio": 0.3}, phase="TEST"),
    "Dropout-train": Case("Dropout", {"dropout_ratio": 0.3}),
    "ELU": Case("ELU", {"alpha": 0.7}),
    "Embed": Case("Embed", {"num_output": 4, "input_dim": 3}, ([[2.0, 0, 2, 1, 2]],)),
    "Embed-no-bias": Case(
        "Embed", {"num_output": 4, "input_dim": 3, "bias_term": False}, ([2.0, 0],)
    ),
    "Exp": Case("Exp"),
    "Exp-base": Case("Exp", {"base": 2.5, "scale": 0.5, "shift": 0.3}),
    "Im2col": Case("Im2col", {"kernel_h": 2, "kernel_w": 3, "stride": 2, "pad": 1}),
    "Im2col-1d": Case("Im2col", {"kernel_size": 3, "dilation": 2, "pad": 1}, ((2, 3, 7),)),
    "Im2col-3d": Case("Im2col", {"kernel_size": (2, 1, 3), "stride": 2}, ((2, 1, 4, 3, 5),)),
    "LRN-across": Case("LRN", {"local_size": 3, "alpha": 0.6, "k": 2.0}, ((2, 5, 3, 4),)),
    "LRN-across-beta": Case("LRN", {"alpha": 0.6, "beta": 0.4}, ((2, 4, 3, 1),)),
    "LRN-within": Case("LRN", {"local_size": 3, "norm_region": "WITHIN_CHANNEL"}),
    "Log": Case("Log", signs=False),
    "Log-base": Case("Log", {"base": 3.0, "scale": 2.0, "shift": 0.5}, signs=False),
    "MVN": Case("MVN"),
    "MVN-across": Case("MVN", {"across_channels": True}),
    "MVN-exact": Case("MVN", {"eps": 0.3, "gradient": "exact"}),
    "MVN-mean-only": Case("MVN", {"normalize_variance": False}, ((2, 3, 5),)),
    "PReLU": Case("PReLU", {"filler": Filler("uniform", min=0.1, max=0.4)}),
    "PReLU-rows": Case("PReLU", {"filler": Filler("uniform", min=0.1, max=0.4)}, ((4, 3),)),
    "PReLU-shared": Case("PReLU", {"channel_shared": True}),
    "Parameter": Case("Parameter", {"shape": (3, 2)}, ()),
    "Power": Case("Power", {"power": 1.7, "scale": 2.0, "shift": 0.1}, signs=False),
    "Power-exact": Case("Power", {"power": -3.0, "shift": 4.0, "gradient": "exact"}),
    "Power-linear": Case("Power", {"scale": 2.0, "shift": -1.0}),
    "Power-square": Case("Power", {"power": 2.0, "scale": 2.0, "shift": -1.0}),
    "Reduction-ASUM": Case("Reduction", {"operation": "ASUM", "axis": 2, "coeff": -2.0}),
    "Reduction-MEAN": Case("Reduction", {"operation": "MEAN", "axis": -1, "coeff": 3.0}),
    "Reduction-SUM": Case("Reduction"),
    "Reduction-SUMSQ": Case("Reduction", {"operation": "SUMSQ", "axis": 1}),
    "SPP-AVE": Case("SPP", {"pyramid_height": 2, "pool": "AVE"}, ((2, 3, 7, 5),)),
    "SPP-MAX": Case("SPP", {"pyramid_height": 3}, ((2, 3, 9, 7),)),
    "SPP-STOCHASTIC": Case(
        "SPP",
        {"pyramid_height": 2, "pool": "STOCHASTIC"},
        ((2, 3, 6, 4),),
        signs=False,
        phase="TEST",
    ),
    "Sigmoid": Case("Sigmoid"),
    "Swish": Case("Swish"),
    "Swish-beta": Case("Swish", {"beta": 1.7}),
    "Tile": Case("Tile", {"axis": -2, "tiles": 3}),
    "BatchReindex": Case("BatchReindex", {}, ((4, 2, 3), [3.0, 0, 3, 1, 3])),
    "Filter": Case("Filter", {}, ((5, 2, 3), (5, 4), [1.0, 0, -2, 0, 1])),
}
NO_GRADIENT = {
    "ArgMax": Case("ArgMax", {"top_k": 2}),
    "ArgMax-axis": Case("ArgMax", {"axis": 1, "out_max_val": True}),
    "Power-zero": Case("Power", {"power": 0.0}),
    "Threshold": Case("Threshold", {"threshold": 0.4}),
}


def values(bottom: Shape | list[Any], case: Case, dtype: torch.dtype) -> Tensor:
    """What a case says, drawn where it gives a shape; no two values are equal."""
    if isinstance(bottom, list):
        return torch.tensor(bottom, dtype=dtype)
    count = int(torch.tensor(bottom).prod())
    sizes = torch.linspace(case.low, 2.0, count, dtype=dtype)[torch.randperm(count)]
    signs = torch.randint(2, (count,)) * 2 - 1 if case.signs else 1
    return (sizes * signs).view(bottom)


def build(case: Case, dtype: torch.dtype) -> tuple[Layer, tuple[Tensor, ...]]:
    """The layer, set up, its blobs off zero, and its bottoms."""
    torch.manual_seed(5)
    layer = find(case.type)(**case.arguments)
    bottoms = tuple(values(bottom, case, dtype) for bottom in case.bottoms)
    layer.set_up(*(tuple(bottom.shape) for bottom in bottoms))
    for blob in layer.parameters():
        blob.data += torch.rand_like(blob)
    return layer.to(dtype).train(case.phase == "TRAIN"), bottoms


def takes_gradient(layer: Layer, index: int, bottoms: tuple[Tensor, ...]) -> bool:
    """Whether a bottom is more than indices, a selector or a reference."""
    if layer.layer_type == "Embed":
        return False
    return len(bottoms) == 1 or index < len(bottoms) - 1


@pytest.mark.parametrize("name", CASES)
def test_gradcheck(name: str) -> None:
    layer, bottoms = build(CASES[name], torch.float64)
    names = [n for n, _ in layer.named_parameters()]
    inputs = [b.requires_grad_(takes_gradient(layer, i, bottoms)) for i, b in enumerate(bottoms)]
    blobs = [p.detach().requires_grad_() for p in layer.parameters()]

    def run(*tensors: Tensor) -> Any:
        torch.manual_seed(11)  # the same Dropout mask each time
        given = dict(zip(names, tensors[len(inputs) :], strict=True))
        return functional_call(layer, given, tensors[: len(inputs)])

    assert torch.autograd.gradcheck(run, (*inputs, *blobs), check_undefined_grad=False)


@pytest.mark.parametrize("name", NO_GRADIENT)
def test_tops_without_gradient(name: str) -> None:
    layer, (x,) = build(NO_GRADIENT[name], torch.float64)
    assert not layer(x.requires_grad_()).requires_grad


@pytest.mark.parametrize("name", [*CASES, *NO_GRADIENT])
def test_torch_export(name: str) -> None:
    case = (CASES | NO_GRADIENT)[name]
    layer, bottoms = build(case, torch.float32)
    exported = torch.export.export(layer, bottoms).module()
    torch.manual_seed(2)
    wanted = layer(*bottoms)
    torch.manual_seed(2)
    torch.testing.assert_close(exported(*bottoms), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [*CASES, *NO_GRADIENT])
def test_shapes_on_meta_are_the_tops(name: str) -> None:
    layer, bottoms = build((CASES | NO_GRADIENT)[name], torch.float32)
    tops = layer(*bottoms)
    found = tuple(tuple(t.shape) for t in (tops if isinstance(tops, tuple) else (tops,)))
    wanted = layer.top_shapes(*(tuple(b.shape) for b in bottoms))
    settled = [(5, 2, 3), (5, 4)] if name == "Filter" else list(found)
    assert list(wanted) == settled


REFUSED = {
    "axis": ("Tile", {"tiles": 2, "axis": 4}, (MAP,), "axis 4"),
    "tiles": ("Tile", {"tiles": 0}, (MAP,), "1 or more"),
    "reduction-axis": ("Reduction", {"axis": -5}, (MAP,), "axis -5"),
    "even-LRN": ("LRN", {"local_size": 4}, (MAP,), "odd"),
    "LRN-axes": ("LRN", {}, ((2, 3, 4),), r"\[N, C, H, W\]"),
    "MVN-axes": ("MVN", {}, ((2, 3, 4, 5, 6),), "fewer axes"),
    "PReLU-axes": ("PReLU", {}, ((3,),), r"\[N, C, ...\]"),
    "dropout-1": ("Dropout", {"dropout_ratio": 1.0}, (MAP,), "below 1"),
    "exp-base": ("Exp", {"base": 0.0}, (MAP,), "above 0"),
    "log-base": ("Log", {"base": -2.0}, (MAP,), "above 0"),
    "log-base-1": ("Log", {"base": 1.0}, (MAP,), "no logarithm"),
    "embed-empty": ("Embed", {"num_output": 3, "input_dim": 0}, ((2,),), "1 or more"),
    "argmax-axis": ("ArgMax", {"axis": 4}, (MAP,), "axis 4"),
    "argmax-top-k": ("ArgMax", {"axis": 1, "top_k": 4}, (MAP,), "1 to 3"),
    "argmax-top-k-of-item": ("ArgMax", {"top_k": 61}, (MAP,), "1 to 60"),
    "argmax-none": ("ArgMax", {"top_k": 0}, (MAP,), "1 to 60"),
    "crop-outside": ("Crop", {"offset": (3, 0)}, (MAP, (2, 3, 3, 4)), "does not lie within"),
    "crop-offsets": ("Crop", {"offset": (1, 1, 1)}, (MAP, MAP), "3 times"),
    "crop-axes": ("Crop", {}, (MAP, (2, 3, 4)), "fewer axes"),
    "crop-axis": ("Crop", {"axis": 4}, (MAP, MAP), "axis 4"),
    "filter-items": ("Filter", {}, ((5, 2), (4, 3), (5,)), "one number of items"),
    "filter-selector": ("Filter", {}, ((5, 2), (5, 2)), "one selector value per item"),
    "filter-tops": ("Filter", {"tops": 2}, ((5, 2), (5,)), "wanted 1"),
    "reindex-axes": ("BatchReindex", {}, ((5, 2), (3, 1)), r"\[M\]"),
    "im2col-kernel": ("Im2col", {"kernel_size": 7}, (MAP,), "leave nothing"),
    "im2col-no-kernel": ("Im2col", {}, (MAP,), "kernel_size"),
    "im2col-flat": ("Im2col", {"kernel_size": 2}, ((2, 3),), "spatial axis"),
    "im2col-stride": ("Im2col", {"kernel_size": 2, "stride": 0}, (MAP,), "1 or more"),
    "spp-levels": ("SPP", {"pyramid_height": 0}, (MAP,), "1 or more"),
    "spp-small": ("SPP", {"pyramid_height": 3}, ((2, 3, 5, 3),), "too small for level 2"),
    "spp-axes": ("SPP", {"pyramid_height": 1}, ((2, 3, 5),), r"\[N, C, H, W\]"),
    "spp-drawn": ("SPP", {"pyramid_height": 2, "pool": "STOCHASTIC"}, (MAP,), "must divide"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    type_name, arguments, shapes, message = REFUSED[name]
    layer = find(type_name)(**arguments)
    layer.name = "l1"
    with pytest.raises(LayerError, match=rf"(?s)'l1' \({type_name}\).*{message}"):
        layer.set_up(*shapes)


@pytest.mark.parametrize("index", [[4.0, 0], [-1.0, 0]], ids=["above", "below"])
@pytest.mark.parametrize("type_name", ["Embed", "BatchReindex"])
def test_index_out_of_range_is_refused(type_name: str, index: list[float]) -> None:
    layer = find(type_name)(**({"num_output": 2, "input_dim": 4} if type_name == "Embed" else {}))
    bottoms = (
        (torch.tensor(index),) if type_name == "Embed" else (torch.ones(4, 3), torch.tensor(index))
    )
    with pytest.raises(LayerError, match="outside 0 to 3"):
        layer(*bottoms)


AT_KINKS: dict[str, tuple[Layer, list[float], list[float], list[float]]] = {
    # layer, x, y, dy/dx
    "AbsVal": (find("AbsVal")(), [-1, 0, 2], [1, 0, 2], [-1, 0, 1]),
    "BNLL": (find("BNLL")(), [-90, 60, 0], [0, 60, 0.6931472], [0, 1, 0.5]),
    "Clip": (find("Clip")(min=0, max=2), [-1, 0, 1, 2, 3], [0, 0, 1, 2, 2], [0, 1, 1, 1, 0]),
    "Clip-crossed": (find("Clip")(min=3, max=1), [0, 2, 5], [3, 3, 3], [0, 0, 0]),
    "ELU": (find("ELU")(alpha=0.7), [0, 2], [0, 2], [0.7, 1]),
    "PReLU": (find("PReLU")(), [-2, 0, 4], [-0.5, 0, 4], [0.25, 0.25, 1]),
    "Power-cube": (find("Power")(power=3.0), [2, 0], [8, 0], [12, float("nan")]),
    "Power-cube-exact": (find("Power")(power=3.0, gradient="exact"), [2, 0], [8, 0], [12, 0]),
    "Reduction": (find("Reduction")(operation="ASUM", axis=1), [-2, 0, 3], [5], [-1, 0, 1]),
}


@pytest.mark.parametrize("name", AT_KINKS)
def test_kinks_and_poles(name: str) -> None:
    layer, x, y, slope = AT_KINKS[name]
    bottom = torch.tensor([x], dtype=torch.float32, requires_grad=True)
    top = layer(bottom)
    top.sum().backward()
    assert bottom.grad is not None
    torch.testing.assert_close(top.flatten(), torch.tensor(y, dtype=torch.float32))
    torch.testing.assert_close(
        bottom.grad[0], torch.tensor(slope, dtype=torch.float32), equal_nan=True
    )


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [({"power": 0.0}, 1.0), ({"scale": 0.0, "shift": 3.0, "power": 2.0}, 9.0)],
    ids=["power-0", "scale-0"],
)
def test_constant_power(arguments: dict[str, float], wanted: float) -> None:
    x = torch.tensor([0.0, -1.5, 2.0])
    assert torch.equal(find("Power")(**arguments)(x), torch.full_like(x, wanted))


def test_legacy_mvn_gradient_leaves_eps_out_of_one_term() -> None:
    layer, (x,) = build(Case("MVN", {"eps": 0.3}), torch.float64)
    g = torch.rand_like(x)
    layer(x.requires_grad_()).backward(g)
    rows = x.detach().flatten(2)
    sigma = rows.std(2, correction=0, keepdim=True)
    y = (rows - rows.mean(2, keepdim=True)) / (sigma + 0.3)
    h = g.flatten(2)
    wanted = (h - h.mean(2, keepdim=True) - y * (h * y).mean(2, keepdim=True)) / (sigma + 0.3)
    torch.testing.assert_close(x.grad, wanted.view_as(x))


@pytest.mark.parametrize("gradient", ["legacy", "exact"])
def test_mvn_of_a_flat_map(gradient: str) -> None:
    x = torch.full((1, 2, 3, 4), 7.0, requires_grad=True)
    y = find("MVN")(gradient=gradient, eps=0.5)(x)
    (y * torch.arange(24.0).view(1, 2, 3, 4)).sum().backward()
    wanted = (torch.arange(12.0) - 5.5) / 0.5
    assert torch.equal(y, torch.zeros_like(y))
    torch.testing.assert_close(x.grad, wanted.repeat(2).view(1, 2, 3, 4))


def test_dropout_keeps_the_mean_and_its_mask_is_the_gradient() -> None:
    torch.manual_seed(1)
    layer = find("Dropout")(dropout_ratio=0.2)
    x = torch.ones(300, 400, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert set(y.unique().tolist()) == {0.0, 1.25}
    assert float((y == 0).float().mean()) == pytest.approx(0.2, abs=0.005)
    assert torch.equal(x.grad, y)
    torch.manual_seed(1)
    assert torch.equal(layer(x), y)
    assert torch.equal(layer.eval()(x), x)


def test_embed_counts_what_was_looked_up() -> None:
    layer = find("Embed")(num_output=2, input_dim=4, weight_filler=Filler("uniform"))
    y = layer(torch.tensor([[3.0, 1, 3]]))
    y.sum().backward()
    weight, bias = layer.weight.grad, layer.bias.grad
    assert torch.equal(y[0, 0], layer.weight[3])
    assert weight.tolist() == [[0, 0], [1, 1], [0, 0], [2, 2]]
    assert bias.tolist() == [3, 3]


def test_filter_that_lets_nothing_through() -> None:
    x = torch.ones(3, 2, requires_grad=True)
    y = find("Filter")()(x, torch.zeros(3, 1))
    y.sum().backward()
    assert y.shape == (0, 2)
    assert torch.equal(x.grad, torch.zeros(3, 2))


def test_blobs_are_shaped_as_caffes() -> None:
    shared, each = find("PReLU")(channel_shared=True), find("PReLU")()
    shared.set_up(MAP)
    each.set_up(MAP)
    assert [tuple(b.shape) for _, b in shared.blob_tensors()] == [()]
    assert [tuple(b.shape) for _, b in each.blob_tensors()] == [(3,)]
    assert shared.slope.item() == 0.25


TRAINED = """
layer { name: "p" type: "Parameter" top: "p" param { lr_mult: 3 }
        parameter_param { shape { dim: 2 dim: 3 } } }
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "e" type: "EuclideanLoss" bottom: "p" bottom: "x" top: "e" }
"""


def write(folder: Any, text: str) -> Any:
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def test_parameter_in_a_net_is_learned(tmp_path: Any) -> None:
    net = load_net(write(tmp_path, TRAINED), phase="TRAIN")
    x = torch.arange(6.0).view(2, 3)
    net.loss(net(x=x)).backward()
    (blob,) = net.learnable()
    assert (blob.layer, blob.lr_mult, tuple(blob.tensor.shape)) == ("p", 3, (2, 3))
    assert torch.equal(blob.tensor.grad, -x / 2)


FILTERED = """
layer { name: "x" type: "Input" top: "x" top: "s"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 } } }
layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" }
layer { name: "r" type: "Reduction" bottom: "y" top: "r" reduction_param { axis: 1 } }
"""


def test_filter_in_a_net(tmp_path: Any) -> None:
    net = load_net(write(tmp_path, FILTERED))
    outputs = net(x=torch.arange(12.0).view(4, 3), s=torch.tensor([[0.0], [1], [0], [1]]))
    assert net.blob_shapes["r"] == (4,)
    assert outputs["r"].tolist() == [12, 30]


def lrn_like_torch(layer: Layer) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.nn.functional.local_response_norm(
        x, layer.local_size, layer.alpha, layer.beta, layer.k
    )


@pytest.mark.parametrize("beta", [0.75, 0.5, 1.3])
@pytest.mark.parametrize("local_size", [1, 3, 5, 13])
def test_lrn_is_torchs(local_size: int, beta: float) -> None:
    torch.manual_seed(0)
    layer = find("LRN")(local_size=local_size, alpha=0.3, beta=beta, k=1.5)
    x, g = torch.randn(2, 7, 4, 3, dtype=torch.float64), torch.randn(2, 7, 4, 3).double()
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = layer(mine), lrn_like_torch(layer)(theirs)
    y.backward(g)
    wanted.backward(g)
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("reach", [0, 1, 3, 6])
def test_lrn_sums_are_one_on_cpu_and_gpu(reach: int) -> None:
    values = torch.rand(2, 5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(sum_by_window(values, reach), sum_by_shifts(values, reach))
