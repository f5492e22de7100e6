"""Seconds per training step of whole legacy nets: forward, backward and RMSProp update.

    python benchmarks/step.py [NET.prototxt ...] [--steps 3]

Without arguments the two nets of the integral-regression corpus, if it lies beside the project.
The data side is cut off; its blobs are random, camera files are written to a temporary folder.
Genuine Caffe needs about 16 s for such a step at batch 2 on two quiet cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from converter.feed_split import split_feed
from converter.load import load_graph
from converter.net import Net, build_net
from retrain.solvers import RMSProp

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
NETS = (
    "strawberryfg+int-3dhuman-I1/training/d2=8/train_d8_ada.prototxt",
    "strawberryfg+c2f-3dhm-human-caffe/training/train_d32.prototxt",
)
CAFFE_SECONDS = 16.0
CAMERA = "R: 1 0 0 0 1 0 0 0 1 T: 0 0 0 f: 1145 1144 c: 512 515 k: 0 0 0 p: 0 0\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    nets = options.nets or [CORPUS / name for name in NETS if (CORPUS / name).exists()]
    if not nets:
        print("no net given and no corpus beside the project: nothing to measure")
    for path in nets:
        with tempfile.TemporaryDirectory() as folder:
            net, inputs = computing_net(path, Path(folder))
            report(path, net, inputs, options.steps)


def computing_net(path: Path, folder: Path) -> tuple[Net, dict[str, torch.Tensor]]:
    """The net behind its data side, and random blobs for it."""
    copy = folder / path.name
    text = path.read_text().replace("/data/wqf/h36m/mine/Human3.6M", str(folder))
    for written in ("g/", "s1_max/", "s1_int/"):
        text = text.replace(f'"{written}', f'"{folder}/{written}')
    copy.write_text(text)
    (folder / "camera_all").mkdir()
    (folder / "camera_all" / "0.txt").write_text(CAMERA)
    feed, compute = split_feed(load_graph(copy, phase="TRAIN", fork="integral"))
    shapes = build_net(feed, fill=False).blob_shapes
    net = build_net(compute, input_shapes=shapes)
    torch.manual_seed(1)
    inputs = {name: torch.rand(shapes[name]) for name in net.inputs}
    if "image_index" in inputs:
        inputs["image_index"].zero_()
    return net, inputs


def report(path: Path, net: Net, inputs: dict[str, torch.Tensor], steps: int) -> None:
    """One warm-up step, then the median of `steps`."""
    solver = RMSProp([p for p in net.parameters() if p.requires_grad], lr=2.5e-5)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        solver.zero_grad()
        net.loss(net(**inputs)).backward()
        solver.step()
        seconds.append(time.perf_counter() - start)
    step, batch = median(seconds[1:]), next(iter(inputs.values())).shape[0]
    print(
        f"{path.name}: {step:.2f} s per step at batch {batch}, {torch.get_num_threads()} threads; "
        f"Caffe's {CAFFE_SECONDS:.0f} s at batch 2 is {CAFFE_SECONDS / 2 / (step / batch):.1f} "
        "times as long per sample"
    )


if __name__ == "__main__":
    main()
