"""Write the pose nets of `examples/prototxt/`, for any depth of the volume.

    python examples/make_nets.py                             # the files as they are checked in
    python examples/make_nets.py --depth 64 --into runs/d64  # runs/d64/<recipe>/…
    python examples/make_nets.py --curriculum                # the stages of prototxt/curriculum/

The three recipes share one graph and differ in what their losses weigh:

    adaptive_h1   AdaptiveWeightEucLoss over the 2D heatmaps and the volumes
    adaptive_i1   the same loss over these and the coordinates that are integrated out of them
    manual        EuclideanLoss with weights set by hand

adaptive_i1 has a second net, train_val_terms.prototxt: its five pairs as EuclideanLosses of weight
1, for `caffe train --weighting` to weigh.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pose_net.curriculum import ITERATIONS, PUBLISHED, STAGES, stage_folder, stage_solver
from pose_net.data import TEST, data_side
from pose_net.heads import heads
from pose_net.hourglass import two_stages
from pose_net.recipe import NAMES, Name, Recipe

HERE = Path("examples/prototxt")
CURRICULUM = HERE / "curriculum"
DEPTH = 16


def main() -> None:
    """Write train_val.prototxt and solver.prototxt of the chosen recipes."""
    given = _arguments()
    chosen = [files(name, given.depth, given.into) for name in given.recipes]
    if given.curriculum:
        chosen = [curriculum_files(given.into / CURRICULUM.name)]
    for path, text in (pair for made in chosen for pair in made.items()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


def files(name: Name, depth: int = DEPTH, into: Path = HERE) -> dict[Path, str]:
    """The files of a recipe, path to text: net and solver, and those with the terms apart."""
    recipe, folder = Recipe(name, depth), into / name
    net = folder / "train_val.prototxt"
    found = {net: net_text(recipe), folder / "solver.prototxt": solver_text(recipe, net)}
    if name == "adaptive_i1":
        terms, net = Recipe(name, depth, terms=True), folder / "train_val_terms.prototxt"
        found[net] = net_text(terms)
        found[folder / "solver_terms.prototxt"] = solver_text(terms, net)
    return found


def net_text(recipe: Recipe) -> str:
    """The whole net, both phases."""
    made = f"# Made by examples/make_nets.py --recipe {recipe.name} --depth {recipe.depth}"
    blocks = [*data_side(recipe), *two_stages(recipe), *heads(recipe)]
    return "\n".join([made, f'name: "{recipe.net_name}"', *blocks]) + "\n"


def curriculum_files(into: Path = CURRICULUM) -> dict[Path, str]:
    """The files of every stage of the depth curriculum: path to text."""
    made = {}
    for number, stage in enumerate(STAGES, 1):
        folder = into / stage_folder(number, stage)
        net = folder / "train_val.prototxt"
        made[net] = net_text(stage.recipe(PUBLISHED))
        made[folder / "solver.prototxt"] = stage_solver(stage, PUBLISHED, net, ITERATIONS)
    return made


def solver_text(recipe: Recipe, net: Path) -> str:
    """RMSProp as in the published solvers, with a rate and a length for the toy set."""
    return f"""\
# Made by examples/make_nets.py --recipe {recipe.name} --depth {recipe.depth}
net: "{net.as_posix()}"
type: "RMSProp"

base_lr: 0.001
# A new RMSProp takes steps of rate / sqrt(1 - rms_decay): 10 times too long at the default 0.99.
rms_decay: 0.95
lr_policy: "multistep"
stepvalue: 800
gamma: 0.2
max_iter: 1000

# One test goes over the {TEST} test samples once: watch error(mm)_3d_s2_int.
test_iter: {TEST // recipe.test_batch}
test_interval: 250
display: 20
average_loss: 20

snapshot: 500
snapshot_prefix: "runs/{recipe.net_name}"
random_seed: 2018
solver_mode: CPU
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--recipe", choices=NAMES, action="append", dest="recipes", help="default: all three"
    )
    parser.add_argument(
        "--curriculum", action="store_true", help="the stages d2 = 2, 4, ... 64 instead"
    )
    parser.add_argument("--depth", type=int, default=DEPTH, help="d2, 1 to 64, default 16")
    parser.add_argument("--into", type=Path, default=HERE, help=f"folder, default {HERE}")
    given = parser.parse_args()
    if given.recipes is None:
        given.recipes = NAMES
    return given


if __name__ == "__main__":
    main()
