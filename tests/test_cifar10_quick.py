"""The example CIFAR-10 quick: its drawn set, and the size that was published."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_layers.data.storage.records import open_records
from converter import load_net
from converter.blob import read_blob
from converter.datum import read_datum

ROOT = Path(__file__).parent.parent
NET = ROOT / "examples" / "prototxt" / "cifar10_quick" / "train_test.prototxt"


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set where the net looks for it."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_objects.py", "--train=130", "--test=110"])
    import make_objects

    make_objects.main()
    return tmp_path / "toy" / "objects"


def test_the_mean_is_that_of_the_training_images(objects: Path) -> None:
    records = open_records(str(objects / "train_lmdb"), "LMDB").items()
    images = np.stack([np.array(read_datum(record).image) for _, record in records])
    assert images.shape == (130, 3, 32, 32)
    mean = read_blob(str(objects / "mean.binaryproto"))
    np.testing.assert_allclose(np.reshape(mean, (3, 32, 32)), images.mean(0), rtol=1e-6)


def test_ten_kinds_are_drawn(objects: Path) -> None:
    records = open_records(str(objects / "test_lmdb"), "LMDB").items()
    assert {read_datum(record).label for _, record in records} == set(range(10))


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_the_net_has_the_published_parameters(objects: Path, phase: str) -> None:
    net = load_net(NET, phase=phase)  # type: ignore[arg-type]
    counts = [blob.tensor.numel() for blob in net.learnable()]
    weights = [3 * 32 * 25, 32 * 32 * 25, 32 * 64 * 25, 1024 * 64, 64 * 10]
    assert counts[::2] == weights
    assert sum(counts) == 145578
    assert net.loss(net()).item() == pytest.approx(np.log(10), abs=0.05)


def test_images_come_less_the_mean(objects: Path) -> None:
    net = load_net(NET, phase="TEST")
    data, label = net.layers["images"]()
    mean = torch.from_numpy(np.array(read_blob(str(objects / "mean.binaryproto")))).reshape(
        3, 32, 32
    )
    _, record = next(open_records(str(objects / "test_lmdb"), "LMDB").items())
    first = read_datum(record)
    assert label[0] == first.label
    assert torch.equal(data[0], torch.from_numpy(np.array(first.image)).float() - mean)
