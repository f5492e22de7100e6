"""Two whole legacy nets, 1330 layers each, against the fingerprints genuine Caffe left of them.

Weights follow a rule, inputs are Caffe's, everything after the data side is computed. The bounds
are what two BLAS kernels of Caffe itself differ by, times the margin the golden README grants:
blobs 2e-4, gradients at the heatmaps 1e-3, parameter gradients median 1e-5 and 90 % within 3e-2.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from converter.graph import Graph
from converter.load import load_graph
from converter.net import Net, build_net

START = "label_2dhm"
NETS = {
    "I1_d8_ada": "strawberryfg+int-3dhuman-I1/training/d2=8/train_d8_ada.prototxt",
    "H1_d32": "strawberryfg+c2f-3dhm-human-caffe/training/train_d32.prototxt",
}
TOY = "strawberryfg+c2f-3dhm-human-caffe/data/toy_example"
Fingerprint = dict[str, NDArray[np.float64]]


def renumbered(corpus: Path, folder: Path, prototxt: Path, indices: list[int]) -> Path:
    """A copy of the net that reads the toy sample's camera and writes below `folder`."""
    camera = (corpus / TOY / "camera_all" / "100.txt").read_text()
    (folder / "camera_all").mkdir()
    for index in indices:
        (folder / "camera_all" / f"{index}.txt").write_text(camera)
    text = prototxt.read_text().replace("/data/wqf/h36m/mine/Human3.6M", str(folder))
    for written in ("g/", "s1_max/", "s1_int/"):
        text = text.replace(f'"{written}', f'"{folder}/{written}')
    copy = folder / prototxt.name
    copy.write_text(text)
    return copy


def computing_part(graph: Graph) -> Graph:
    """The layers from START on; what they need of the others comes from outside."""
    keys = [node.key for node in graph.nodes]
    nodes = graph.nodes[keys.index(START) :]
    offset = len(graph.nodes) - len(nodes)
    nodes = tuple(
        replace(
            n, params=tuple(replace(p, owner=(p.owner[0] - offset, p.owner[1])) for p in n.params)
        )
        for n in nodes
    )
    made = {top for node in nodes for top in node.tops}
    inputs = dict.fromkeys(v for node in nodes for v in node.bottoms if v not in made)
    outputs = {n: v for n, v in graph.outputs.items() if v in made}
    return replace(graph, nodes=nodes, inputs=tuple(inputs), outputs=outputs)


def set_weights(net: Net) -> None:
    """The fingerprint's rule: each blob from its own generator, seeded by layer name and index."""
    for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True):
        for i, (_, blob) in enumerate(layer.blob_tensors()):
            generator = np.random.default_rng(zlib.crc32(f"{node.name}:{i}".encode()))
            shape = tuple(blob.shape)
            if node.type == "BatchNorm":
                value = np.zeros(shape)
            elif node.type == "Scale":
                value = (i == 0) + 0.1 * generator.standard_normal(shape)
            elif len(shape) == 4:
                head = 0.02 if {"heatmap", "heatmap2"} & set(node.top_names) else 1
                value = generator.standard_normal(shape) * 0.5 / np.sqrt(np.prod(shape[1:])) * head
            else:
                value = 0.01 * generator.standard_normal(shape)
            blob.data.copy_(torch.from_numpy(value))


def stat(tensor: Tensor | None, like: Tensor | None = None) -> NDArray[np.float64]:
    """Size, sum, |.|₁, |.|₂ and the first four values."""
    if tensor is None:
        assert like is not None
        tensor = torch.zeros_like(like)
    a = tensor.detach().numpy().astype(np.float64).ravel()
    sums = [a.size, a.sum(), np.abs(a).sum(), np.sqrt((a * a).sum())]
    return np.r_[sums, np.pad(a[:4], (0, max(0, 4 - a.size)))]


def fingerprint(net: Net, inputs: dict[str, Tensor]) -> Fingerprint:
    blobs = net.all_blobs(**inputs)
    heads = [blobs["heatmap"], blobs["heatmap2"]]
    for head in heads:
        head.retain_grad()
    net.loss(blobs).backward()
    found = {f"blob:{name}": stat(blob) for name, blob in blobs.items()}
    found |= {
        f"diff:{n}": stat(h.grad, h) for n, h in zip(("heatmap", "heatmap2"), heads, strict=True)
    }
    for node, layer in zip(net.plan.nodes, net.layers.values(), strict=True):
        for i, (_, blob) in enumerate(layer.blob_tensors()):
            found[f"grad:{node.name}:{i}"] = stat(blob.grad, blob)
    return found


@pytest.fixture(scope="module", params=sorted(NETS))
def errors(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, corpus: Path
) -> dict[str, NDArray[np.float64]]:
    """Largest difference of each fingerprint, relative to its largest entry, by kind of key."""
    with np.load(corpus.parent / "golden" / "nets" / f"{request.param}.npz") as file:
        wanted = {key: file[key] for key in file.files}
    indices = [int(i) for i in wanted["in:image_index"].ravel()]
    copy = renumbered(corpus, tmp_path_factory.mktemp("net"), corpus / NETS[request.param], indices)
    whole = load_graph(copy, phase="TRAIN", fork="integral")
    shapes = build_net(whole, fill=False).blob_shapes
    net = build_net(computing_part(whole), input_shapes=shapes)
    set_weights(net)
    inputs = {k[3:]: torch.from_numpy(v) for k, v in wanted.items() if k.startswith("in:")}
    found = fingerprint(net, {name: inputs[name] for name in net.inputs})
    shared = [key for key in wanted if key in found]
    off = {
        k: np.abs(wanted[k] - found[k]).max() / (np.abs(wanted[k]).max() + 1e-12) for k in shared
    }
    kinds = ("blob", "diff", "grad")
    return {kind: np.array([e for k, e in off.items() if k.startswith(kind)]) for kind in kinds}


def test_blobs(errors: dict[str, NDArray[np.float64]]) -> None:
    assert len(errors["blob"]) > 1100
    assert errors["blob"].max() <= 2e-4


def test_gradients_at_the_heatmaps(errors: dict[str, NDArray[np.float64]]) -> None:
    assert len(errors["diff"]) == 2
    assert errors["diff"].max() <= 1e-3


def test_parameter_gradients(errors: dict[str, NDArray[np.float64]]) -> None:
    assert len(errors["grad"]) > 1700
    assert np.median(errors["grad"]) <= 1e-5
    assert np.quantile(errors["grad"], 0.9) <= 3e-2
