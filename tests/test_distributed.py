"""Two processes that train together, on the CPU: the run of one process with the doubled batch."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from pycaffe.command import main
from pycaffe.launch import run_together
from retrain.events import Event, Stepped
from retrain.load import load_trainer
from retrain.signals import Action

ROOT = Path(__file__).parent.parent
STEP = 1e-6  # per step, of a blob's largest value: sums of 4 + 4 for sums of 8, at 6e-8 a rounding
STEPS = 6

NET = """name: "pair"
layer {{ name: "rows" type: "HDF5Data" top: "x" top: "y" hdf5_data_param {{
  source: "{source}" batch_size: {batch} }} }}
layer {{ name: "frozen" type: "Convolution" bottom: "x" top: "frozen" param {{ lr_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 bias_term: false
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "frozen" top: "conv" param {{ name: "shared" }}
  convolution_param {{ num_output: 4 kernel_size: 1 bias_term: false
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "again" type: "Convolution" bottom: "conv" top: "again" param {{ name: "shared" }}
  convolution_param {{ num_output: 4 kernel_size: 1 bias_term: false
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "again" top: "again" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "again" top: "ip"
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "unused" type: "InnerProduct" bottom: "again" top: "unused"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
{more}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }}
layer {{ name: "second" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "second"
  loss_weight: 0.5 }}
"""
RANDOM = """layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "bn" type: "BatchNorm" bottom: "frozen" top: "bn" }"""
SOLVER = """net: "{net}" base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" max_iter: 40
weight_decay: 0.01 clip_gradients: 0.5 iter_size: {iter_size} solver_mode: CPU random_seed: 5
snapshot_after_train: false snapshot_prefix: "{prefix}"
"""
CASES = {"plain": 1, "iter_size": 2}
FORMATS = ("BINARYPROTO", "HDF5")


def write_files(folder: Path) -> None:
    """The data and, for one process and for two, the nets and solvers."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=(40, 3, 7, 5)).astype("float32")
    y = draw.normal(size=(40, 2)).astype("float32")
    broken = x.copy()
    broken[12:16] = np.nan  # the second batch of 4 that rank 1 reads
    for name, rows in (("good", x), ("broken", broken)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["x"], file["y"] = rows, y
        (folder / f"{name}.txt").write_text(f"{name}.h5\n", encoding="utf-8")
    nets = {
        "one": NET.format(source="good.txt", batch=8, more=""),
        "two": NET.format(source="good.txt", batch=4, more=""),
        "random": NET.format(source="good.txt", batch=4, more=RANDOM),
        "broken": NET.format(source="broken.txt", batch=4, more=""),
    }
    for name, text in nets.items():
        (folder / f"{name}.prototxt").write_text(text, encoding="utf-8")
        for case, iter_size in CASES.items():
            solver = SOLVER.format(net=f"{name}.prototxt", iter_size=iter_size, prefix=name)
            (folder / f"{name}_{case}.solver").write_text(solver, encoding="utf-8")


def trajectory(solver: str, **options: Any) -> dict[str, Any]:
    """Losses and, after each step, all blobs and where there is one the gradient."""
    events: list[Event] = []
    trainer = load_trainer(solver, observer=events.append, **options)
    found: list[list[Tensor]] = []
    for _ in range(STEPS):
        trainer.step(1)
        found.append([b.tensor.detach().clone() for b in trainer.train.net.learnable()])
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    unused = trainer.train.net.unused.weight.grad
    return {"losses": losses, "blobs": found, "unused": unused}


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_distributed import work_of_a_rank
work_of_a_rank()
"""


def work_of_a_rank() -> None:
    """What each of the two processes does; the results go to files."""
    from retrain.distributed import joined

    with joined() as ranks:
        results: dict[str, Any] = {}
        for case in CASES:
            results[case] = trajectory(f"two_{case}.solver", ranks=ranks)
        results |= _random(ranks)
        results |= _requests(ranks)
        torch.save(results, f"rank{ranks.rank}.pt")


def _random(ranks: Any) -> dict[str, Any]:
    """Draws of this rank, BatchNorm's statistics, and a run that is resumed."""
    trainer = load_trainer("random_plain.solver", ranks=ranks)
    start = [b.tensor.detach().clone() for b in trainer.train.net.learnable()]
    draws = torch.rand(3)
    trainer.step(1)
    mean = trainer.train.net.bn.mean.clone()
    trainer.step(2)
    paths = [trainer.snapshot()[1]]
    trainer.settings = replace(trainer.settings, snapshot_format="HDF5")
    paths.append(trainer.snapshot()[1])
    trainer.step(3)
    through = [b.tensor.detach().clone() for b in trainer.train.net.learnable()]
    found = {"start": start, "draws": draws, "mean": mean, "through": through}
    for kind, path in zip(FORMATS, paths, strict=True):
        resumed = load_trainer("random_plain.solver", ranks=ranks)
        resumed.restore(path)
        resumed.step(3)
        found[kind] = [b.tensor.detach().clone() for b in resumed.train.net.learnable()]
    return found


def _requests(ranks: Any) -> dict[str, Any]:
    """Rank 1 is asked for a snapshot after 2 iterations and to stop after 4."""
    asked: Iterator[Action | None] = iter([None, "snapshot", None, "stop"])
    trainer = load_trainer(
        "two_plain.solver",
        ranks=ranks,
        requested=lambda: next(asked) if ranks.rank == 1 else None,
    )
    trainer.solve()
    return {"stopped_at": trainer.iteration}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ranks")
    write_files(made)
    return made


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    """What rank 0 and rank 1 found."""
    (folder / "work.py").write_text(SCRIPT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(ROOT))
        assert run_together(["work.py"], 2) == 0
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def largest_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    pairs = zip(found, wanted, strict=True)
    return max(float((f - w).abs().max() / w.abs().max().clamp(min=1e-3)) for f, w in pairs)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_with_the_doubled_batch(
    ranks: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(folder)
    one, two = trajectory(f"one_{case}.solver"), ranks[0][case]
    errors = [largest_error(f, w) for f, w in zip(two["blobs"], one["blobs"], strict=True)]
    assert [error < STEP * (step + 1) for step, error in enumerate(errors)] == [True] * STEPS
    assert two["losses"] == pytest.approx(one["losses"], rel=STEP * STEPS)


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_hold_the_same_weights_and_tell_the_same_loss(
    ranks: list[dict[str, Any]], case: str
) -> None:
    first, second = (found[case] for found in ranks)
    assert first["losses"] == second["losses"]
    both = zip(first["blobs"][-1], second["blobs"][-1], strict=True)
    assert all(torch.equal(one, other) for one, other in both)
    assert first["unused"] is None  # as in Caffe, where its diff stays 0


def test_ranks_start_from_one_net_and_draw_apart(ranks: list[dict[str, Any]]) -> None:
    both = zip(ranks[0]["start"], ranks[1]["start"], strict=True)
    assert all(torch.equal(one, other) for one, other in both)
    wanted = torch.rand(3, generator=torch.Generator().manual_seed(5 + 1))
    assert torch.equal(ranks[1]["draws"], wanted)
    assert not torch.equal(ranks[0]["draws"], wanted)


def test_batch_norm_statistics_are_those_of_a_ranks_own_batch(
    ranks: list[dict[str, Any]], folder: Path
) -> None:
    with h5py.File(folder / "good.h5") as file:
        rows = torch.from_numpy(file["x"][:8])
    weight = ranks[0]["start"][0]
    for rank in (0, 1):
        maps = torch.nn.functional.conv2d(rows[4 * rank : 4 * rank + 4], weight)
        assert torch.allclose(ranks[rank]["mean"], maps.mean((0, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_resumed_run_of_two_is_the_uninterrupted_one(
    ranks: list[dict[str, Any]], kind: str
) -> None:
    for rank, found in enumerate(ranks):
        both = list(zip(found["through"], found[kind], strict=True))
        if rank:
            del both[-3:]  # BatchNorm's: rank 1's own are not saved, and nothing depends on them
        assert [torch.equal(one, other) for one, other in both] == [True] * len(both)


def test_what_one_rank_is_asked_all_do(ranks: list[dict[str, Any]], folder: Path) -> None:
    assert [found["stopped_at"] for found in ranks] == [4, 4]
    assert (folder / "two_iter_2.solverstate").is_file()


# The command


def start(
    folder: Path, *arguments: str, program: Sequence[str] = ("pycaffe",)
) -> subprocess.Popen[str]:
    """`caffe train` in a process of its own, which signals can be sent to."""
    return subprocess.Popen(
        [sys.executable, "-m", *program, "train", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_error_on_one_rank_ends_all_with_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, log = command(monkeypatch, capfd, folder, "broken_plain.solver")
    assert code == 1
    (line,) = (line for line in log.splitlines() if line.startswith("caffe: "))
    assert line.startswith("caffe: rank 1: iteration 1: the loss is nan")
    assert "Traceback" not in log


def test_a_bad_file_is_told_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "lost.solver").write_text('net: "no.prototxt" lr_policy: "fixed"', encoding="utf-8")
    code, log = command(monkeypatch, capfd, folder, "lost.solver")
    assert code == 2
    assert [line for line in log.splitlines() if line.startswith("caffe: ")] == [
        "caffe: net file 'no.prototxt' is not there"
    ]


def command(
    patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path, solver: str
) -> tuple[int, str]:
    """Exit code and log of `caffe train` with two processes that this one starts."""
    patch.chdir(folder)
    patch.setenv("PYTHONPATH", str(ROOT))
    code = main(["train", f"--solver={solver}", "--nproc=2", "--event_files=none"])
    return code, capfd.readouterr().err


def long_run(folder: Path, prefix: str) -> None:
    """Write the solver of a run that goes on until it is stopped."""
    text = SOLVER.format(net="two.prototxt", iter_size=1, prefix=prefix)
    text = text.replace("max_iter: 40", "max_iter: 1000000 display: 1")
    text = text.replace("snapshot_after_train: false", "")
    (folder / f"{prefix}.solver").write_text(text, encoding="utf-8")


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A long run of two processes that has begun."""
    long_run(folder, "long")
    process = start(folder, "--solver=long.solver", "--nproc=2", "--event_files=none")
    assert process.stderr is not None
    for line in process.stderr:
        if "Iteration 3 " in line:
            break
    yield process
    process.kill()
    process.wait()
    process.stderr.close()


def test_a_hangup_saves_and_ctrl_c_stops_all_with_a_snapshot(
    running: subprocess.Popen[str], folder: Path
) -> None:
    assert running.stderr is not None
    running.send_signal(signal.SIGHUP)
    saving = next(line for line in running.stderr if "Snapshotting solver state" in line)
    running.send_signal(signal.SIGINT)
    _, log = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "Optimization stopped early." in log
    first, last = (re.findall(r"long_iter_(\d+)\.solverstate", text)[-1] for text in (saving, log))
    assert int(first) <= int(last)
    assert all((folder / f"long_iter_{number}.solverstate").is_file() for number in (first, last))


def test_torchrun_starts_it_and_its_ctrl_c_leaves_a_snapshot(folder: Path) -> None:
    long_run(folder, prefix="torchrun")
    process = start(
        folder,
        *("--solver=torchrun.solver", "--event_files=none"),
        program=("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "pycaffe"),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Iteration 3 " in line:
            break
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=120)
    (number,) = re.findall(r"torchrun_iter_(\d+)\.solverstate", log)
    assert (folder / f"torchrun_iter_{number}.solverstate").is_file()
    assert "Optimization stopped early." in log


def test_a_killed_rank_ends_the_run(running: subprocess.Popen[str]) -> None:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    if not children.exists():
        pytest.skip("needs a /proc that lists children")
    os.kill(int(children.read_text().split()[1]), signal.SIGKILL)
    _, log = running.communicate(timeout=120)
    assert running.returncode != 0
    (line,) = (line for line in log.splitlines() if line.startswith("caffe: "))
    assert "another rank is gone without a word" in line


def test_ranks_end_with_the_process_that_started_them(running: subprocess.Popen[str]) -> None:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    if not children.exists():
        pytest.skip("needs a /proc that lists children")
    ranks = [Path(f"/proc/{number}") for number in children.read_text().split()]
    running.kill()
    running.communicate()
    end = time.monotonic() + 60
    while any(rank.exists() for rank in ranks) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(rank.exists() for rank in ranks)
