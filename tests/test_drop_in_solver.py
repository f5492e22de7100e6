"""The drop-in's solvers against genuine Caffe's recorded runs, fed as scripts feed them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pycaffe as caffe
from pycaffe.solver import Solver
from retrain.solvers.registry import registered

TOLERANCE = 1e-5  # relative to the blob's largest value: golden/README
HERE = Path(__file__).parent / "golden" / "solvers"
CASES = sorted(
    path.name.removesuffix(".solver.prototxt") for path in HERE.glob("*.solver.prototxt")
)
CLASSES = {
    "SGD": caffe.SGDSolver,
    "Nesterov": caffe.NesterovSolver,
    "AdaGrad": caffe.AdaGradSolver,
    "RMSProp": caffe.RMSPropSolver,
    "AdaDelta": caffe.AdaDeltaSolver,
    "Adam": caffe.AdamSolver,
}
Numbers = dict[str, NDArray[np.float32]]


@pytest.fixture(autouse=True)
def in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the cases, where snapshots may be written; no log."""
    for path in HERE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pycaffe.state.STATE.least_level", 1)


def start(case: str, make: Callable[[str], Solver] = caffe.get_solver) -> tuple[Solver, Numbers]:
    with np.load(f"{case}.npz") as file:
        numbers = {key: file[key] for key in file.files}
    solver = make(f"{case}.solver.prototxt")
    for key, value in numbers.items():
        if key.startswith("init:"):
            weight(solver, key)[...] = value
    return solver, numbers


def weight(solver: Solver, key: str) -> NDArray[np.float32]:
    _, layer, index = key.split(":")
    return solver.net.params[layer][int(index)].data


def run(solver: Solver, numbers: Numbers, until: int) -> list[float]:
    """Steps one by one, the script filling the Input blobs; the loss blob after each."""
    losses = []
    passes = len(numbers["x"]) // len(numbers["loss"])
    while solver.iter < until:
        row = solver.iter * passes
        solver.net.blobs["x"].data[...] = numbers["x"][row]
        solver.net.blobs["t"].data[...] = numbers["t"][row]
        solver.step(1)
        losses.append(float(solver.net.blobs["e"].data))
    return losses


def check(solver: Solver, numbers: Numbers, iteration: int) -> None:
    keys = [key for key in numbers if key.startswith(f"iter{iteration}:")]
    off = {k: np.abs(weight(solver, k) - numbers[k]).max() / np.abs(numbers[k]).max() for k in keys}
    assert off
    assert {k: e for k, e in off.items() if e > TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES)
def test_weights_and_losses_are_caffes(case: str) -> None:
    solver, numbers = start(case)
    losses = run(solver, numbers, 20)
    np.testing.assert_allclose(losses, numbers["loss"][:20], rtol=2e-5, atol=1e-6)
    check(solver, numbers, 20)
    losses = run(solver, numbers, 40)
    check(solver, numbers, 40)


@pytest.mark.parametrize("case", CASES)
def test_resumes_from_caffes_snapshot(case: str) -> None:
    solver, numbers = start(case)
    solver.restore(f"{case}_iter_20.solverstate")
    assert solver.iter == 20
    run(solver, numbers, 40)
    check(solver, numbers, 40)


def test_snapshot_is_read_back() -> None:
    solver, numbers = start("sgd_momentum")
    run(solver, numbers, 5)
    solver.snapshot()
    other, _ = start("sgd_momentum")
    other.restore("sgd_momentum_iter_5.solverstate")
    run(other, numbers, 20)
    check(other, numbers, 20)


def test_held_views_stay_live() -> None:
    solver, numbers = start("sgd_momentum")
    data, diff = solver.net.params["ip1"][0].data, solver.net.params["ip1"][0].diff
    run(solver, numbers, 5)
    np.testing.assert_array_equal(data, solver.net.params["ip1"][0].data)
    np.testing.assert_array_equal(diff, solver.net.params["ip1"][0].diff)
    assert np.abs(diff).max() > 0


@pytest.mark.parametrize("case", CASES)
def test_diffs_are_the_last_update(case: str) -> None:
    """What Caffe's ApplyUpdate leaves in diff: data after a step is data before it minus diff."""
    solver, numbers = start(case)
    run(solver, numbers, 2)
    before = {name: [b.data.copy() for b in blobs] for name, blobs in solver.net.params.items()}
    run(solver, numbers, 3)
    assert np.abs(solver.net.params["ip1"][0].diff).max() > 0
    for name, blobs in solver.net.params.items():
        for blob, old in zip(blobs, before[name], strict=True):
            np.testing.assert_allclose(old - blob.diff, blob.data, rtol=1e-6, atol=1e-7)


def test_another_net_shares_the_weights() -> None:
    solver, numbers = start("sgd_momentum")
    net = caffe.Net("sgd_momentum.net.prototxt", caffe.TEST)
    solver.share_weights(net)
    run(solver, numbers, 2)
    np.testing.assert_array_equal(net.params["ip1"][0].data, solver.net.params["ip1"][0].data)


def test_callbacks_come_once_per_iteration() -> None:
    solver, numbers = start("sgd_iter_size_poly")
    said: list[str] = []
    solver.add_callback(lambda: said.append("start"), lambda: said.append("gradients"))
    run(solver, numbers, 2)
    assert said == ["start", "gradients"] * 2


def test_on_gradients_may_change_them() -> None:
    solver, numbers = start("rmsprop")
    blob = solver.net.params["ip1"][1]
    before = blob.data.copy()
    solver.add_callback(lambda: None, lambda: blob.diff.fill(0))
    run(solver, numbers, 1)
    np.testing.assert_array_equal(blob.data, before)  # decay_mult is 0 there


SAME = {"Nesterov": "nesterov", "AdaGrad": "adagrad", "RMSProp": "rmsprop"}
SAME |= {"AdaDelta": "adadelta", "Adam": "adam", "SGD": "sgd_momentum"}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_is_of_its_own_type(name: str) -> None:
    """The class decides, not the file: with another type written there, its numbers are Caffe's."""
    assert set(CLASSES) == set(registered())
    case = SAME[name]
    path = Path(f"{case}.solver.prototxt")
    other = "Adam" if name == "SGD" else "SGD"
    path.write_text(path.read_text().replace(f'type: "{name}"', f'type: "{other}"'))
    assert f'type: "{other}"' in path.read_text()
    solver, numbers = start(case, CLASSES[name])
    assert solver.param.type == name
    run(solver, numbers, 5)
    check(solver, numbers, 5)


def test_param_is_the_solvers_message() -> None:
    solver, _ = start("rmsprop")
    assert (solver.param.max_iter, solver.param.lr_policy) == (1000, "fixed")
