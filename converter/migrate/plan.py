"""What a migration will write, and what it will lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CaffeError
from ..weights import read_weights
from .inventory import Inventory, NetFile, SolverFile
from .places import absolute_paths, data_root
from .recipes import Recipe, recipe_of


@dataclass(frozen=True)
class Plan:
    """A migration before anything is written.

    `root` is the folder that the nets' absolute paths have in common; `weights` leads from each
    readable weight file to the net whose layers it has; `lacks` says in a line each what is not
    there or does not read.
    """

    inventory: Inventory
    root: str
    recipes: tuple[tuple[Recipe, SolverFile | None, NetFile], ...]
    weights: tuple[tuple[Path, NetFile], ...]
    lacks: tuple[str, ...]
    written: tuple[tuple[str, str], ...] = field(default=())

    def __str__(self) -> str:
        width = max((len(path) for path, _ in self.written), default=0) + 2
        lines = [f"{self.inventory.root}: would write", ""]
        lines += [f"  {path:<{width}}{what}" for path, what in self.written]
        lines += ["", "missing:" if self.lacks else "nothing is missing", ""]
        lines += [f"  {line}" for line in self.lacks]
        return "\n".join(lines).rstrip()


def make_plan(inventory: Inventory) -> Plan:
    """What will come of a repository."""
    lacks = list(_lacks(inventory))
    weights = []
    for path in inventory.weights:
        try:
            weights.append((path, _owner(inventory, path)))
        except CaffeError as error:
            lacks.append(str(error).splitlines()[0])
    paths = [text for net in inventory.nets for text in absolute_paths(net.record)]
    recipes = tuple(_recipes(inventory))
    plan = Plan(inventory, data_root(paths), recipes, tuple(weights), tuple(lacks))
    return Plan(plan.inventory, plan.root, recipes, plan.weights, plan.lacks, tuple(_written(plan)))


def _lacks(inventory: Inventory) -> Iterator[str]:
    here = inventory.here
    for path, reason in inventory.unread.items():
        yield f"{here(path)} does not read: {reason}"
    for solver in inventory.solvers:
        if solver.net is None:
            near = f" ({here(solver.near.path)} is near)" if solver.near is not None else ""
            yield f"{here(solver.path)} names {solver.named}, which is not there{near}: no recipe"
    named = {solver.net.path for solver in inventory.solvers if solver.net is not None}
    for net in inventory.nets:
        if "TRAIN" in net.phases and net.path not in named:
            yield f"{here(net.path)}: no solver names it: migrated, but not as a recipe to train"
    if not inventory.weights:
        yield "no .caffemodel: training starts from the fillers"
    if not inventory.states:
        yield "no .solverstate: no run to take up"


def _owner(inventory: Inventory, path: Path) -> NetFile:
    """The net that has most of the layers in a weight file."""
    found = set(read_weights(path))

    def shared(net: NetFile) -> int:
        return len(found & {layer.get("name", "") for layer in net.record["layer"]})

    return max(inventory.nets, key=shared)


def _recipes(inventory: Inventory) -> Iterator[tuple[Recipe, SolverFile | None, NetFile]]:
    """A row per solver that has its net, then one per training net that no solver names."""
    named = set()
    for solver in inventory.solvers:
        if solver.net is not None:
            named.add(solver.net.path)
            yield recipe_of(solver.net, solver), solver, solver.net
    for net in inventory.nets:
        if "TRAIN" in net.phases and net.path not in named:
            yield recipe_of(net, None), None, net


def _written(plan: Plan) -> Iterator[tuple[str, str]]:
    inventory = plan.inventory
    yield "README.md", f"table of {len(plan.recipes)} recipes, how to train, resume and test"
    yield "settings.yaml", f"data_root in place of {plan.root or 'no absolute path'}"
    yield "train.py, test_project.py", "the project's own commands"
    for net in inventory.nets:
        yield f"nets/{net.name}.prototxt", f"{inventory.here(net.path)}, paths made relative"
        yield f"models/{net.name}/", "the same as PyTorch source, and its key map"
    for _, solver, _ in plan.recipes:
        if solver is not None:
            yield f"recipes/{solver.recipe}.yaml", inventory.here(solver.path)
    for path, net in plan.weights:
        yield (
            f"weights/{path.name.split('.')[0]}.safetensors",
            f"{inventory.here(path)} ({net.name})",
        )
    for path in inventory.states:
        yield f"states/{path.name}", inventory.here(path)
    for path in inventory.protos:
        yield f"protos/{path.name}", inventory.here(path)
    yield "parity.md, parity.json", "legacy nets against migrated ones, blob by blob"
    yield "audit/", "what the legacy nets really do"
