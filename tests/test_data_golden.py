"""The data layers against what genuine Caffe's made of the same files, phase TEST."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import load_net

CASES = sorted(p.stem for p in (Path(__file__).parent / "golden" / "data").glob("*.prototxt"))
RESIZED = {"imagedata_resize": 1.0, "imagedata_crop_gray": 0.5}
"""One grey level, times the scale of the case: the only freedom of a resized image."""


@pytest.mark.parametrize("name", CASES)
def test_five_batches_are_caffes(name: str, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(golden / "data")
    with np.load(f"{name}.npz") as file:
        wanted = {key: file[key] for key in file.files}
    net = load_net(f"{name}.prototxt", phase="TEST")
    batches = [net() for _ in range(5)]
    found = {
        f"top:{top}:{k}": v.numpy() for k, tops in enumerate(batches) for top, v in tops.items()
    }
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}
    assert max(np.abs(found[key] - wanted[key]).max() for key in wanted) <= RESIZED.get(name, 0)
    assert all(np.array_equal(found[k], wanted[k]) for k in wanted if k.startswith("top:label"))
