"""Solvers as YAML: the recipes of migrated projects, and Trainers made from them.

# recipes/d8_ada_manual.yaml
net: nets/train_d8_ada_manual.prototxt
weights: weights/net_iter_350433.safetensors
state: states/net_iter_350433.solverstate
solver: {type: RMSProp, base_lr: 2.5e-05, lr_policy: multistep, stepvalue: [260000], gamma: 0.2}

# settings.yaml
data_root: data
index_range: [0, 3]
rewrites: [all]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from converter.message import read_text
from converter.migrate.places import with_data, written_folders
from converter.record import Record
from converter.scalar import spell
from converter.schema import Schema, load_schema
from converter.weights import load_weights

from .errors import SolverError
from .events import Observer
from .load import load_trainer
from .loop import Trainer
from .nets import Dialect
from .settings import Settings, settings_of
from .signals import Action

RUNS = "runs"


@dataclass(frozen=True)
class ProjectSettings:
    """What `settings.yaml` says: where the data are, and how nets are read and run.

    Args:
        data_root: folder that stands for `data/` in the nets, as seen from the project.
        index_range: first and last index to draw samples from, in place of the nets' own.
        fork: name of the shipped schema that the nets need.
        protos: further schemas, as seen from the project.
        rewrites: names of `converter.rewrite.catalogue`.
        gradient: "legacy" or "exact".
    """

    data_root: str = "data"
    index_range: tuple[int, int] | None = None
    fork: str | None = None
    protos: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    gradient: str = "legacy"


def recipe_names(project: Path) -> list[str]:
    """The recipes there are."""
    return sorted(path.stem for path in (project / "recipes").glob("*.yaml"))


def read_recipe(project: Path, name: str) -> dict[str, Any]:
    """What `recipes/NAME.yaml` says.

    Raises:
        SolverError: it is not there or no YAML.
    """
    return _mapping(project / "recipes" / f"{name}.yaml")


def recipe_trainer(
    project: Path,
    name: str,
    *,
    resume: bool = False,
    iterations: int | None = None,
    observer: Observer = lambda event: None,
    requested: Callable[[], Action | None] = lambda: None,
) -> Trainer:
    """The Trainer of a recipe, ready to run; what it writes goes to `runs/NAME/`.

    Args:
        project: the project's folder, which must be the current one.
        name: of a file in `recipes/`.
        resume: go on from the newest snapshot of this recipe, or the state it was migrated with.
        iterations: how many to make, in place of the recipe's max_iter.
        observer: told of everything that happens.
        requested: asked again and again whether to stop or snapshot.

    Raises:
        CaffeError: a file is not there or does not read.
    """
    recipe = read_recipe(project, name)
    given = project_settings(project)
    runs = f"{RUNS}/{name}"
    settings = replace(
        solver_settings(recipe),
        net=_run_copy(project, str(recipe["net"]), runs, given),
        snapshot_prefix=f"{runs}/net",
    )
    trainer = load_trainer(
        settings,
        dialect=Dialect(
            fork=given.fork,
            protos=given.protos,
            gradient="exact" if given.gradient == "exact" else "legacy",
            rewrites=given.rewrites,
        ),
        device=_device(settings),
        observer=observer,
        requested=requested,
    )
    _take_up(trainer, recipe, project / runs, resume=resume)
    if iterations is not None:
        trainer.settings = replace(settings, max_iter=trainer.iteration + iterations)
    return trainer


def project_settings(project: Path) -> ProjectSettings:
    """`settings.yaml` of a project.

    Raises:
        SolverError: it is not there, or says something that is not known.
    """
    content = _mapping(project / "settings.yaml")
    known = ProjectSettings.__dataclass_fields__
    strange = [name for name in content if name not in known]
    if strange:
        raise SolverError(
            f"{project / 'settings.yaml'}: no setting is called '{strange[0]}'; "
            f"there are {', '.join(known)}"
        )
    span = content.get("index_range")
    if span is not None and len(span) != 2:
        raise SolverError(f"{project / 'settings.yaml'}: index_range wants [first, last]")
    lists = {n: tuple(content.get(n) or ()) for n in ("protos", "rewrites")}
    found = {**content, **lists, "index_range": None if span is None else tuple(span)}
    return ProjectSettings(**found)


def solver_settings(recipe: Mapping[str, Any]) -> Settings:
    """The solver of a recipe, with Caffe's defaults for what it does not set."""
    return settings_of(solver_record(recipe["solver"], load_schema()))


def solver_record(mapping: Mapping[str, Any], schema: Schema) -> Record:
    """A SolverParameter record of what YAML says.

    Raises:
        SolverError, TextError: a field that no solver has, or a value it does not take.
    """
    text = "\n".join(_lines(mapping, schema, "SolverParameter"))
    return read_text(text, "recipe", "SolverParameter", schema)


def _lines(mapping: Mapping[str, Any], schema: Schema, message: str) -> list[str]:
    known, lines = schema.message(message).fields, []
    for name, value in mapping.items():
        fact = known.get(name)
        if fact is None:
            raise SolverError(f"a solver has no field '{name}'")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                inner = " ".join(_lines(item, schema, fact.type_name or ""))
                lines.append(f"{name} {{ {inner} }}")
            else:
                number = fact.kind in ("float", "double") and not isinstance(item, float)
                lines.append(f"{name}: {spell(fact.kind, float(item) if number else item)}")
    return lines


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        folder = path.parent
        there = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise SolverError(f"{path} is not there; there are {there}") from error
    except yaml.YAMLError as error:
        raise SolverError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SolverError(f"{path}: wants names with values")
    return content


def _run_copy(project: Path, net: str, runs: str, given: ProjectSettings) -> str:
    """The net for this run, its data and outputs where they belong; returns its path."""
    text = (project / net).read_text(encoding="utf-8")
    text = with_data(text, given.data_root, runs, given.index_range)
    copy = project / runs / "net.prototxt"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text, encoding="utf-8")
    for folder in written_folders(text):
        (project / folder).mkdir(parents=True, exist_ok=True)
    return f"{runs}/net.prototxt"


def _device(settings: Settings) -> torch.device:
    wanted = settings.solver_mode == "GPU" and torch.cuda.is_available()
    return torch.device("cuda", settings.device_id) if wanted else torch.device("cpu")


def _take_up(trainer: Trainer, recipe: Mapping[str, Any], runs: Path, *, resume: bool) -> None:
    """The newest snapshot, or the migrated state, if the run is resumed; else the weights."""
    own = sorted(runs.glob("net_iter_*.solverstate*"), key=_iteration)
    if resume and own:
        trainer.restore(str(own[-1]))
    elif resume and recipe.get("state"):
        trainer.restore(str(recipe["state"]))
    elif resume:
        raise SolverError(f"{runs}: no snapshot to go on from, and the recipe has no state")
    elif recipe.get("weights"):
        load_weights(trainer.train.net, str(recipe["weights"]))


def _iteration(path: Path) -> int:
    found = re.search(r"_iter_(\d+)\.solverstate", path.name)
    return int(found[1]) if found else -1
