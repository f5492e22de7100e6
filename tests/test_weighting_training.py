"""Weightings in a run: `--weighting`, the solver's block, snapshots, passes, precision, ranks."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caffe_layers.weighting import CoV
from caffe_layers.weighting.registry import find, registered
from converter.errors import SolverError
from retrain.computing import Speed
from retrain.curves import Curves
from retrain.event_lines import EventLines
from retrain.events import Caution, Displayed, Ended, Event, Note, Observers, Started, Stepped
from retrain.load import load_trainer
from retrain.loop import Trainer
from retrain.settings import read_settings
from retrain.weight_lines import WeightLines
from retrain.weighting import WeighedLosses
from retrain.weighting_choice import choice_in, choice_of_flag

ROOT = Path(__file__).parent.parent
HAVE_SOLVERS = all(importlib.util.find_spec(n) for n in ("torchjd", "cvxpy", "quadprog"))
OF_TORCHJD = {"PCGrad", "IMTL", "AlignedMTL", "UPGrad"}
NAMES = sorted(set(registered()) - (set() if HAVE_SOLVERS else OF_TORCHJD))

SOURCE = """name: "two_heads"
layer { name: "draw" type: "DummyData" top: "x" top: "p" top: "q" dummy_data_param {
  shape { dim: 6 dim: 5 } shape { dim: 6 dim: 4 } shape { dim: 6 dim: 3 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 0.2 mean: 0.5 }
  data_filler { type: "gaussian" std: 20 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "p1" type: "InnerProduct" bottom: "ip" top: "p1"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "q1" type: "InnerProduct" bottom: "ip" top: "q1"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
LOSSES = """
layer { name: "a" type: "EuclideanLoss" bottom: "p1" bottom: "p" top: "a" loss_weight: %s }
layer { name: "b" type: "EuclideanLoss" bottom: "q1" bottom: "q" top: "b" loss_weight: %s }
"""
ADAPTIVE = """
layer { name: "a" type: "AdaptiveWeightEucLoss" bottom: "p1" bottom: "p" bottom: "q1" bottom: "q"
  top: "a" }
"""
SOLVER = """net: "net.prototxt" lr_policy: "fixed" max_iter: 8 snapshot: 4 display: 1 """
RATE = 'base_lr: 0.001 type: "RMSProp"'

Make = Callable[..., Trainer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes Trainers of the two-headed net; a weighting by its flag, or lines of the solver."""
    monkeypatch.chdir(tmp_path)

    def make(
        flag: str = "",
        lines: str = "",
        *,
        net: str = SOURCE + LOSSES % (1, 1),
        rate: str = RATE,
        seed: int = 3,
        **options: Any,
    ) -> Trainer:
        Path("net.prototxt").write_text(net, encoding="utf-8")
        text = f"{SOLVER} {rate} random_seed: {seed}\n{lines}"
        Path("solver.prototxt").write_text(text, encoding="utf-8")
        settings = read_settings("solver.prototxt")
        object.__setattr__(settings, "weighting", flag)
        return load_trainer(settings, **options)

    return make


def blobs(trainer: Trainer) -> list[Tensor]:
    return [blob.tensor.detach().clone() for blob in trainer.train.net.learnable()]


def assert_close(one: Trainer, other: Trainer) -> None:
    for a, b in zip(blobs(one), blobs(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


# --- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "block"),
    [
        ("cov", 'type: "CoV"'),
        ("CoV:decay=0.5,timing=paper", 'type: "CoV" decay: 0.5 timing: "paper"'),
        ("gradnorm:shared=ip,sum=1", 'type: "GradNorm" shared: "ip" sum: 1'),
        ("manual:values.a=2,values.b=0.25", 'type: "Manual" values { a: 2 b: 0.25 }'),
        ("cov:losses=a+b", 'type: "CoV" losses: "a" losses: "b"'),
        ("aligned-mtl:sum=true", 'type: "AlignedMTL" sum: true'),
        ("dtp:indicators.a=b", 'type: "dtp" indicators { a: "b" }'),
    ],
)
def test_the_flag_says_what_the_block_says(run: Make, flag: str, block: str) -> None:
    run(lines=f"weighting {{ {block} }}" if "aligned" not in flag else "")
    Path("solver.prototxt").write_text(
        f"{SOLVER} {RATE}\nweighting {{ {block} }}", encoding="utf-8"
    )
    settings = read_settings("solver.prototxt")
    assert settings.unknown == ()
    one, other = choice_of_flag(flag), choice_in(settings)
    assert other is not None
    assert other.where == "solver.prototxt:2:1: weighting"
    assert (one.losses, one.shared, one.indicators) == (
        other.losses,
        other.shared,
        other.indicators,
    )
    assert one.options.keys() == other.options.keys()
    assert find(one.name) is find(other.name)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("covv", "--weighting: weighting 'covv' is not known. Did you mean 'CoV'"),
        ("cov:dekay=1", "weighting CoV has no option 'dekay'. Did you mean 'decay'?"),
        ("cov:rate=1", "weighting CoV has no option 'rate'; there are decay, inverse, losses, "),
        ("cov:decay=1,decay=0.5", "--weighting=cov:decay=1,decay=0.5: 'decay' is given twice"),
        ("manual:values.a=1,values.a=2", "'values' is given twice"),
        ("cov:losses=", "'losses=' has no value"),
        ("cov:shared=ip", "CoV compares no gradients: leave out shared"),
        ("manual:values.c=1", "values: 'c' is no loss that is weighed; there are 'a', 'b'"),
        ("manual:values.a=nan", "values.a is a number, not 'nan'"),
        ("dtp:gamma.a=1", "gamma is one number for all losses, it does not go by loss"),
        ("dwa:epoch=2.5", "epoch is a whole number, not '2.5'"),
        ("mgda:shared=ipp", "shared: the net has no blob 'ipp'. Did you mean 'ip'?"),
        ("cov:decay", "'decay' has no value; options are KEY=VALUE,KEY=VALUE"),
        ("cov:decay=often", "--weighting: decay is a number, not 'often'"),
        ("cov:timing=late", "--weighting: timing is official or paper, not 'late'"),
        ("cov:inverse=maybe", "--weighting: inverse is true or false, not 'maybe'"),
        ("cov:decay=7", "decay is the weight of the old mean, 0 to 1, not 7"),
        ("manual:values=3", "values goes by loss, found '3'"),
        ("cov:losses=a+c", "top 'c' is not among the outputs of net 'two_heads': 'a', 'b'"),
        ("mgda:shared=p1", "not all losses depend on blob 'p1'"),
        ("cov:indicators.a=b", "--weighting: CoV takes no indicators"),
        ("dtp:indicators.c=b", "'c' is no loss that is weighed"),
        ("dtp:indicators.a=d", "the net has no output 'd'"),
    ],
)
def test_what_does_not_fit_is_said(run: Make, flag: str, message: str) -> None:
    with pytest.raises(SolverError) as caught:
        run(flag)
    assert message in str(caught.value)


def test_a_block_without_a_type(run: Make) -> None:
    with pytest.raises(SolverError, match=r"solver.prototxt:2:1: weighting: needs a type"):
        run(lines="weighting { decay: 1 }")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ('type: "cov" decay: 0.9 decay: 0.8', "weighting: decay is given 2 times"),
        ('type: "manual" values { a: 1 a: 2 }', "weighting: values.a is given 2 times"),
        ('type: "cov" losses { a: 1 }', 'losses are names: losses: "loss_a" losses: "loss_b"'),
    ],
)
def test_a_block_that_does_not_fit(run: Make, block: str, message: str) -> None:
    with pytest.raises(SolverError) as caught:
        run(lines=f"weighting {{ {block} }}")
    assert message in str(caught.value)


def test_a_misspelt_block_is_cautioned(run: Make) -> None:
    events: list[Event] = []
    run(lines='weigthing { type: "cov" }', observer=events.append)
    cautions = [event.text for event in events if isinstance(event, Caution)]
    wanted = "solver.prototxt:2:1: 'weigthing' is not read. Did you mean 'weighting { … }'?"
    assert wanted in cautions


def test_manual_keeps_the_loss_weights_of_losses_that_are_not_named(run: Make) -> None:
    trainer = run("manual:values.a=2", net=SOURCE + LOSSES % (1, 0.3))
    trainer.step(1)
    assert trainer.train.adaptive_weights()["Manual"] == pytest.approx({"a": 2, "b": 0.3})


def test_adaptive_weights_are_for_euclidean_losses(run: Make) -> None:
    net = SOURCE + LOSSES.replace('"EuclideanLoss" bottom: "q1"', '"SmoothL1Loss" bottom: "q1"')
    with pytest.raises(SolverError, match=r"weighs EuclideanLosses; 'b' is of .*SmoothL1Loss"):
        run("adaptive-i1", net=net % (1, 1))


def test_a_compiled_net_has_no_inside(run: Make) -> None:
    with pytest.raises(SolverError, match="leave out --compile"):
        run("mgda", speed=Speed(None, True, False))


# --- what is told --------------------------------------------------------------------------------


def test_tops_and_the_shared_blob_are_told(run: Make) -> None:
    events: list[Event] = []
    run("gradnorm", observer=events.append)
    said = [event.text for event in events if isinstance(event, Note)][-4:]
    assert said == [
        "Weighting GradNorm of 2 losses:",
        "    a: EuclideanLoss of 'p1' and 'p', loss_weight 1",
        "    b: EuclideanLoss of 'q1' and 'q', loss_weight 1",
        "    gradients are compared at blob 'ip', the last that both losses depend on, [6, 7]",
    ]


def test_a_way_around_the_shared_blob_is_told(run: Make) -> None:
    around = """
    layer { name: "first" type: "InnerProduct" bottom: "x" top: "first"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
    layer { name: "side" type: "InnerProduct" bottom: "first" top: "side"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "both" type: "Eltwise" bottom: "q1" bottom: "side" top: "both" }
    """
    net = SOURCE.replace('bottom: "x" top: "ip"', 'bottom: "first" top: "ip"')
    head, _, tail = net.partition('layer { name: "ip"')
    first, _, side = around.partition('layer { name: "side"')
    net = f'{head}{first}layer {{ name: "ip"{tail}layer {{ name: "side"{side}'
    events: list[Event] = []
    net += LOSSES.replace('bottom: "q1" bottom: "q"', 'bottom: "both" bottom: "q"') % (1, 1)
    run("mgda", net=net, observer=events.append)
    said = [event.text for event in events if isinstance(event, Note)][-1]
    assert "blob 'ip', the last that both losses depend on" in said
    assert "(some reach past it: no path gets around 'first')" in said


def test_a_net_without_a_loss(run: Make) -> None:
    with pytest.raises(SolverError, match="'two_heads' has no loss to weigh: its outputs are 'a'"):
        run("cov", net=SOURCE + LOSSES % (0, 0))


def test_the_shared_blob_of_a_single_loss(run: Make) -> None:
    events: list[Event] = []
    run("mgda", net=SOURCE + LOSSES % (1, 0), observer=events.append)
    said = [event.text for event in events if isinstance(event, Note)][-1]
    assert said == "    gradients are compared at blob 'p1', the last that 'a' depends on, [6, 4]"


def test_one_loss_is_cautioned(run: Make) -> None:
    events: list[Event] = []
    run("cov", net=SOURCE + LOSSES % (1, 0), observer=events.append)
    cautions = [event.text for event in events if isinstance(event, Caution)]
    assert cautions == ["only one loss is weighed, 'a': name others with `losses`"]


def test_weights_that_are_no_numbers_are_written(tmp_path: Path) -> None:
    lines = EventLines(str(tmp_path / "run"))
    weights = {"MGDA": {"a": math.nan, "b": math.inf, "c": 0.5}}
    for event in (
        Started("net", "fixed", 0, 1),
        Displayed(0, 1.0, 1, 1.0, 1, [], weights),
        Stepped(0, 1.0, 1.0, 0.1),
        Ended(),
    ):
        lines(event)
    shown = json.loads((tmp_path / "run_log.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert shown["adaptive_weights"] == {"MGDA": {"a": "nan", "b": "inf", "c": 0.5}}


def test_weights_are_logged_and_drawn(run: Make, tmp_path: Path) -> None:
    trainer = run("cov")
    shown: list[Event] = []
    curves = Curves(str(tmp_path / "run"), trainer.train.adaptive_weights)
    trainer.observer = Observers(shown.append, curves)
    trainer.solve()
    weights = [e.adaptive_weights["CoV"] for e in shown if hasattr(e, "adaptive_weights")]
    assert [list(w) for w in weights] == [["a", "b"]] * 8
    assert [sum(w.values()) for w in weights] == pytest.approx([1] * 8)
    assert (tmp_path / "run_adaptive_weights.png").stat().st_size > 5000


def test_weights_of_every_iteration_are_a_table(run: Make, tmp_path: Path) -> None:
    """As the display shows them; a resumed run replaces what was written of its iterations."""
    trainer = run("cov")
    shown: list[Event] = []
    table = WeightLines(str(tmp_path / "run"), trainer.train.adaptive_weights)
    trainer.observer = Observers(shown.append, table)
    trainer.solve()
    used = [e.adaptive_weights["CoV"] for e in shown if hasattr(e, "adaptive_weights")]
    again = WeightLines(str(tmp_path / "run"), lambda: {"CoV": {"a": 0.25, "b": 0.75}})
    for event in (Started("net", "fixed", 6, 8), Stepped(6, 1.0, 1.0, 0.1), Ended()):
        again(event)
    text = (tmp_path / "run_adaptive_weights.csv").read_text(encoding="utf-8")
    heads, *rows = csv.reader(text.splitlines())
    assert heads == ["iteration", "CoV/a", "CoV/b"]
    assert [int(row[0]) for row in rows] == list(range(7))
    written = [[float(value) for value in row[1:]] for row in rows]
    assert written == [[w["a"], w["b"]] for w in used[:6]] + [[0.25, 0.75]]


# --- what it does --------------------------------------------------------------------------------


def test_manual_is_the_prototxts_loss_weight(run: Make) -> None:
    net = SOURCE + LOSSES % (1, 0.3)
    plain, weighed = run(net=net), run("manual", net=net)
    equal, named = run("equal", net=net), run("manual:values.b=0.3", net=SOURCE + LOSSES % (1, 1))
    for trainer in (plain, weighed, equal, named):
        torch.manual_seed(3)
        trainer.step(5)
    assert_close(plain, weighed)
    assert_close(plain, named)
    with pytest.raises(AssertionError):
        assert_close(plain, equal)


def test_adaptive_euclidean_trains_as_the_layer_does(run: Make) -> None:
    layer, weighed = run(net=SOURCE + ADAPTIVE), run("adaptive-i1")
    for trainer in (layer, weighed):
        torch.manual_seed(3)
        trainer.step(6)
    assert_close(layer, weighed)


def test_tops_without_a_loss_weight_can_be_weighed(run: Make) -> None:
    silent, loud = run("cov:losses=a+b", net=SOURCE + LOSSES % (0, 0)), run("cov")
    for trainer in (silent, loud):
        torch.manual_seed(3)
        trainer.step(5)
    assert_close(silent, loud)


def test_the_solvers_block_weighs_too(run: Make) -> None:
    block, flag = run(lines='weighting { type: "CoV" timing: "paper" }'), run("cov:timing=paper")
    for trainer in (block, flag):
        torch.manual_seed(3)
        trainer.step(5)
    assert_close(block, flag)


def test_uncertainty_is_learnt_by_the_solver(run: Make) -> None:
    first = run("uncertainty")
    torch.manual_seed(3)
    losses = first.train.run().outputs
    again = run("uncertainty:lr_mult=10", rate='base_lr: 0.01 type: "SGD" weight_decay: 0.5')
    torch.manual_seed(3)
    again.step(1)
    wanted = [-0.1 * (0.5 - 0.5 * losses[name].item()) for name in "ab"]  # ∂/∂s at s = 0
    assert isinstance(again.train.weighting, WeighedLosses)
    s = next(again.train.weighting.module.parameters())
    assert s.tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("iter_size", [1, 3])
def test_block_normalised_updates_have_the_length_of_the_rate(run: Make, iter_size: int) -> None:
    trainer = run("bng", f"iter_size: {iter_size}", rate='base_lr: 0.01 type: "SGD"')
    before = blobs(trainer)
    trainer.step(1)
    steps = [a - b for a, b in zip(blobs(trainer), before, strict=True)]
    for weight, bias in zip(steps[::2], steps[1::2], strict=True):
        length = (weight.square().sum() + bias.square().sum()).sqrt().item()
        assert length == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("solver", ["RMSProp", "Adam"])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_the_uninterrupted_one(run: Make, name: str, solver: str) -> None:
    rate = f'base_lr: 0.001 type: "{solver}" momentum: {0.9 if solver == "Adam" else 0}'
    options = ":epoch=2" if name == "DWA" else ""
    through = run(name + options, "iter_size: 2", rate=rate)
    through.solve()
    wanted = through.train.adaptive_weights()
    resumed = run(name + options, "iter_size: 2", rate=rate, seed=9)
    resumed.restore("solver_iter_4.solverstate")
    resumed.solve()
    same = [torch.equal(a, b) for a, b in zip(blobs(through), blobs(resumed), strict=True)]
    assert same == [True] * 6
    assert resumed.train.adaptive_weights() == wanted


def test_statistics_of_another_weighting_are_not_taken_up(run: Make) -> None:
    run("cov").solve()
    events: list[Event] = []
    other = run("dwa", observer=events.append)
    other.restore("solver_iter_4.solverstate")
    cautions = [event.text for event in events if isinstance(event, Caution)]
    assert len(cautions) == 1
    assert "the run was weighed by CoV, not DWA" in cautions[0]


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(run: Make, name: str, amp: Any) -> None:
    trainer = run(name, speed=Speed(amp, False, False))
    trainer.step(4)
    assert all(torch.isfinite(blob).all() for blob in blobs(trainer))
    assert all(abs(w) < 1e6 for w in trainer.train.adaptive_weights()[name].values())


def test_gradients_in_fp16_are_scaled_on_their_way(run: Make) -> None:
    """At a scale of 2^16 products of gradients keep their size."""
    full, half = (
        run("nash-mtl:max_norm=0"),
        run("nash-mtl:max_norm=0", speed=Speed("fp16", False, False)),
    )
    found = []
    for trainer in (full, half):
        torch.manual_seed(3)
        trainer.step(1)
        found.append(list(trainer.train.adaptive_weights()["NashMTL"].values()))
    assert found[0] == pytest.approx(found[1], rel=0.02)


@pytest.mark.parametrize("name", ["cov", "uncertainty", "mgda"])
def test_two_ranks_from_the_command(run: Make, tmp_path: Path, name: str) -> None:
    """Both ranks' state files say the same, and the weights that were learnt are numbers."""
    run()
    command = [sys.executable, "-m", "pycaffe", "train", "--solver=solver.prototxt", "--nproc=2"]
    done = subprocess.run(
        [*command, f"--weighting={name}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    state = json.loads(Path("solver_iter_8.runstate").read_text(encoding="utf-8"))
    first = state["nets"][0]["weighting"]
    second = state["others"][0]["nets"][0]["weighting"]
    assert first == second
    assert first["statistics"]["_extra_state"] == {"names": ["a", "b"]}


def test_showing_the_last_loss_moves_no_statistic(run: Make) -> None:
    trainer = run("cov")
    trainer.step(3)
    weighed = trainer.train.weighting
    assert isinstance(weighed, WeighedLosses)
    assert isinstance(weighed.module, CoV)
    before = weighed.module.steps.item()
    trainer._show_last_loss()
    assert (before, weighed.module.steps.item()) == (3, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("amp", [None, "bf16", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu(run: Make, name: str, amp: Any) -> None:
    """Weights, statistics and a resumed run on the device are those of the CPU."""
    gpu = run(name, device=torch.device("cuda"), speed=Speed(amp, False, False))
    gpu.solve()
    assert all(torch.isfinite(blob).all() for blob in blobs(gpu))
    resumed = run(name, device=torch.device("cuda"), speed=Speed(amp, False, False))
    resumed.restore("solver_iter_4.solverstate")
    resumed.solve()
    assert resumed.train.adaptive_weights().keys() == gpu.train.adaptive_weights().keys()
    if amp is None:
        cpu = run(name)
        cpu.solve()
        wanted = list(cpu.train.adaptive_weights()[name].values())
        assert list(gpu.train.adaptive_weights()[name].values()) == pytest.approx(wanted, rel=1e-2)
