"""What the data layers draw in TRAIN, against Caffe's distributions: crop corners, mirror, skip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from converter.datum import datum_to_bytes
from converter.graph import build_graph
from converter.message import read_text
from converter.schema import load_schema
from retrain.feeding import fed_net

HEIGHT, WIDTH, CROP, BATCH = 6, 8, 4, 50
CELLS = (HEIGHT - CROP + 1) * (WIDTH - CROP + 1) * 2  # corners, mirrored or not
DRAWS = 100 * CELLS
CHI_SQUARE = 66.2
"""What chi-square with CELLS - 1 = 29 degrees of freedom exceeds once in ten thousand times."""

IMAGE = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
SOURCES = {
    "Data": 'data_param { source: "lmdb" backend: LMDB batch_size: 50 }',
    "ImageData": 'image_data_param { source: "list.txt" batch_size: 50 is_color: false }',
}
NET = """layer {{ name: "d" type: "{type}" top: "data" top: "label" {source}
  transform_param {{ crop_size: 4 mirror: true }} }}
layer {{ name: "out" type: "Power" bottom: "data" top: "out" }}"""


@pytest.fixture(autouse=True)
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image whose every pixel tells where it stands."""
    monkeypatch.chdir(tmp_path)
    with new_records("lmdb", "LMDB") as records:
        records.put(b"0", datum_to_bytes(Datum(0, IMAGE[None])))
    cv2.imwrite("image.png", IMAGE)
    Path("list.txt").write_text("image.png 0\n")


def cells(type_name: str, seed: int) -> NDArray[np.int64]:
    """Of each draw, the number of its corner and whether it is mirrored, in one."""
    text = NET.format(type=type_name, source=SOURCES[type_name])
    record = read_text(text, "net.prototxt", "NetParameter", load_schema())
    torch.manual_seed(seed)
    fed = fed_net(build_graph(record, phase="TRAIN"))
    rows = np.concatenate([fed.feed()["data"][:, 0].numpy() for _ in range(DRAWS // BATCH)])
    mirrored = rows[:, 0, 0] > rows[:, 0, 1]
    corners = np.where(mirrored, rows[:, 0, -1], rows[:, 0, 0]).astype(int)
    top, left = np.divmod(corners, WIDTH)
    return (top * (WIDTH - CROP + 1) + left) * 2 + mirrored


@pytest.mark.parametrize("type_name", SOURCES)
def test_every_corner_mirrored_or_not_is_equally_likely(type_name: str) -> None:
    counts = np.bincount(cells(type_name, 3), minlength=CELLS)
    assert len(counts) == CELLS
    wanted = DRAWS / CELLS
    assert ((counts - wanted) ** 2 / wanted).sum() < CHI_SQUARE


@pytest.mark.parametrize("type_name", SOURCES)
def test_one_image_says_nothing_of_the_next(type_name: str) -> None:
    mirrored = cells(type_name, 4) % 2
    agreeing = (mirrored[1:] == mirrored[:-1]).sum()
    count = len(mirrored) - 1
    assert abs(agreeing - count / 2) < 4 * (count / 4) ** 0.5


def test_a_skip_at_the_start_is_any_number_below_rand_skip() -> None:
    for i in range(5):
        cv2.imwrite(f"{i}.png", IMAGE)
    Path("list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(5)))
    source = 'image_data_param { source: "list.txt" batch_size: 1 rand_skip: 4 }'
    text = NET.format(type="ImageData", source=source)
    record = read_text(text, "net.prototxt", "NetParameter", load_schema())
    graph = build_graph(record, phase="TRAIN")
    firsts = []
    for seed in range(200):
        torch.manual_seed(seed)
        firsts.append(int(fed_net(graph).feed()["label"]))
    counts = np.bincount(firsts, minlength=4)
    assert len(counts) == 4
    assert abs(counts - 50).max() < 4 * (200 * 0.25 * 0.75) ** 0.5
