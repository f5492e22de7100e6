"""Running a legacy script unchanged: `python -m pycaffe train.py --gpu 0`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from .alias import stand_in


def is_script(argument: str) -> bool:
    """Whether a command's first argument names a script rather than a verb."""
    return argument.endswith(".py")


def run_script(arguments: Sequence[str]) -> int:
    """Run `arguments[0]` with the rest as its arguments, as `python SCRIPT …` would.

    Its `import caffe` finds this package, even where a genuine caffe is installed. What the script
    raises, or exits with, goes through to whoever called; a script that is not there gives 2.
    """
    path = Path(arguments[0])
    if not path.is_file():
        print(f"caffe: script '{path}' is not there", file=sys.stderr)
        return 2
    stand_in(first=True)
    sys.argv = [str(path), *arguments[1:]]
    sys.path.insert(0, str(path.resolve().parent))
    runpy.run_path(str(path), run_name="__main__")
    return 0
