"""From the two heatmaps to coordinates, to millimetres, to losses."""

from __future__ import annotations

from collections.abc import Iterable

from .data import BOX, CAMERA, JOINTS, convert_depth
from .recipe import Recipe
from .text import Field, layer, section

SOFTMAX_SCALE = 20.0
"""Factor on heatmap2 before its softmax; I1 has 30, H1 50, for volumes of 64 x 64 pixels and more.

Smaller volumes need less to be sharp, and less is safer: the old layer computes exp(v) squared in
float32, so its gradient is lost where a scaled voxel exceeds 44.36, here a heatmap2 of 2.2.
"""
UNIT: tuple[Field, Field] = (("dim_lb", 0.0), ("dim_ub", 1.0))


def heads(recipe: Recipe) -> list[str]:
    """Every layer behind `heatmap` and `heatmap2`."""
    return [
        section("Stage 1, decoded twice: the maximum and the expectation."),
        *_first_stage(recipe),
        section("Stage 2, the expectation: softmax over each joint's volume, then its marginals."),
        *_softmax(recipe),
        *(block for joint in range(JOINTS) for block in _integrals(joint)),
        *_joined_integrals(),
        *_coordinate_losses(recipe, "s2_int"),
        section("Stage 2, the maximum."),
        *_volume_maximum(recipe),
        *_coordinate_losses(recipe, "s2_max"),
        section("What trains: the two heatmaps' losses, and their weighting."),
        _euclidean(recipe, "loss_2dhm", "heatmap", "label_2dhm"),
        _euclidean(recipe, "loss_3dhm", "heatmap2", "label_3dhm"),
        *_adaptive_loss(recipe),
    ]


def _first_stage(recipe: Recipe) -> list[str]:
    truth = "crop_gt_joint_2d"
    return [
        layer("pred_joint_2d_s1_max", "DeepHumanModelArgmaxHM", "heatmap", "pred_joint_2d_s1_max"),
        layer(
            "norm_2dhm",
            "DeepHumanModelNormalizationResponseV0",
            "heatmap",
            "heatmap_norm",
            ("normalization_response_param", [("hm_threshold", 0.003)]),
        ),
        layer(
            "pred_joint_2d_s1_int",
            "DeepHumanModelNumericalCoordinateRegression",
            "heatmap_norm",
            "pred_joint_2d_s1_int",
        ),
        _euclidean(recipe, "joint2dloss_s1_int", "pred_joint_2d_s1_int", truth),
        _euclidean(recipe, "joint2dloss_s1_max", "pred_joint_2d_s1_max", truth),
    ]


def _softmax(recipe: Recipe) -> list[str]:
    dims = (0, JOINTS * recipe.depth, recipe.map_size, recipe.map_size)
    scaled, shaped = "heatmap2_flat_scale", "heatmap2_flat_scale_reshape"
    return [
        layer("heatmap2_flat", "Flatten", "heatmap2", "heatmap2_flat"),
        layer(
            scaled,
            "ScaleVector",
            "heatmap2_flat",
            scaled,
            ("scale_vector_param", [("scale_factor", SOFTMAX_SCALE)]),
        ),
        layer(
            shaped,
            "Reshape",
            scaled,
            shaped,
            ("reshape_param", [("shape", [("dim", dim) for dim in dims])]),
        ),
        layer(
            "heatmap2_norm",
            "DeepHumanModelSoftmax3DHM",
            shaped,
            "heatmap2_norm",
            (
                "deep_human_model_softmax_3d_hm_param",
                [("joint_num", JOINTS), ("depth_dims", recipe.depth)],
            ),
        ),
        layer(
            "slice_cube",
            "Slice",
            "heatmap2_norm",
            (f"pred_cube_{joint}" for joint in range(JOINTS)),
            _slices(recipe.depth * joint for joint in range(1, JOINTS)),
        ),
    ]


def _slices(points: Iterable[int]) -> Field:
    return "slice_param", [("axis", 1), *(("slice_point", point) for point in points)]


def _integrals(joint: int) -> list[str]:
    cube = f"pred_cube_{joint}"
    blocks = []
    for axis in "xyz":
        name, top = f"integral_{axis}_cube_{joint}", f"{cube}_{axis}"
        blocks += [
            layer(f"{name}_vec", f"DeepHumanModelIntegral{axis.upper()}", cube, f"{top}_vec"),
            layer(
                f"{name}_vaue",  # so spelt in every published net
                "DeepHumanModelIntegralVector",
                f"{top}_vec",
                top,
                ("deep_human_model_integral_vector_param", UNIT),
            ),
        ]
    return blocks


def _joined_integrals() -> list[str]:
    plane = [f"pred_cube_{joint}_{axis}" for joint in range(JOINTS) for axis in "xy"]
    depth = [f"pred_cube_{joint}_z" for joint in range(JOINTS)]
    return [
        layer("gen_pred_joint_2d_fr_3d_hm", "Concat", plane, "pred_joint_2d_s2_int"),
        layer("gen_pred_depth_fr_3d_hm", "Concat", depth, "pred_depth_s2_int"),
    ]


def _volume_maximum(recipe: Recipe) -> list[str]:
    plane = [f"pred_joint_2d_{joint}_s2_max" for joint in range(JOINTS)]
    depth = [f"pred_depth_{joint}_s2_max" for joint in range(JOINTS)]
    points = [3 * joint + part for joint in range(JOINTS) for part in (2, 3)][:-1]
    bounds = [
        (f"{axis}_{end}", value) for axis in "xyz" for end, value in (("lb", 0.0), ("ub", 1.0))
    ]
    return [
        layer(
            "pred_joint_3d_s2_max",
            "DeepHumanModelH36MChaGenJointFrXYZHeatmap",
            "heatmap2",
            "pred_joint_3d_s2_max",
            (
                "deep_human_model_h36m_cha_gen_joint_fr_xyz_heatmap_param",
                [
                    ("depth_dims", recipe.depth),
                    ("map_size", recipe.map_size),
                    *bounds,
                    ("joint_num", JOINTS),
                ],
            ),
        ),
        layer(
            "slice_pred_joint_3d_s2_max",
            "Slice",
            "pred_joint_3d_s2_max",
            (name for pair in zip(plane, depth, strict=True) for name in pair),
            _slices(points),
        ),
        layer("pred_joint_2d_s2_max", "Concat", plane, "pred_joint_2d_s2_max"),
        layer("pred_depth_s2_max", "Concat", depth, "pred_depth_s2_max"),
    ]


def _coordinate_losses(recipe: Recipe, way: str) -> list[str]:
    """Losses on the coordinates in 0 … 1, and the error in mm (true root depth, no alignment)."""
    plane, depth, joints = f"pred_joint_2d_{way}", f"pred_depth_{way}", f"pred_joint_global_{way}"
    error = f"error(mm)_3d_{way}"
    return [
        _euclidean(recipe, f"joint2dloss_{way}", plane, "crop_gt_joint_2d"),
        _euclidean(recipe, f"depthloss_{way}", depth, "annot_depth"),
        convert_depth(f"{depth}_global", depth),
        layer(
            joints,
            "DeepHumanModelH36MGenPredMono3D",
            (plane, f"{depth}_global", *BOX, "image_index"),
            joints,
            ("gen_pred_mono_3d_param", CAMERA),
        ),
        layer(
            error,
            "Joint3DSquareRootLoss",
            (joints, "aug_3d"),
            error,
            ("loss_weight", 0.0),
            ("joint_3d_square_root_loss_param", [("joint_num", JOINTS)]),
        ),
    ]


def _euclidean(recipe: Recipe, name: str, predicted: str, truth: str) -> str:
    weight = recipe.loss_weights.get(name, 0.0)
    return layer(name, "EuclideanLoss", (predicted, truth), name, ("loss_weight", weight))


def _adaptive_loss(recipe: Recipe) -> list[str]:
    """H1 weighs the two heatmaps; I1 the decoded coordinates as well."""
    if recipe.name == "manual" or recipe.terms:
        return []
    maps = ("heatmap", "label_2dhm", "heatmap2", "label_3dhm")
    name, pairs = "ada_loss", [f"{blob}_flatten" for blob in maps]
    if recipe.name == "adaptive_i1":
        name = "ada_loss_all"
        pairs += ["pred_joint_2d_s2_int", "crop_gt_joint_2d", "pred_depth_s2_int", "annot_depth"]
        pairs += ["pred_joint_2d_s1_int", "crop_gt_joint_2d"]
    return [
        *(layer(f"{blob}_flatten", "Flatten", blob, f"{blob}_flatten") for blob in maps),
        layer(name, "AdaptiveWeightEucLoss", pairs, name, ("loss_weight", 1.0)),
    ]
