"""The depth curriculum: one net after the other, each with volumes twice as deep as the last's.

Every stage takes over the weights of the layers whose names it shares with the stage before, which
are all but the head: `conv_5_d<depth>` bears its depth in its name, so a new depth starts it anew
with the std of that depth. The losses go from Adaptive H1 over Adaptive I1 to Manual, as published:

    d2 H1 -> d4 H1 -> d8 I1 -> d8 manual -> d16 I1 -> d16 manual -> d32 I1 -> d64 I1 -> d64 manual
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .data import TEST
from .recipe import Filler, Name, Recipe

ITERATIONS = 100
"""Of each stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One net of the curriculum."""

    name: Name
    depth: int

    def recipe(self, variant: Variant) -> Recipe:
        """Its net in a variant of the curriculum."""
        std = variant.head_std(self.depth)
        return Recipe(self.name, self.depth, filler=variant.filler, head_std=std)


@dataclass(frozen=True, slots=True)
class Variant:
    """What is done otherwise than published, at every stage."""

    name: str
    about: str
    filler: Filler = "gaussian"
    rate: float = 0.001
    """Of the adaptive stages."""
    manual_rate: float = 0.0002
    """Of the manual ones: a fifth, as where the published runs had passed their stepvalue."""
    deep_std: tuple[float, float] | None = None
    """Std of heatmap2's convolution at depth 32, and at 64."""
    fixes: tuple[str, ...] = ()
    """Legacy defects that must be mended for it to run."""

    def head_std(self, depth: int) -> float | None:
        """Std of heatmap2's convolution, None for the published one."""
        if self.deep_std is None or depth < 32:
            return None
        return self.deep_std[0 if depth == 32 else 1]


PUBLISHED = Variant("published", "gaussian fillers, rate 0.001, manual stages 0.0002")
VARIANTS = (
    PUBLISHED,
    Variant("std", "heatmap2's std 0.002 at d2 = 32, 0.0006 at 64", deep_std=(0.002, 0.0006)),
    Variant("rate", "rate 0.002, manual stages 0.0006", rate=0.002, manual_rate=0.0006),
    Variant(
        "msra",
        "every convolution MSRA, and the maximum subtracted in the softmax",
        filler="msra",
        fixes=("stable_softmax",),
    ),
    Variant(
        "xavier",
        "every convolution Xavier, and the maximum subtracted in the softmax",
        filler="xavier",
        fixes=("stable_softmax",),
    ),
)
STAGES = (
    Stage("adaptive_h1", 2),
    Stage("adaptive_h1", 4),
    Stage("adaptive_i1", 8),
    Stage("manual", 8),
    Stage("adaptive_i1", 16),
    Stage("manual", 16),
    Stage("adaptive_i1", 32),
    Stage("adaptive_i1", 64),
    Stage("manual", 64),
)


def stage_folder(number: int, stage: Stage) -> str:
    """`3_d8_adaptive_i1`: the stages sort in their order."""
    return f"{number}_d{stage.depth}_{stage.name}"


def stage_solver(stage: Stage, variant: Variant, net: Path, iterations: int) -> str:
    """RMSProp for one stage; its history starts anew, its weights come with --weights."""
    rate = variant.manual_rate if stage.name == "manual" else variant.rate
    return f"""\
# Made by examples/make_nets.py --curriculum
net: "{net.as_posix()}"
type: "RMSProp"

base_lr: {rate:g}
rms_decay: 0.95
lr_policy: "fixed"
max_iter: {iterations}

test_iter: {TEST // stage.recipe(variant).test_batch}
test_interval: {iterations}
test_initialization: false
display: 20
average_loss: 20

snapshot_prefix: "runs/curriculum/{variant.name}/{net.parent.name}"
random_seed: 2018
solver_mode: CPU
"""
