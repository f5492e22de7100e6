"""`caffe migrate`: turn a legacy repository into a PyTorch project."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from converter.migrate.inventory import survey
from converter.migrate.plan import make_plan
from converter.migrate.project import write_project

from ..errors import UsageError
from ..flags import Flag

GROUP = "legacy scripts and files"
ARGUMENTS = ("REPO_DIR",)
FLAGS = (
    Flag("o", "the folder to write; it must not be there", "NEW_DIR"),
    Flag("plan", "only list what would be written, and what is missing"),
    Flag("audit", "audit the training nets (--noaudit: leave that out)", default=True),
    Flag("fork", "read nets with this fork's schema, such as integral", "NAME"),
)
EXAMPLES = (
    "caffe migrate old_repository --plan",
    "caffe migrate old_repository -o new_project",
)


def run(options: Namespace) -> int:
    """Write the project, or with --plan only say what it would be.

    Raises:
        UsageError: neither -o nor --plan.
        CaffeError: the folder has no nets, or the project cannot be written.
    """
    plan = make_plan(survey(Path(options.arguments[0]), fork=options.fork))
    if options.plan:
        print(plan)
        return 0
    if not options.o:
        raise UsageError("migrate needs -o NEW_DIR, or --plan to see what it would write")
    target = Path(options.o)
    write_project(plan, target, audits=options.audit, say=lambda text: print(text, flush=True))
    for line in plan.lacks:
        print(f"missing: {line}")
    print(f"written: {target}; `cd {target}` and read README.md")
    return 0
