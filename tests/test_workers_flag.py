"""`--workers` on the command line, and when workers start by themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from converter.datum import datum_to_bytes
from pycaffe.command import main
from retrain.net_feed import Pace, processors

NET = """name: "n"
layer { name: "d" type: "Data" top: "data" top: "label"
  data_param { source: "lmdb" backend: LMDB batch_size: 3 }
  transform_param { mirror: true crop_size: 5 scale: 0.01 } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 6 snapshot: 3 display: 1
test_iter: 2 test_interval: 3 random_seed: 5 """


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net over a database of seven records."""
    monkeypatch.chdir(tmp_path)
    pictures = np.random.default_rng(3).integers(0, 256, (7, 3, 6, 8), dtype=np.uint8)
    with new_records("lmdb", "LMDB") as records:
        for i, picture in enumerate(pictures):
            records.put(b"%03d" % i, datum_to_bytes(Datum(i, picture)))
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)


def losses(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["train", "--solver=solver.prototxt", *arguments]) == 0
    shown = capsys.readouterr().err
    return re.findall(r"(?:Iteration \d+.*loss|Test net output).* = ([\d.e-]+)", shown)


def test_a_run_is_the_same_with_workers_and_goes_on_the_same(
    folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    through = losses(capsys, "--workers=0")
    assert len(through) > 8
    assert losses(capsys, "--workers=1") == through
    resumed = losses(capsys, "--snapshot=solver_iter_3.solverstate", "--workers=2")
    assert resumed == through[-len(resumed) :]


def test_scoring_is_the_same_with_workers(folder: None, capsys: pytest.CaptureFixture[str]) -> None:
    losses(capsys, "--workers=0")
    weights = ("--weights=solver_iter_6.caffemodel", "--iterations=4")
    shown = []
    for workers in ("0", "1"):
        torch.manual_seed(3)
        assert main(["test", "--model=net.prototxt", *weights, f"--workers={workers}"]) == 0
        shown.append(re.findall(r"loss = [\d.]+", capsys.readouterr().err))
    assert shown[1] == shown[0]
    assert shown[0]


def test_fewer_workers_than_none_are_refused(
    folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--solver=solver.prototxt", "--workers=-1"]) == 2
    assert "-1 workers are asked for: give 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reading", "rest", "after"),
    [(0.1, 0.4, 21), (0.1, 5.5, None), (3.0, 1.0, 2)],
    ids=["a fifth of the step", "under 2 % of the step", "slower than the step"],
)
def test_workers_start_once_reading_has_cost_two_seconds_of_slow_steps(
    reading: float, rest: float, after: int | None
) -> None:
    pace, now = Pace(warm_up=lambda: None), 0.0
    started = None
    for batch in range(1, 100):
        if pace.workers_needed(now, now + reading) is not None:
            started = batch
            break
        now += reading + rest
    assert started == pytest.approx(after, abs=1) if after else started is None


def test_as_many_workers_as_reading_takes_and_processors_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(6), raising=False)
    pace = Pace(warm_up=lambda: None)
    pace.workers_needed(0.0, 3.0)
    assert pace.workers_needed(4.0, 7.0) == 3
    crowded = Pace(warm_up=lambda: None)
    crowded.workers_needed(0.0, 3.0)
    assert crowded.workers_needed(3.1, 6.1) == 5


def test_processors_are_shared_by_the_ranks_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(7), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert processors() == 2
