"""Opens what the user names: a prototxt, its PyTorch source, its ONNX file, kept blobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import DataError, WeightError
from ..graph import Graph
from ..load import load_graph
from ..stored import WeightFile
from ..tensor_files import KEYS, read_keys, read_tensors
from .kept_side import is_half, kept_side
from .lent_weights import not_lent
from .net_side import declared_inputs, net_side, telling_sides
from .no_net import check_net
from .onnx_side import onnx_side
from .side import Shape, Side, known_shapes
from .source_side import source_side

OTHER_FORMS = (".npz", ".onnx", ".py")
"""Endings of what is no prototxt, and one side of a comparison nevertheless."""


def open_sides(
    paths: tuple[Path, Path],
    weights: tuple[Sequence[str], Sequence[str]],
    load: Callable[[Path], Graph] = load_graph,
) -> tuple[Side, Side, list[str]]:
    """Both sides, and what to tell about them.

    A net's prototxt without weights takes those of the other side, where that keeps them by layer;
    a source takes those that blobs were kept with, where its key map leads to them. Two prototxts
    without weights get the same ones, as `telling_sides` makes them.

    Raises:
        CaffeError: a file does not read.
    """
    told: list[str] = []
    flags = ("--weights_a", "--weights_b")
    for path, own, flag in zip(paths, weights, flags, strict=True):
        _check(path, own, flag)
    graphs = {i: load(path) for i, path in enumerate(paths) if path.suffix not in OTHER_FORMS}
    if not any(weights) and len(graphs) == 2:
        names = (str(paths[0]), str(paths[1]))
        a, b = telling_sides(graphs[0], graphs[1], names)
        told.append(
            f"{' and '.join(names)}: without weights: both get what the fillers of the first make, "
            "random where that is one number; --weights=FILE gives some"
        )
        return a, b, told
    made: dict[int, Side] = {}
    for i in sorted((0, 1), key=lambda i: i in graphs):
        path, other, own, flag = paths[i], paths[1 - i], weights[i], flags[i]
        if i in graphs:
            known = known_shapes(made[1 - i]) if made else declared_inputs(graphs[1 - i])
            made[i] = _net(graphs[i], path, own, other, known, told, flag)
        else:
            made[i] = _other_form(path, own, other, told, flag)
    return made[0], made[1], told


def _other_form(
    path: Path, weights: Sequence[str], other: Path, told: list[str], flag: str
) -> Side:
    if path.suffix == ".npz":
        side = kept_side(path)
        if is_half(side):
            told.append(f"{path}: has half precision, three digits: give --tolerance=2e-3")
        return side
    if path.suffix == ".onnx":
        return onnx_side(path)
    lent = None if weights else _kept_weights(path, other, told, flag)
    return source_side(path, weights[0] if weights else None, lent)


def _net(
    graph: Graph,
    path: Path,
    weights: Sequence[str],
    other: Path,
    known: Mapping[str, Shape | None],
    told: list[str],
    flag: str,
) -> Side:
    files: list[str | WeightFile] = list(weights)
    lent = None if weights else weights_beside(other)
    if lent is not None:
        files.append(lent)
        told.append(f"{path}: with the weights of {lent.path}")
    elif not weights:
        told.append(f"{path}: without weights, as its fillers make them; {flag}=FILE gives some")
    return net_side(graph, files, str(path), known)


def _kept_weights(path: Path, other: Path, told: list[str], flag: str) -> WeightFile | None:
    """The weights that the other side's blobs were made with, if the source has their layers."""
    beside = path.with_suffix(KEYS)
    lent = weights_beside(other) if other.suffix == ".npz" and beside.exists() else None
    if lent is None:
        return None
    keys = read_keys(beside)
    own = not_lent(keys, lent)
    if len(own) == len({entry["layer"] for entry in keys.values()}):
        return None
    but = f", but its own of {', '.join(own)}" if own else ""
    takes = f"{flag}={path.with_suffix('.safetensors')} takes its own"
    told.append(f"{path}: with the weights of {lent.path}{but}; {takes}")
    return lent


def _check(path: Path, weights: Sequence[str], flag: str) -> None:
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a prototxt, .py, .onnx or .npz")
    if path.suffix not in OTHER_FORMS:
        check_net(path, flag)
    if weights and path.suffix in (".onnx", ".npz"):
        raise DataError(f"{flag}: {path} takes no weights, its numbers are its own")


def weights_beside(path: Path) -> WeightFile | None:
    """Weights by layer that the other side has with it: of a source, or of kept blobs."""
    file = path.with_suffix(".safetensors") if path.suffix == ".py" else path
    keyed = path.suffix == ".py" and file.exists() and path.with_suffix(KEYS).exists()
    if not keyed and path.suffix != ".npz":
        return None
    try:
        found = read_tensors(file)
    except WeightError:
        return None
    return found if found.layers else None
