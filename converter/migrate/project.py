"""Writing the project: everything beside its place first, then one rename."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import CaffeError, ExportError
from ..record import Record
from ..safetensors_weights import SUFFIX, convert_weights
from ..scalar import spell
from ..weights import read_weights
from .inventory import NetFile, survey
from .parity import Pair, Parity, blob_differences, give_weights, pair
from .places import DATA, moved
from .plan import Plan
from .texts import TEST, TRAIN, parity_table, readme, settings_text

Say = Callable[[str], None]
"""Told of each step."""


def write_project(
    plan: Plan, target: Path, *, audits: bool = True, say: Say = lambda text: None
) -> list[Parity]:
    """Write the project of a plan to `target`, which must not be there; whole or not at all.

    Args:
        plan: what to write.
        target: the project's folder.
        audits: audit every training net, which takes a minute for a large one.
        say: told of each step.

    Returns the parity of every net, which is also in the project.

    Raises:
        CaffeError: `target` is there already, or something cannot be written or does not fit.
    """
    with _beside(target) as folder:
        for part in ("nets", "models", "recipes", DATA):
            (folder / part).mkdir()
        _nets(plan, folder)
        weights = _weights(plan, folder, say)
        _copies(plan, folder)
        _recipes(plan, folder, weights)
        parities = list(_parities(plan, folder, weights, say))
        audited = _audit(plan, folder, say) if audits else []
        _texts(plan, folder, parities, audited)
    return parities


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder that takes the name `target` if the block succeeds, and goes if it does not."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target}: is there already; give another folder with -o")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if target.exists():
            target.rmdir()
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _nets(plan: Plan, folder: Path) -> None:
    """The nets' own text, comments and all, where it reads by itself; else what was read of it."""
    for net in plan.inventory.nets:
        text = net.path.read_text(encoding="utf-8", errors="replace")
        text = moved(text, plan.root, DATA)
        (folder / "nets" / f"{net.name}.prototxt").write_text(text, encoding="utf-8")


def _weights(plan: Plan, folder: Path, say: Say) -> dict[Path, Path]:
    """Each weight file as safetensors; from the legacy file to the new one."""
    made = {}
    for path, net in plan.weights:
        target = folder / "weights" / f"{path.name.split('.')[0]}{SUFFIX}"
        target.parent.mkdir(exist_ok=True)
        keys = convert_weights(read_weights(path), target)
        say(f"{plan.inventory.here(path)} -> {target.name}: {len(keys)} blobs, of {net.name}")
        made[path] = target
    return made


def _copies(plan: Plan, folder: Path) -> None:
    for kind, paths in (("states", plan.inventory.states), ("protos", plan.inventory.protos)):
        for path in paths:
            (folder / kind).mkdir(exist_ok=True)
            shutil.copy(path, folder / kind / path.name)
    for path in plan.inventory.states:  # a state names its weights: they lie beside it
        name = path.name.replace(".solverstate", ".caffemodel")
        if path.with_name(name).is_file():
            shutil.copy(path.with_name(name), folder / "states" / name)


def _recipes(plan: Plan, folder: Path, weights: dict[Path, Path]) -> None:
    for _, solver, net in plan.recipes:
        if solver is None:
            continue
        content: dict[str, Any] = {"net": f"nets/{net.name}.prototxt"}
        own = [new for path, new in weights.items() if dict(plan.weights)[path] is net]
        if own:
            content["weights"] = f"weights/{own[-1].name}"
        states = [p for p in plan.inventory.states if p.parent == solver.path.parent]
        if states:
            content["state"] = f"states/{max(states, key=_iteration).name}"
        left_out = ("net", "train_net", "snapshot_prefix")
        content["solver"] = mapping_of(solver.record.without(*left_out))
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        head = f"# From {plan.inventory.here(solver.path)}\n"
        path = folder / "recipes" / f"{solver.recipe}.yaml"
        path.write_text(head + text, encoding="utf-8")


def _iteration(path: Path) -> int:
    found = re.search(r"_iter_(\d+)\.", path.name)
    return int(found[1]) if found else -1


def mapping_of(record: Record) -> dict[str, Any]:
    """A solver's record as YAML has it."""
    return {name: _plain(value) for name, value in record.fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Record):
        return mapping_of(value)
    if isinstance(value, float):
        return float(spell("float", value))  # 2.5e-05, not its 17 digits
    return value


def _parities(plan: Plan, folder: Path, weights: dict[Path, Path], say: Say) -> Iterator[Parity]:
    """Each net in its first phase: legacy against migrated, then against its PyTorch source."""
    with tempfile.TemporaryDirectory() as scratch:
        migrated = {net.name: net for net in survey(folder).nets}
        for net in plan.inventory.nets:
            found = _parity(plan, net, migrated[net.name], weights, folder, Path(scratch))
            model = f", source {max(found.model.values()):.1e}" if found.model else ""
            say(
                f"{net.name} ({found.phase}): largest difference {found.worst:g}{model}{found.note}"
            )
            yield found


def _parity(
    plan: Plan, net: NetFile, copy: NetFile, weights: dict[Path, Path], folder: Path, scratch: Path
) -> Parity:
    phase = net.phases[0]
    own = [path for path, owner in plan.weights if owner is net]
    try:
        both = pair(net, copy, scratch, phase=phase)
        if own:
            give_weights(both, own[-1], read_weights(weights[own[-1]]))
        used = plan.inventory.here(own[-1]) if own else "fillers"
        found = Parity(net.name, phase, used, blob_differences(both))
    except (CaffeError, RuntimeError) as error:
        return Parity(net.name, phase, "", {}, note=f"not compared: {str(error).splitlines()[0]}")
    return _with_model(found, both, folder / "models" / net.name, plan.inventory.here(net.path))


def _with_model(found: Parity, both: Pair, folder: Path, origin: str) -> Parity:
    """Write the PyTorch source of a net, if all its layers can be spelt, and take its parity."""
    from ..exports.pytorch import write_pytorch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = write_pytorch(both.migrated, folder, both.inputs, origin=origin)
    except (CaffeError, RuntimeError, NotImplementedError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return replace(found, note=f"no PyTorch source: {str(error).splitlines()[0]}")
    if found.weights == "fillers":  # nothing that is worth keeping
        written.weights.unlink()
    return replace(found, model=dict(written.differences))


def _audit(plan: Plan, folder: Path, say: Say) -> list[str]:
    """The audit of every training net, where that part of the converter is there."""
    try:
        from ..audit.page import page
        from ..audit.report import audit
    except ImportError:
        say("no audit in this version")
        return []
    audited = []
    for net in (net for net in plan.inventory.nets if "TRAIN" in net.phases):
        own = [path for path, owner in plan.weights if owner is net]
        try:
            report = audit(net.path, weights=own[-1:], repo=plan.inventory.root)
        except (CaffeError, RuntimeError) as error:
            say(f"{net.name}: no audit: {str(error).splitlines()[0]}")
            continue
        (folder / "audit").mkdir(exist_ok=True)
        (folder / "audit" / f"{net.name}.html").write_text(page(report), encoding="utf-8")
        audited.append(net.name)
        say(f"{net.name}: audit with {len(report.findings)} findings")
    return audited


def _texts(plan: Plan, folder: Path, parities: list[Parity], audited: list[str]) -> None:
    fork, protos = _schemas(plan)
    texts = {
        "README.md": readme(plan, parities, audited),
        "settings.yaml": settings_text(plan, fork, protos),
        "train.py": TRAIN,
        "test_project.py": TEST,
        "parity.md": f"# Legacy against migrated\n\n{parity_table(parities)}\n",
        "parity.json": json.dumps([asdict(p) for p in parities], indent=1) + "\n",
        ".gitignore": "/data/\n/runs/\n__pycache__/\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _schemas(plan: Plan) -> tuple[str | None, list[str]]:
    """The shipped fork is found from the file; the repository's own schemas are named."""
    return None, [f"protos/{path.name}" for path in plan.inventory.protos]
