"""The shoot-out: Adaptive I1's five losses under every weighting."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from retrain.errors import RunError
from retrain.events import Event, Scored, Stepped
from retrain.load import load_trainer
from retrain.nets import Dialect
from retrain.settings import read_settings

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "examples/prototxt/adaptive_i1"
LAYER = "AdaptiveWeightEucLoss"
FLAGS = {
    "Equal": "equal",
    "Manual": "manual:values.loss_3dhm=0.3",
    LAYER: "",
    "AdaptiveEuclidean": "adaptive-i1",
    "CoV": "cov",
    "CoV paper": "cov:timing=paper",
    "Uncertainty": "uncertainty",
    "DTP": "dtp",
    "DWA": "dwa:epoch=64",
    "GLS": "gls",
    "IMTL-L": "imtl-l",
    "BNG": "bng",
    "GradNorm": "gradnorm",
    "MGDA": "mgda",
    "PCGrad": "pcgrad",
    "CAGrad": "cagrad",
    "IMTL": "imtl",
    "NashMTL": "nash-mtl",
    "AlignedMTL": "aligned-mtl",
    "UPGrad": "upgrad",
}
"""Each weighting at its defaults; an epoch is 512 samples in batches of 8."""
NAMES = tuple(FLAGS)
PAIRS = {
    "joint2dloss_s1_int": "pred_joint_2d_s1_int",
    "joint2dloss_s2_int": "pred_joint_2d_s2_int",
    "depthloss_s2_int": "pred_depth_s2_int",
    "loss_2dhm": "heatmap_flatten",
    "loss_3dhm": "heatmap2_flatten",
}
"""The losses, and the bottom that AdaptiveWeightEucLoss names in the place of each."""
METRICS = ("2D error (px)", "depth error (mm)", "MPJPE (mm)")
CROP, DEPTH_RANGE, JOINTS = 64, 2000.0, 16


@dataclass
class Run:
    """What one run gave."""

    errors: Sequence[float] = (math.nan,) * 3
    seconds: list[float] = field(default_factory=list)
    weights: list[Mapping[str, float]] = field(default_factory=list)
    lost: str = ""
    """Why it ended early, if it did."""

    @property
    def step(self) -> float:
        """Seconds per iteration."""
        return statistics.median(self.seconds)


def shoot_out(
    names: Sequence[str],
    *,
    iterations: int,
    seeds: int,
    into: Path,
    quick: bool,
    fixes: Sequence[str] = (),
) -> None:
    """Train under every weighting, print the table, draw the curves.

    Each run is noted in `into` as it ends, and a run that is noted there is not made again.
    """
    into = into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    record = into / f"{'_'.join(('runs', str(iterations), *fixes))}.jsonl"
    done = noted(record)
    order = [(seed, name) for seed in range(seeds) for name in names]
    left = [key for key in order if key not in done]
    print(f"{len(names)} weightings, {seeds} seed{'s' * (seeds > 1)}, {iterations} iterations:")
    if len(left) < len(order):
        print(f"{len(order) - len(left)} of {len(order)} runs are noted in {record}")
    with workplace():
        if left:
            expected = expected_minutes([name for _, name in left], iterations)
            print(f"expected to take {expected:.0f} minutes", flush=True)
        for seed, name in left:
            run = done[seed, name] = trained(name, iterations, 2018 + seed, fixes=fixes)
            note(record, seed, name, run)
            shown = run.lost or ", ".join(f"{error:.1f}" for error in run.errors)
            print(f"  seed {seed} {name}: {shown}", flush=True)
    runs = {name: [done[seed, name] for seed in range(seeds)] for name in names}
    print_table(runs)
    draw_curves(runs, into / "weights.png")
    print(f"curves of the weights: {into / 'weights.png'}")
    if quick:
        print("One seed and few iterations: this shows that all of it runs. It ranks nothing.")


def noted(record: Path) -> dict[tuple[int, str], Run]:
    """The runs in the record, by seed and name."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    found = [json.loads(line) for line in lines]
    return {(run.pop("seed"), run.pop("name")): Run(**run) for run in found}


def note(record: Path, seed: int, name: str, run: Run) -> None:
    """Add a run to the record."""
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seed": seed, "name": name, **asdict(run)}) + "\n")


@contextmanager
def workplace() -> Iterator[None]:
    """A folder with the nets and the toy data, where indices of test samples are its own."""
    if not (ROOT / "toy" / "pose").is_dir():
        raise SystemExit("the toy data are not there: python examples/make_toy_pose.py")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "examples").symlink_to(ROOT / "examples")
        data = Path(folder, "toy", "pose")
        data.mkdir(parents=True)
        for part in (ROOT / "toy" / "pose").iterdir():
            if part.name == "test_index":
                shutil.copytree(part, data / part.name)
            else:
                (data / part.name).symlink_to(part)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)


def expected_minutes(names: Sequence[str], iterations: int) -> float:
    """Of one run under each name, from a few steps of the cheapest and of a comparing weighting."""
    plain = trained("Equal", 4, 1, score=False).step
    comparing = trained("MGDA", 4, 1, score=False).step
    first = list(FLAGS).index("GradNorm")
    each = [plain if list(FLAGS).index(name) < first else comparing for name in names]
    return (iterations * sum(each) + 30 * plain * len(names)) / 60


def trained(
    name: str, iterations: int, seed: int, *, fixes: Sequence[str] = (), score: bool = True
) -> Run:
    """One run from its random start to its errors on the test samples."""
    net = "solver" if name == LAYER else "solver_terms"
    text = Path(FOLDER, f"{net}.prototxt").read_text(encoding="utf-8")
    for key, value in (("max_iter", iterations), ("stepvalue", int(0.8 * iterations))):
        text = re.sub(rf"\n{key}: \d+", f"\n{key}: {value}", text)
    Path("solver.prototxt").write_text(text, encoding="utf-8")
    settings = replace(
        read_settings("solver.prototxt"),
        weighting=FLAGS[name],
        random_seed=seed,
        snapshot=0,
        snapshot_after_train=False,
        test_interval=10**9,
        test_initialization=False,
        display=0,
        max_iter=iterations,
    )
    run, clock = Run(), [time.perf_counter()]

    def watch(event: Event) -> None:
        if isinstance(event, Stepped):
            run.seconds.append(time.perf_counter() - clock[0])
            found = trainer.train.adaptive_weights()
            run.weights += [dict(next(iter(found.values())))] if found else []
            clock[0] = time.perf_counter()
        if isinstance(event, Scored):
            run.errors = errors_of({o.name: o.values[0] for o in event.outputs})

    dialect = Dialect(fork="integral", fixes=fixes)
    trainer = load_trainer(settings, dialect=dialect, workers=0, observer=watch)
    clock[0] = time.perf_counter()
    try:
        trainer.step(iterations)
    except RunError:
        run.lost = f"diverged, iteration {trainer.iteration}"
    if score and not run.lost:
        trainer.test_all()
    return run


def errors_of(tops: Mapping[str, float]) -> tuple[float, ...]:
    """RMS error in the plane and in depth, mean joint error, all of the volume's expectation."""
    plane = CROP * math.sqrt(2 * tops["joint2dloss_s2_int"] / JOINTS)
    depth = DEPTH_RANGE * math.sqrt(2 * tops["depthloss_s2_int"] / JOINTS)
    return plane, depth, tops["error(mm)_3d_s2_int"]


def print_table(runs: Mapping[str, Sequence[Run]]) -> None:
    """The table in Markdown, of the runs that came to an end; spread is the standard deviation."""
    heads = ("weighting", *METRICS, "wins", "s per step", "over Equal", "diverged at iteration")
    print("\n| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    equal = statistics.median(run.step for run in runs["Equal"]) if "Equal" in runs else math.nan
    for name, found in runs.items():
        cells = []
        for metric in range(len(METRICS)):
            values = [run.errors[metric] for run in found if not run.lost]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "")
        step = statistics.median(run.step for run in found)
        wins, over = win_rate(name, runs), step / equal - 1
        cells.append("" if math.isnan(wins) else f"{wins:.0%}")
        cells += [f"{step:.3f}", "" if math.isnan(over) else f"{over:+.0%}"]
        cells.append(", ".join(run.lost.rpartition(" ")[2] for run in found if run.lost))
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def win_rate(name: str, runs: Mapping[str, Sequence[Run]]) -> float:
    """Share of the comparisons that it wins: same seed, same metric, another weighting.

    A run that diverged loses to one that did not; equals share.
    """
    wins = [
        (mine < theirs or (mine == mine and theirs != theirs)) + 0.5 * (mine == theirs)
        for other, found in runs.items()
        if other != name
        for one, two in zip(runs[name], found, strict=True)
        for mine, theirs in zip(one.errors, two.errors, strict=True)
    ]
    return sum(wins) / len(wins) if wins else math.nan


def draw_curves(runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """The first seed's weights by iteration, each weighting's scaled to a sum of 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {name: found[0].weights for name, found in runs.items() if found[0].weights}
    columns = 4
    rows = max(1, math.ceil(len(drawn) / columns))
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, series) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_title(name, fontsize=9)
        sums = [sum(abs(w) for w in weights.values()) or 1.0 for weights in series]
        for loss, bottom in PAIRS.items():
            key = bottom if name == LAYER else loss
            values = [w[key] / total for w, total in zip(series, sums, strict=True)]
            axes.plot(values, linewidth=0.9, label=loss)
        axes.set_ylim(-0.35, 1.02)
        axes.tick_params(labelsize=7)
        if place == 1:
            axes.legend(fontsize=6)
    figure.savefig(path, dpi=110)
