"""`python -m pycaffe script.py`, `import caffe`, and the golden script fingerprint.py unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_nets import NETS, renumbered

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys
import numpy as np
import caffe
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
import caffe.proto.caffe_pb2 as same
import caffe.io
from caffe.net_spec import NetSpec
import pycaffe, pycaffe.io
assert caffe is pycaffe and caffe.io is pycaffe.io and same is caffe_pb2
assert NetSpec is caffe.NetSpec and caffe.TRAIN == caffe_pb2.TRAIN
caffe.set_mode_cpu()
import beside
print(sys.argv[1:], __name__, beside.HERE, caffe.__version__)
"""


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "pycaffe", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_a_script_finds_caffe_its_arguments_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("HERE = 'yes'")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(str(tmp_path / "script.py"), "--gpu", "0")
    assert done.stdout == "['--gpu', '0'] __main__ yes 1.0.0\n", done.stderr


def test_a_missing_script_is_named() -> None:
    done = run("nothing.py")
    assert (done.returncode, done.stderr) == (2, "caffe: script 'nothing.py' is not there\n")


def test_a_scripts_own_error_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("raise KeyError('mine')")
    done = run(str(tmp_path / "script.py"))
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr


def test_the_command_starts_without_torch() -> None:
    code = "import sys, pycaffe; print('torch' in sys.modules, 'TRAIN' in dir(pycaffe))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False True\n", done.stderr


@pytest.mark.parametrize("name", sorted(NETS))
def test_fingerprint_runs_unchanged(name: str, corpus: Path, tmp_path: Path) -> None:
    """Bounds are the golden README's; blobs ahead of the first compared layer don't count."""
    golden = corpus.parent / "golden" / "nets"
    with np.load(golden / f"{name}.npz") as file:
        indices = [int(i) for i in file["in:image_index"].ravel()]
    net = renumbered(corpus, tmp_path, corpus / NETS[name], indices)
    done = run(str(golden / "fingerprint.py"), str(net), str(golden / f"{name}.npz"), "--check")
    assert "layers 1330 params 765" in done.stdout, done.stderr
    assert "fork 'integral'" in done.stderr
    assert over(done.stdout, "blob") <= AHEAD
    assert quantile(done.stdout, "blob", "99%") <= 2e-4
    assert quantile(done.stdout, "diff", "max") <= 1e-3
    assert quantile(done.stdout, "grad", "median") <= 1e-5
    assert quantile(done.stdout, "grad", "90%") <= 3e-2


AHEAD = {
    f"blob:{name}"
    for name in (
        *("gt_joint_3d_mono_raw_all", "gt_joint_2d_raw_H36M_all", "gt_joint_2d_raw_H36M"),
        *("bbx_H36M", "scale", "center_y", "center_x", "scale_provided"),
    )
}
"""Of the data side, which the script does not run, and does not feed either."""


def line(stdout: str, kind: str) -> str:
    return next(text for text in stdout.splitlines() if text.startswith(f"{kind} "))


def over(stdout: str, kind: str) -> set[str]:
    """What the script lists as off by more than 1e-3."""
    return set(re.findall(r"'([^']+)'", line(stdout, kind)))


def quantile(stdout: str, kind: str, which: str) -> float:
    found = re.search(rf"{which} (\S+)", line(stdout, kind))
    assert found is not None
    return float(found[1])
