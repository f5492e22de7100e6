"""The 32 joints, how they hang together and how far each turns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Joint(NamedTuple):
    """A joint: where it hangs on its parent at rest (mm), and how far it turns (degrees).

    Axes are the camera's: x to the right of the image, y down, z away. The figure at rest faces
    the camera, arms hanging, so its right side lies at negative x.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    turn_x: tuple[float, float] = (0, 0)
    turn_y: tuple[float, float] = (0, 0)
    turn_z: tuple[float, float] = (0, 0)


def _leg(side: str, first: int, sign: int) -> list[Joint]:
    out = (-5, 30) if sign < 0 else (-30, 5)
    return [
        Joint(f"{side}UpLeg", 0, (sign * 130, 0, 0), (-70, 25), (-15, 15), out),
        Joint(f"{side}Leg", first, (0, 440, 0), (0, 80)),
        Joint(f"{side}Foot", first + 1, (0, 440, 0), (-20, 20)),
        Joint(f"{side}ToeBase", first + 2, (0, 40, -150)),
        Joint(f"Site_{0 if sign < 0 else 1}", first + 3, (0, 0, -70)),
    ]


def _arm(side: str, first: int, sign: int) -> list[Joint]:
    out = (-10, 110) if sign < 0 else (-110, 10)
    return [
        Joint(f"{side}Shoulder", 13, (sign * 60, 20, 0)),
        Joint(f"{side}Arm", first, (sign * 110, 20, 0), (-100, 40), (-30, 30), out),
        Joint(f"{side}ForeArm", first + 1, (0, 280, 0), (-110, 0)),
        Joint(f"{side}Hand", first + 2, (0, 250, 0)),
        Joint(f"{side}HandThumb", first + 3, (0, 30, -50)),
        Joint(f"Site_{5 if sign < 0 else 3}", first + 4, (0, 40, 0)),
        Joint(f"{side[0]}_Wrist_End", first + 3, (0, 80, 0)),
        Joint("" if sign < 0 else "Site_4", first + 6, (0, 60, 0)),
    ]


SKELETON: tuple[Joint, ...] = (
    Joint("Hips", -1, (0, 0, 0), (-8, 8), (-70, 70), (-8, 8)),
    *_leg("Right", 1, -1),
    *_leg("Left", 6, 1),
    Joint("Spine", 0, (0, -120, 0), (-15, 25), (-20, 20), (-10, 10)),
    Joint("Spine1", 11, (0, -130, 0), (-10, 10), (-10, 10), (-10, 10)),
    Joint("Neck", 12, (0, -250, 0), (-15, 20), (-30, 30), (-15, 15)),
    Joint("Head", 13, (0, -110, -30)),
    Joint("Site_2", 14, (0, -120, 0)),
    *_arm("Left", 16, 1),
    *_arm("Right", 24, -1),
)


def random_skeletons(count: int, rng: np.random.Generator) -> Floats:
    """Poses `[count, 32, 3]` in mm, hips at the origin, bones up to 10 % longer or shorter."""
    position = np.zeros((count, len(SKELETON), 3))
    turned = np.zeros((count, len(SKELETON), 3, 3))
    for index, joint in enumerate(SKELETON):
        own = _turn(joint, count, rng)
        if joint.parent < 0:
            turned[:, index] = own
            continue
        frame = turned[:, joint.parent]
        position[:, index] = position[:, joint.parent] + frame @ np.array(joint.offset, float)
        turned[:, index] = frame @ own
    return position * rng.uniform(0.9, 1.1, (count, 1, 1))


def _turn(joint: Joint, count: int, rng: np.random.Generator) -> Floats:
    low, high = zip(joint.turn_x, joint.turn_y, joint.turn_z, strict=True)
    a, b, c = np.deg2rad(rng.uniform(low, high, (count, 3))).T
    zero, one = np.zeros(count), np.ones(count)

    def matrix(*rows: Floats) -> Floats:
        return np.stack(rows, -1).reshape(count, 3, 3)

    about_x = matrix(one, zero, zero, zero, np.cos(a), -np.sin(a), zero, np.sin(a), np.cos(a))
    about_y = matrix(np.cos(b), zero, np.sin(b), zero, one, zero, -np.sin(b), zero, np.cos(b))
    about_z = matrix(np.cos(c), -np.sin(c), zero, np.sin(c), np.cos(c), zero, zero, zero, one)
    return about_z @ about_y @ about_x
