"""The depth curriculum on the toy pose set: mean joint error after every stage, per variant.

    python benchmarks/curriculum.py                       # all variants, 100 iterations a stage
    python benchmarks/curriculum.py --quick               # 10 iterations a stage
    python benchmarks/curriculum.py --docs docs/curriculum.md

Every variant runs the same nine stages from d2 = 2 to 64, each from the weights of the one before.
The rival is in the same table: `published` starts every convolution and steps as the old nets do,
`d2 = 64 at once` trains the last net alone for as many iterations as the whole curriculum.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from converter.replacing import replacing
from retrain.events import Event, Scored
from retrain.load import load_trainer
from retrain.nets import Dialect
from retrain.snapshot import snapshot_paths, snapshot_prefix

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import make_nets  # noqa: E402 - it stands in a folder of scripts
import make_toy_pose  # noqa: E402
from pose_net.curriculum import (  # noqa: E402
    ITERATIONS,
    STAGES,
    VARIANTS,
    Stage,
    Variant,
    stage_folder,
    stage_solver,
)

ERRORS = ("error(mm)_3d_s2_int", "error(mm)_3d_s2_max")
AT_ONCE = replace(VARIANTS[0], name="at_once", about="d2 = 64 at once, as published")
RUNS = Path("runs/curriculum")


@dataclass
class Outcome:
    """One stage: its two errors in mm, and how long it took."""

    errors: tuple[float, ...]
    seconds: float
    weights: str


@dataclass
class Table:
    """Outcomes by variant, in the order of the stages."""

    iterations: int
    rows: dict[str, list[Outcome]] = field(default_factory=dict)

    def keep(self, variant: Variant) -> None:
        """Write a variant's outcomes beside its snapshots."""
        content = [asdict(row) for row in self.rows[variant.name]]
        with replacing(self._file(variant)) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def recalled(self, variant: Variant) -> bool:
        """Whether the variant was run before at this length; its outcomes then stand here."""
        file = self._file(variant)
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            self.rows[variant.name] = [Outcome(**row) for row in content]
        return file.is_file()

    def _file(self, variant: Variant) -> Path:
        return RUNS / variant.name / f"outcomes_{self.iterations}.json"

    def markdown(self, variants: Sequence[Variant]) -> str:
        """One column per variant, one row per stage; the smaller of a stage's two errors."""
        heads = [v.name for v in variants if v.name in self.rows]
        lines = [f"| stage | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
        for number, stage in enumerate(STAGES):
            cells = [self._cell(head, number) for head in heads]
            lines.append(f"| d2 = {stage.depth}, {stage.name} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def _cell(self, variant: str, number: int) -> str:
        rows = self.rows[variant]
        place = number - (len(STAGES) - len(rows)) if variant == AT_ONCE.name else number
        if not 0 <= place < len(rows):
            return ""
        return " / ".join(f"{error:.0f}" for error in rows[place].errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of each stage")
    parser.add_argument("--quick", action="store_true", help="10 iterations a stage")
    parser.add_argument("--variant", action="append", help="only this one; may be repeated")
    parser.add_argument("--again", action="store_true", help="also those that were run before")
    parser.add_argument("--docs", type=Path, help="write the table there, too")
    options = parser.parse_args()
    iterations = 10 if options.quick else options.iterations
    known = (*VARIANTS, AT_ONCE)
    chosen = [v for v in known if options.variant is None or v.name in options.variant]
    table = Table(iterations)
    sys.argv = sys.argv[:1]
    make_toy_pose.main()
    for variant in chosen:
        if not table.recalled(variant) or options.again:
            run(variant, iterations, table)
            table.keep(variant)
        print(f"\n{table.markdown(chosen)}\n", flush=True)
    if options.docs is not None:
        options.docs.write_text(document(table, chosen), encoding="utf-8")


def run(variant: Variant, iterations: int, table: Table) -> None:
    """All stages of a variant, or the last one alone for as long."""
    rows: list[Outcome] = []
    table.rows[variant.name] = rows
    last = Stage("adaptive_i1", 64)
    stages = (last,) if variant.name == AT_ONCE.name else STAGES
    length = iterations * len(STAGES) if len(stages) == 1 else iterations
    for number, stage in enumerate(stages, 1):
        weights = [rows[-1].weights] if rows else []
        rows.append(train(variant, number, stage, length, weights))
        shown = ", ".join(f"{error:.1f} mm" for error in rows[-1].errors)
        print(f"{variant.name:10} {stage_folder(number, stage):22} {shown}", flush=True)


def train(
    variant: Variant, number: int, stage: Stage, iterations: int, weights: list[str]
) -> Outcome:
    """One stage from the weights of the one before; its test errors at the end."""
    folder = RUNS / variant.name / stage_folder(number, stage)
    folder.mkdir(parents=True, exist_ok=True)
    net, solver = folder / "train_val.prototxt", folder / "solver.prototxt"
    net.write_text(make_nets.net_text(stage.recipe(variant)), encoding="utf-8")
    solver.write_text(stage_solver(stage, variant, net, iterations), encoding="utf-8")
    scores: list[Scored] = []
    trainer = load_trainer(
        solver,
        weights=weights,
        dialect=Dialect(fork="integral", fixes=variant.fixes, rewrites=("all", "dead_metrics")),
        observer=_keeping(scores),
    )
    start = time.perf_counter()
    trainer.solve()
    found = {output.name: output.values[0] for output in scores[-1].outputs}
    written = snapshot_paths(snapshot_prefix(trainer.settings), iterations)[0]
    seconds = time.perf_counter() - start
    return Outcome(tuple(found[name] for name in ERRORS), seconds, written)


def _keeping(scores: list[Scored]) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, Scored):
            scores.append(event)

    return observe


def document(table: Table, variants: Sequence[Variant]) -> str:
    """The page that goes to docs/."""
    abouts = [f"| {variant.name} | {variant.about} |" for variant in variants]
    minutes = sum(row.seconds for rows in table.rows.values() for row in rows) / 60
    return f"""\
# Depth curriculum

    python benchmarks/curriculum.py --iterations {table.iterations} --docs docs/curriculum.md

Nine stages of {table.iterations} iterations at batch 8 on the toy pose set, from d2 = 2 to 64; each
starts from the weights of the one before. All layers but the head go by name; the head
`conv_5_d<depth>` is new at each depth and starts with the std of its depth. Losses: Adaptive H1,
then Adaptive I1, then Manual, in the order of the published runs. Mean joint distance in mm on the
128 test samples, decoded as expectation / as maximum ({minutes:.0f} minutes on one CPU core for
the whole table).

{table.markdown(variants)}

| column | what is done |
|---|---|
{chr(10).join(abouts)}

`at_once` stands in the last row, after as many iterations as the whole curriculum.
MSRA and Xavier start heatmap2 so large (beyond ±60 and ±5, times 20) that the legacy softmax, which
does not subtract the maximum, is NaN from the first step: without the fix they do not run at all.

The expectation lags behind the maximum where volumes are deep and the heatmaps still low: a softmax
over 16 x 16 x 64 voxels needs peaks above 0.5 to see them. Runs this short compare how fast a
recipe starts, not where it ends: one seed, one small set.
"""


if __name__ == "__main__":
    main()
