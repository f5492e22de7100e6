"""Seconds to load: a large training net, a deploy net, a large weight file.

    python benchmarks/load.py [--train NET.prototxt] [--deploy NET.prototxt] [--rounds 5]

The nets are by default two of the corpus, if it lies beside the project; the weight file, of
AlexNet's size, is made here. Imports, the schema and the registry are ready beforehand, files are
in the page cache. Each time is printed beside what protobuf itself takes in the same run to parse
the same file into its own message (for weights also with the copy into numpy arrays, without
which nothing can be computed): a ratio below 1 means less than protobuf. Printed is the fastest
of the rounds, ours and protobuf's in turn, and the target.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from google.protobuf import text_format

from caffe_layers.registry import registered
from converter.graph import build_graph
from converter.load import load_graph, read_net
from converter.message import read_text
from converter.net import Net, build_net
from converter.schema import load_schema
from converter.weights import load_weights, read_weights, save_weights

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
TRAIN = CORPUS / "strawberryfg+int-3dhuman-I1/training/d2=8/train_d8_ada.prototxt"
DEPLOY = CORPUS / "BVLC+caffe/models/bvlc_googlenet/deploy.prototxt"
CONVOLUTIONS = ((96, 11, 4, 1), (256, 5, 1, 2), (384, 3, 1, 1), (384, 3, 1, 2), (256, 3, 1, 2))
"""num_output, kernel_size, stride and group of AlexNet's convolutions."""
POOLED_AFTER = (0, 1, 4)
INNER_PRODUCTS = (4096, 4096, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, default=TRAIN)
    parser.add_argument("--deploy", type=Path, default=DEPLOY)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    registered()
    measure_train_net(options.train, options.rounds)
    measure_deploy_net(options.deploy, options.rounds)
    measure_weights(options.rounds)


def measure_train_net(path: Path, rounds: int) -> None:
    """Text to a Net whose blobs all have shapes (on the meta device: no memory, no numbers)."""
    if not path.exists():
        print(f"{path.name}: not here, not measured")
        return
    parse = text_parser(path, "integral")

    def ours() -> None:
        build_net(load_graph(path, phase="TRAIN", fork="integral"), fill=False)

    net, protobuf = fastest(rounds, ours, parse)
    lines = len(path.read_text(encoding="utf-8").splitlines())
    report(f"{path.name} ({lines} lines) read + Graph + Net on meta", net, protobuf, 3.0)


def measure_deploy_net(path: Path, rounds: int) -> None:
    """Text to an upgraded record."""
    if not path.exists():
        print(f"{path.name}: not here, not measured")
        return
    parse = text_parser(path, None)
    read, protobuf = fastest(rounds, lambda: read_net(path), parse)
    report(f"{path.parent.name}/{path.name} read", read, protobuf, 0.05)


def measure_weights(rounds: int) -> None:
    """A `.caffemodel` of AlexNet's size to torch parameters, and to numpy arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "alexnet.caffemodel")
        net = alexnet()
        save_weights(net, path)
        message = load_schema().message_class("NetParameter")

        def protobuf() -> None:
            message.FromString(path.read_bytes())

        def protobuf_to_numpy() -> None:
            parsed = message.FromString(path.read_bytes())
            blobs = [blob for layer in parsed.layer for blob in layer.blobs]
            [np.array(b.data, np.float32).reshape(b.shape.dim) for b in blobs]

        def to_numpy() -> None:
            [np.array(blob) for blobs in read_weights(path).values() for blob in blobs]

        def to_torch() -> None:
            load_weights(net, path)

        torch_time, numpy_time, parsed, in_numpy = fastest(
            rounds, to_torch, to_numpy, protobuf, protobuf_to_numpy
        )
        size = path.stat().st_size / 1e6
    label = f"{size:.0f} MB .caffemodel"
    report(f"{label} into a net's parameters, against parsing alone", torch_time, parsed, 0.5)
    report(f"{label} into numpy arrays, against the same", numpy_time, in_numpy, 0.5)


def text_parser(path: Path, fork: str | None) -> Callable[[], None]:
    """protobuf's own reading of a prototxt; what no schema knows it is allowed to skip."""
    message = load_schema(fork).message_class("NetParameter")

    def parse() -> None:
        text = path.read_text(encoding="utf-8")
        text_format.Parse(text, message(), allow_unknown_field=True)

    return parse


def alexnet() -> Net:
    """AlexNet's layers with weights, and the poolings that give them their sizes."""
    layers = ['layer { name: "data" type: "Input" top: "data" input_param { shape {']
    layers.append("dim: 1 dim: 3 dim: 227 dim: 227 } } }")
    bottom = "data"
    for i, (outputs, kernel, stride, group) in enumerate(CONVOLUTIONS):
        top = f"conv{i + 1}"
        pad = 0 if i == 0 else kernel // 2
        layers.append(
            f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"'
            f" convolution_param {{ num_output: {outputs} kernel_size: {kernel} stride: {stride}"
            f" pad: {pad} group: {group} }} }}"
        )
        bottom = top
        if i in POOLED_AFTER:
            bottom = f"pool{i + 1}"
            layers.append(
                f'layer {{ name: "{bottom}" type: "Pooling" bottom: "{top}" top: "{bottom}"'
                " pooling_param { kernel_size: 3 stride: 2 } }"
            )
    for i, outputs in enumerate(INNER_PRODUCTS, start=6):
        layers.append(
            f'layer {{ name: "fc{i}" type: "InnerProduct" bottom: "{bottom}" top: "fc{i}"'
            f" inner_product_param {{ num_output: {outputs} }} }}"
        )
        bottom = f"fc{i}"
    record = read_text("\n".join(layers), "alexnet.prototxt", "NetParameter", load_schema())
    net = build_net(build_graph(record))
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter)
    return net


def fastest(rounds: int, *contenders: Callable[[], None]) -> list[float]:
    """The least seconds each takes, in rounds of all in turn after one that does not count."""
    seconds = [float("inf")] * len(contenders)
    for number in range(rounds + 1):
        for i, contender in enumerate(contenders):
            start = time.perf_counter()
            contender()
            if number:
                seconds[i] = min(seconds[i], time.perf_counter() - start)
    return seconds


def report(what: str, ours: float, protobuf: float, target: float) -> None:
    verdict = "met" if ours < target else "MISSED"
    print(
        f"{what}: {ours:.3f} s, {ours / protobuf:.2f} times protobuf's {protobuf:.3f} s "
        f"(target {target:g} s: {verdict})"
    )


if __name__ == "__main__":
    main()
