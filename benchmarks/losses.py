"""Time of the losses, forward and backward, each against plain PyTorch in the same run.

    python benchmarks/losses.py [--rounds 30] [--device cuda] [--threads 2] [--compile]

The rival is torch's own function where there is one, else the paper's formula as one would write
it. Rounds are interleaved, so that what else the machine does hits both alike; printed are both
medians, the ratio (ours over the rival's: below 1 is faster) and how far the losses differ.
--compile puts both through torch.compile.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_layers.registry import find

Loss = Callable[..., Tensor]
SIZE = (8, 16, 64, 64)


@dataclass(frozen=True)
class Contest:
    """A layer, its rival, and what both are called with; the first bottom takes the gradient."""

    layer: Callable[..., Any]
    rival: Loss
    rival_name: str
    bottoms: tuple[Tensor, ...]


def anchor(x: Tensor, label: Tensor) -> Tensor:
    q, target = x.sigmoid(), F.one_hot(label.long(), x.shape[1])
    easiest = (q * target).sum(1, keepdim=True).detach() - 0.05
    base = (1 + q - easiest.clamp(min=0)) ** 0.5
    bce = F.binary_cross_entropy_with_logits(x, target.to(x.dtype), reduction="none")
    return ((target + (1 - target) * base) * bce).sum() / len(x)


def anchor_pose(x: Tensor, p: Tensor) -> Tensor:
    q = x.sigmoid()
    best = (q * (p > 0.5)).amax((2, 3), keepdim=True).detach()
    off = (p == 0).to(x.dtype)
    bce = F.binary_cross_entropy_with_logits(x, p, reduction="none")
    return ((off * (1 + q - best) ** 2 + 1 - off) * bce).sum() / len(x)


def focal(x: Tensor, t: Tensor) -> Tensor:
    p, ce = x.sigmoid(), F.binary_cross_entropy_with_logits(x, t, reduction="none")
    miss = 1 - (p * t + (1 - p) * (1 - t))
    return ((0.25 * t + 0.75 * (1 - t)) * ce * miss**2).sum() / t.sum()


def ohem(x: Tensor, label: Tensor) -> Tensor:
    losses = F.cross_entropy(x, label.long(), reduction="none")
    return losses.sort(descending=True)[0][: int(0.25 * len(losses))].mean()


def ohkm(p: Tensor, t: Tensor) -> Tensor:
    losses = ((p - t) ** 2).mean((2, 3))
    return torch.stack([row.topk(8)[0].sum() / 8 for row in losses]).mean()


def wing(p: Tensor, t: Tensor) -> Tensor:
    d = (p - t).abs()
    near = 10 * torch.log(1 + d / 2)
    return torch.where(d < 10, near, d - (10 - 10 * math.log(6))).sum() / len(p)


def adaptive_wing(p: Tensor, t: Tensor) -> Tensor:
    d, e = (p - t).abs(), 2.1 - t
    slope = 14 * (1 / (1 + 0.5**e)) * e * 0.5 ** (e - 1)
    line = slope * d - (0.5 * slope - 14 * torch.log(1 + 0.5**e))
    return torch.where(d < 0.5, 14 * torch.log(1 + d**e), line).mean()


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    m = (p + q) / 2
    both = [(a * ((a + 1e-24).log() - (m + 1e-24).log())).sum((2, 3)) for a in (p, q)]
    return ((both[0] + both[1]) / 2).mean()


def grid(size: int, like: Tensor) -> Tensor:
    return (2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def dsnt(h: Tensor, places: Tensor) -> Tensor:
    x, y = grid(h.shape[3], h), grid(h.shape[2], h)
    found = torch.stack([(h * x).sum((2, 3)), (h * y[:, None]).sum((2, 3))], -1)
    scale = 2 / torch.tensor([h.shape[3], h.shape[2]], device=h.device)
    away = ((x - places[..., :1]) / scale[0])[:, :, None] ** 2
    away = away + ((y - places[..., 1:]) / scale[1])[..., None] ** 2
    wanted = torch.exp(-away / 2)
    wanted = wanted / wanted.sum((2, 3), keepdim=True)
    return (found - places).norm(dim=-1).mean() + jensen_shannon(h, wanted)


def soft_argmax(x: Tensor) -> Tensor:
    volume = x.reshape(8, 2, 8, 64, 64)
    h = volume.flatten(2).softmax(-1).reshape(volume.shape)
    i = torch.arange(64, device=x.device, dtype=x.dtype)
    parts = [
        (h * i).sum((2, 3, 4)) / 64,
        (h * i[:, None]).sum((2, 3, 4)) / 64,
        (h * i[:8, None, None]).sum((2, 3, 4)) / 8,
    ]
    return torch.stack(parts, -1) - 0.5


def mpjpe(p: Tensor, t: Tensor) -> Tensor:
    return (p - t).pow(2).sum(-1).sqrt().mean()


def t_mse(x: Tensor) -> Tensor:
    log_q = F.log_softmax(x, -1)
    return (log_q[1:] - log_q[:-1].detach()).square().clamp(max=16).mean()


def joint(p: Tensor, t: Tensor, x: Tensor, label: Tensor) -> Tensor:
    entropy = F.cross_entropy(x.flatten(0, 1), label.long().flatten())
    return F.mse_loss(p, t) + entropy + 0.15 * t_mse(x)


def smooth_l1(p: Tensor, t: Tensor) -> Tensor:
    return F.smooth_l1_loss(p, t, reduction="sum", beta=1 / 9) / len(p)


def contests(device: str) -> dict[str, Contest]:
    """Shapes of a pose net's heads, of 4,000 classified samples and of 100,000 anchors."""
    torch.manual_seed(0)
    maps, wanted = torch.randn(SIZE, device=device), torch.rand(SIZE, device=device)
    discs = (wanted * 4 - 3).clamp(min=0)
    heat = maps.flatten(2).softmax(-1).reshape(SIZE)
    other = wanted.flatten(2).softmax(-1).reshape(SIZE)
    places = torch.rand(8, 16, 2, device=device) - 0.5
    scores = torch.randn(4000, 100, device=device)
    labels = torch.randint(100, (4000,), device=device).float()
    yes = torch.randn(100_000, 1, device=device), torch.randint(2, (100_000, 1), device=device)
    yes = (yes[0], yes[1].float())
    joints = torch.randn(4096, 17, 3, device=device), torch.randn(4096, 17, 3, device=device)
    series = torch.randn(200, 32, 20, device=device)
    classes = torch.randint(20, (200, 32), device=device).float()
    rates = torch.randn(200, 32, device=device), torch.randn(200, 32, device=device)
    make = {name: find(name) for name in TYPES}
    rows: list[tuple[str, dict[str, Any], Loss, str, tuple[Tensor, ...]]] = [
        ("AnchorLoss", {}, anchor, "formula", (scores, labels)),
        ("AnchorPoseLoss", {}, anchor_pose, "formula", (maps, discs)),
        ("SigmoidFocalLoss", {}, focal, "formula", yes),
        ("OHEMSoftmaxLoss", {"fraction": 0.25}, ohem, "formula", (scores, labels)),
        ("OHKMLoss", {}, ohkm, "formula", (maps, wanted)),
        ("WingLoss", {}, wing, "formula", joints),
        ("AdaptiveWingLoss", {}, adaptive_wing, "formula", (maps, wanted)),
        ("JSDivergenceLoss", {}, jensen_shannon, "formula", (heat, other)),
        ("DSNTLoss", {}, dsnt, "formula", (heat, places)),
        ("SoftArgmax", {"depth": 8, "convention": "SUN"}, soft_argmax, "formula", (maps,)),
        ("MPJPELoss", {}, mpjpe, "formula", joints),
        ("TemporalConsistencyLoss", {}, t_mse, "formula", (series,)),
        (
            "JointRegressionClassificationLoss",
            {},
            joint,
            "torch's parts",
            (*rates, series, classes),
        ),
        ("SmoothL1Loss", {"sigma": 3.0}, smooth_l1, "smooth_l1_loss", joints),
        ("SigmoidCrossEntropyLoss", {}, cross_entropies, "torch's own", (maps, wanted)),
        ("SoftmaxWithLoss", {}, class_entropy, "cross_entropy", (scores, labels)),
    ]
    return {
        name: Contest(make[name](**arguments), rival, rival_name, bottoms)
        for name, arguments, rival, rival_name, bottoms in rows
    }


def cross_entropies(x: Tensor, t: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(x, t, reduction="sum") / len(x)


def class_entropy(x: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(x, label.long())


TYPES = (
    *("AnchorLoss", "AnchorPoseLoss", "SigmoidFocalLoss", "OHEMSoftmaxLoss", "OHKMLoss"),
    *("WingLoss", "AdaptiveWingLoss", "JSDivergenceLoss", "DSNTLoss", "SoftArgmax", "MPJPELoss"),
    *("TemporalConsistencyLoss", "JointRegressionClassificationLoss", "SmoothL1Loss"),
    *("SigmoidCrossEntropyLoss", "SoftmaxWithLoss"),
)


def step(loss: Loss, bottoms: tuple[Tensor, ...]) -> Tensor:
    first = bottoms[0].detach().requires_grad_()
    top = loss(first, *bottoms[1:])
    top.sum().backward()
    if first.is_cuda:
        torch.cuda.synchronize()
    return top.detach()


def seconds(loss: Loss, bottoms: tuple[Tensor, ...]) -> float:
    start = time.perf_counter()
    step(loss, bottoms)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'':35}{'ours':>10}{'rival':>10}{'ratio':>7}  {'differ by':>9}  rival")
    for name, contest in contests(options.device).items():
        pair = [contest.layer, contest.rival]
        ours, rival = step(pair[0], contest.bottoms), step(pair[1], contest.bottoms)
        if options.compile:
            pair = [torch.compile(loss) for loss in pair]
        for loss in pair:
            step(loss, contest.bottoms)
        times = [[seconds(loss, contest.bottoms) for loss in pair] for _ in range(options.rounds)]
        mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        apart = ((ours - rival).abs().max() / rival.abs().max()).item()
        print(
            f"{name:35}{mine * 1e3:8.2f}ms{theirs * 1e3:8.2f}ms{mine / theirs:7.2f}  {apart:9.0e}  "
            f"{contest.rival_name}",
            flush=True,
        )


if __name__ == "__main__":
    main()
