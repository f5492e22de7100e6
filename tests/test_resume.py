"""A resumed run is the uninterrupted one, bit for bit: random numbers and data go on too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from converter.errors import SolverError
from converter.weights import read_weights
from retrain.events import Caution, Event, Note, Scored, Stepped
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.nets import Dialect


def blobs(trainer: Trainer) -> list[Tensor]:
    return [blob.tensor.detach().clone() for blob in trainer.train.net.learnable()]


RANDOM = """name: "moving"
layer { name: "rows" type: "HDF5Data" top: "x" top: "y" hdf5_data_param {
  source: "list.txt" batch_size: 3 shuffle: true } }
layer { name: "index" type: "GenSequentialIndex" top: "k" gen_sequential_index_param {
  batch_size: 3 num_of_samples: 11 current_index_file_path: "k.txt" } }
layer { name: "noise" type: "DummyData" top: "noise" dummy_data_param {
  shape { dim: 3 dim: 4 } data_filler { type: "gaussian" std: 0.1 } } }
layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "noise" top: "sum" }
layer { name: "all" type: "Concat" bottom: "sum" bottom: "k" top: "all" }
layer { name: "drop" type: "Dropout" bottom: "all" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
MOVING_SOLVER = """net: "net.prototxt" base_lr: 0.01 max_iter: 9 snapshot: 4
test_iter: 2 test_interval: 3 display: 1 """


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """Makes Trainers of a net whose every pass differs: shuffled rows, noise, Dropout, an index."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(3)
    for name, rows in (("a.h5", 7), ("b.h5", 5)):
        with h5py.File(name, "w") as file:
            file["x"] = draw.normal(size=(rows, 4)).astype("float32")
            file["y"] = draw.normal(size=(rows, 2)).astype("float32")
    Path("list.txt").write_text("a.h5\nb.h5\n", encoding="utf-8")
    Path("k.txt").write_text("-1", encoding="utf-8")
    Path("net.prototxt").write_text(RANDOM, encoding="utf-8")

    def make(lines: str = "", *, seed: int = 1, policy: str = "fixed", **options: Any) -> Trainer:
        text = f'{MOVING_SOLVER} random_seed: {seed} lr_policy: "{policy}" {lines}'
        Path("solver.prototxt").write_text(text, encoding="utf-8")
        return load_trainer("solver.prototxt", dialect=Dialect(fork="integral"), **options)

    return make


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_random_numbers_and_data_go_on_bit_for_bit(
    moving: Callable[..., Trainer], name: str, kind: str
) -> None:
    lines = f'type: "{name}" snapshot_format: {kind}'
    through = moving(lines)
    through.solve()
    index = Path("k.txt").read_text(encoding="utf-8")
    resumed = moving(lines, seed=8)
    resumed.restore("solver_iter_4.solverstate" + (".h5" if kind == "HDF5" else ""))
    resumed.solve()
    both = zip(blobs(through), blobs(resumed), strict=True)
    assert [torch.equal(one, other) for one, other in both] == [True] * 2
    assert Path("k.txt").read_text(encoding="utf-8") == index


def test_a_plateau_goes_on(moving: Callable[..., Trainer]) -> None:
    lines = "plateau_winsize: 2 plateau_winsize: 1 gamma: 0.5"
    through: list[Event] = []
    second: list[Event] = []
    moving(lines, policy="plateau", observer=through.append).solve()
    resumed = moving(lines, policy="plateau", observer=second.append)
    resumed.restore("solver_iter_4.solverstate")
    resumed.solve()
    rates = [step.rate for step in events_of(Stepped, through)]
    assert [step.rate for step in events_of(Stepped, second)] == rates[4:]
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] < 0.01


def events_of(kind: type, found: list[Event]) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


def test_test_nets_go_on_too(moving: Callable[..., Trainer]) -> None:
    first: list[Event] = []
    second: list[Event] = []
    moving(observer=first.append).solve()
    resumed = moving(observer=second.append)
    resumed.restore("solver_iter_4.solverstate")
    resumed.solve()
    assert events_of(Scored, second) == events_of(Scored, first)[2:]
    assert events_of(Stepped, second) == events_of(Stepped, first)[4:]


def test_without_a_run_state_data_start_anew(moving: Callable[..., Trainer]) -> None:
    moving().step(4)
    Path("solver_iter_4.runstate").unlink()
    found: list[Event] = []
    moving(observer=found.append).restore("solver_iter_4.solverstate")
    assert events_of(Note, found)[-1].text.startswith("no solver_iter_4.runstate: data start")


def rewritten(**changes: Any) -> None:
    path = Path("solver_iter_4.runstate")
    state = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps(state), encoding="utf-8")


def test_a_run_state_of_another_iteration_is_left_alone(moving: Callable[..., Trainer]) -> None:
    moving().step(4)
    rewritten(iteration=3)
    found: list[Event] = []
    moving(observer=found.append).restore("solver_iter_4.solverstate")
    assert "is of iteration 3, not 4" in events_of(Caution, found)[0].text


def test_data_that_changed_are_read_from_their_beginning(moving: Callable[..., Trainer]) -> None:
    moving().step(4)
    found: list[Event] = []
    resumed = moving(observer=found.append)
    Path("list.txt").write_text("a.h5\n", encoding="utf-8")
    resumed.restore("solver_iter_4.solverstate")
    assert "list.txt lists 1 files" in events_of(Caution, found)[0].text
    resumed.solve()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"solver_iter_4\.runstate: does not read: .* Remove it to resume"),
        ("[]", "iteration, policy, random and nets are wanted"),
        ('{"iteration": 4, "policy": {}, "random": {}, "nets": []}', "not what a run state holds"),
    ],
    ids=["cut off", "a list", "no generators"],
)
def test_a_broken_run_state_is_refused(
    moving: Callable[..., Trainer], content: str, message: str
) -> None:
    moving().step(4)
    Path("solver_iter_4.runstate").write_text(content, encoding="utf-8")
    with pytest.raises(SolverError, match=message):
        moving().restore("solver_iter_4.solverstate")


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_snapshot_diff_keeps_the_last_update(moving: Callable[..., Trainer], kind: str) -> None:
    trainer = moving(f"snapshot_diff: true snapshot_format: {kind} momentum: 0.9")
    trainer.step(3)
    before = blobs(trainer)
    trainer.step(1)
    updates = [b - a for b, a in zip(before, blobs(trainer), strict=True)]
    diffs = trainer.solver.history([blob.tensor for blob in trainer.train.net.learnable()])
    assert [torch.allclose(u, d, atol=1e-6) for u, d in zip(updates, diffs, strict=True)] == [
        True
    ] * 2
    assert [stored_diff(kind, i) == pytest.approx(d.numpy()) for i, d in enumerate(diffs)] == [
        True
    ] * 2


def stored_diff(kind: str, index: int) -> Any:
    if kind == "HDF5":
        with h5py.File("solver_iter_4.caffemodel.h5", "r") as file:
            return file[f"diff/ip/{index}"][()]
    (layer,) = (item for item in read_weights("solver_iter_4.caffemodel").layers if item.blobs)
    return layer.blobs[index].diff
