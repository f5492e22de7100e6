"""The integral-regression nets on the toy sample: `python -m benchmarks.integral_repos [DIR]`.

Each prototxt of the author's repositories is read, built in phase TRAIN with its own data layers
on the renumbered toy sample (one common index, paths and bounds set to it), and run forward and
backward once, in a process of its own. Exit status 1 if one does not come all the way.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .toy_sample import CORPUS, reading_toy, renumbered

REPOSITORIES = "strawberryfg+*/**/*.prototxt"
STAGES = ("reads", "builds", "forward", "backward")


@dataclass
class Row:
    """What became of one net."""

    net: str
    layers: int = 0
    parameters: int = 0
    reached: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    loss: float = 0.0
    reason: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--only", default="", help="regular expression the path must contain")
    parser.add_argument(
        "--batch", type=int, default=0, help="samples per batch, else the net's own"
    )
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(asdict(examine(options.run, options.folder, options.batch))))
        return 0
    files = sorted(path for path in options.folder.glob(REPOSITORIES) if "solver" not in path.name)
    rows = []
    for path in files:
        if re.search(options.only, str(path)):
            rows.append(alone(path, options))
            print(f"{rows[-1]}", file=sys.stderr)
    Console(width=170).print(table(rows, options.folder))
    return int(any(row.reached < len(STAGES) for row in rows) or not rows)


def alone(path: Path, options: argparse.Namespace) -> Row:
    """Examine one net in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.integral_repos", str(options.folder)]
    command += ["--run", str(path), "--batch", str(options.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Row(str(path), reason=lines[-1])
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def examine(path: Path, corpus: Path, batch: int) -> Row:
    """Read, build and run one net on the toy sample."""
    import torch

    from caffe_layers.errors import CaffeError
    from converter.load import load_graph
    from converter.net import build_net

    row, start = Row(str(path)), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            data = renumbered(Path(folder) / "data", corpus)
            net_file = _state_file(reading_toy(path, data, Path(folder)), batch, data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph = load_graph(net_file, phase="TRAIN")
                row.reached, row.layers = 1, len(graph.nodes)
                net = build_net(graph)
                row.reached = 2
                row.parameters = sum(blob.numel() for blob in net.parameters())
                torch.manual_seed(0)
                outputs = net()
                row.reached = 3
                loss = net.loss(outputs)
                row.loss = loss.item()
                loss.backward()
                row.reached = 4
        except (CaffeError, RuntimeError, ValueError) as error:
            row.reason = str(error).splitlines()[0][:160]
    row.seconds = time.perf_counter() - start
    row.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return row


def _state_file(net: Path, batch: int, data: Path) -> Path:
    """The net with what `reading_toy` leaves: the group-normalisation nets' paths, state files."""
    text = net.read_text(encoding="utf-8")
    single = {"center_x_224": "center_x", "center_y_224": "center_y", "scale_224": "scale"}
    for name, kind in single.items():
        text = re.sub(rf'"[^"\n]*{name}[^"\n]*"', f'"{data}/{kind}/0.txt"', text)
    text = re.sub(r'"[A-Z]:[^"\n]*?\\\\([^"\\\n]+)\\\\"', rf'"{data}/\1/"', text)
    text = re.sub(r"(num_of_samples:\s*)\d+", r"\g<1>4", text)
    text = re.sub(r"(start_index:\s*)\d+", r"\g<1>0", text)
    for state in re.findall(r'current_index_file_path:\s*"([^"]+)"', text):
        Path(state).write_text("-1\n", encoding="utf-8")
    if batch:
        text = re.sub(r"(batch_size:\s*)\d+", rf"\g<1>{batch}", text)
    net.write_text(text, encoding="utf-8")
    return net


def table(rows: list[Row], folder: Path) -> Table:
    """One line for each net."""
    found = Table("net", "layers", "parameters", *STAGES, "loss", "seconds", "peak GB", "reason")
    for row in rows:
        name = str(Path(row.net).relative_to(folder)).removeprefix("strawberryfg+")
        marks = ["yes" if row.reached > i else "-" for i in range(len(STAGES))]
        numbers = (f"{row.loss:.5g}", f"{row.seconds:.1f}", f"{row.peak:.1f}")
        found.add_row(name, str(row.layers), f"{row.parameters:,}", *marks, *numbers, row.reason)
    return found


if __name__ == "__main__":
    sys.exit(main())
