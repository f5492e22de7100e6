"""How many real prototxts read, build and run: `python -m benchmarks.corpus [DIR]`.

    python -m benchmarks.corpus ../shared/corpus --only ResNet --jobs 2 --list

Every file under DIR is read. A net is then built, run forward and run backward, in TRAIN where
it has a loss and else in TEST, and its other phase is built. Where its data is not here it gets
inputs of the declared or inferred shape (converter/stand_in.py), in batches of one where that
is legal. Exit status 1 if a net that is made only of layer types of Caffe 1.0 fails.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import torch
from rich.console import Console
from rich.table import Table

from caffe_layers.errors import CaffeError
from caffe_layers.registry import registered
from converter.errors import GraphError
from converter.graph import Graph, build_graph
from converter.load import load_graph
from converter.message import read_text_file
from converter.net import Net
from converter.schema import load_schema
from converter.stand_in import quietly_fed, with_files
from converter.text import parse
from converter.upgrade import upgrade_net, upgrade_solver

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
STAGES = ("refused", "read", "wired", "built", "forward", "backward")
"""How far a file came; "wired" is a Graph, "backward" all the way."""
_NAMES = """
    AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss
    Convolution Crop Data Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp
    Filter Flatten HDF5Data HDF5Output HingeLoss Im2col ImageData InfogainLoss InnerProduct
    Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN Parameter Pooling Power
    PReLU Python RNN ReLU Reduction Reshape Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice
    Softmax SoftmaxWithLoss Split SPP Swish TanH Threshold Tile WindowData
"""
CAFFE_TYPES = frozenset(_NAMES.split())
REFUSED_BY_CAFFE = {
    "NVIDIA+caffe/examples/cifar10/cifar10_full_sigmoid_train_test_bn.prototxt": "lr_mult is not 0",
    "caffe-windows/examples/pycaffe/Inception_ResNet_v2.prototxt": "crop_size 229 instead of 299",
    "intel_optimized_models/alexnet/train_val_gabor_init.prototxt": "a filler of Intel's",
    "dqn-in-the-caffe/dqn.prototxt": "an InnerProduct of 2014, with four axes",
    "inception-resnet-v2-merge-aligned.prototxt": "ceil_mode of a fork, else sizes do not fit",
    "inception-v3-merge-aligned.prototxt": "ceil_mode of a fork",
    "inception-v4-merge-aligned.prototxt": "ceil_mode of a fork",
    "channel-pruning/temp/resnet-50-cp.prototxt": "another layer that is called Filter",
}
"""Ends of paths of nets of Caffe's own types that Caffe 1.0 would not build either, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: str
    kind: str
    stage: str
    reason: str = ""
    caffe_only: bool = False
    note: str = ""
    seconds: float = 0.0


class TooLongError(Exception):
    """A net took more than its time."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--only", default="", help="regular expression the path must contain")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--batch", type=int, default=1, help="samples per net where it is legal")
    parser.add_argument("--limit", type=float, default=300, help="seconds a net may take")
    parser.add_argument("--meta", action="store_true", help="build only, without memory")
    parser.add_argument("--list", action="store_true", help="one line for each file")
    options = parser.parse_args()
    files = sorted(
        path for path in options.folder.resolve().rglob("*") if path.is_file() and _text(path)
    )
    files = [path for path in files if re.search(options.only, str(path))]
    outcomes = run_all(files, options)
    report(
        outcomes, options.folder.resolve(), Console(width=160, highlight=False), every=options.list
    )
    return int(any(o.caffe_only and o.stage != _last(options) for o in outcomes))


def _text(path: Path) -> bool:
    return "prototxt" in path.name or path.suffix in (".pt", ".prototext")


def _last(options: argparse.Namespace) -> str:
    return "built" if options.meta else STAGES[-1]


def run_all(files: list[Path], options: argparse.Namespace) -> list[Outcome]:
    """Every file's outcome, in a process of its own kind where several run at once."""
    arguments = (options.batch, options.limit, options.meta)
    if options.jobs <= 1:
        return [examine(path, *arguments) for path in files]
    outcomes = []
    with ProcessPoolExecutor(
        options.jobs, get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        waiting = [pool.submit(examine, path, *arguments) for path in files]
        for done in as_completed(waiting):
            outcomes.append(done.result())
            print(f"\r{len(outcomes)}/{len(files)}", end="", file=sys.stderr)
    return sorted(outcomes, key=lambda outcome: outcome.path)


def examine(path: Path, batch: int, limit: float, meta: bool) -> Outcome:
    """Read one file, and build and run it if it is a net."""
    kind, start = kind_of(path), time.perf_counter()
    trial = _Trial(path, kind, batch, meta)
    try:
        with time_limit(limit), empty_folder() as folder:
            trial.run(folder)
    except CaffeError as error:
        trial.reason = reason_of(error)
    except (RuntimeError, ValueError, TypeError, LookupError, NotImplementedError) as error:
        trial.reason = f"DEFECT {type(error).__name__}: {reason_of(error)}"
    except TooLongError:
        trial.reason = f"takes longer than {limit:g} s"
    except MemoryError:
        trial.reason = "needs more memory than there is"
    seconds = time.perf_counter() - start
    note = ", ".join(trial.notes)
    return Outcome(str(path), kind, trial.stage, trial.reason, trial.caffe_only, note, seconds)


def kind_of(path: Path) -> str:
    """ "net", "solver", or "solver+net" for a solver that has its net within."""
    text = path.read_bytes().decode("utf-8", "replace")
    names = {field.name for field in parse(text, path.name).fields}
    if names & {"net_param", "train_net_param"}:
        return "solver+net"
    if names & {"layer", "layers", "input"}:
        return "net"
    if names & {"base_lr", "net", "train_net", "max_iter", "solver_mode"}:
        return "solver"
    return "solver" if "solver" in path.name else "net"


class _Trial:
    """One file on its way from stage to stage."""

    def __init__(self, path: Path, kind: str, batch: int, meta: bool) -> None:
        self.path, self.kind, self.batch, self.meta = path, kind, batch, meta
        self.stage, self.reason, self.caffe_only = STAGES[0], "", False
        self.notes: list[str] = []

    def run(self, folder: Path) -> None:
        graphs = [with_files(graph, folder) for graph in self._graphs()]
        if not graphs:
            return
        self.caffe_only = all(n.type in CAFFE_TYPES for g in graphs for n in g.nodes)
        if str(self.path).endswith(tuple(REFUSED_BY_CAFFE)):
            self.caffe_only = False
            self.notes.append("refused by Caffe 1.0")
        self.stage = "wired"
        strange = sorted({n.type for g in graphs for n in g.nodes} - registered().keys())
        strange = [kind for kind in strange if any(_needed(g, kind) for g in graphs)]
        if strange:
            raise GraphError(f"layer types not known: {', '.join(strange)}")
        main, *others = sorted(graphs, key=lambda graph: graph.phase != self._main_phase(graphs))
        for graph in others:
            quietly_fed(graph, batch=self.batch, fill=False)
        self._execute(main)

    def _graphs(self) -> Iterator[Graph]:
        """The file's nets; none for a plain solver."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.kind == "net":
                found = list(_phases(self.path))
                self.stage = "read"
                if isinstance(found[0], GraphError):
                    raise found[0]
                yield from (graph for graph in found if isinstance(graph, Graph))
                return
            schema = load_schema()
            solver = upgrade_solver(read_text_file(self.path, "SolverParameter", schema))
            self.stage = "read"
            inner = solver.get("net_param") or solver.get("train_net_param")
            if inner is not None:
                state = solver.get("train_state")
                stages = () if state is None else state.get("stage", ())
                yield build_graph(upgrade_net(inner), phase="TRAIN", stages=stages)

    def _main_phase(self, graphs: list[Graph]) -> str:
        loss = any("Loss" in node.type for g in graphs for node in g.nodes if g.phase == "TRAIN")
        return "TRAIN" if loss else "TEST"

    def _execute(self, graph: Graph) -> None:
        fed = quietly_fed(graph, batch=self.batch, fill=not self.meta)
        self.stage = "built"
        self.notes += [f"inputs for {kind}" for kind in fed.replaced]
        if self.meta:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = fed.net(**fed.inputs)
            self.stage = "forward"
            total = _total(fed.net, outputs)
            if total is not None and total.requires_grad:
                total.backward()
        self.stage = "backward"
        if total is None or not total.requires_grad:
            self.notes.append("nothing to learn")
        elif not torch.isfinite(total):
            self.notes.append("loss not finite")


def _needed(graph: Graph, kind: str) -> bool:
    """Whether a layer type has a layer that is not a source of data."""
    return any(node.type == kind and node.bottoms for node in graph.nodes) and kind != "Python"


def _total(net: Net, outputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """The loss; the sum of all outputs where there is none, or none that weights take part in."""
    loss = net.loss(outputs) if net.loss_weights else None
    if loss is not None and loss.requires_grad:
        return loss
    sums = [top.sum() for top in outputs.values() if top.requires_grad]
    return torch.stack(sums).sum() if sums else loss


def _phases(path: Path) -> Iterator[Graph | GraphError]:
    """The distinct graphs of a net's phases; if none wires up, why the first does not."""
    first: GraphError | None = None
    graphs: list[Graph] = []
    for phase in ("TRAIN", "TEST"):
        try:
            graph = load_graph(path, phase=phase)
        except GraphError as error:
            first = first or error
            continue
        layers = [node.record for node in graph.nodes]
        if graph.nodes and layers not in [[n.record for n in g.nodes] for g in graphs]:
            graphs.append(graph)
    if graphs:
        yield from graphs
    elif first is not None:
        yield first
    else:
        yield GraphError("has no layers")


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A temporary working directory: some nets write files."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooLongError in the block once the time is over (between two torch operations)."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise TooLongError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def reason_of(error: Exception) -> str:
    """The first line of a message without the place and name that only this file has."""
    line = (str(error).splitlines() or [""])[0]
    line = re.sub(r"^\S+:\d+:\d+: ", "", line)
    line = re.sub(r"layer '[^']*' \((\w+)\)", r"\1", line)
    line = re.sub(r" \(and at line.*", "", line)
    return re.sub(r" \(bottoms: .*", "", line)[:110]


def report(outcomes: list[Outcome], folder: Path, console: Console, *, every: bool) -> None:
    """How far the files came, by kind; what stopped the rest; the nets of Caffe's own types."""
    if every:
        for o in outcomes:
            name = Path(o.path).relative_to(folder)
            console.print(
                f"{o.stage:9}{o.seconds:6.1f} s  {name}  {o.reason or o.note}", markup=False
            )
    groups = {
        "solvers": [o for o in outcomes if o.kind == "solver"],
        "solvers with their net": [o for o in outcomes if o.kind == "solver+net"],
        "nets": [o for o in outcomes if o.kind == "net"],
        "all files": outcomes,
        "of these nets of Caffe 1.0's types alone": [o for o in outcomes if o.caffe_only],
    }
    table = Table("files", "count", "parse", "wire up", "build", "forward", "backward")
    for title, group in groups.items():
        nets = [o for o in group if o.kind != "solver"]
        parsed = sum(o.stage != "refused" for o in group)
        reached = [sum(STAGES.index(o.stage) >= at for o in nets) for at in (2, 3, 4, 5)]
        cells = [str(count) for count in reached] if nets else ["-"] * 4
        table.add_row(title, str(len(group)), str(parsed), *cells)
    console.print(table)
    reasons = Counter((o.stage, o.reason) for o in outcomes if o.reason)
    table = Table("files", "came to", "stopped by")
    for (stage, reason), count in sorted(reasons.items(), key=lambda item: -item[1]):
        table.add_row(str(count), stage, reason)
    console.print(table)
    for o in outcomes:
        if o.caffe_only and o.reason:
            console.print(
                f"Caffe's types alone, yet: {Path(o.path).relative_to(folder)}: {o.reason}",
                markup=False,
            )
    notes = Counter(note for o in outcomes for note in o.note.split(", ") if note)
    console.print("; ".join(f"{note}: {count}" for note, count in notes.most_common()))


if __name__ == "__main__":
    sys.exit(main())
