"""Batches read ahead in data workers: those of one process, bit for bit, and nothing left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from converter.datum import datum_to_bytes
from converter.errors import DataError, SolverError
from converter.graph import Graph, build_graph
from converter.message import read_text
from converter.schema import load_schema
from retrain.errors import RunError
from retrain.feeding import FedNet, fed_net

Batch = dict[str, Tensor]

DATA = """layer { name: "d" type: "Data" top: "data" top: "label"
  data_param { source: "lmdb" backend: LMDB batch_size: 3 }
  transform_param { mirror: true crop_size: 5 mean_value: 100 scale: 0.5 } }"""
IMAGES = """layer { name: "d" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" batch_size: 3 shuffle: true rand_skip: 4 }
  transform_param { mirror: true crop_size: 5 } }"""
ROWS = """layer { name: "d" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "rows.txt" batch_size: 3 shuffle: true } }"""
POSES = """layer { name: "i" type: "GenRandIndex" top: "index"
  gen_rand_index_param { index_lower_bound: 0 index_upper_bound: 6 batch_size: 3 } }
layer { name: "x" type: "ReadBlobFromFileIndexing" bottom: "index" top: "x"
  read_blob_from_file_indexing_param { file_prefix: "x/" num_to_read: 1 } }
layer { name: "size" type: "ReadBlobFromFileIndexing" bottom: "index" top: "size"
  read_blob_from_file_indexing_param { file_prefix: "size/" num_to_read: 1 } }
layer { name: "joints" type: "ReadBlobFromFileIndexing" bottom: "index" top: "joints"
  read_blob_from_file_indexing_param { file_prefix: "joints/" num_to_read: 32 } }
layer { name: "aug" type: "GenUnifiedDataAndLabel" bottom: "index" bottom: "x" bottom: "x"
  bottom: "size" bottom: "joints" top: "data" top: "label" transform_param {
  crop_size_x: 8 crop_size_y: 6 num_parts: 16 max_rotate_degree: 20 scale_prob: 0.5 flip_prob: 0.5
  center_perterb_max: 2 file_name_file_prefix: "names/" } }"""
NETS = {"Data": DATA, "ImageData": IMAGES, "HDF5Data": ROWS, "integral": POSES}
COUNTED = """layer { name: "i" type: "GenSequentialIndex" top: "data"
  gen_sequential_index_param { batch_size: 3 num_of_samples: 7 current_index_file_path: "k" } }
layer { name: "l" type: "ReadIndexFromFile" top: "label" read_index_from_file_param {
  index_file_path: "numbers" current_index_file_path: "l" batch_size: 3 num_of_samples: 7 } }
"""
NETS["places in files"] = COUNTED
TAIL = '\nlayer { name: "out" type: "Power" bottom: "data" top: "out" power_param { scale: 2 } }'
COUNT = 9  # more batches than the 7 samples fill, and than are read ahead


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven samples as a database, as images, as rows and in the integral repos' layout."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(3)
    pictures = draw.integers(0, 256, (7, 3, 6, 8), dtype=np.uint8)
    with new_records("lmdb", "LMDB") as records:
        for i, picture in enumerate(pictures):
            records.put(b"%03d" % i, datum_to_bytes(Datum(i, picture)))
    places()
    Path("numbers").write_text("4 8 15 16 23 42 99")
    for name in ("images", "x", "size", "joints", "names"):
        Path(name).mkdir()
    for i, picture in enumerate(pictures):
        cv2.imwrite(f"images/{i}.png", picture.transpose(1, 2, 0))
        Path(f"names/{i}.txt").write_text(f"images/{i}.png")
        Path(f"x/{i}.txt").write_text(f"{3 + i / 7}")
        Path(f"size/{i}.txt").write_text(f"{1 + i / 9}")
        Path(f"joints/{i}.txt").write_text(" ".join(f"{v:.3f}" for v in draw.random(32) * 6))
    Path("list.txt").write_text("".join(f"images/{i}.png {i}\n" for i in range(7)))
    with h5py.File("rows.h5", "w") as file:
        file["data"], file["label"] = draw.normal(size=(7, 4)), np.arange(7)
    Path("rows.txt").write_text("rows.h5\n")


@pytest.fixture
def made(samples: None) -> Iterator[Callable[..., FedNet]]:
    """Makes fed nets, and ends their workers."""
    nets = []

    def make(layers: str, *, seed: int = 4, phase: str = "TRAIN", **options: Any) -> FedNet:
        torch.manual_seed(seed)
        nets.append(fed_net(graph(layers, phase), **options))
        return nets[-1]

    yield make
    for fed in nets:
        fed.close()


def places(place: int | None = -1) -> list[str]:
    """The places that stand in the files, after one is written into both."""
    if place is not None:
        Path("k").write_text(f"{place}")
        Path("l").write_text(f"{place}")
    return [Path(name).read_text().strip() for name in "kl"]


def graph(layers: str, phase: str = "TRAIN") -> Graph:
    text = f'name: "n" {layers} {TAIL}'
    record = read_text(text, "net.prototxt", "NetParameter", load_schema("integral"))
    return build_graph(record, phase=phase)


def batches(fed: FedNet, count: int = COUNT) -> list[Batch]:
    return [dict(fed.feed()) for _ in range(count)]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_read_what_one_process_reads(
    made: Callable[..., FedNet], name: str, workers: int
) -> None:
    here, ahead = made(NETS[name]), made(NETS[name], workers=workers)
    expected, state, files = batches(here), here.get_state(), places(None)
    places(-1)
    assert equal(expected, batches(ahead))
    assert ahead.get_state() == state
    assert places(None) == files


@pytest.mark.parametrize("name", NETS)
def test_a_run_goes_on_from_the_batch_that_was_given_not_read(
    made: Callable[..., FedNet], name: str
) -> None:
    through = batches(made(NETS[name]), 9)
    places(-1)
    first = made(NETS[name], workers=1)
    batches(first, 4)
    resumed = made(NETS[name], seed=8, workers=1)
    resumed.set_state(first.get_state())
    assert equal(batches(resumed, 5), through[4:])


def test_a_feed_that_is_closed_goes_on_with_the_next_batch(made: Callable[..., FedNet]) -> None:
    fed = made(DATA, workers=1)
    found = batches(fed, 2)
    fed.close()
    assert equal([*found, *batches(fed, 2)], batches(made(DATA), 4))


def test_nets_that_share_the_file_of_a_place_take_turns(made: Callable[..., FedNet]) -> None:
    numbers = {}
    for workers in (0, 1):
        places(-1)
        one, other = made(COUNTED, workers=workers), made(COUNTED, workers=workers)
        turns = (batches(fed, count) for fed, count in ((one, 2), (other, 1), (one, 3), (other, 2)))
        numbers[workers] = [batch["data"].flatten().tolist() for turn in turns for batch in turn]
    assert numbers[1] == numbers[0]
    assert numbers[0][:3] == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]


def test_a_test_net_is_read_ahead_too(made: Callable[..., FedNet]) -> None:
    ahead = made(DATA, phase="TEST", workers=1)
    assert equal(batches(made(DATA, phase="TEST")), batches(ahead))


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_share_what_workers_read(made: Callable[..., FedNet], rank: int) -> None:
    ahead = made(IMAGES, workers=2, rank=rank, ranks=2)
    assert equal(batches(ahead, 4), batches(made(IMAGES), 8)[rank::2])


def test_an_error_in_a_worker_is_the_one_of_this_process(made: Callable[..., FedNet]) -> None:
    here, ahead = made(IMAGES), made(IMAGES, workers=1)
    for i in range(1, 7):  # building a net looks at the first
        Path(f"images/{i}.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as expected:
        batches(here)
    with pytest.raises(DataError) as found:
        batches(ahead)
    assert str(found.value) == str(expected.value)
    assert "Traceback" in str(found.value.__cause__)


def test_a_worker_that_is_killed_is_told_in_one_line(made: Callable[..., FedNet]) -> None:
    fed = made(DATA, workers=1)
    batches(fed, 1)
    (worker,) = children()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RunError, match=r"^reading data: .* take smaller batches or --work"):
        batches(fed, 9)


def test_closing_ends_the_workers(made: Callable[..., FedNet]) -> None:
    fed = made(DATA, workers=2)
    batches(fed, 1)
    assert len(children()) == 2
    fed.close()
    assert not children()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=str)
def test_workers_end_with_their_process(samples: None, how: signal.Signals) -> None:
    script = """
import os, time
from tests.test_read_ahead import DATA, children, fed_net, graph
fed = fed_net(graph(DATA), workers=1)
fed.feed()
print(*children(), flush=True)
time.sleep(60)
"""
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.send_signal(how)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_to_the_whole_group_leaves_reading_alone(samples: None, name: str) -> None:
    script = f"""
import os, signal
from tests.test_read_ahead import COUNT, DATA, batches, fed_net, graph
signal.signal(signal.{name}, lambda *_: None)
fed = fed_net(graph(DATA), workers=1)
fed.feed()
os.killpg(0, signal.{name})
print(len(batches(fed, 2 * COUNT)))
fed.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == (f"{2 * COUNT}\n", "")


def test_a_class_of_the_running_script_is_not_read_in_a_worker(
    made: Callable[..., FedNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    from caffe_layers.data.data import Data

    monkeypatch.setattr(Data, "__module__", "__main__")
    with pytest.raises(SolverError, match="its class is of the running script"):
        made(DATA, workers=1)


def children() -> list[int]:
    """The data workers of this process."""
    import multiprocessing

    return [process.pid for process in multiprocessing.active_children() if process.pid is not None]
