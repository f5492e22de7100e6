"""The skeletons of the integral repositories: joints, bones and colours (integral repos, J).

Three numberings of one body: "all" (32 joints as recorded), "part" (the 16 that the nets predict)
and "c2f" (17, as in coarse-to-fine work). Bones are (child, parent) pairs of joint numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

ALL_JOINTS = 32
PART_JOINTS = 16
C2F_JOINTS = 17

ALL_OF_PART = (0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The all joint that each part joint is."""

# fmt: off
PART_OF_ALL = (
    0, 1, 2, 3, -1, -1, 4, 5, 6, -1, -1, -1, -1, 7, 8, 9,
    -1, 10, 11, 12, -1, -1, -1, -1, -1, 13, 14, 15, 0, 0, 0, 0,
)
"""The part joint that each all joint is, -1 where there is none; 28 to 31 name the hips (F3)."""

PART_BONES = (
    (1, 0), (4, 0), (2, 1), (3, 2), (5, 4), (6, 5), (0, 7), (13, 7),
    (14, 13), (15, 14), (10, 7), (11, 10), (12, 11), (8, 7), (9, 8),
)
"""Bones between part joints, in drawing order."""

C2F_BONES = (
    (4, 0), (1, 0), (5, 4), (6, 5), (2, 1), (3, 2), (0, 7), (7, 8),
    (14, 8), (15, 14), (16, 15), (11, 8), (12, 11), (13, 12), (9, 8), (10, 9),
)
"""Bones between c2f joints, in drawing order."""

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
"""Colours in OpenCV's channel order, blue first: middle of the body, right side, left side."""

PART_BONE_COLOURS = (
    BLUE, BLUE, GREEN, GREEN, RED, RED, BLUE, GREEN,
    GREEN, GREEN, RED, RED, RED, BLUE, BLUE,
)
C2F_BONE_COLOURS = (
    BLUE, BLUE, GREEN, GREEN, RED, RED, BLUE, BLUE,
    GREEN, GREEN, GREEN, RED, RED, RED, BLUE, BLUE,
)
PART_JOINT_COLOURS = (
    BLUE, GREEN, GREEN, GREEN, RED, RED, RED, BLUE,
    BLUE, BLUE, RED, RED, RED, GREEN, GREEN, GREEN,
)
C2F_JOINT_COLOURS = (
    BLUE, RED, RED, RED, GREEN, GREEN, GREEN, BLUE,
    BLUE, BLUE, BLUE, RED, RED, RED, GREEN, GREEN, GREEN,
)
TRUE_JOINT_COLOUR = (143, 62, 255)
"""Colour of a true joint drawn beside a predicted one."""
# fmt: on

FLIPPED_PARTS = ((1, 4), (2, 5), (3, 6), (13, 10), (14, 11), (15, 12))
"""Part joints that change places when an image is mirrored: right, left."""

MIRRORED = tuple(
    dict((*FLIPPED_PARTS, *((left, right) for right, left in FLIPPED_PARTS))).get(part, part)
    for part in range(PART_JOINTS)
)
"""The part joint that each becomes in a mirror."""


def all_of_parts(parts: Tensor, missing: float, *, hips_for_rest: bool) -> Tensor:
    """The 32 recorded joints that 16 part joints [..., 16, k] make up, those without one `missing`.

    Args:
        hips_for_rest: joints 28 to 31 are the hips, as in the legacy table (defect F3).
    """
    table = PART_OF_ALL if hips_for_rest else (*PART_OF_ALL[:28], -1, -1, -1, -1)
    index = torch.tensor([max(part, 0) for part in table], device=parts.device)
    known = torch.tensor([part >= 0 for part in table], device=parts.device).unsqueeze(-1)
    return torch.where(known, parts.index_select(-2, index), missing)
