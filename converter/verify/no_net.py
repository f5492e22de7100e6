"""Files that are no net's prototxt, told by their names instead of by all that does not read."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError

WEIGHTS_ALONE = (".caffemodel", ".h5", ".hdf5", ".safetensors", ".solverstate", ".binaryproto")
NO_PROTOTXT = {
    ".py": "Python source",
    ".onnx": "an ONNX file",
    ".npz": "a file of arrays",
    ".json": "JSON",
    ".pth": "a pickled state_dict",
    ".ckpt": "a pickled state_dict",
}
"""What a file is by its ending; not `.pt`, which some nets' prototxts have."""


def check_net(path: Path, flag: str) -> None:
    """Refuse, by its name, what has no net in it.

    Raises:
        DataError: it has weights or a state alone, or is what was made of a net; names the flag
            that takes weights.
    """
    check_prototxt(path)
    if path.suffix.lower() in WEIGHTS_ALONE:
        raise DataError(f"{path}: is no net; give the net's prototxt, and weights by {flag}")


def check_prototxt(path: Path) -> None:
    """Refuse, by its name, what was made of a net and does not read as one.

    Raises:
        DataError: it is such a file.
    """
    what = NO_PROTOTXT.get(path.suffix.lower())
    if what is not None and path.exists():
        raise DataError(f"{path}: is {what}, no prototxt; give the net's prototxt")
