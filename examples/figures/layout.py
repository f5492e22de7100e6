"""The text files of the layout, one per sample and kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .camera import CAMERAS, Camera, Poses

KINDS = (
    "bbx_all_new",
    "center_x",
    "center_y",
    "scale",
    "gt_joint_2d_raw_new",
    "gt_joint_3d_mono_raw",
    "camera_all",
    "image_path_file",
    "info_all",
)


def write_labels(poses: Poses, root: Path, *, train: int) -> None:
    """Write every text file of the layout; the first `train` samples are called actor 1's."""
    for index in range(len(poses.joints)):
        for kind, text in label_texts(poses, root, index, train=train).items():
            (root / kind / f"{index}.txt").write_text(text, encoding="utf-8")


def label_texts(poses: Poses, root: Path, index: int, *, train: int) -> dict[str, str]:
    """What each kind's file of one sample says."""
    middle = f"{poses.size / 2:.1f}\n"
    texts = (
        " ".join(f"{edge:.0f}" for edge in poses.boxes[index]) + "\n",
        middle,
        middle,
        "200.0\n",
        "".join(f"{x:12.6f} {y:12.6f}\n" for x, y in poses.pixels[index]),
        "".join(f"{x:12.6f} {y:12.6f} {z:12.6f} \n" for x, y, z in poses.joints[index]),
        camera_text(CAMERAS[poses.cameras[index]]),
        (root / "images" / f"{index}.png").as_posix() + "\n",
        _info_text(index, int(poses.cameras[index]), index < train),
    )
    return dict(zip(KINDS, texts, strict=True))


def camera_text(camera: Camera) -> str:
    """The twelve lines of a camera file: a label before each group of numbers."""
    yaw = np.deg2rad(camera.yaw)
    rotation = ((np.cos(yaw), np.sin(yaw), 0), (0, 0, -1), (-np.sin(yaw), np.cos(yaw), 0))
    groups = {
        "R": [v for row in rotation for v in row],
        "T": (4000 * np.sin(yaw), -4000 * np.cos(yaw), 1500),
        "f": camera.focal,
        "c": camera.centre,
        "k": (0, 0, 0),
        "p": (0, 0),
    }
    return "".join(
        f"{label}:\n{' '.join(f'{number:.6f}' for number in numbers)}\n"
        for label, numbers in groups.items()
    )


def _info_text(index: int, camera: int, training: bool) -> str:
    facts = {
        "actor_id": 1 if training else 9,
        "action_id": 0,
        "action_name": "Toy",
        "subaction_id": 1,
        "camera_id": camera + 1,
        "frame_id": index,
        "video_name": f"toy.{camera + 1}",
    }
    return "".join(f"{label:>15}{value:>71}\n" for label, value in facts.items())
