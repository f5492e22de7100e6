"""A legacy shell script runs unchanged against a folder that `caffe shim` made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pycaffe.command import main, verb_names
from pycaffe.verbs.shim import TOOLS

SCRIPT = """#!/usr/bin/env bash
# Create the lmdb inputs, train, resume, score: as the examples of Caffe do.
set -e
TOOLS=$CAFFE_ROOT/build/tools
EXAMPLE=work

if [ ! -f "$TOOLS/caffe.bin" ]; then
  echo "Error: $TOOLS is not a built Caffe"
  exit 1
fi

echo "Creating lmdb..."
GLOG_logtostderr=1 $TOOLS/convert_imageset \\
    --resize_height=6 --resize_width=8 --gray --logtostderr=1 \\
    images/ list.txt $EXAMPLE/train_lmdb
$TOOLS/compute_image_mean -backend=lmdb $EXAMPLE/train_lmdb $EXAMPLE/mean.binaryproto

$TOOLS/caffe train --solver=$EXAMPLE/solver.prototxt $@ 2>&1 | tee $EXAMPLE/train.log
$TOOLS/caffe.bin train -solver $EXAMPLE/solver.prototxt \\
    -snapshot $EXAMPLE/small_iter_4.solverstate --logtostderr=1 &> $EXAMPLE/resume.log
$CAFFE_ROOT/.build_release/tools/caffe test -model=$EXAMPLE/train_val.prototxt \\
    -weights=$EXAMPLE/small_iter_8.caffemodel -iterations 3 2>&1 | tee $EXAMPLE/test.log
$CAFFE_ROOT/build/install/bin/upgrade_net_proto_text \\
    $EXAMPLE/old.prototxt $EXAMPLE/new.prototxt
cat $EXAMPLE/train.log | grep "Test net output" | awk '{print $11}' > $EXAMPLE/scores.txt
"""
NET = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { mean_file: "work/mean.binaryproto" scale: 0.0078125 }
  data_param { source: "work/train_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""
SOLVER = """net: "work/train_val.prototxt"
test_iter: 2
test_interval: 4
base_lr: 0.05
momentum: 0.9
lr_policy: "fixed"
display: 2
max_iter: 8
snapshot: 4
snapshot_prefix: "work/small"
solver_mode: CPU
random_seed: 11
"""
OLD = """name: "old"
layers { layer { name: "d" type: "data" source: "db" batchsize: 3 } top: "data" top: "label" }
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caffe") / "root"
    assert main(["shim", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def work(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script ran."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "work").mkdir()
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for i in range(10):
        pixels = rng.integers(0, 90, (9, 12, 3)) + 150 * (i % 2)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), pixels)
        lines.append(f"{i}.png {i % 2}\n")
    (folder / "list.txt").write_text("".join(lines), encoding="utf-8")
    for name, text in (("train_val", NET), ("solver", SOLVER), ("old", OLD)):
        (folder / "work" / f"{name}.prototxt").write_text(text, encoding="utf-8")
    (folder / "run.sh").write_text(SCRIPT, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "run.sh"],
        cwd=folder,
        env={**environment, "CAFFE_ROOT": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "work"


def test_the_script_trains(work: Path) -> None:
    log = (work / "train.log").read_text("utf-8")
    assert "Snapshotting to binary proto file work/small_iter_4.caffemodel" in log
    assert log.splitlines()[-1].endswith("Optimization Done.")
    losses = [float(found) for found in re.findall(r"Iteration \d+ \(.*\), loss = ([\d.e-]+)", log)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_the_script_resumes_to_the_same_numbers(work: Path) -> None:
    def shown(name: str) -> list[str]:
        log = (work / name).read_text("utf-8")
        return re.findall(r"Iteration 6 .*(loss = .*)|Iteration 8, (loss = .*)", log)

    assert "Restoring previous solver status" in (work / "resume.log").read_text("utf-8")
    assert shown("resume.log") == shown("train.log")
    assert len(shown("train.log")) == 2


def test_the_script_scores_and_upgrades(work: Path) -> None:
    assert re.search(r"\] accuracy = [\d.]+\n", (work / "test.log").read_text("utf-8"))
    assert 'type: "Data"' in (work / "new.prototxt").read_text("utf-8")
    assert len((work / "scores.txt").read_text("utf-8").splitlines()) == 6


def test_a_folder_whose_name_needs_care(tmp_path: Path) -> None:
    folder = tmp_path / "my caffe's" / "$root"
    assert main(["shim", str(folder)]) == 0
    tool = folder / "build" / "install" / "bin" / "convert_imageset.bin"
    done = subprocess.run([tool, "--help"], capture_output=True, text=True, check=True)
    assert "usage: caffe convert_imageset ROOTFOLDER/ LISTFILE DB_NAME [FLAGS]" in done.stdout


def test_import_caffe_from_its_python_folder(root: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'python')!r})\n"
        "import caffe, caffe.io\n"
        "from caffe.proto import caffe_pb2\n"
        "from caffe import layers as L\n"
        "print(caffe.Net.__module__, caffe.io.__name__, caffe.__version__, caffe.TEST)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["pycaffe.net", "pycaffe.io", "1.0.0", "1"], done.stderr


def test_a_shim_is_brought_up_to_date_and_leaves_other_files(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data" / "mine.txt").write_text("mine", encoding="utf-8")
    (root / "build" / "tools" / "caffe").write_text("outdated", encoding="utf-8")
    assert main(["shim", str(root)]) == 0
    assert (root / "build" / "tools" / "caffe").read_text("utf-8").startswith("#!/bin/sh\n")
    assert (root / "data" / "mine.txt").read_text("utf-8") == "mine"


@pytest.mark.parametrize("mine", ["build/tools/caffe", "python/caffe/__init__.py"])
def test_a_genuine_caffe_is_not_overwritten(
    tmp_path: Path, mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / mine).parent.mkdir(parents=True)
    (tmp_path / mine).write_text("genuine", encoding="utf-8")
    assert main(["shim", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "there already, and not made by `caffe shim`; move it out of the way" in shown
    assert len(shown.splitlines()) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / mine]


def test_its_tools_are_verbs() -> None:
    assert {*TOOLS} - {"caffe"} <= {*verb_names()}
