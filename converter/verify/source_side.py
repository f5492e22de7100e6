"""A PyTorch source file as one side of a comparison: it is run, so the user has named it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, WeightError
from ..exports.pytorch import module_of
from ..exports.source.naming import argument_names, identifier
from ..stored import WeightFile
from ..tensor_files import KEYS, read_keys
from .lent_weights import with_lent
from .side import Blobs, Side

PICKLED = (".pt", ".pth", ".ckpt", ".bin")
"""Endings of what torch.save writes, which is never read: unpickling runs what is in a file."""


def source_side(path: Path, weights: str | None, lent: WeightFile | None = None) -> Side:
    """A source file that `caffe convert` wrote, with the weights beside it.

    Beside its outputs it has the blobs that its modules make, by the names that the key map gives.

    Args:
        path: the source.
        weights: a file of its state_dict, if it is not the one beside it.
        lent: weights by layer, which the key map leads to; they go before the file's.

    Raises:
        DataError: it has no net, or does not run.
        WeightError: the weights do not read, or do not fit.
    """
    facts = _facts(path.with_suffix(KEYS))
    net = _made(path, facts.get("class", ""))
    _load(net, Path(weights) if weights else path.with_suffix(".safetensors"))
    if lent is not None:
        net.load_state_dict(with_lent(net.state_dict(), read_keys(path.with_suffix(KEYS)), lent))
    net.train(facts.get("phase", "TEST") == "TRAIN")
    code = net.forward.__code__
    names = code.co_varnames[1 : code.co_argcount]
    known = {name: tuple(dims) for name, dims in _inputs(facts).items()}
    blobs = dict(zip(argument_names(tuple(known)), known, strict=True))
    taken = [blobs.get(name, name) for name in names]
    outputs = tuple(facts.get("outputs", ()))
    modules: Mapping[str, str] = facts.get("modules", {})

    def run(inputs: Blobs) -> Blobs:
        alike = {identifier(name, "input"): value for name, value in inputs.items()}
        given = [inputs.get(name, alike.get(identifier(name, "input"))) for name in taken]
        seeded = torch.random.fork_rng(devices=[])
        with _kept(net, modules) as made, _told(path), torch.no_grad(), seeded:
            torch.manual_seed(0)
            found = net(*given)
        if isinstance(found, dict):
            return made | found
        return made | {outputs[0] if len(outputs) == 1 else "": found}

    return Side(
        name=str(path),
        kind="source",
        run=run,
        shapes={name: known.get(name) for name in taken},
        makers={blob: f"module '{module}'" for module, blob in modules.items()},
        outputs=outputs,
    )


def _facts(keys: Path) -> dict[str, Any]:
    if not keys.exists():
        return {}
    read_keys(keys)
    found: dict[str, Any] = json.loads(keys.read_text(encoding="utf-8"))
    return found if "net" in found else {}


def _inputs(facts: Mapping[str, Any]) -> Mapping[str, list[int]]:
    found: Mapping[str, list[int]] = facts.get("inputs", {})
    return found


def _made(path: Path, wanted: str) -> nn.Module:
    text = path.read_text(encoding="utf-8")
    with _told(path):
        compile(text, str(path), "exec")  # what is wrong here is the file's, not the export's
    with _told(path), module_of(text) as module:
        classes = [c for c in vars(module).values() if isinstance(c, type)]
        nets = [c for c in classes if issubclass(c, nn.Module) and c.__module__ == module.__name__]
        if not nets:
            raise DataError(f"{path}: has no class of torch's nn.Module")
        net: nn.Module = next((c for c in nets if c.__name__ == wanted), nets[-1])()
    return net


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a source's code raises, as one line."""
    try:
        yield
    except (DataError, KeyboardInterrupt):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
        raise DataError(f"{path}: does not run: {said}") from error


@contextmanager
def _kept(net: nn.Module, modules: Mapping[str, str]) -> Iterator[Blobs]:
    """What the modules make in one pass, by blob name; nothing of one that is called twice."""
    made: Blobs = {}
    seen: dict[str, int] = {}

    def keep(blob: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen[blob] = seen.get(blob, 0) + 1
            if isinstance(output, Tensor):
                made[blob] = output.detach().clone()

        return hook

    with ExitStack() as stack:
        for name, module in net.named_modules():
            blob = modules.get(name)
            if blob is not None and not list(module.children()):
                stack.callback(module.register_forward_hook(keep(blob)).remove)
        yield made
    for blob, times in seen.items():
        if times > 1:
            made.pop(blob, None)


def _load(net: nn.Module, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise WeightError(f"{file}: there is no such file; the source needs its weights")
    if file.suffix in PICKLED:
        raise WeightError(
            f"{file}: is pickled, which is not read; write the state_dict with "
            "safetensors.torch.save_file"
        )
    try:
        net.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise WeightError(f"{file}: does not read as safetensors: {error}") from error
    except RuntimeError as error:
        raise WeightError(f"{file}: does not fit: {str(error).splitlines()[-1].strip()}") from error
