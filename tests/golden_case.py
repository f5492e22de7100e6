"""Running one golden case: a prototxt and what genuine Caffe computed for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from converter import load_net
from converter.net import Net

FORWARD, BACKWARD = 1e-5, 1e-4
"""Relative to the blob's largest value: what float32 justifies (forward, gradients)."""
INTEGER_LIKE = {"ArgMax", "Accuracy", "DeepHumanModelArgmaxHM"}


@dataclass
class GoldenCase:
    """A case loaded, its weights and inputs set, run forward and backward as the README says."""

    prototxt: Path
    net: Net = field(init=False)
    numbers: dict[str, NDArray[np.float32]] = field(init=False)
    blobs: dict[str, Tensor] = field(init=False)
    inputs: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        with np.load(self.prototxt.with_suffix(".npz")) as file:
            self.numbers = {key: file[key] for key in file.files}
        phase = "TEST" if self._in_test_phase() else "TRAIN"
        self.net = load_net(self.prototxt, phase=phase, fork="integral")
        for key, value in self.part("param").items():
            self.blob(key).data.copy_(torch.from_numpy(value))
        self.inputs = {
            name: torch.from_numpy(value).requires_grad_(f"indiff:{name}" in self.numbers)
            for name, value in self.part("in").items()
        }
        for _ in range(3 if self.prototxt.stem == "batch_norm_train" else 1):
            versions = self.net.all_blobs(**self.inputs)
        last = self.net.plan.last_versions
        self.blobs = {name: versions[version] for name, version in last.items()}

    def _in_test_phase(self) -> bool:
        name = self.prototxt.stem
        return name.endswith("_test") or name.startswith("accuracy")

    def part(self, kind: str) -> dict[str, NDArray[np.float32]]:
        """The numbers of one kind, by what follows the colon."""
        return {
            k.split(":", 1)[1]: v for k, v in self.numbers.items() if k.split(":", 1)[0] == kind
        }

    def tops(self) -> dict[str, NDArray[np.float32]]:
        """What each blob of the prototxt holds; the copies that Caffe's Split made are left out."""
        return {k: v for k, v in self.part("out").items() if not re.search(r"_split_\d+$", k)}

    def blob(self, key: str) -> Tensor:
        """The learnable blob `LAYER:I`."""
        layer, index = key.rsplit(":", 1)
        return self.net.layers[layer].blob_tensors()[int(index)][1]

    def backward(self) -> None:
        """From the topdiffs where the file has them, else from the weighted losses.

        Without either a loss or `force_backward` Caffe runs no layer backward: all stays 0.
        """
        if not (self.net.loss_weights or self.net.plan.force_backward):
            return
        diffs = self.part("topdiff")
        if diffs:
            tops = [self.blobs[name] for name in diffs]
            pairs = [(t, torch.from_numpy(d)) for t, d in zip(tops, diffs.values(), strict=True)]
            pairs = [(t, d.reshape(t.shape)) for t, d in pairs if t.requires_grad]
            torch.autograd.backward([t for t, _ in pairs], [d for _, d in pairs])
        else:
            self.net.loss(self.blobs).backward()


def check(name: str, found: Tensor | None, wanted: NDArray[np.float32], tolerance: float) -> None:
    """`found` equals `wanted` within `tolerance` of the largest wanted value (None counts as 0)."""
    value = np.zeros_like(wanted) if found is None else found.detach().numpy()
    assert value.size == wanted.size, f"{name}: {value.shape} for {wanted.shape}"
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-30)
    error = float(np.abs(value.reshape(wanted.shape) - wanted).max(initial=0)) / scale
    assert error <= tolerance, f"{name}: off by {error:.2e} of its largest value"
