"""Whole runs of solver files: genuine Caffe's trajectories, and the order of what happens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from converter.errors import SolverError
from retrain.errors import RunError
from retrain.events import Displayed, Event, Note, Saving, Scored, Scoring, Stepped
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.nets import Dialect
from retrain.smoothing import SmoothedLoss

TOLERANCE = 1e-5  # relative to the blob's largest value: golden/README
SOLVERS = (
    "sgd_momentum",
    "sgd_multistep",
    "sgd_step_l1_clip",
    "sgd_iter_size_poly",
    "rmsprop",
    "rmsprop_memo",
    "nesterov",
    "adagrad",
    "adadelta",
    "adam",
)
NOISE = 1e-2  # a bias ahead of a BatchNorm has gradient 0 but for rounding: it ends near 1e-7
LAYOUT = ("ip1:0", "ip1:1", "ip2:0", "ip2:1")


class Recorder:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def blobs_differ(found: list[Tensor], wanted: list[NDArray[Any]]) -> list[str]:
    """Blobs that differ by more than the tolerance, with by how much."""
    errors = [
        float(np.abs(f.detach().numpy() - w).max() / max(float(np.abs(w).max()), 1e-30))
        for f, w in zip(found, wanted, strict=True)
    ]
    return [f"{LAYOUT[i % 4]}: {error:.1e}" for i, error in enumerate(errors) if error > TOLERANCE]


@pytest.fixture
def golden_trainer(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The Trainer of a golden solver file with its first weights, fed the golden passes."""
    monkeypatch.chdir(golden / "solvers")

    def make(case: str, *, first_pass: int = 0) -> tuple[Trainer, Recorder, Any]:
        numbers = np.load(f"{case}.npz")
        passes = iter(range(first_pass, len(numbers["x"])))

        def feed() -> dict[str, Tensor]:
            i = next(passes)
            return {name: torch.from_numpy(numbers[name][i]) for name in ("x", "t")}

        recorder = Recorder()
        trainer = load_trainer(f"{case}.solver.prototxt", feed=feed, observer=recorder)
        with torch.no_grad():
            for blob in trainer.train.net.learnable():
                blob.tensor.copy_(torch.from_numpy(numbers[f"init:{blob.layer}:{blob.index}"]))
        return trainer, recorder, numbers

    return make


def weights(trainer: Trainer) -> list[Tensor]:
    return [blob.tensor for blob in trainer.train.net.learnable()]


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 40])
@pytest.mark.parametrize("case", SOLVERS)
def test_golden_weights_at_every_recorded_step(
    golden_trainer: Callable[..., Any], case: str, steps: int
) -> None:
    trainer, recorder, numbers = golden_trainer(case)
    trainer.step(steps)
    wanted = [numbers[f"iter{steps}:{key}"] for key in LAYOUT]
    assert blobs_differ(weights(trainer), wanted) == []
    losses = [step.loss / 1.5 for step in recorder.of(Stepped)]
    assert losses == pytest.approx(numbers["loss"][:steps], rel=TOLERANCE)


@pytest.mark.parametrize("case", SOLVERS)
def test_golden_resume_from_caffes_own_snapshot(
    golden_trainer: Callable[..., Any], case: str
) -> None:
    trainer, _, numbers = golden_trainer(
        case, first_pass=20 * int(np.load(f"{case}.npz")["iter_size"])
    )
    trainer.restore(f"{case}_iter_20.solverstate")
    assert trainer.iteration == 20
    trainer.step(20)
    assert blobs_differ(weights(trainer), [numbers[f"iter40:{key}"] for key in LAYOUT]) == []
    history = trainer.solver.history(weights(trainer))
    wanted = [numbers[key] for key in sorted(numbers.files) if key.startswith("state:")]
    assert blobs_differ(history, wanted) == []


@pytest.mark.parametrize(("case", "iterations"), [("i1_rmsprop", 100), ("lenet_sgd", 200)])
def test_golden_trajectories(
    golden: Path, monkeypatch: pytest.MonkeyPatch, case: str, iterations: int
) -> None:
    monkeypatch.chdir(golden / "trajectories")
    numbers, recorder = np.load(f"{case}.npz"), Recorder()
    trainer = load_trainer(
        f"{case}.solver.prototxt",
        weights=[f"{case}.start.caffemodel"],
        dialect=Dialect(fork="integral"),
        observer=recorder,
    )
    trainer.step(iterations)
    losses = [step.loss for step in recorder.of(Stepped)]
    assert losses == pytest.approx(numbers["loss"], rel=1e-4)
    ends = {f"{b.layer}:{b.index}": b.tensor for b in trainer.train.net.learnable()}
    wanted = {key.removeprefix("end:"): numbers[key] for key in numbers.files if "end:" in key}
    errors = {
        key: float(np.abs(ends[key].detach().numpy() - end).max() / max(np.abs(end).max(), NOISE))
        for key, end in wanted.items()
    }
    assert max(errors.values()) < 1e-4, errors


def test_golden_scores_after_a_trajectory(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(golden / "trajectories")
    recorder = Recorder()
    trainer = load_trainer(
        "lenet_sgd.solver.prototxt", weights=["lenet_sgd.start.caffemodel"], observer=recorder
    )
    trainer.step(200)
    trainer.test_all()
    scores = [output.values[0] for output in recorder.of(Scored)[0].outputs]
    assert scores == pytest.approx(np.load("lenet_sgd.npz")["test"].mean(axis=0), rel=1e-4)


NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6
solver_mode: CPU random_seed: 5
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes the Trainer of the tiny net with more solver lines, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make(
        lines: str = "", *, net: str = NET, solver: str = SOLVER, **options: Any
    ) -> tuple[Trainer, Recorder]:
        Path("net.prototxt").write_text(net, encoding="utf-8")
        Path("solver.prototxt").write_text(solver + lines, encoding="utf-8")
        recorder = Recorder()
        return load_trainer("solver.prototxt", observer=recorder, **options), recorder

    return make


def order(recorder: Recorder) -> list[str]:
    """What was shown, tested and saved, with the iteration."""
    names = {Displayed: "display", Scoring: "test", Saving: "save"}
    found = []
    for event in recorder.events:
        if isinstance(event, Saving):
            found.append(Path(event.state).stem.replace("solver_iter_", "save "))
        elif isinstance(event, Displayed | Scoring):
            found.append(f"{names[type(event)]} {event.iteration}")
    return found


TEST_LINES = "test_iter: 2 test_interval: 3 "


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ["save 6"]),
        ("snapshot_after_train: false", []),
        ("snapshot: 4", ["save 4", "save 6"]),
        ("snapshot: 3", ["save 3", "save 6"]),
        (
            TEST_LINES + "display: 2",
            [
                *("test 0", "display 0", "display 2", "test 3"),
                *("display 4", "save 6", "test 6"),
            ],
        ),
        (TEST_LINES + "test_initialization: false", ["test 3", "save 6", "test 6"]),
        ("display: 4", ["display 0", "display 4", "save 6"]),
    ],
    ids=[
        "plain",
        "no last snapshot",
        "snapshot 4",
        "snapshot 3",
        "all",
        "no first test",
        "display",
    ],
)
def test_order_of_a_run(run: Callable[..., Any], lines: str, expected: list[str]) -> None:
    trainer, recorder = run(lines)
    trainer.solve()
    assert order(recorder) == expected


def test_after_the_last_iteration_the_loss_is_shown_once_more(run: Callable[..., Any]) -> None:
    trainer, recorder = run("display: 3")
    trainer.solve()
    last = [note.text for note in recorder.of(Note)][-2:]
    assert re.fullmatch(r"Iteration 6, loss = [\d.]+", last[0])
    assert last[1] == "Optimization Done."


def test_a_seed_makes_a_run_repeatable(run: Callable[..., Any]) -> None:
    def losses() -> list[float]:
        trainer, recorder = run()
        trainer.solve()
        return [step.loss for step in recorder.of(Stepped)]

    assert losses() == losses()


def test_average_loss_is_the_mean_of_the_last(run: Callable[..., Any]) -> None:
    trainer, recorder = run("average_loss: 3")
    trainer.solve()
    losses = [step.loss for step in recorder.of(Stepped)]
    smoothed = [step.smoothed_loss for step in recorder.of(Stepped)]
    assert smoothed[1] == pytest.approx(sum(losses[:2]) / 2)
    assert smoothed[5] == pytest.approx(sum(losses[3:6]) / 3)


def test_smoothed_loss_of_one_is_the_loss() -> None:
    smoothed = SmoothedLoss()
    assert [smoothed.add(value) for value in (3.0, 1.0)] == [3.0, 1.0]


def test_a_test_net_sees_what_the_train_net_learns(run: Callable[..., Any]) -> None:
    net = NET.replace('type: "gaussian" std: 1', 'type: "constant" value: 1')
    trainer, recorder = run(TEST_LINES + "test_compute_loss: true", net=net)
    trainer.solve()
    losses = [scored.loss for scored in recorder.of(Scored)]
    trained = [step.loss for step in recorder.of(Stepped)]
    assert losses[:2] == pytest.approx([trained[0], trained[3]])
    assert losses[2] < losses[1]


def test_several_test_nets_with_states_of_their_own(run: Callable[..., Any]) -> None:
    staged = NET.replace('top: "loss" }', 'top: "loss" loss_weight: 2 include { stage: "b" } }')
    staged += """layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss"
      exclude { stage: "b" } }"""
    trainer, recorder = run(
        "test_iter: 1 test_iter: 2 test_interval: 6 "
        'test_state { stage: "a" } test_state { stage: "b" }',
        net=staged,
    )
    trainer.solve()
    weights = [scored.outputs[0].weight for scored in recorder.of(Scored)]
    assert weights == [1, 2, 1, 2]


def test_one_net_to_train_and_another_to_test(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "other.prototxt").write_text(NET.replace("tiny", "other"), encoding="utf-8")
    trainer, _ = run('test_net: "other.prototxt" test_iter: 1 test_interval: 5')
    assert [test.net.net_name for test in trainer.tests] == ["other"]
    theirs = trainer.tests[0].net.layers["ip"].blob_tensors()
    ours = trainer.train.net.layers["ip"].blob_tensors()
    assert [a.data_ptr() for _, a in theirs] == [b.data_ptr() for _, b in ours]


def test_a_net_inside_the_solver_file(run: Callable[..., Any], tmp_path: Path) -> None:
    run()
    text = SOLVER.replace('net: "net.prototxt"', f"train_net_param {{ {NET} }}")
    (tmp_path / "inside.prototxt").write_text(text, encoding="utf-8")
    assert load_trainer("inside.prototxt").train.net.net_name == "tiny"


def test_level_and_stages_choose_layers_of_the_train_net(run: Callable[..., Any]) -> None:
    net = NET.replace('top: "loss" }', 'top: "loss" include { min_level: 2 stage: "s" } }')
    assert run(net=net)[0].train.net.loss_weights == {}
    assert run(net=net, level=2, stages=["s"])[0].train.net.loss_weights == {"loss": 1}
    lines = 'train_state { level: 3 stage: "s" }'
    assert run(lines, net=net)[0].train.net.loss_weights == {"loss": 1}


def test_a_net_beside_the_solver_file_is_found_and_said(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    recorder = Recorder()
    load_trainer(tmp_path / "solver.prototxt", observer=recorder)
    notes = " ".join(note.text for note in recorder.of(Note))
    assert "net file 'net.prototxt' is not in the current folder; taking" in notes


def requests(*actions: str | None) -> Callable[[], str | None]:
    waiting: Iterator[str | None] = iter(actions)
    return lambda: next(waiting, None)


def test_a_stop_request_ends_the_run_with_a_snapshot(run: Callable[..., Any]) -> None:
    trainer, recorder = run(requested=requests(None, "stop"))
    trainer.solve()
    assert order(recorder) == ["save 2"]
    assert recorder.of(Note)[-1].text == "Optimization stopped early."


def test_a_snapshot_request_saves_and_goes_on(run: Callable[..., Any]) -> None:
    trainer, recorder = run(requested=requests(None, None, "snapshot"))
    trainer.solve()
    assert order(recorder) == ["save 3", "save 6"]


def test_a_stop_request_interrupts_a_test(run: Callable[..., Any]) -> None:
    trainer, recorder = run(TEST_LINES, requested=requests("stop"))
    trainer.solve()
    assert order(recorder) == ["test 0", "save 0"]
    assert "Test interrupted." in [note.text for note in recorder.of(Note)]


def test_a_loss_that_is_no_number_stops_the_run(run: Callable[..., Any]) -> None:
    trainer, _ = run("snapshot: 2 momentum: 0.9")
    trainer.step(3)
    with torch.no_grad():
        weights(trainer)[0].fill_(float("nan"))
    with pytest.raises(
        RunError,
        match=r"iteration 3: the loss is nan \(output loss\); the last snapshot is of iteration 2",
    ):
        trainer.solve()
    assert trainer.iteration == 3


def test_debug_info_shows_every_blob_and_gradient(run: Callable[..., Any]) -> None:
    deeper = NET.replace('bottom: "ip" bottom: "y"', 'bottom: "ip2" bottom: "y"')
    deeper += """layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2"
      param { name: "w" } inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    """
    parts = deeper.split("layer {")
    parts[3], parts[4] = parts[4], parts[3]
    trainer, recorder = run("debug_info: true display: 5", net="layer {".join(parts))
    trainer.step(2)
    lines = [note.text.strip() for note in recorder.of(Note) if "ward]" in note.text]
    assert [line.split(": ")[0] for line in lines] == [
        "[Forward] Layer data, top blob x data",
        "[Forward] Layer data, top blob y data",
        "[Forward] Layer ip, top blob ip data",
        "[Forward] Layer ip, param blob 0 data",
        "[Forward] Layer ip, param blob 1 data",
        "[Forward] Layer ip2, top blob ip2 data",
        "[Forward] Layer ip2, param blob w data",
        "[Forward] Layer ip2, param blob 1 data",
        "[Forward] Layer loss, top blob loss data",
        "[Backward] Layer loss, bottom blob ip2 diff",
        "[Backward] Layer ip2, bottom blob ip diff",
        "[Backward] Layer ip2, param blob 0 diff",
        "[Backward] Layer ip2, param blob 1 diff",
        "[Backward] Layer ip, param blob 0 diff",
        "[Backward] Layer ip, param blob 1 diff",
        "[Backward] All net params (data, diff)",
    ]
    assert lines[1] == "[Forward] Layer data, top blob y data: 0.5"
    assert lines[8].endswith(f": {recorder.of(Stepped)[0].loss:g}")


def test_iter_size_reads_that_many_batches(run: Callable[..., Any]) -> None:
    trainer, _ = run("iter_size: 3")
    batches = []
    feed = trainer.train.feed

    def counting() -> Any:
        batches.append(1)
        return feed()

    trainer.train.feed = counting
    trainer.step(2)
    assert len(batches) == 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("test_iter: 2", "test_iter is set, so test_interval must be too"),
        ('train_net: "net.prototxt"', "exactly one of net, .* it has train_net and net"),
        ('test_net: "net.prototxt" test_interval: 2', "given 0 times for 1"),
        (TEST_LINES + "test_state {} test_state {}", "it is given 2 times for 1"),
        ("average_loss: 0", "average_loss must be 1 or more, it is 0"),
        ("display: -1", "display must not be negative, it is -1"),
        ('regularization_type: "l2"', 'is "L1" or "L2", not "l2"'),
        ('type: "Sgd"', "solver.prototxt: solver type 'Sgd' is not known; there are"),
        ('type: "RMSProp" momentum: 0.9', "solver.prototxt: RMSProp has no momentum"),
        ('type: "RMSProp" rms_decay: 1', r"rms_decay lies in \[0, 1\), it is 1"),
    ],
    ids=lambda value: value if ":" in value else "",
)
def test_a_solver_file_that_contradicts_itself(
    run: Callable[..., Any], lines: str, message: str
) -> None:
    with pytest.raises(SolverError, match=message):
        run(lines)


def test_a_policy_that_misses_a_field_names_the_file(run: Callable[..., Any]) -> None:
    with pytest.raises(SolverError, match=r"solver.prototxt: lr_policy 'step' needs gamma and st"):
        run("", solver=SOLVER.replace("fixed", "step"))


def test_a_net_that_is_not_there(run: Callable[..., Any], tmp_path: Path) -> None:
    run()
    (tmp_path / "net.prototxt").unlink()
    with pytest.raises(SolverError, match=r"net file 'net.prototxt' is not there"):
        load_trainer("solver.prototxt")


def test_an_input_net_cannot_feed_itself(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(golden / "solvers")
    with pytest.raises(SolverError, match=r"net 'traj' has Input layers for 'x', 't'"):
        load_trainer("sgd_momentum.solver.prototxt")
