"""`caffe shim`: make a folder that legacy scripts take for a built Caffe."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from converter.replacing import replacing

from ..errors import UsageError
from ..flags import Flag
from ..foreign import HOME

GROUP = "legacy scripts and files"
ARGUMENTS = ("DIR",)
FLAGS: tuple[Flag, ...] = ()
EXAMPLES = ("caffe shim old_caffe && CAFFE_ROOT=old_caffe sh train.sh",)
TOOLS = (
    *("caffe", "convert_imageset", "compute_image_mean", "device_query"),
    *("upgrade_net_proto_text", "upgrade_net_proto_binary", "upgrade_solver_proto_text"),
)
"""Programs of Caffe's build/tools that there are here; each has a second name that ends in .bin."""
_MARK = "made by `caffe shim`"

_TOOL = """#!/bin/sh
# {name} of caffe-layers, {mark}
exec {python} "$(dirname -- "$0")/.run.py" {verb}"$@"
"""
_RUN = '''"""What the tools beside this file run; {mark}."""

import os
import sys

HOME = {home!r}
if HOME not in sys.path:  # not installed: a clone
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (HOME, os.environ.get("PYTHONPATH"))))
sys.path[0] = HOME

from pycaffe.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
'''
_PACKAGE = '''"""`import caffe` finds the drop-in of caffe-layers; {mark}."""

import importlib
import sys

HOME = {home!r}
if HOME not in sys.path:
    sys.path.append(HOME)

from pycaffe.alias import stand_in  # noqa: E402

stand_in(first=True)
del sys.modules["caffe"]
importlib.import_module("caffe")
'''


def run(options: Namespace) -> int:
    """Write the folder, so that scripts run unchanged with CAFFE_ROOT set to it.

    There are build/tools with Caffe's programs, .build_release and build/install/bin, which lead
    there, and python/caffe for `import caffe`. They run in the Python that runs this command. Other
    files of the folder stay as they are; a folder made before is brought up to date.

    Raises:
        UsageError: something else is in the way, or the folder cannot be written.
    """
    root = Path(options.arguments[0]).absolute()
    try:
        _refuse_what_is_in_the_way(root)
        _write_tools(root / "build" / "tools")
        _link(root / ".build_release", "build")
        (root / "build" / "install").mkdir(exist_ok=True)
        _link(root / "build" / "install" / "bin", "../tools")
        _write(root / "python" / "caffe" / "__init__.py", _PACKAGE)
    except OSError as error:
        raise UsageError(f"{root}: cannot be written: {error.strerror}") from error
    print(
        f"{root} stands in for Caffe now. In a shell:\n"
        f"  export CAFFE_ROOT={shlex.quote(str(root))}\n"
        '  export PYTHONPATH="$CAFFE_ROOT/python:$PYTHONPATH"'
    )
    return 0


def _refuse_what_is_in_the_way(root: Path) -> None:
    """A genuine Caffe is not overwritten."""
    package = root / "python" / "caffe"
    found = [
        place
        for place, mark in (
            (root / "build", root / "build" / "tools" / ".run.py"),
            (root / ".build_release", root / "build" / "tools" / ".run.py"),
            (package, package / "__init__.py"),
        )
        if (place.exists() or place.is_symlink()) and not _is_ours(mark)
    ]
    if found:
        raise UsageError(
            f"{' and '.join(map(str, found))}: there already, and not made by `caffe shim`; move "
            "it out of the way (mv build build.genuine), or name another folder"
        )


def _is_ours(file: Path) -> bool:
    return file.is_file() and _MARK in file.read_text(encoding="utf-8", errors="replace")


def _write_tools(folder: Path) -> None:
    _write(folder / ".run.py", _RUN)
    for name in TOOLS:
        _write(folder / name, _TOOL, name=name, verb="" if name == "caffe" else f"{name} ")
        (folder / name).chmod(0o755)
        _link(folder / f"{name}.bin", name)


def _write(path: Path, text: str, **facts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts |= {"mark": _MARK, "home": str(HOME), "python": shlex.quote(sys.executable)}
    for name in ("mark", "home", "python", "name", "verb"):
        shown = repr(facts.get(name, ""))
        text = text.replace(f"{{{name}!r}}", shown).replace(f"{{{name}}}", facts.get(name, ""))
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
