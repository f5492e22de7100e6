"""Convolution and Deconvolution over any number of spatial axes, as Caffe's N-d path has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_layer_formulas import Filter, Floats, columns

from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer
from caffe_layers.registry import find

FEW = settings(max_examples=60, deadline=None)
WIDE = Filler("gaussian", std=0.7)


def make(type_name: str, shape: tuple[int, ...], **fields: Any) -> Layer:
    torch.manual_seed(2)
    layer = find(type_name)(weight_filler=WIDE, bias_filler=WIDE, **fields)
    layer.set_up(shape)
    return layer.double()


def fields_of(plan: Filter) -> dict[str, tuple[int, ...]]:
    """The layer's fields for these windows."""
    named = {**vars(plan), "kernel_size": plan.kernel}
    return {name: tuple(sizes) for name, sizes in named.items() if name != "kernel"}


def correlated(x: Floats, weight: Floats, plan: Filter, group: int) -> Floats:
    """Σ over channels and kernel cells of the group, from windows laid out cell by cell."""
    axes = len(plan.kernel)
    windows = columns(x, plan).reshape(len(x), group, -1, *columns(x, plan).shape[2 + axes :])
    filters = weight.reshape(group, len(weight) // group, -1)
    made = np.einsum("ngk...,gok->ngo...", windows, filters)
    return made.reshape(len(x), len(weight), *made.shape[3:])


@st.composite
def filters(draw: st.DrawFn) -> tuple[Filter, tuple[int, ...], int]:
    """Windows, a bottom [N, C, ...] they fit, and a number of groups."""
    axes = draw(st.integers(0, 5))
    kernel, stride, dilation = ([draw(st.integers(1, 2)) for _ in range(axes)] for _ in range(3))
    pad = [draw(st.integers(0, 1)) for _ in range(axes)]
    sizes = [draw(st.integers(1, 4)) for _ in range(axes)]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(n + 2 * p >= span for n, p, span in zip(sizes, pad, spans, strict=True)))
    group = draw(st.integers(1, 2))
    return Filter(kernel, stride, dilation, pad), (3, 2 * group, *sizes), group


@FEW
@given(filters())
def test_convolution(drawn: tuple[Filter, tuple[int, ...], int]) -> None:
    plan, shape, group = drawn
    layer: Any = make("Convolution", shape, num_output=2 * group, group=group, **fields_of(plan))
    x = np.random.default_rng(0).normal(size=shape)
    bias = layer.bias.detach().numpy().reshape(-1, *(1,) * len(plan.kernel))
    wanted = correlated(x, layer.weight.detach().numpy(), plan, group) + bias
    found = layer(torch.from_numpy(x)).detach().numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@FEW
@given(filters())
def test_deconvolution_is_the_transpose(drawn: tuple[Filter, tuple[int, ...], int]) -> None:
    """<deconvolve(x), z> = <x, convolve(z)> for every z shaped as the top."""
    plan, shape, group = drawn
    assume(all(k > 1 or not p for k, p in zip(plan.kernel, plan.pad, strict=True)))
    sizes = zip(shape[2:], plan.kernel, plan.stride, plan.dilation, plan.pad, strict=True)
    assume(all(s * (n - 1) + d * (k - 1) + 1 > 2 * p for n, k, s, d, p in sizes))
    layer: Any = make(
        "Deconvolution",
        shape,
        num_output=3 * group,
        group=group,
        bias_term=False,
        **fields_of(plan),
    )
    x = np.random.default_rng(0).normal(size=shape)
    y = layer(torch.from_numpy(x)).detach().numpy()
    z = np.random.default_rng(1).normal(size=y.shape)
    back = correlated(z, layer.weight.detach().numpy(), plan, group)
    assert back.shape == x.shape
    np.testing.assert_allclose((y * z).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("type_name", ["Convolution", "Deconvolution"])
def test_axes_of_size_1_change_nothing(type_name: str) -> None:
    fields = {"num_output": 6, "stride": 2, "pad": 1, "group": 2}
    three = make(type_name, (2, 4, 7, 5, 6), kernel_size=3, **fields)
    fields |= {"stride": (2, 1, 2, 2), "pad": (1, 0, 1, 1)}
    four: Any = make(type_name, (2, 4, 7, 1, 5, 6), kernel_size=(3, 1, 3, 3), **fields)
    four.load_state_dict(
        {k: v.reshape(getattr(four, k).shape) for k, v in three.state_dict().items()}
    )
    x = torch.randn(2, 4, 7, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(four(x.unsqueeze(3)), three(x).unsqueeze(3))
