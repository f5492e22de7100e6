"""`caffe upgrade_solver_proto_text`: write an old solver file anew as Caffe 1.0 has it."""

from __future__ import annotations

from argparse import Namespace

from converter.upgrade import upgrade_solver

from .. import upgrading

GROUP = "legacy scripts and files"
ARGUMENTS = ("INPUT_PROTOTXT", "OUTPUT_PROTOTXT")
FLAGS = upgrading.FLAGS
EXAMPLES = ("caffe upgrade_solver_proto_text old_solver.prototxt new_solver.prototxt",)


def run(options: Namespace) -> int:
    """Upgrade a solver whose type is an enum; the output may be the input.

    Raises:
        CaffeError: the input does not read, or the output cannot be written.
    """
    return upgrading.upgrade_text(
        options, "SolverParameter", upgrade_solver, "upgrade_solver_proto_text"
    )
