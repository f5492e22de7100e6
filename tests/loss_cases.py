"""Losses and maps beyond Caffe's own, each with bottoms that fit it."""

from __future__ import annotations

import torch
from layer_case import Case, draw, numbers

SCORES, LABELS = draw(5, 3, seed=3) * 2, numbers(2, 0, 1, 1, 2)
PLANES, PLACES = draw(2, 4, 3, 5, seed=4), (torch.arange(30) % 4).reshape(2, 3, 5).double()
BINARY = (torch.arange(40) % 3 == 0).double().reshape(4, 10)
MAPS = draw(2, 4, 5, 3, seed=5)
DISCS = draw(2, 4, 5, 3, seed=6).clamp(0, 1)
VISIBLE = numbers(2, 1, 0, 2, 1, 2, 2, 0).reshape(2, 4)
HEAT = draw(2, 4, 15, seed=7).softmax(-1).reshape(2, 4, 5, 3)
OTHER_HEAT = draw(2, 4, 15, seed=8).softmax(-1).reshape(2, 4, 5, 3)
JOINTS, OTHER_JOINTS = draw(2, 5, 3, seed=9), draw(2, 5, 3, seed=10)
WEIGHTS = draw(2, 5, 3, seed=11).abs()
PLACE = draw(2, 4, 2, seed=12).tanh()
SERIES, CLASSES = draw(6, 2, 3, seed=13), (torch.arange(12) // 3 % 3).reshape(6, 2).double()
CONT = numbers(0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1).reshape(6, 2)
RATE, WANTED_RATE = draw(6, 2, seed=14), draw(6, 2, seed=15)
BOXES, IMAGE = numbers(3, 4, 60, 50, 1, 20, 30, 90, 70, 2).reshape(2, 5), numbers(96, 112, 1)[None]
CELLS = draw(1, 18, 6, 7, seed=16)
FACE = draw(2, 6, 2, seed=17) * 3 + 8
SMOOTH = {
    "anchor": Case("AnchorLoss", (SCORES, LABELS), arguments={"gamma": 1.7}),
    "anchor both": Case(
        "AnchorLoss", (PLANES, PLACES), arguments={"anchor": "BOTH", "ignore_label": 2}
    ),
    "anchor target": Case(
        "AnchorLoss", (SCORES, LABELS), arguments={"anchor": "TARGET", "gamma": 0.3}
    ),
    "anchor static": Case("AnchorLoss", (SCORES, LABELS), arguments={"static_anchor": 0.4}),
    "anchor pose": Case("AnchorPoseLoss", (MAPS, DISCS), arguments={"margin": 0.05}),
    "focal": Case("SigmoidFocalLoss", (draw(4, 10, seed=18), BINARY)),
    "focal mixed": Case(
        "SigmoidFocalLoss",
        (draw(4, 10, seed=18), draw(4, 10, seed=19).sigmoid()),
        arguments={"gamma": 0.5, "alpha": -1.0, "normalization": "FULL"},
    ),
    "ohem": Case("OHEMLoss", (JOINTS[0], WEIGHTS[0]), (0, 1), {"keep": 4}),
    "ohem per item": Case("OHEMLoss", (draw(3, 7),), arguments={"fraction": 0.5, "per_item": True}),
    "ohem softmax": Case("OHEMSoftmaxLoss", (PLANES, PLACES), arguments={"fraction": 0.3}),
    "ohkm": Case("OHKMLoss", (MAPS, DISCS, VISIBLE), (0, 1), {"topk": 3}),
    "wing": Case("WingLoss", (JOINTS * 9, OTHER_JOINTS, WEIGHTS), (0, 1)),
    "adaptive wing": Case("AdaptiveWingLoss", (MAPS, DISCS)),
    "adaptive wing weighted": Case(
        "AdaptiveWingLoss", (MAPS, DISCS, WEIGHTS.new_ones(2, 4, 5, 3) * 2)
    ),
    "js": Case("JSDivergenceLoss", (HEAT, OTHER_HEAT, VISIBLE), (0, 1)),
    "dsnt": Case("DSNT", (HEAT,)),
    "dsnt js": Case("DSNTLoss", (HEAT, PLACE, VISIBLE)),
    "dsnt kl": Case("DSNTLoss", (HEAT, PLACE), arguments={"regularization": "KL", "tops": 2}),
    "dsnt variance": Case("DSNTLoss", (HEAT, PLACE), arguments={"regularization": "VARIANCE"}),
    "dsnt volume": Case(
        "DSNTLoss", (HEAT.reshape(2, 2, 2, 5, 3), PLACE[:, :2].repeat(1, 1, 2)[..., :3])
    ),
    "soft-argmax": Case("SoftArgmax", (MAPS,), arguments={"tops": 2, "beta": 1.5}),
    "soft-argmax depth": Case("SoftArgmax", (MAPS,), arguments={"depth": 2, "convention": "SUN"}),
    "soft-argmax line": Case("SoftArgmax", (MAPS.flatten(2),), arguments={"convention": "DSNT"}),
    "soft-argmax sum": Case("SoftArgmax", (HEAT * 3,), arguments={"normalize": "SUM"}),
    "integral": Case("IntegralLoss", (JOINTS, OTHER_JOINTS, WEIGHTS), (0, 1)),
    "integral l2": Case(
        "IntegralLoss", (JOINTS, OTHER_JOINTS, WEIGHTS[..., 0]), (0, 1), {"norm": "L2"}
    ),
    "mpjpe": Case("MPJPELoss", (JOINTS, OTHER_JOINTS, BINARY[:1].reshape(2, 5)), (0, 1)),
    "mpjpe root": Case(
        "MPJPELoss", (JOINTS.flatten(1), OTHER_JOINTS.flatten(1)), (0, 1), {"root": 2}
    ),
    "consistency kl": Case("TemporalConsistencyLoss", (SERIES, CONT), arguments={"form": "KL"}),
    "consistency tv": Case(
        "TemporalConsistencyLoss",
        (SERIES, CLASSES, CONT),
        arguments={"form": "TV_L1", "edge_aware": True},
    ),
    "consistency tv2": Case(
        "TemporalConsistencyLoss",
        (SERIES.permute(1, 2, 0).contiguous(),),
        arguments={"form": "TV_L2", "axis": 1, "time_axis": 2},
    ),
    "joint": Case(
        "JointRegressionClassificationLoss",
        (RATE, WANTED_RATE, SERIES, CLASSES, CONT),
        (0, 2),
        {"form": "TV_L2", "tops": 4, "edge_aware": True},
    ),
    "add coords": Case(
        "AddCoords", (MAPS, DISCS), arguments={"with_r": True, "with_boundary": True}
    ),
    "coord conv": Case("CoordConv", (MAPS,), arguments={"num_output": 3, "kernel_size": 2}),
}
"""Whose gradients are derivatives: none holds a changing quantity constant at these bottoms."""
DETACHED = {"anchor", "anchor both", "anchor target", "anchor pose"}
"""Their anchors are constants in the backward pass: gradcheck holds them so."""
OTHERS = {
    "consistency": Case("TemporalConsistencyLoss", (SERIES,)),
    "joint t-mse": Case(
        "JointRegressionClassificationLoss", (RATE, WANTED_RATE, SERIES, CLASSES), (0, 2)
    ),
    "loss map": Case("WeightedLossMap", (DISCS,), ()),
    "boundary": Case(
        "BoundaryHeatmap",
        (FACE,),
        (),
        {"height": 12, "width": 17, "contours": ((0, 1, 2, 3), (3, 4, 5), (1, 5))},
    ),
    "anchor targets": Case("AnchorTarget", (CELLS, BOXES, IMAGE), (), {"scales": (2.0, 4.0)}),
    "sampling": Case("BalancedSampling", (BINARY,), (), {"batch_size": 8}),
}
CASES = SMOOTH | OTHERS
RANDOM = {"anchor targets", "sampling"}
NEW = sorted({case.type for case in CASES.values()})
