"""What can be compared: a prototxt, its PyTorch source, its ONNX file, blobs that were kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ..errors import DataError, WeightError
from ..exports.blob_names import all_values, blob_titles
from ..exports.onnx_file import run_onnx
from ..exports.pytorch import module_of
from ..exports.source.naming import identifier
from ..graph import Graph
from ..load import load_graph
from ..stand_in import quietly_fed
from ..stored import WeightFile
from ..tensor_files import KEYS, read_keys, read_tensors
from ..weights import load_weights

Blobs = dict[str, Tensor]
Shape = tuple[int, ...]
IN, OUT = "in:", "out:"


@dataclass(frozen=True, slots=True)
class Side:
    """One form of a net.

    Attributes:
        name: how it is called.
        run: all blobs it has, by name, for these inputs; "" for an only one without name.
        shapes: of the inputs it takes.
        inputs: those that it comes with, to be fed to both sides.
        makers: for each blob the layer that makes it, with its place, in file order.
        outputs: the names of the outputs among the blobs.
    """

    name: str
    run: Callable[[Blobs], Blobs]
    shapes: Mapping[str, Shape]
    inputs: Blobs = field(default_factory=dict)
    makers: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def open_sides(
    paths: tuple[Path, Path],
    weights: tuple[Sequence[str], Sequence[str]],
    load: Callable[[Path], Graph] = load_graph,
) -> tuple[Side, Side, list[str]]:
    """Both sides, and what to tell about them.

    A net's prototxt without weights takes those of the other side, where that keeps them by layer.

    Raises:
        CaffeError: a file does not read.
    """
    told: list[str] = []
    sides = []
    for path, own, other in zip(paths, weights, paths[::-1], strict=True):
        if not path.exists():
            raise DataError(f"{path}: there is no such file")
        if path.suffix == ".npz":
            sides.append(kept_side(path))
        elif path.suffix == ".onnx":
            sides.append(onnx_side(path))
        elif path.suffix == ".py":
            sides.append(source_side(path, own[0] if own else None))
        else:
            files: list[str | WeightFile] = list(own)
            lent = None if own else weights_beside(other)
            if lent is not None:
                files.append(lent)
                told.append(f"{path}: with the weights of {lent.path}")
            elif not own:
                told.append(f"{path}: without weights, as its fillers make them")
            sides.append(net_side(load(path), files, str(path)))
    return sides[0], sides[1], told


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


# A net


def net_side(graph: Graph, weights: Sequence[str | WeightFile], name: str) -> Side:
    """A net, with made-up inputs in the place of its data layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fed = quietly_fed(graph, batch=2)
    if weights:
        load_weights(fed.net, *weights)
    titles = blob_titles(fed.net.plan)
    labels = {titles[top]: node.label for node in fed.net.plan.nodes for top in node.tops}
    return Side(
        name=name,
        run=lambda inputs: all_values(fed.net, _checked(inputs, fed.net.blob_shapes, name)),
        shapes={blob: fed.net.blob_shapes[blob] for blob in fed.net.inputs},
        inputs=fed.inputs,
        makers=labels,
        outputs=tuple(titles[version] for version in fed.net.plan.outputs.values()),
    )


def _checked(inputs: Blobs, shapes: Mapping[str, Shape], name: str) -> Blobs:
    for blob, value in inputs.items():
        if blob in shapes and len(value.shape) != len(shapes[blob]):
            raise DataError(
                f"{name}: input '{blob}' is {list(shapes[blob])}, given {list(value.shape)}"
            )
    return inputs


# PyTorch source


def source_side(path: Path, weights: str | None) -> Side:
    """A source file that `caffe convert` wrote: it is run, with the weights beside it.

    Raises:
        DataError: it has no net, or the weights do not fit.
    """
    facts = _facts(path.with_suffix(KEYS))
    file = Path(weights) if weights else path.with_suffix(".safetensors")
    with module_of(path.read_text(encoding="utf-8")) as module:
        classes = [c for c in vars(module).values() if isinstance(c, type)]
        nets = [c for c in classes if issubclass(c, nn.Module) and c.__module__ == module.__name__]
        chosen = next((c for c in nets if c.__name__ == facts.get("class")), None) or nets[-1:]
        if not chosen:
            raise DataError(f"{path}: has no class of torch's nn.Module")
        net: nn.Module = (chosen if isinstance(chosen, type) else chosen[0])()
    _load(net, file)
    net.train(facts.get("phase", "TEST") == "TRAIN")
    code = net.forward.__code__
    names = code.co_varnames[1 : code.co_argcount]

    def run(inputs: Blobs) -> Blobs:
        spelt = {identifier(name, "input"): value for name, value in inputs.items()}
        absent = [name for name in names if name not in spelt]
        if absent:
            raise DataError(f"{path}: takes '{absent[0]}', which no side has as input")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            made = net(*(spelt[name] for name in names))
        return made if isinstance(made, dict) else {"": made}

    return Side(name=str(path), run=run, shapes={})


def _facts(keys: Path) -> dict[str, str]:
    if not keys.exists():
        return {}
    read_keys(keys)
    found = json.loads(keys.read_text(encoding="utf-8"))
    return {name: found[name] for name in ("class", "phase") if name in found}


def _load(net: nn.Module, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        net.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{file}: does not read as safetensors: {error}") from error
    except RuntimeError as error:
        raise WeightError(f"{file}: does not fit: {str(error).splitlines()[-1].strip()}") from error


# ONNX


def onnx_side(path: Path) -> Side:
    """An ONNX file; one that `caffe convert` wrote has all its blobs by name.

    Raises:
        DataError: it does not read.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own kind
        raise DataError(f"{path}: does not read as ONNX: {error}") from error
    outputs = tuple(value.name for value in model.graph.output)
    made = {name for node in model.graph.node for name in node.output}
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if "caffe.layers" in facts:
        inner = [v for v in model.graph.value_info if v.name in made and v.name not in outputs]
        blobs = {top for layer in json.loads(facts["caffe.layers"]) for top in layer["tops"]}
        inner = [value for value in inner if value.name.partition("@")[0] in blobs]
        model.graph.output.extend(inner)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    shapes = {
        value.name: tuple(axis.dim_value or 2 for axis in value.type.tensor_type.shape.dim)
        for value in inputs
    }

    def run(values: Blobs) -> Blobs:
        absent = [name for name in shapes if name not in values]
        if absent:
            raise DataError(f"{path}: takes '{absent[0]}', which no side has as input")
        return run_onnx(model, values)[0]

    return Side(name=str(path), run=run, shapes=shapes, outputs=outputs)


# Blobs that were kept


def kept_side(path: Path) -> Side:
    """A file of blobs, as `caffe dump` writes it: `in:BLOB`, `out:BLOB`.

    Raises:
        DataError: it has no `out:` blobs.
    """
    values = read_blobs(path)
    out = {name.removeprefix(OUT): v for name, v in values.items() if name.startswith(OUT)}
    if not out:
        raise DataError(f"{path}: has no blobs: names are out:BLOB and in:BLOB")
    given = {name.removeprefix(IN): v for name, v in values.items() if name.startswith(IN)}
    return Side(name=str(path), run=lambda _: out, shapes={}, inputs=given)


def read_blobs(path: Path) -> Blobs:
    """All arrays of an npz.

    Raises:
        DataError: it does not read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: torch.from_numpy(np.array(file[key])) for key in file.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: does not read as npz: {error}") from error


def read_inputs(path: Path) -> Blobs:
    """Inputs by blob name: `in:BLOB` where the file has such names, else all it has."""
    values = read_blobs(path)
    given = {key.removeprefix(IN): v for key, v in values.items() if key.startswith(IN)}
    return {name: value.float() for name, value in (given or values).items()}
