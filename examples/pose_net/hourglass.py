"""The computing side: a stem and two hourglasses, maps after the first, volumes at the end."""

from __future__ import annotations

import re

from .data import JOINTS
from .recipe import Filler, Recipe
from .text import Field, Word, layer, section

LEVELS = 2
"""Poolings within an hourglass: 16 x 16 maps are 4 x 4 at its waist."""


def two_stages(recipe: Recipe) -> list[str]:
    """Every layer from `image` to `heatmap` and `heatmap2`."""
    blocks = _two_stages(recipe)
    if recipe.filler == "gaussian":
        return blocks
    return [with_filler(block, recipe.filler) for block in blocks]


def with_filler(block: str, filler: Filler) -> str:
    """A block of prototxt whose gaussian fillers are of another type."""
    return re.sub(r'type: "gaussian" std: [0-9.e-]+', f'type: "{filler}"', block)


def _two_stages(recipe: Recipe) -> list[str]:
    wide, half = recipe.channels, recipe.channels // 2
    return [
        section(
            f"Stem: {recipe.crop} x {recipe.crop} pixels to {recipe.map_size} x {recipe.map_size}."
        ),
        convolution("conv_1", "image", half, kernel=7, stride=2),
        *_normalised("bn_1", "scale_1", "conv_1"),
        *_residual("residual_1", "scale_1", half, wide),
        _pooling("pooling", "residual_1"),
        *_residual("residual_2", "pooling", wide, wide),
        section("Stage 1: heatmap, one map per joint."),
        *_hourglass("hourglass1", "residual_2", wide, LEVELS),
        convolution("fc_1", "hourglass1", wide),
        convolution("fc_2", "fc_1", wide),
        convolution("conv_2_n", "fc_2", JOINTS, top="heatmap"),
        section(
            "Stage 2: heatmap2, a volume per joint; channel j * depth + k is bin k of joint j."
        ),
        convolution("conv_3_n", "heatmap", wide, top="conv_3"),
        layer(
            "concat_1", "Concat", ("pooling", "fc_2"), "concat_1", ("concat_param", [("axis", 1)])
        ),
        convolution("conv_4", "concat_1", wide),
        _sum("eltwise", "conv_3", "conv_4"),
        *_hourglass("hourglass2", "eltwise", wide, LEVELS),
        convolution("fc_3", "hourglass2", wide),
        convolution("fc_4", "fc_3", wide),
        convolution(
            f"conv_5_d{recipe.depth}",
            "fc_4",
            JOINTS * recipe.depth,
            top="heatmap2",
            std=recipe.heatmap2_std,
        ),
    ]


def convolution(
    name: str,
    bottom: str,
    num_output: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    top: str = "",
    std: float = 0.01,
) -> str:
    """A convolution that keeps the size (but for its stride), filled as the published nets are."""
    return layer(
        name,
        "Convolution",
        bottom,
        top if top else name,
        ("param", [("lr_mult", 1), ("decay_mult", 1)]),
        ("param", [("lr_mult", 2), ("decay_mult", 0)]),
        (
            "convolution_param",
            [
                ("num_output", num_output),
                ("pad", kernel // 2),
                ("kernel_size", kernel),
                ("stride", stride),
                ("weight_filler", [("type", "gaussian"), ("std", std)]),
                ("bias_filler", [("type", "constant")]),
            ],
        ),
    )


def _hourglass(name: str, bottom: str, channels: int, levels: int) -> list[str]:
    """Down, through the smaller hourglass (or one block at the waist), up, plus the side branch."""
    down, waist = f"{name}_branch1_res1", f"{name}_branch1_res2"
    inner = (
        _hourglass(waist, down, channels, levels - 1)
        if levels > 1
        else _residual(waist, down, channels, channels)
    )
    return [
        _pooling(f"{name}_pooling", bottom),
        *_residual(down, f"{name}_pooling", channels, channels),
        *inner,
        *_residual(f"{name}_branch1_res3", waist, channels, channels),
        _upsampling(f"{name}_upsampling", f"{name}_branch1_res3", channels),
        *_residual(f"{name}_branch2_res1", bottom, channels, channels),
        _sum(name, f"{name}_upsampling", f"{name}_branch2_res1"),
    ]


def _residual(name: str, bottom: str, given: int, wanted: int) -> list[str]:
    """1x1, 3x3 and 1x1 convolutions, each after norm and ReLU, plus the bottom itself."""
    half = wanted // 2
    stages = ((1, half, 1), (2, half, 3), (3, wanted, 1))
    blocks, below = [], bottom
    for step, channels, kernel in stages:
        prefix = f"{name}_branch1"
        blocks += _normalised(f"{prefix}_bn{step}", f"{prefix}_scale{step}", below)
        blocks += [
            layer(f"{prefix}_relu{step}", "ReLU", f"{prefix}_scale{step}", f"{prefix}_relu{step}"),
            convolution(f"{prefix}_conv{step}", f"{prefix}_relu{step}", channels, kernel=kernel),
        ]
        below = f"{prefix}_conv{step}"
    if given == wanted:
        return [*blocks, _sum(name, below, bottom)]
    projection = convolution(f"{name}_branch2_conv", bottom, wanted)
    return [*blocks, projection, _sum(name, below, f"{name}_branch2_conv")]


def _normalised(norm: str, scale: str, bottom: str) -> list[str]:
    """Normalise with the batch's own statistics, in both phases as the published nets do."""
    fixed: list[Field] = [("param", [("lr_mult", 0)])] * 3
    statistics = ("batch_norm_param", [("use_global_stats", False)])
    return [
        layer(norm, "BatchNorm", bottom, norm, *fixed, statistics),
        layer(scale, "Scale", norm, scale, ("scale_param", [("bias_term", True)])),
    ]


def _pooling(name: str, bottom: str) -> str:
    fields: list[Field] = [("pool", Word("MAX")), ("kernel_size", 2), ("stride", 2)]
    return layer(name, "Pooling", bottom, name, ("pooling_param", fields))


def _sum(name: str, *bottoms: str) -> str:
    return layer(name, "Eltwise", bottoms, name, ("eltwise_param", [("operation", Word("SUM"))]))


def _upsampling(name: str, bottom: str, channels: int) -> str:
    """Twice the size by bilinear interpolation: a frozen deconvolution, one group per channel."""
    return layer(
        name,
        "Deconvolution",
        bottom,
        name,
        ("param", [("lr_mult", 0), ("decay_mult", 0)]),
        (
            "convolution_param",
            [
                ("num_output", channels),
                ("pad", 1),
                ("kernel_size", 4),
                ("stride", 2),
                ("group", channels),
                ("weight_filler", [("type", "bilinear")]),
                ("bias_term", False),
            ],
        ),
    )
