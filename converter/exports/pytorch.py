"""A Net as a PyTorch project file: readable source, weights, and the way back to Caffe's blobs."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from caffe_layers.normalization.batch_norm import BatchNorm

from ..errors import ExportError
from ..net import Net
from ..replacing import replacing
from .blob_names import blob_titles
from .caffe_files import file_name
from .conv3d_in_slices import Conv3dInSlices
from .source.hidden_modules import hiding_none
from .source.layout import WIDTH
from .source.lower import program_of
from .source.module_text import Source, source_of
from .source.program import Stored
from .source.quoting import within_docstring

TOLERANCE = 1e-6
"""Largest difference allowed between net and source, of an output's largest value."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `write_pytorch` wrote, and how far the source's outputs were from the net's.

    `differences` has the largest difference of each output, of the output's largest value.
    """

    source: Path
    weights: Path
    keys: Path
    class_name: str
    lines: int
    structures: Mapping[str, int]
    differences: Mapping[str, float]
    left_out: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The largest of all differences."""
        return max(self.differences.values(), default=0.0)


def write_pytorch(
    net: Net, folder: str | Path, inputs: Mapping[str, Tensor], *, origin: str = ""
) -> Written:
    """Write NAME.py, NAME.safetensors and NAME.keys.json, if the source does what the net does.

    The source needs torch alone, and caffe_layers where a layer is none of torch's. Both are run on
    `inputs`, in the net's phase and with the same random numbers, before anything is written.

    Args:
        net: the net; it is left as it is.
        folder: where to write; made if it is not there.
        inputs: a batch, by blob name.
        origin: the file the net was read from, named in the source.

    Raises:
        ExportError: the outputs differ by more than `TOLERANCE`, or the source cannot be made.
    """
    program = program_of(net)
    name = source_name(net)
    source = source_of(program, heading(net, name, origin))
    differences = compared(net, source, inputs)
    wrong = {top: d for top, d in differences.items() if not d <= TOLERANCE}
    if wrong:
        worst = max(wrong, key=lambda top: wrong[top])
        raise ExportError(
            f"net '{net.net_name}': the PyTorch source gives other numbers than the net: output "
            f"'{worst}' differs by {wrong[worst]:.2g} of its largest value; nothing is written"
        )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = tuple(target / f"{name}{ending}" for ending in (".py", ".safetensors", ".keys.json"))
    contents = (
        source.text.encode(),
        save(state_of(net, source.keys)),
        key_map(source, net).encode(),
    )
    for path, content in zip(paths, contents, strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return Written(
        source=paths[0],
        weights=paths[1],
        keys=paths[2],
        class_name=source.class_name,
        lines=len(source.text.splitlines()),
        structures=source.structures,
        differences=differences,
        left_out=program.left_out,
    )


def source_name(net: Net) -> str:
    """What the source of this net, its weights and its key map are called, without an ending."""
    return hiding_none(file_name(net))


def heading(net: Net, name: str, origin: str) -> str:
    """The docstring of a source file: where it comes from, how to load it, what it takes."""
    source = f", converted from {origin}" if origin else ", converted from Caffe"
    title = f"{net.net_name or 'A Caffe net'} in PyTorch{source}."
    title = within_docstring(title)
    lines = [*textwrap.wrap(title, WIDTH - 3, break_long_words=False), ""]
    lines += ["    from safetensors.torch import load_file", ""]
    lines += [
        "    net = {class_name}()",
        f'    net.load_state_dict(load_file("{name}.safetensors"))',
    ]
    if net.plan.phase == "TEST":
        lines += ["    net.eval()"]
    shapes = net.blob_shapes
    takes = ", ".join(f"{blob} {list(shapes[blob])}" for blob in net.inputs)
    told = textwrap.wrap(within_docstring(f"It takes {takes}."), WIDTH, break_long_words=False)
    return "\n".join([*lines, "", *told])


def state_of(net: Net, keys: Mapping[str, Stored]) -> dict[str, Tensor]:
    """The source's state_dict, filled from the net's blobs."""
    state = {}
    for key, stored in keys.items():
        state[key] = _tensor(net, stored)
        if stored.attribute == "running_mean":
            counter = key.removesuffix("running_mean") + "num_batches_tracked"
            state[counter] = torch.tensor(0)
    return state


def _tensor(net: Net, stored: Stored) -> Tensor:
    blobs = [blob.detach().cpu() for _, blob in net.layers[stored.layer].blob_tensors()]
    blob = blobs[stored.blob]
    if stored.transform == "by_factor":
        factor = blobs[2]
        return (blob / factor if factor.item() != 0 else torch.zeros_like(blob)).clone()
    if stored.transform == "transposed":
        return blob.t().contiguous()
    if stored.transform == "reshaped":
        return blob.reshape(-1).clone()
    return blob.clone(memory_format=torch.contiguous_format)


def key_map(source: Source, net: Net) -> str:
    """JSON from each key of the state_dict to its layer, blob, and how the tensor is made of it.

    With it go the shapes of the inputs, the outputs, and the blob that each module makes.
    """
    entries = {
        key: {"layer": stored.layer, "blob": stored.blob, "transform": stored.transform}
        for key, stored in source.keys.items()
    }
    titles = blob_titles(net.plan)
    facts = {
        "net": net.net_name,
        "class": source.class_name,
        "phase": net.plan.phase,
        "inputs": {name: net.blob_shapes[name] for name in source.inputs},
        "outputs": [titles[version] for version in net.plan.outputs.values()],
        "modules": modules_blobs(source, net),
    }
    return json.dumps({**facts, "keys": entries}, indent=1) + "\n"


def modules_blobs(source: Source, net: Net) -> dict[str, str]:
    """The blob that each module with weights makes: of BatchNorm and Scale in one, Scale's."""
    titles = blob_titles(net.plan)
    makes = {node.key: titles[node.tops[0]] for node in net.plan.nodes if node.tops}
    place = {layer: i for i, layer in enumerate(makes)}
    last: dict[str, str] = {}
    for key, stored in source.keys.items():
        module = key.rpartition(".")[0]
        if place.get(stored.layer, -1) >= place.get(last.get(module, ""), -1):
            last[module] = stored.layer
    return {module: makes[layer] for module, layer in last.items() if module and layer in makes}


def compared(net: Net, source: Source, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each output of the source is from the net's, of its largest value.

    Both compute in float64: in float32 a maximum may fall elsewhere after the least rounding.
    """
    inputs = {name: blob.double() for name, blob in inputs.items()}
    ours = with_telling_weights(net, inputs)
    state = state_of(ours, source.keys)
    with module_of(source.text) as module:
        made: nn.Module = getattr(module, source.class_name)().double()
        made.load_state_dict(state)
        made.train(net.training)
        wanted = _outputs(ours, inputs, net.inputs)
        found = _outputs(made, inputs, source.inputs)
    if isinstance(found, Tensor):
        found = dict.fromkeys(wanted, found)
    return {top: difference(found[top], wanted[top]) for top in wanted}


def with_telling_weights(net: Net, inputs: Mapping[str, Tensor]) -> Net:
    """A float64 copy of the net whose constant blobs, which would hide differences, are random.

    Statistics of normalisations that have none are those of the inputs, so that no output
    saturates.
    """
    inputs = {name: blob.double() for name, blob in inputs.items()}
    ours = copy.deepcopy(net).double()
    generator = torch.Generator().manual_seed(0)
    hooks = []
    for layer in ours.layers.values():
        if isinstance(layer, BatchNorm) and layer.scale_factor.item() == 0:
            hooks.append(layer.register_forward_pre_hook(_take_statistics))
            continue
        for name, blob in layer.blob_tensors():
            if is_constant(blob):
                _fill(blob.data, name, generator)
    if hooks:
        _outputs(ours, inputs, ours.inputs)
    for hook in hooks:
        hook.remove()
    return ours


def is_constant(blob: Tensor) -> bool:
    """Whether a blob of several numbers is one number throughout."""
    return blob.numel() > 1 and bool((blob == blob.flatten()[0]).all())


def _take_statistics(layer: BatchNorm, bottoms: tuple[Tensor, ...]) -> None:
    axes = [axis for axis in range(bottoms[0].ndim) if axis != 1]
    layer.mean.copy_(bottoms[0].mean(axes))
    layer.variance.copy_(bottoms[0].var(axes, unbiased=False))
    layer.scale_factor.fill_(1)


def _fill(blob: Tensor, name: str, generator: torch.Generator) -> None:
    if name == "scale":
        blob.copy_(torch.rand(blob.shape, generator=generator) + 0.5)
    else:
        reach = math.prod(blob.shape[1:]) if blob.ndim > 1 else 100
        blob.copy_(torch.randn(blob.shape, generator=generator) * (2 / reach) ** 0.5)


def _outputs(module: nn.Module, inputs: Mapping[str, Tensor], names: Sequence[str]) -> Any:
    with torch.random.fork_rng(devices=[]), torch.no_grad(), Conv3dInSlices():
        torch.manual_seed(0)
        return module(*(inputs[name] for name in names))


def difference(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, of the largest value wanted; infinite for other shapes or NaN."""
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.numel() == 0 or torch.equal(found, wanted):
        return 0.0
    same = found.isnan() & wanted.isnan() | (found == wanted)
    apart = (found.double() - wanted.double()).abs().masked_fill(same, 0).max().item()
    largest = wanted.double().abs().nan_to_num(0, 0, 0).max().item()
    value = apart / largest if largest else apart
    return value if value == value else float("inf")


@contextmanager
def module_of(text: str) -> Iterator[ModuleType]:
    """The source run as a module, while the block lasts.

    Raises:
        ExportError: it is no Python.
    """
    name = "caffe_layers_generated_source"
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        code = compile(text, "<generated source>", "exec")
    except SyntaxError as error:
        raise ExportError(
            f"the source would be no Python: {error.msg}, in {(error.text or '').strip()!r}; "
            "give what is named there a plainer name in the prototxt"
        ) from error
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
        yield module
    finally:
        del sys.modules[name]
