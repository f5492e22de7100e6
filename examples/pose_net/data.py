"""The data side: from an index to image, labels and heatmaps, layer by layer as the old nets do."""

from __future__ import annotations

from .recipe import Recipe
from .text import Field, layer, only, section

JOINTS = 16
TRAIN, TEST = 512, 128
ROOT = "toy/pose"
DEPTH_BOUNDS: tuple[Field, Field] = (("depth_lb", -1000.0), ("depth_ub", 1000.0))
"""mm before and behind the hips. Nothing in the toy set reaches beyond.

The old nets code depth with (-1005.185902, 980.8599) and decode it with (-950.637313, 892.544664):
a perfect net would then still be 17 mm off. Here both ends share one pair.
"""


def data_side(recipe: Recipe) -> list[str]:
    """Every layer from the index to the label heatmaps."""
    return [
        section("Which samples: at random for training, all in order for testing."),
        *_indices(recipe),
        section("The person's box in the camera image, its centre and size, the 32 joints."),
        *_readers(),
        section(
            "The augmented crop and its 2D joints. The published nets leave flip_prob at 0.5 here;",
            "but a flip swaps left and right in 2D and not in depth, so half their samples carry",
            "the depth of the opposite limb. Hence no flips.",
        ),
        _crop(recipe, "TRAIN", max_rotate_degree=20.0, scale_prob=1.0),
        _crop(recipe, "TEST", max_rotate_degree=0.0, scale_prob=-1.0),
        _scaled("crop_gt_joint_2d", "crop_gt_joint_2d_scale", 1 / recipe.crop),
        section("The joints in mm that belong to that crop, and their depth in 0 ... 1."),
        *_camera_frame(recipe),
        section("What the two heatmaps should look like."),
        *_label_maps(recipe),
    ]


def _indices(recipe: Recipe) -> list[str]:
    return [
        layer(
            "gen_rand_ind",
            "GenRandIndex",
            (),
            "image_index",
            only("TRAIN"),
            (
                "gen_rand_index_param",
                [
                    ("index_lower_bound", 0),
                    ("index_upper_bound", TRAIN - 1),
                    ("batch_size", recipe.batch),
                ],
            ),
        ),
        layer(
            "gen_sequential_ind",
            "GenSequentialIndex",
            (),
            "image_index",
            only("TEST"),
            (
                "gen_sequential_index_param",
                [
                    ("batch_size", recipe.test_batch),
                    ("current_index_file_path", f"{ROOT}/test_index/{recipe.name}.txt"),
                    ("num_of_samples", TEST),
                    ("start_index", TRAIN),
                ],
            ),
        ),
    ]


def _readers() -> list[str]:
    corners = ("bbx_x1_H36M", "bbx_y1_H36M", "bbx_x2_H36M", "bbx_y2_H36M")
    points = [("slice_point", point) for point in (1, 2, 3)]
    return [
        _read("read_bbx_H36M", "bbx_H36M", "bbx_all_new", 4),
        layer("slice_bbx", "Slice", "bbx_H36M", corners, ("slice_param", [("axis", 1), *points])),
        _read("center_x", "center_x", "center_x", 1),
        _read("center_y", "center_y", "center_y", 1),
        _read("scale", "scale", "scale", 1),
        _scaled("scale_provided", "scale", 0.005),
        _read("gt_joint_2d_raw_H36M_all", "gt_joint_2d_raw_H36M_all", "gt_joint_2d_raw_new", 64),
        layer(
            "gt_joint_2d_raw_H36M",
            "DeepHumanModelConvert2D",
            "gt_joint_2d_raw_H36M_all",
            "gt_joint_2d_raw_H36M",
        ),
        _read("gt_joint_3d_mono_raw_all", "gt_joint_3d_mono_raw_all", "gt_joint_3d_mono_raw", 96),
        layer(
            "gt_joint_3d_mono_raw",
            "DeepHumanModelConvert3D",
            "gt_joint_3d_mono_raw_all",
            "gt_joint_3d_mono_raw",
        ),
    ]


def _read(name: str, top: str, folder: str, count: int) -> str:
    where: list[Field] = [("file_prefix", f"{ROOT}/{folder}/"), ("num_to_read", count)]
    return layer(
        name,
        "ReadBlobFromFileIndexing",
        "image_index",
        top,
        ("read_blob_from_file_indexing_param", where),
    )


def _scaled(top: str, bottom: str, factor: float) -> str:
    return layer(
        top, "ScaleVector", bottom, top, ("scale_vector_param", [("scale_factor", factor)])
    )


def _crop(recipe: Recipe, phase: str, *, max_rotate_degree: float, scale_prob: float) -> str:
    return layer(
        f"augment_{phase.lower()}",
        "GenUnifiedDataAndLabel",
        ("image_index", "center_x", "center_y", "scale_provided", "gt_joint_2d_raw_H36M"),
        ("image", "crop_gt_joint_2d_scale"),
        only(phase),
        (
            "transform_param",
            [
                ("stride", recipe.stride),
                ("max_rotate_degree", max_rotate_degree),
                ("crop_size_x", recipe.crop),
                ("crop_size_y", recipe.crop),
                ("scale_prob", scale_prob),
                ("scale_min", 0.85),
                ("scale_max", 1.15),
                ("flip_prob", -1.0),
                ("target_dist", 1.0),
                ("center_perterb_max", 0.0),
                ("do_clahe", False),
                ("put_gaussian", False),
                ("file_name_file_prefix", f"{ROOT}/image_path_file/"),
                ("transform_body_joint", True),
                ("num_parts", JOINTS),
                ("minus_pixel_value", 128.0),
            ],
        ),
    )


def _camera_frame(recipe: Recipe) -> list[str]:
    return [
        layer(
            "aug_3d",
            "DeepHumanModelH36MGenAug3D",
            ("crop_gt_joint_2d_scale", "gt_joint_3d_mono_raw", *BOX, "image_index"),
            "aug_3d",
            ("gen_aug_3d_param", [*CAMERA, ("crop_bbx_size", recipe.crop)]),
        ),
        convert_depth("annot_depth", "aug_3d"),
    ]


BOX = ("bbx_x1_H36M", "bbx_y1_H36M", "bbx_x2_H36M", "bbx_y2_H36M")
CAMERA: tuple[Field, Field] = (
    ("joint_num", JOINTS),
    ("camera_parameters_prefix", f"{ROOT}/camera_all/"),
)


def convert_depth(top: str, bottom: str) -> str:
    """Joints in mm to depths in 0 … 1, or such depths back to mm."""
    fields: list[Field] = [("joint_num", JOINTS), *DEPTH_BOUNDS, ("root_joint_id", 0)]
    bottoms = (bottom, "gt_joint_3d_mono_raw")
    return layer(top, "DeepHumanModelConvertDepth", bottoms, top, ("convert_depth_param", fields))


def _label_maps(recipe: Recipe) -> list[str]:
    bounds = [(f"{axis}_{end}_bound", value) for axis in "xyz" for end, value in ENDS]
    return [
        layer(
            "label_2dhm",
            "GenHeatmapAllChannels",
            "crop_gt_joint_2d",
            "label_2dhm",
            (
                "gen_heatmap_all_channels_param",
                [
                    ("gen_size", recipe.map_size),
                    ("all_one", False),
                    ("joint_num", JOINTS),
                    ("use_baseline_render", True),
                    ("use_cpm_render", False),
                    ("stride", recipe.stride),
                    ("crop_size", recipe.crop),
                    ("render_sigma", 1.0),
                ],
            ),
        ),
        layer(
            "gen_3d_hm",
            "DeepHumanModelGen3DHeatmapInMoreDetailV3",
            ("annot_depth", "crop_gt_joint_2d"),
            "label_3dhm",
            (
                "deep_human_model_gen_3d_heatmap_in_more_detail_v3_param",
                [
                    ("depth_dims", recipe.depth),
                    ("map_size", recipe.map_size),
                    ("crop_size", recipe.crop),
                    ("stride", recipe.stride),
                    ("render_sigma", 1),
                    *bounds,
                    ("joint_num", JOINTS),
                    ("output_res", max(recipe.map_size, recipe.depth)),
                ],
            ),
        ),
    ]


ENDS = (("lower", 0.0), ("upper", 1.0))
