"""JSON lines and TensorBoard's event files of a run, read back by other hands; resumed runs."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pycaffe.command import main
from retrain.event_lines import EventLines
from retrain.events import Displayed, Ended, Output, Saving, Scored, Started, Stepped
from retrain.summaries import Summaries

ROOT = Path(__file__).parent.parent


def a_run(*observers: Callable[[Any], None], start: int = 0, stop: int = 6, add: float = 0) -> None:
    """Events of a run that displays at every second iteration and tests and saves at every third.

    The loss is 10 at first and falls by one half each time.
    """
    events: list[Any] = [Started("tiny", "step", start, 6)]
    for i in range(start, stop):
        if i % 3 == 0:
            events.append(Scored(i, 0, [Output("accuracy", [i / 8])], 3.5 + i))
        if i % 2 == 0:
            outputs = [Output("loss", [10 - i / 2 + add], 1.0), Output("two", [1.0, 2.5])]
            events.append(Displayed(i, 11.0, 2, 0.5, 2, outputs, {"ada": {"hm": 0.25 + i}}))
        events.append(Stepped(i, 10 - i / 2 + add, 11.0, 0.1))
        if i % 3 == 2:
            events.append(Saving(f"n_{i + 1}.caffemodel", f"n_{i + 1}.solverstate"))
    for event in (*events, Ended()):
        for observer in observers:
            observer(event)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def what(found: list[dict[str, Any]]) -> list[str]:
    return [f"{line['event']} {line['iteration']}" for line in found]


def test_a_line_for_every_event(tmp_path: Path) -> None:
    written = EventLines(f"{tmp_path}/net", now=iter([100.0, 107.5]).__next__)
    a_run(written)
    found = lines(tmp_path / "net_log.jsonl")
    assert what(found) == [
        *("start 0", "test 0", "display 0", "display 2", "snapshot 3", "test 3"),
        *("display 4", "snapshot 6", "end 6"),
    ]
    assert found[3] == {
        "event": "display",
        "iteration": 2,
        "loss": 9.0,
        "smoothed_loss": 11.0,
        "rate": 0.1,
        "outputs": {"loss": 9.0, "two": [1.0, 2.5]},
        "adaptive_weights": {"ada": {"hm": 2.25}},
        "seconds": 0.5,
        "iterations_per_second": 4.0,
    }
    assert found[5] == {
        "event": "test",
        "iteration": 3,
        "net": 0,
        "outputs": {"accuracy": 0.375},
        "loss": 6.5,
    }
    assert found[4]["state"] == "n_3.solverstate"
    assert found[-1]["seconds"] == 7.5


def test_a_resumed_run_takes_the_place_of_what_came_after(tmp_path: Path) -> None:
    a_run(EventLines(f"{tmp_path}/net"), stop=5)
    path = tmp_path / "net_log.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write('{"event": "displ')  # as a kill would leave it
    a_run(EventLines(f"{tmp_path}/net"), start=3, add=100)
    found = lines(path)
    assert what(found) == [
        *("start 0", "test 0", "display 0", "display 2"),
        *("start 3", "test 3", "display 4", "snapshot 6", "end 6"),
    ]
    assert [line["loss"] for line in found if line["event"] == "display"] == [10, 9, 108]


def test_a_run_from_the_beginning_replaces_an_old_one(tmp_path: Path) -> None:
    a_run(EventLines(f"{tmp_path}/net"))
    a_run(EventLines(f"{tmp_path}/net"), stop=1)
    assert what(lines(tmp_path / "net_log.jsonl")) == ["start 0", "test 0", "display 0", "end 1"]


def test_numbers_that_json_has_not_and_long_outputs(tmp_path: Path) -> None:
    written = EventLines(f"{tmp_path}/net")
    written(Started("tiny", "fixed", 0, 1))
    written(Scored(0, 1, [Output("maps", [0.5] * 101), Output("l", [math.inf])], math.nan))
    written(Ended())
    test = lines(tmp_path / "net_log.jsonl")[1]
    assert test["outputs"] == {"maps": {"values": 101}, "l": "inf"}
    assert test["loss"] == "nan"


def scalars(folder: str) -> dict[str, list[tuple[int, float]]]:
    """Every curve as TensorBoard itself reads it."""
    read = EventAccumulator(folder).Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    written = Summaries(f"{tmp_path}/net")
    a_run(written)
    assert scalars(written.folder) == {
        "train/loss": [(0, 10), (2, 9), (4, 8)],
        "train/smoothed_loss": [(0, 11), (2, 11), (4, 11)],
        "train/rate": [(i, pytest.approx(0.1)) for i in (0, 2, 4)],
        "train/iterations_per_second": [(0, 4), (2, 4), (4, 4)],
        "train/output/loss": [(0, 10), (2, 9), (4, 8)],
        "adaptive_weights/ada/hm": [(0, 0.25), (2, 2.25), (4, 4.25)],
        "test0/loss": [(0, 3.5), (3, 6.5)],
        "test0/output/accuracy": [(0, 0), (3, 0.375)],
    }


def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path: Path) -> None:
    written = Summaries(f"{tmp_path}/net")
    a_run(written)
    time.sleep(1.1 - time.time() % 1)  # files are in the order of the second they were begun in
    a_run(Summaries(f"{tmp_path}/net"), start=3, add=100)
    curves = scalars(written.folder)
    assert curves["train/loss"] == [(0, 10), (2, 9), (4, 108)]
    assert curves["test0/loss"] == [(0, 3.5), (3, 6.5)]


NET = """name: "tiny"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 display: 2 snapshot: 3
solver_mode: CPU random_seed: 5 snapshot_prefix: "kept/tiny" test_iter: 2 test_interval: 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    (tmp_path / "solver.prototxt").write_text(SOLVER, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["tiny_log.jsonl", "tiny_tensorboard"]),
        (["--event_files=jsonl"], ["tiny_log.jsonl"]),
        (["--event_files=tensorboard"], ["tiny_tensorboard"]),
        (["--event_files=none"], []),
    ],
    ids=["all", "jsonl", "tensorboard", "none"],
)
def test_they_lie_beside_the_snapshots(folder: Path, flags: list[str], expected: list[str]) -> None:
    assert main(["train", "--solver=solver.prototxt", *flags]) == 0
    names = {path.name for path in (folder / "kept").iterdir()}
    assert sorted(names & {"tiny_log.jsonl", "tiny_tensorboard"}) == expected


def test_a_run_and_its_continuation(folder: Path) -> None:
    assert main(["train", "--solver=solver.prototxt"]) == 0
    path = folder / "kept" / "tiny_log.jsonl"
    through = lines(path)
    assert (
        main(["train", "--solver=solver.prototxt", "-snapshot=kept/tiny_iter_3.solverstate"]) == 0
    )
    resumed = lines(path)
    assert what(through) == [
        *("start 0", "test 0", "display 0", "display 2", "snapshot 3", "test 3"),
        *("display 4", "snapshot 6", "test 6", "end 6"),
    ]
    assert what(resumed) == [*what(through)[:4], "start 3", *what(through)[5:]]
    losses = [line["loss"] for line in through if line["event"] == "display"]
    assert [line["loss"] for line in resumed if line["event"] == "display"] == losses
    curve = scalars(str(folder / "kept" / "tiny_tensorboard"))["train/loss"]
    assert curve == [(2 * i, pytest.approx(loss)) for i, loss in enumerate(losses)]


def test_the_library_is_imported_only_when_a_run_starts(tmp_path: Path) -> None:
    code = "import retrain.summaries, sys; print('tensorboard' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_without_the_library_the_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["train", "--solver=solver.prototxt"]) == 0
    assert "no event files for TensorBoard: " in capsys.readouterr().err
    assert (folder / "kept" / "tiny_log.jsonl").is_file()


def test_the_log_as_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """glog's name, head and link; what follows is the log itself."""
    assert main(["train", "-solver=solver.prototxt", "-log_dir", "logs/here"]) == 0
    link = folder / "logs" / "here" / "caffe.INFO"
    assert re.fullmatch(r"caffe\..+\.log\.INFO\.\d{8}-\d{6}\.\d+", link.resolve().name), (
        link.resolve()
    )
    written, shown = link.read_text("utf-8").splitlines(), capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"Log file created at: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d", written[0])
    assert written[1].startswith("Running on machine: ")
    assert written[2] == "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg"
    assert [line.split("] ")[-1] for line in written[3:]] == [
        line.split("] ")[-1] for line in shown
    ]


def test_a_log_folder_that_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-solver=solver.prototxt", "-log_dir=net.prototxt"]) == 1
    assert "caffe: --log_dir=net.prototxt: cannot be written: " in capsys.readouterr().err
