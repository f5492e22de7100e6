"""Snapshots: byte for byte genuine Caffe's, and a resumed run goes on as if never interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from converter.errors import SolverError
from converter.weights import read_weights
from retrain.errors import RunError
from retrain.events import Event, Note
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.settings import Settings
from retrain.snapshot import snapshot_paths, snapshot_prefix
from retrain.solver_state import SolverState, read_state, write_state

GENUINE = (
    "snapshots/lenet_small_iter_5",
    "snapshots/lenet_small_iter_10",
    "solvers/sgd_momentum_iter_20",
    "solvers/sgd_multistep_iter_20",
    "solvers/rmsprop_iter_20",
    "solvers/nesterov_iter_20",
    "solvers/adagrad_iter_20",
    "solvers/adadelta_iter_20",
    "solvers/adam_iter_20",
)


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_state_is_written_back_byte_for_byte(
    golden: Path, tmp_path: Path, name: str
) -> None:
    genuine = golden / f"{name}.solverstate"
    write_state(tmp_path / "copy.solverstate", read_state(genuine))
    assert (tmp_path / "copy.solverstate").read_bytes() == genuine.read_bytes()


def test_what_a_genuine_state_says(golden: Path) -> None:
    state = read_state(golden / "solvers" / "sgd_multistep_iter_20.solverstate")
    assert (state.iteration, state.current_step) == (20, 2)
    assert state.learned_net == "sgd_multistep_iter_20.caffemodel"
    assert [blob.shape for blob in state.history] == [(5, 3), (5,), (2, 5), (2,)]


def test_history_has_a_blob_for_every_learnable_one(golden: Path) -> None:
    """conv 2, BatchNorm 3, Scale 2, InnerProduct 2: its statistics count too."""
    state = read_state(golden / "snapshots" / "lenet_small_iter_10.solverstate")
    weights = read_weights(golden / "snapshots" / "lenet_small_iter_10.caffemodel")
    shapes = [blob.shape for layer in weights.layers for blob in layer.blobs]
    assert [blob.shape for blob in state.history] == shapes
    assert len(shapes) == 9


@pytest.fixture
def small(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """Makes Trainers of the golden snapshots' solver, in a folder with the genuine files."""
    folder = tmp_path / "small"
    shutil.copytree(golden / "snapshots", folder)
    monkeypatch.chdir(folder)

    def make(**options: Any) -> Trainer:
        return load_trainer("solver.prototxt", **options)

    return make


def blobs(trainer: Trainer) -> list[Tensor]:
    return [blob.tensor.detach().clone() for blob in trainer.train.net.learnable()]


def test_a_genuine_pair_resumes(small: Callable[..., Trainer]) -> None:
    trainer = small()
    trainer.restore("lenet_small_iter_5.solverstate")
    stored = read_weights("lenet_small_iter_5.caffemodel")
    numbers = [blob.data for layer in stored.layers for blob in layer.blobs]
    assert trainer.iteration == 5
    assert [np.array_equal(b.numpy(), n) for b, n in zip(blobs(trainer), numbers, strict=True)] == [
        True
    ] * 9


def test_our_pair_is_laid_out_as_caffes(small: Callable[..., Trainer]) -> None:
    genuine_weights = read_weights("lenet_small_iter_10.caffemodel")
    genuine = read_state("lenet_small_iter_10.solverstate")
    sizes = [Path(f"lenet_small_iter_10.{kind}").stat().st_size for kind in KINDS]
    trainer = small()
    trainer.solve()
    ours, weights = (
        read_state("lenet_small_iter_10.solverstate"),
        read_weights("lenet_small_iter_10.caffemodel"),
    )
    assert (ours.iteration, ours.learned_net) == (genuine.iteration, genuine.learned_net)
    assert [b.shape for b in ours.history] == [b.shape for b in genuine.history]
    assert weights.net_name == genuine_weights.net_name
    assert [
        (layer.name, layer.type, [b.shape for b in layer.blobs]) for layer in weights.layers
    ] == [
        (layer.name, layer.type, [b.shape for b in layer.blobs]) for layer in genuine_weights.layers
    ]
    assert Path("lenet_small_iter_10.solverstate").stat().st_size == sizes[1]


KINDS = ("caffemodel", "solverstate")


CONSTANT = """name: "still"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.7 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "ip" top: "bn" batch_norm_param { eps: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


@pytest.mark.parametrize(
    "solver_type", ['type: "SGD" momentum: 0.9', 'type: "RMSProp"'], ids=["SGD", "RMSProp"]
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solver_type: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(CONSTANT, encoding="utf-8")
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 '
        f"stepvalue: 5 max_iter: 8 snapshot: 4 weight_decay: 0.1 random_seed: 1 {solver_type}",
        encoding="utf-8",
    )
    through = load_trainer("solver.prototxt")
    through.solve()
    resumed = load_trainer("solver.prototxt")
    resumed.restore("solver_iter_4.solverstate")
    assert resumed.policy.current_step == 1
    resumed.solve()
    both = zip(blobs(through), blobs(resumed), strict=True)
    assert [torch.equal(one, other) for one, other in both] == [True] * 5


def test_weights_are_found_beside_a_state_that_was_moved(
    small: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    def observer(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    trainer = small(observer=observer)
    monkeypatch.chdir(tmp_path)
    trainer.restore("small/lenet_small_iter_5.solverstate")
    assert notes[-2].startswith("weights 'lenet_small_iter_5.caffemodel' of small/")


def test_a_state_without_its_weights(small: Callable[..., Trainer]) -> None:
    trainer = small()
    Path("lenet_small_iter_5.caffemodel").unlink()
    with pytest.raises(SolverError, match=r"its weights 'lenet_small_iter_5\.caffemodel' are not"):
        trainer.restore("lenet_small_iter_5.solverstate")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda genuine: genuine[:900], r"not a whole \.solverstate: at byte \d+ of 900"),
        (
            lambda genuine: b"\x0f\x00",
            r"not a whole \.solverstate: at byte 0 of 2, field 1 has wire type 7",
        ),
    ],
    ids=["cut off", "not protobuf"],
)
def test_a_broken_state_is_refused(
    golden: Path, tmp_path: Path, source: Callable[[bytes], bytes], message: str
) -> None:
    genuine = (golden / "snapshots" / "lenet_small_iter_5.solverstate").read_bytes()
    (tmp_path / "broken.solverstate").write_bytes(source(genuine))
    with pytest.raises(SolverError, match=message):
        read_state(tmp_path / "broken.solverstate")


def test_a_state_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SolverError, match=r"snapshot '.*none\.solverstate' is not there"):
        read_state(tmp_path / "none.solverstate")


def test_a_state_of_another_net_is_refused(golden: Path, small: Callable[..., Trainer]) -> None:
    trainer = small()
    other = golden / "solvers" / "sgd_momentum_iter_20.solverstate"
    with pytest.raises(SolverError, match=r"momentum_iter_20\.solverstate: .*holds 4 history"):
        trainer.restore(str(other))


def test_weights_given_as_snapshot_are_refused(small: Callable[..., Trainer]) -> None:
    trainer = small()
    with pytest.raises(
        SolverError, match=r"holds weights; --snapshot takes the lenet_small_iter_5\.solverstate"
    ):
        trainer.restore("lenet_small_iter_5.caffemodel")


def test_a_full_disk_is_a_failed_run(tmp_path: Path) -> None:
    state = SolverState(3, "net.caffemodel", [np.ones((2, 3), np.float32)])
    with pytest.raises(RunError, match="cannot be written"):
        write_state(tmp_path / "no folder" / "a.solverstate", state)


def settings(prefix: str, file: Path | None) -> Settings:
    from converter.record import Record

    return Settings(Record("SolverParameter"), file, snapshot_prefix=prefix)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("runs/net", "runs/net"),
        ("", "jobs/first"),
        ("folder", "folder/first"),
        ("new/", "new/first"),
    ],
    ids=["as given", "unset", "a folder", "a folder to be"],
)
def test_where_snapshots_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert snapshot_prefix(settings(prefix, Path("jobs/first.prototxt"))) == expected


def test_no_prefix_and_no_file() -> None:
    with pytest.raises(SolverError, match="snapshot_prefix must be set"):
        snapshot_prefix(settings("", None))


def test_caffes_file_names() -> None:
    assert snapshot_paths("a/b", 40) == ("a/b_iter_40.caffemodel", "a/b_iter_40.solverstate")
