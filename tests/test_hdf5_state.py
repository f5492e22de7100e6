"""Snapshots in HDF5, laid out as genuine Caffe's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from converter.errors import SolverError
from converter.weights import read_weights
from retrain.events import Event, Saving
from retrain.load import load_trainer
from retrain.solver_state import read_state, write_state

HDF5_STATES = (
    "snapshots/lenet_small_h5_iter_10.solverstate.h5",
    "weights/cifar10_quick_iter_5000.solverstate.h5",
)


def described(path: Path) -> dict[str, Any]:
    """Every dataset of an HDF5 file: type, shape, layout and bytes."""
    found: dict[str, Any] = {}

    def describe(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            kind = item.id.get_type()
            layout = item.id.get_create_plist().get_layout()
            found[name] = (kind.encode(), item.shape, layout, np.asarray(item[()]).tobytes())

    with h5py.File(path, "r") as file:
        file.visititems(describe)
    return found


@pytest.mark.parametrize("name", HDF5_STATES)
def test_a_genuine_hdf5_state_is_written_back_alike(
    golden: Path, tmp_path: Path, name: str
) -> None:
    write_state(tmp_path / "copy.solverstate.h5", read_state(golden / name))
    assert described(tmp_path / "copy.solverstate.h5") == described(golden / name)


def test_both_formats_say_the_same(golden: Path, tmp_path: Path) -> None:
    one = read_state(golden / "solvers" / "adam_iter_20.solverstate")
    write_state(tmp_path / "adam.solverstate.h5", one)
    other = read_state(tmp_path / "adam.solverstate.h5")
    assert (other.iteration, other.learned_net) == (20, "adam_iter_20.caffemodel")
    assert len(one.history) == 8
    pairs = zip(one.history, other.history, strict=True)
    assert [np.array_equal(a, b) for a, b in pairs] == [True] * 8


@pytest.fixture
def small(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the golden snapshots' folder, to run in."""
    folder = tmp_path / "small"
    shutil.copytree(golden / "snapshots", folder)
    monkeypatch.chdir(folder)
    return folder


def test_our_hdf5_pair_is_laid_out_as_caffes(small: Path) -> None:
    names = [f"lenet_small_h5_iter_10.{kind}.h5" for kind in ("caffemodel", "solverstate")]
    genuine = [described(Path(name)) for name in names]
    found: list[Event] = []
    load_trainer("solver_h5.prototxt", observer=found.append).solve()
    ours = [described(Path(name)) for name in names]
    assert [{name: facts[:3] for name, facts in file.items()} for file in ours] == [
        {name: facts[:3] for name, facts in file.items()} for file in genuine
    ]
    saved = [event for event in found if isinstance(event, Saving)][-1]
    assert [saved.weights, saved.state] == names


def test_a_genuine_hdf5_pair_resumes(small: Path) -> None:
    trainer = load_trainer("solver.prototxt")
    trainer.restore("lenet_small_h5_iter_5.solverstate.h5")
    stored = read_weights("lenet_small_h5_iter_5.caffemodel.h5")
    named = {
        f"{layer.name}/{i}": b.data for layer in stored.layers for i, b in enumerate(layer.blobs)
    }
    ours = {
        f"{b.layer}/{b.index}": b.tensor.detach().numpy() for b in trainer.train.net.learnable()
    }
    assert trainer.iteration == 5
    assert {name for name in ours if not np.array_equal(ours[name], named[name])} == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("iter"), "iter and history are wanted, there is current_step, hist"),
        (lambda file: file["history"].pop("3"), "history blob 3 is not there"),
    ],
    ids=["no iter", "no blob"],
)
def test_a_broken_hdf5_state_is_refused(
    golden: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    shutil.copy(golden / HDF5_STATES[0], tmp_path / "broken.solverstate.h5")
    with h5py.File(tmp_path / "broken.solverstate.h5", "a") as file:
        change(file)
    with pytest.raises(SolverError, match=message):
        read_state(tmp_path / "broken.solverstate.h5")


def test_an_hdf5_state_that_is_cut_off(golden: Path, tmp_path: Path) -> None:
    content = (golden / HDF5_STATES[0]).read_bytes()
    (tmp_path / "broken.solverstate.h5").write_bytes(content[:900])
    with pytest.raises(SolverError, match="not a whole HDF5 file"):
        read_state(tmp_path / "broken.solverstate.h5")
