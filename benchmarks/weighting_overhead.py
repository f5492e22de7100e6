"""What a weighting costs per step, against Equal: heads of the size they have at d2 = 16."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from caffe_layers.weighting.registry import find
from caffe_layers.weighting.weighting import Weighting
from retrain.solvers import RMSProp

JOINTS, DEPTH, SIDE, CHANNELS, BATCH = 16, 16, 64, 256, 2
PLAIN = (
    *("Equal", "Manual", "AdaptiveEuclidean", "CoV", "Uncertainty"),
    *("DynamicTaskPrioritization", "DWA", "BlockNormalizedGradient", "GLS", "IMTLL"),
)
COMPARING = (*("GradNorm", "MGDA", "PCGrad", "CAGrad", "IMTL", "NashMTL", "AlignedMTL", "UPGrad"),)


class Heads(nn.Module):
    """What is behind the features: heatmaps, volumes, and the coordinates decoded from them."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.maps = nn.Conv2d(CHANNELS, JOINTS, 1)
        self.volumes = nn.Conv2d(CHANNELS, JOINTS * DEPTH, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The blob that all heads read, and what is predicted."""
        shared = torch.relu(self.neck(features))
        maps, volumes = self.maps(shared), self.volumes(shared)
        cubes = volumes.unflatten(1, (JOINTS, DEPTH)).flatten(2).softmax(-1)
        cubes = cubes.unflatten(-1, (DEPTH, SIDE, SIDE))
        flat = functional.softmax(maps.flatten(2), -1).unflatten(-1, (SIDE, SIDE))
        line, deep = torch.linspace(0, 1, SIDE), torch.linspace(0, 1, DEPTH)
        plane = [cubes.sum((2, 3)) @ line, cubes.sum((2, 4)) @ line]
        first = [flat.sum(2) @ line, flat.sum(3) @ line]
        return shared, {
            "maps": maps,
            "volumes": volumes,
            "joints": torch.stack(plane, -1),
            "depth": cubes.sum((3, 4)) @ deep,
            "joints1": torch.stack(first, -1),
        }


class Step:
    """One training step of the heads under a weighting; each has weights and solver of its own."""

    def __init__(self, name: str, features: Tensor, labels: Mapping[str, Tensor]) -> None:
        torch.manual_seed(0)
        self.weighting: Weighting = find(name)()
        self.weighting.set_up(list(labels))
        self.net, self.features, self.labels = Heads(), features, labels
        self.blocks = [list(layer.parameters()) for layer in self.net.children()]
        self.solver = RMSProp([*self.net.parameters(), *self.weighting.parameters()], lr=1e-5)

    def __call__(self) -> None:
        """Forward, backward, update."""
        self.solver.zero_grad()
        shared, made = self.net(self.features)
        differences = {name: top - self.labels[name] for name, top in made.items()}
        losses = {n: d.square().sum() / (2 * BATCH) for n, d in differences.items()}
        needs = self.weighting.needs_residuals
        residuals = {n: d.detach() for n, d in differences.items()} if needs else None
        self.weighting(losses, shared=shared, residuals=residuals).backward()
        if hasattr(self.weighting, "normalise_"):
            self.weighting.normalise_(self.blocks)
        self.solver.step()


def overhead(rounds: int = 80) -> None:
    shape = (BATCH, CHANNELS, SIDE, SIDE)
    features = torch.randn(shape)
    _, made = Heads()(features)
    labels = {name: torch.rand_like(top).detach() for name, top in made.items()}
    print(f"heads of {JOINTS} joints, d2 = {DEPTH}, on features {list(shape)}: forward, backward,")
    print(f"update; {torch.get_num_threads()} threads; median of {rounds} interleaved rounds")
    for names, few in ((PLAIN, rounds), (("Equal", *COMPARING), max(3, rounds // 8))):
        steps = {name: Step(name, features, labels) for name in names}
        for step in steps.values():
            step()
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(few):
            for name in random.Random(turn).sample(names, len(names)):
                start = time.perf_counter()
                steps[name]()
                times[name].append(time.perf_counter() - start)
        report(times)
        if names == PLAIN:
            report_calls(statistics.median(times["Equal"]), steps)


def report_calls(step: float, steps: Mapping[str, Step]) -> None:
    """The call alone, forward and backward, which the noise of whole steps hides."""
    print("the same weightings without heads, on five ready losses, against a whole step of Equal:")
    costs = {}
    for name, made in steps.items():
        losses = {n: torch.ones((), requires_grad=True) for n in made.labels}
        residuals = {n: label for n, label in made.labels.items() if made.weighting.needs_residuals}
        found = []
        for _ in range(300):
            start = time.perf_counter()
            made.weighting(losses, residuals=residuals).backward()
            found.append(time.perf_counter() - start)
        costs[name] = statistics.median(found)
    for name, cost in costs.items():
        more = (cost - costs["Equal"]) / step
        print(f"  {name:26s} {cost * 1e6:8.0f} us  {100 * more:+6.2f} % of Equal's step")


def report(times: Mapping[str, list[float]]) -> None:
    equal = times["Equal"]
    for name, found in times.items():
        ratios = [a / b for a, b in zip(found, equal, strict=True)]
        middle = statistics.median(found)
        ratio = statistics.median(ratios)
        print(f"  {name:26s} {middle * 1e3:8.1f} ms  {100 * (ratio - 1):+6.1f} % of Equal's step")
