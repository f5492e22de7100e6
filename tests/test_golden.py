"""Every golden case of the layers there are, through load_net, forward and backward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_case import BACKWARD, FORWARD, GoldenCase, check

HERE = Path(__file__).parent / "golden"
CASES = sorted(path for area in ("layers", "integral") for path in HERE.glob(f"{area}/*.prototxt"))
ZERO_BY_ALGEBRA = {("net_inplace_chain", "c1:1")}
"""A bias right before BatchNorm moves nothing, so its gradient is 0: Caffe's and ours hold only
rounding, and are held against that (see test_a_bias_before_batch_norm_has_no_gradient)."""
NO_GRADIENT = {("infogain", "x")}
"""Without force_backward Caffe's Scale leaves a product there, on its way to the scale's gradient
(see test_what_scale_leaves_in_a_blob_without_gradient)."""


def case_id(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("prototxt", CASES, ids=case_id)
def test_case(prototxt: Path) -> None:
    case = GoldenCase(prototxt)
    for name, wanted in case.tops().items():
        check(f"blob {name}", case.blobs[name], wanted, FORWARD)
    for key, wanted in case.part("after").items():
        check(f"blob {key} afterwards", case.blob(key), wanted, FORWARD)
    diffs, paramdiffs = case.part("indiff"), case.part("paramdiff")
    if diffs or paramdiffs:
        case.backward()
    for name, wanted in diffs.items():
        if (prototxt.stem, name) not in NO_GRADIENT:
            check(f"gradient of {name}", case.inputs[name].grad, wanted, BACKWARD)
    for key, wanted in paramdiffs.items():
        if (prototxt.stem, key) not in ZERO_BY_ALGEBRA:
            check(f"gradient of {key}", case.blob(key).grad, wanted, BACKWARD)


def test_a_bias_before_batch_norm_has_no_gradient() -> None:
    case = GoldenCase(HERE / "layers" / "net_inplace_chain.prototxt")
    case.backward()
    weight, bias = case.blob("c1:0").grad, case.blob("c1:1").grad
    assert weight is not None
    assert bias is not None
    rounding = 1e-6 * float(weight.abs().max())
    assert float(bias.abs().max()) < rounding
    assert float(torch.from_numpy(case.part("paramdiff")["c1:1"]).abs().max()) < rounding


def test_what_scale_leaves_in_a_blob_without_gradient() -> None:
    case = GoldenCase(HERE / "layers" / "infogain.prototxt")
    case.backward()
    x, scale = case.inputs["x"], case.blob("pre:0").detach()
    assert x.grad is not None
    left = x.grad / scale * x
    check("the product of x and the gradient of xs", left, case.part("indiff")["x"], BACKWARD)
