"""Every golden case once more, through the `import caffe` drop-in: forward and backward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden_case import BACKWARD, FORWARD
from numpy.typing import NDArray
from test_golden import CASES, HERE, NO_GRADIENT, ZERO_BY_ALGEBRA, case_id

from caffe_layers.blob import Blob
from pycaffe.net import Net
from pycaffe.state import TEST, TRAIN

Numbers = dict[str, NDArray[np.float32]]


def numbers_of(prototxt: Path) -> Numbers:
    with np.load(prototxt.with_suffix(".npz")) as file:
        return {key: file[key] for key in file.files}


def part(numbers: Numbers, kind: str) -> Numbers:
    return {k.split(":", 1)[1]: v for k, v in numbers.items() if k.split(":", 1)[0] == kind}


def run_forward(prototxt: Path, numbers: Numbers) -> Net:
    name = prototxt.stem
    net = Net(
        str(prototxt), TEST if name.endswith("_test") or name.startswith("accuracy") else TRAIN
    )
    for key, value in part(numbers, "param").items():
        param(net, key).data[...] = value
    for name, value in part(numbers, "in").items():
        net.blobs[name].data[...] = value
    for _ in range(3 if prototxt.stem == "batch_norm_train" else 1):
        net.forward()
    return net


def param(net: Net, key: str) -> Blob:
    layer, index = key.rsplit(":", 1)
    return net.params[layer][int(index)]


def run_backward(net: Net, numbers: Numbers) -> None:
    for name, value in part(numbers, "topdiff").items():
        net.blobs[name].diff[...] = value
    net.clear_param_diffs()
    net.backward()


def check(
    name: str, found: NDArray[np.float32], wanted: NDArray[np.float32], tolerance: float
) -> None:
    assert found.shape == wanted.shape, name
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-30)
    error = float(np.abs(found - wanted).max(initial=0)) / scale
    assert error <= tolerance, f"{name}: off by {error:.2e} of its largest value"


@pytest.mark.parametrize("prototxt", CASES, ids=case_id)
def test_case(prototxt: Path) -> None:
    numbers = numbers_of(prototxt)
    net = run_forward(prototxt, numbers)
    assert set(net.blobs) == set(part(numbers, "out"))
    for name, wanted in part(numbers, "out").items():
        check(f"blob {name}", net.blobs[name].data, wanted, FORWARD)
    for key, wanted in part(numbers, "after").items():
        check(f"blob {key} afterwards", param(net, key).data, wanted, FORWARD)
    run_backward(net, numbers)
    for name, wanted in part(numbers, "indiff").items():
        if (prototxt.stem, name) not in NO_GRADIENT:
            check(f"gradient of {name}", net.blobs[name].diff, wanted, BACKWARD)
    for key, wanted in part(numbers, "paramdiff").items():
        if (prototxt.stem, key) not in ZERO_BY_ALGEBRA:
            check(f"gradient of {key}", param(net, key).diff, wanted, BACKWARD)


def test_a_bias_before_batch_norm_has_no_gradient() -> None:
    prototxt = HERE / "layers" / "net_inplace_chain.prototxt"
    numbers = numbers_of(prototxt)
    net = run_forward(prototxt, numbers)
    run_backward(net, numbers)
    weight, bias = param(net, "c1:0").diff, param(net, "c1:1").diff
    assert np.abs(bias).max() < 1e-6 * np.abs(weight).max()
