"""Write scikit-learn's handwritten digits as HDF5 files for LeNet.

    python examples/make_digits.py              # writes toy/digits/ unless it is already there

The set comes with scikit-learn (1,797 digits of 8 x 8 pixels, no download). Each is enlarged to
24 x 24 by linear interpolation and framed to LeNet's 28 x 28, values 0 to 1. A fixed shuffle puts
1,437 into train.h5 and 360 into test.h5; train.txt and test.txt name them, as HDF5Data wants.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

TEST_COUNT = 360
SEED = 2018


def main() -> None:
    """Make both files unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("toy/digits"), help="default toy/digits")
    root: Path = parser.parse_args().into
    if (root / "test.txt").is_file():
        print(f"{root.as_posix()} is already there")
        return
    images, labels = digits()
    root.mkdir(parents=True, exist_ok=True)
    write(root / "train", images[TEST_COUNT:], labels[TEST_COUNT:])
    write(root / "test", images[:TEST_COUNT], labels[:TEST_COUNT])
    print(f"{root.as_posix()}: {len(images) - TEST_COUNT} train and {TEST_COUNT} test digits")


def digits() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images `[1797, 1, 28, 28]` and labels `[1797]`, shuffled."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemExit("the digits come with scikit-learn: pip install scikit-learn") from error
    data = load_digits()
    order = np.random.Generator(np.random.PCG64(SEED)).permutation(len(data.images))
    enlarged = (cv2.resize(data.images[i] / 16, (24, 24)) for i in order)
    framed = [cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_CONSTANT) for image in enlarged]
    return np.stack(framed)[:, None].astype(np.float32), data.target[order].astype(np.float32)


def write(stem: Path, images: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
    """Write `<stem>.h5` with data and label, and `<stem>.txt` that names it."""
    stored = stem.with_suffix(".h5")
    with h5py.File(stored, "w") as file:
        file["data"], file["label"] = images, labels
    stem.with_suffix(".txt").write_text(f"{stored.as_posix()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
