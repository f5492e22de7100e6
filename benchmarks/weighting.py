"""Which loss weighting? One net, one data set, every weighting, no hand tuning.

    python -m benchmarks.weighting --quick     # one seed, 100 iterations: ranks nothing
    python -m benchmarks.weighting             # three seeds, 1000 iterations, its time told first
    python -m benchmarks.weighting --overhead  # what a weighting costs per step, against Equal
    python -m benchmarks.weighting --known     # two published results that are cheap to repeat

The net is Adaptive I1 with its five pairs as EuclideanLosses of their own
(examples/prototxt/adaptive_i1/train_val_terms.prototxt), and once Adaptive I1 itself with
AdaptiveWeightEucLoss. Weights' curves go to --into as a PNG, the table to standard output. Each
run is noted in --into as it ends: the command, broken off and given again, goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.weighting_known import known_results
from benchmarks.weighting_overhead import overhead
from benchmarks.weighting_shootout import NAMES, shoot_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few iterations")
    parser.add_argument("--overhead", action="store_true", help="cost per step only")
    parser.add_argument("--known", action="store_true", help="published results only")
    parser.add_argument("--iterations", type=int, help="default 1000, quick 100")
    parser.add_argument("--seeds", type=int, help="default 3, quick 1")
    parser.add_argument("--only", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--fixes", nargs="*", default=[], help="legacy defects to mend in the net")
    parser.add_argument("--into", type=Path, default=Path("runs/weighting"))
    options = parser.parse_args()
    if options.overhead:
        overhead()
        return
    if options.only is None:
        known_results()
    if options.known:
        return
    length, seeds = (100, 1) if options.quick else (1000, 3)
    shoot_out(
        NAMES if options.only is None else tuple(options.only),
        iterations=length if options.iterations is None else options.iterations,
        seeds=seeds if options.seeds is None else options.seeds,
        into=options.into,
        quick=options.quick,
        fixes=options.fixes,
    )


if __name__ == "__main__":
    main()
