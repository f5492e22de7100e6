"""Every line that legacy scripts look for in a log, read by patterns of the published format."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from pycaffe.command import main

NUMBER = r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)"
HEAD = r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] "
NET = """name: "lines"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.25 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 4
display: 1 snapshot: 2 snapshot_prefix: "n" solver_mode: CPU random_seed: 5 clip_gradients: 0.1
test_iter: 1 test_interval: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET, encoding="utf-8")
    Path("solver.prototxt").write_text(SOLVER, encoding="utf-8")
    return tmp_path


def log_of(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["train", "--solver=solver.prototxt", *flags]) == 0
    return capsys.readouterr().err


def said(log: str) -> list[str]:
    return [line.split("] ", 1)[1] for line in log.splitlines() if "] " in line]


def test_every_entry_has_glogs_head(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log_of(capsys).splitlines()
    start = next(i for i, line in enumerate(lines) if "Solving" in line)
    assert [line for line in lines[start:] if not re.match(HEAD, line)] == []


def test_iterations_losses_and_rates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(capsys)
    timed = rf"Iteration (\d+) \({NUMBER} iter/s, {NUMBER}s/1 iters\), loss = {NUMBER}$"
    shown = re.findall(timed, log, re.M)
    assert [int(found[0]) for found in shown] == [0, 1, 2, 3]
    assert float(shown[0][3]) == pytest.approx(2 * 4 * 0.25**2 / (2 * 4))
    rates = re.findall(rf"Iteration (\d+), lr = {NUMBER}$", log, re.M)
    assert rates == [("0", "0.01"), ("1", "0.01"), ("2", "0.005"), ("3", "0.005")]
    outputs = re.findall(
        rf"    (Train|Test) net output #(\d+): (\S+) = {NUMBER} \(\* 1 = {NUMBER} loss\)$",
        log,
        re.M,
    )
    assert [found[:3] for found in outputs[:3]] == [
        ("Test", "0", "loss"),
        ("Train", "0", "loss"),
        ("Train", "0", "loss"),
    ]
    assert float(outputs[1][3]) == float(shown[0][3])
    tested = re.findall(r"Iteration (\d+), Testing net \(#(\d+)\)$", log, re.M)
    assert tested == [("0", "0"), ("2", "0"), ("4", "0")]


def test_gradient_clipping(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of 6 weights and 2 biases has the gradient 4 · 0.25 / 4."""
    pattern = (
        rf"Gradient clipping: scaling down gradients \(L2 norm {NUMBER} > {NUMBER}\) "
        rf"by scale factor {NUMBER}$"
    )
    log = log_of(capsys)
    found = re.findall(pattern, log, re.M)
    assert len(found) == 4
    norm = 0.25 * 8**0.5
    assert [float(value) for value in found[0]] == pytest.approx([norm, 0.1, 0.1 / norm], rel=1e-5)
    lines = said(log)
    at = lines.index("Iteration 0, lr = 0.01")
    assert lines[at + 1].startswith("Gradient clipping: ")


def test_gradients_within_the_bound_are_not_mentioned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("solver.prototxt").write_text(SOLVER.replace("gradients: 0.1", "gradients: 1"), "utf-8")
    assert "Gradient clipping" not in log_of(capsys)


def test_snapshots_and_resuming(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(capsys)
    assert re.findall(r"Snapshotting to binary proto file (\S+)$", log, re.M) == [
        "n_iter_2.caffemodel",
        "n_iter_4.caffemodel",
    ]
    states = re.findall(r"Snapshotting solver state to binary proto file (\S+)$", log, re.M)
    assert states == ["n_iter_2.solverstate", "n_iter_4.solverstate"]
    resumed = log_of(capsys, "--snapshot=n_iter_2.solverstate")
    lines = said(resumed)
    assert "Resuming from n_iter_2.solverstate" in lines
    at = lines.index("Restoring previous solver status from n_iter_2.solverstate")
    assert lines[at + 1] == "SGDSolver: restoring history"
    assert lines.index("Solving lines") > at
    timed = re.findall(r"Iteration (\d+) \(", resumed)
    assert timed == ["2", "3"]


def test_finetuning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = NET.replace('name: "ip"', 'name: "gone"')
    Path("other.prototxt").write_text(more, encoding="utf-8")
    Path("before.prototxt").write_text(
        SOLVER.replace("net.prototxt", "other.prototxt").replace('"n"', '"b"'), encoding="utf-8"
    )
    assert main(["train", "--solver=before.prototxt"]) == 0
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log = log_of(capsys, "--weights=b_iter_4.caffemodel")
    lines = said(log)
    at = lines.index("Finetuning from b_iter_4.caffemodel")
    assert "Ignoring source layer gone" in lines[at:]
