"""The texts of a migrated project that are not its nets."""

from __future__ import annotations

from collections.abc import Sequence

from .inventory import Inventory
from .parity import Parity
from .plan import Plan
from .recipes import HEADS

TRAIN = '''\
"""Train a recipe of this project: python train.py RECIPE [--resume] [--iterations N]."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from retrain.log import Log
from retrain.recipe_file import recipe_names, recipe_trainer
from retrain.signals import watching

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Train to the recipe's max_iter, or for --iterations, and leave a snapshot in runs/RECIPE/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=recipe_names(HERE))
    parser.add_argument("--resume", action="store_true", help="from the newest snapshot")
    parser.add_argument("--iterations", type=int, help="how many to make now")
    options = parser.parse_args()
    os.chdir(HERE)
    with watching(sigint="stop", sighup="snapshot") as requested:
        trainer = recipe_trainer(
            HERE,
            options.recipe,
            resume=options.resume,
            iterations=options.iterations,
            observer=Log(),
            requested=requested,
        )
        trainer.solve()


if __name__ == "__main__":
    main()
'''

TEST = '''\
"""Every net reads and fits together, every recipe reads, every model's source is Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.load import load_graph
from converter.stand_in import quietly_fed
from retrain.recipe_file import project_settings, read_recipe, recipe_names, solver_settings

HERE = Path(__file__).resolve().parent
PARITY = json.loads((HERE / "parity.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", PARITY, ids=lambda entry: f"{entry['net']}-{entry['phase']}")
def test_net_fits_together(entry: dict) -> None:
    given = project_settings(HERE)
    net = HERE / "nets" / f"{entry['net']}.prototxt"
    graph = load_graph(net, phase=entry["phase"], fork=given.fork, protos=given.protos)
    fed = quietly_fed(graph, batch=2, fill=False)
    made = {version for node in fed.net.plan.nodes for version in node.tops}
    assert set(entry["blobs"]) - set(fed.net.inputs) <= made


@pytest.mark.parametrize("name", recipe_names(HERE))
def test_recipe_reads(name: str) -> None:
    recipe = read_recipe(HERE, name)
    assert (HERE / recipe["net"]).is_file()
    assert solver_settings(recipe).base_lr > 0


@pytest.mark.parametrize("source", sorted(HERE.glob("models/*/*.py")), ids=lambda path: path.stem)
def test_model_is_python(source: Path) -> None:
    compile(source.read_text(encoding="utf-8"), str(source), "exec")


def test_nothing_differed() -> None:
    assert max((max(entry["blobs"].values(), default=0) for entry in PARITY), default=0) == 0
'''


def settings_text(plan: Plan, fork: str | None, protos: Sequence[str]) -> str:
    """settings.yaml."""
    legacy = plan.root or "(the nets had no absolute path)"
    return f"""\
# The one place that says where the data are. The legacy nets looked in
# {legacy}
data_root: data
# First and last index that samples are drawn from, such as [0, 3]; null leaves the nets' own.
index_range: null
# How nets are read.
fork: {fork or "null"}
protos: [{", ".join(protos)}]
# Layers that become fewer with equal numbers; [] runs the nets as they are written.
rewrites: [all]
# legacy, or exact where the old backward pass was not the derivative.
gradient: legacy
"""


def readme(plan: Plan, parities: Sequence[Parity], audited: Sequence[str]) -> str:
    """README.md."""
    inventory = plan.inventory
    first = next((s.recipe for _, s, _ in plan.recipes if s is not None), "RECIPE")
    missing = "\n".join(f"- {line}" for line in plan.lacks) or "- nothing"
    return f"""\
# {inventory.root.resolve().name}, in PyTorch

Migrated from a Caffe repository. It needs `caffe-layers` installed, and nothing of Caffe.

    python train.py {first}                    # from the migrated weights, or from the fillers
    python train.py {first} --resume           # from its newest snapshot
    python train.py {first} --iterations 100   # only so many now
    python -m pytest test_project.py

`settings.yaml` says where the data are (`data_root`). Snapshots, logs and drawings go to
`runs/RECIPE/`.

## Recipes

| {" | ".join(HEADS)} |
|{"---|" * len(HEADS)}
{chr(10).join(f"| {' | '.join(row.cells)} |" for row, _, _ in plan.recipes)}

Rows whose solver is "none names it" have a net in `nets/` but no file in `recipes/`.

## What is where

| | |
|---|---|
| `nets/` | the nets as prototxt, absolute paths under `data/` |
| `models/NET/` | the same as PyTorch source, with a map from its keys to the blobs |
| `recipes/` | the solvers as YAML |
| `weights/` | converted weights: safetensors, and a map from its keys to the blobs |
| `states/` | solver states to resume from |
| `parity.md` | legacy against migrated nets, blob by blob |
{_audit_row(audited)}
## Parity

{parity_table(parities)}

## Missing

{missing}
{_scripts(inventory)}"""


def _audit_row(audited: Sequence[str]) -> str:
    return "| `audit/` | what the legacy nets really do |\n" if audited else ""


def _scripts(inventory: Inventory) -> str:
    if not inventory.scripts:
        return ""
    listed = "\n".join(f"- {inventory.here(path)}" for path in inventory.scripts)
    return f"\n## Scripts of the legacy repository, not taken over\n\n{listed}\n"


def parity_table(parities: Sequence[Parity]) -> str:
    """One line per net and phase."""
    rows = [
        "| net | phase | weights | blobs compared | largest difference | PyTorch source |",
        "|---|---|---|---|---|---|",
    ]
    for p in parities:
        model = f"{max(p.model.values()):.1e} of the largest value" if p.model else p.note
        rows.append(
            f"| {p.net} | {p.phase} | {p.weights} | {len(p.blobs)} | {p.worst:g} | {model} |"
        )
    return "\n".join(rows)
