"""Draw a small set of articulated figures in the file layout of the integral-regression repos.

    python examples/make_toy_pose.py            # writes toy/pose/ unless it is already there

Every sample is one random pose of a 32-joint skeleton (bones in mm), seen by one of four pinhole
cameras and drawn into a square crop around the person. Which side a limb is on shows in its hue,
how far it is from the camera in its brightness, so depth can be learnt from one small image. The
same settings give the same files. Samples 0 to 511 are for training, the next 128 for testing.

One text file per sample and kind, `<kind>/<index>.txt`, with blanks between the numbers:

    bbx_all_new           x1 y1 x2 y2 of the square person box in the camera's 1000 x 1002 image
    center_x, center_y    the person's centre in the crop, in pixels: the middle
    scale                 the person's size; the nets multiply by 0.005, so 200 means "as it is"
    gt_joint_2d_raw_new   32 lines x y, in pixels of the crop
    gt_joint_3d_mono_raw  32 lines X Y Z in the camera's frame, mm
    camera_all            R, T, f, c, k, p
    image_path_file       path of the picture, relative to where this was run
    info_all              seven labelled lines that no layer reads
    images                <index>.png, RGB

and in `test_index/` a file per net with the number its GenSequentialIndex counts on from, -1 at
first, so that nets which are trained at the same time each go over all test samples.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from figures.camera import random_poses
from figures.drawing import draw
from figures.layout import KINDS, write_labels
from pose_net.recipe import NAMES

DONE = "made_with.txt"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the set depends on."""

    train: int = 512
    test: int = 128
    size: int = 64
    seed: int = 2018


def main() -> None:
    """Make the set unless a finished one with the same settings is there."""
    settings, root = _arguments()
    stamp = "".join(f"{name} {value}\n" for name, value in asdict(settings).items())
    done = root / DONE
    if done.is_file() and done.read_text(encoding="utf-8") == stamp:
        print(f"{root.as_posix()} is already there")
        return
    done.unlink(missing_ok=True)
    make(settings, root)
    done.write_text(stamp, encoding="utf-8")
    print(f"{root.as_posix()}: {settings.train} train and {settings.test} test samples")


def make(settings: Settings, root: Path) -> None:
    """Write the whole set under `root`."""
    for kind in (*KINDS, "images"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    for net in NAMES:
        counter = root / "test_index" / f"{net}.txt"
        counter.parent.mkdir(exist_ok=True)
        counter.write_text("-1\n", encoding="utf-8")
    poses = random_poses(settings.train + settings.test, settings.size, rng)
    write_labels(poses, root, train=settings.train)
    for index, picture in draw(poses, rng):
        _, coded = cv2.imencode(".png", picture[:, :, ::-1])
        (root / "images" / f"{index}.png").write_bytes(coded.tobytes())


def _arguments() -> tuple[Settings, Path]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--into", type=Path, default=Path("toy/pose"), help="default toy/pose")
    given = vars(parser.parse_args())
    root = given.pop("into")
    return Settings(**given), root


if __name__ == "__main__":
    main()
