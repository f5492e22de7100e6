"""Output layers beside a run: order, bounds, errors, and that nothing is lost at the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import caffe_layers
from caffe_layers.background import Background, finish, in_background
from caffe_layers.errors import DataError


def test_work_is_done_in_order() -> None:
    done: list[int] = []
    background = Background()
    for number in range(7):
        background.do(lambda number=number: done.append(number))
    background.finish()
    assert done == list(range(7))


def test_who_brings_more_than_there_is_room_for_waits() -> None:
    go, brought = threading.Event(), threading.Semaphore(0)
    background = Background(most=3)

    def bring() -> None:
        for _ in range(9):
            background.do(lambda: bool(go.wait(10)))
            brought.release()

    bringer = threading.Thread(target=bring)
    bringer.start()
    first = [brought.acquire(timeout=5) for _ in range(4)]  # one is worked on, three wait
    assert all(first)
    assert not brought.acquire(timeout=0.2)
    go.set()
    bringer.join(5)
    background.finish()


def test_an_error_comes_with_the_next_piece_or_the_end() -> None:
    def fail() -> None:
        raise DataError("the disk is full")

    background = Background()
    background.do(fail)
    with pytest.raises(DataError, match="disk is full"):
        background.finish()
    background.finish()


def test_files_are_written_when_the_block_ends(tmp_path: Path) -> None:
    layer = caffe_layers.OutputBlob(save_path=f"{tmp_path}/", blob_name="an")
    numbers, index = torch.tensor([[1.5, 2.0, 3.0], [4.0, 5.0, 6.25]]), torch.tensor([[7.0], [8.0]])
    with in_background([layer, "no layer"]):
        layer(numbers, index)
        numbers.zero_()  # what was given is what is written
    assert (tmp_path / "an_7.txt").read_text().split() == ["1.500000", "2.000000", "3.000000"]
    assert (tmp_path / "an_8.txt").read_text().split() == ["4.000000", "5.000000", "6.250000"]
    assert not layer.background


def test_what_cannot_be_written_is_told_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    layer = caffe_layers.OutputBlob(save_path=f"{tmp_path}/file/", blob_name="an")
    with pytest.raises(DataError, match="cannot write"), in_background([layer]):
        layer(torch.ones(1, 3), torch.ones(1, 1))


def test_an_error_of_the_run_is_not_hidden_and_its_files_are_written(tmp_path: Path) -> None:
    layer = caffe_layers.OutputBlob(save_path=f"{tmp_path}/", blob_name="an")

    def run() -> None:
        with in_background([layer]):
            layer(torch.ones(1, 3), torch.ones(1, 1))
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert (tmp_path / "an_1.txt").is_file()


def test_a_process_that_ends_writes_first(tmp_path: Path) -> None:
    script = f"""
import torch, caffe_layers
layer = caffe_layers.OutputBlob(save_path={str(tmp_path)!r} + "/", blob_name="an")
layer.background = True
for index in range(40):
    layer(torch.ones(1, 2), torch.tensor([[float(index)]]))
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)
    assert len(list(tmp_path.iterdir())) == 40
    finish()
