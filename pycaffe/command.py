"""The `caffe` command: finds the verb, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import pkgutil
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .foreign import foreign_packages
from .script import is_script, run_script

GOOD, FAILED_RUN, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
_VERBS = Path(__file__).with_name("verbs")
_OTHERS = "nets and weights"
_GROUPS = ("training", _OTHERS, "data", "legacy scripts and files")
_FIRST = ("train", "test", "time")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 good, 1 a failed run, 2 bad input.

    Args:
        arguments: without the program's name; those of this process if not given.
    """
    strangers = foreign_packages()
    if strangers:
        return _fail(strangers[0], BAD_INPUT)
    # Waiting threads sleep, not spin: beside other busy processes a step is up to ten times faster.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded, so not later
    from retrain.errors import CaffeError, RunError

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and is_script(arguments[0]):
        return run_script(arguments)
    debug = any(token.lstrip("-") == "debug" for token in arguments)
    try:
        with _plain_warnings():
            code = _run(arguments)
            sys.stdout.flush()
            return code
    except RunError as error:
        return _fail(str(error), FAILED_RUN, debug=debug)
    except CaffeError as error:
        return _fail(str(error), BAD_INPUT, debug=debug)
    except BrokenPipeError:  # as of `caffe … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (OSError, RuntimeError, MemoryError) as error:
        return _fail(f"{type(error).__name__}: {error}", FAILED_RUN, debug=debug)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, debug=debug)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings as what they say, without a place in this project's code."""
    before = warnings.formatwarning

    def said(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        if issubclass(category, UserWarning):
            return f"Warning: {message}\n"
        return before(message, category, *place, **more)

    warnings.formatwarning = said
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run(arguments: Sequence[str]) -> int:
    from .errors import UsageError
    from .flags import FLAGS, parse, usage
    from .tools import is_tool, run_tool

    arguments = _spelt(arguments)
    if list(arguments) == ["--version"]:
        print(_version())
        return GOOD
    if arguments and arguments[0] in verb_names():
        tool = _verb(arguments[0])
        if is_tool(tool):
            return run_tool(tool, arguments[0], purpose(arguments[0]), arguments[1:])
    options = parse(arguments)
    if not options.verb:
        print(_overview())
        return GOOD
    name, *extra = options.verb
    verb = _verb(name)
    if options.help:
        flags = [flag for flag in FLAGS if flag.name in (*verb.FLAGS, "debug", "help")]
        print(usage(name, purpose(name), flags, examples=verb.EXAMPLES))
        return GOOD
    if extra:
        raise UsageError(f"unexpected argument '{extra[0]}': flags look like --solver=FILE")
    _mention_idle(name, verb, options)
    return int(verb.run(options))


def _spelt(arguments: Sequence[str]) -> Sequence[str]:
    """`help VERB` and `-h` as --help, `version` and `-version` as --version."""
    if arguments and arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    if len(arguments) == 1 and arguments[0].lstrip("-") == "version":
        return ["--version"]
    return ["--help" if token == "-h" else token for token in arguments]


def _version() -> str:
    """The release, and what it runs on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("caffe-layers")
    except PackageNotFoundError:  # a clone that is not installed
        own = "from a clone"
    return f"caffe-layers {own} (torch {version('torch')}, Python {platform.python_version()})"


def _verb(name: str) -> ModuleType:
    from .errors import UsageError

    names = verb_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown verb '{name}'. {hint}There are {', '.join(names)}.")
    return importlib.import_module(f"{__package__}.verbs.{name}")


def verb_names() -> list[str]:
    """The verbs there are: the modules in verbs/."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_VERBS)]))


def purpose(name: str) -> str:
    """What a verb is for: its module's first line, read without importing it."""
    source = (_VERBS / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring is not None  # the linter asks for one
    return docstring.splitlines()[0].partition(": ")[2].rstrip(".")


def group(name: str) -> str:
    """Which verbs a verb is shown with: its module's GROUP, read without importing it."""
    source = (_VERBS / f"{name}.py").read_text(encoding="utf-8")
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "GROUP":
            return str(ast.literal_eval(line.value))
    return _OTHERS


def _overview() -> str:
    names = verb_names()
    width = max(map(len, names)) + 1
    rows: list[str] = []
    for title in sorted({group(name) for name in names}, key=_group_order):
        verbs = sorted((name for name in names if group(name) == title), key=_verb_order)
        rows += [f"{title}:", *(f"  {verb:<{width}} {purpose(verb)}" for verb in verbs), ""]
    return "\n".join(
        (
            "usage: caffe VERB --FLAG=VALUE …",
            "",
            *rows[:-1],
            "",
            "`caffe VERB --help` shows its flags, with examples like this:",
            "  caffe train --solver=examples/prototxt/lenet/solver.prototxt",
            "`caffe SCRIPT.py …` runs a Python script whose `import caffe` finds this package.",
        )
    )


def _group_order(title: str) -> tuple[int, str]:
    """The known groups in their order, then those that others make."""
    return (_GROUPS.index(title) if title in _GROUPS else len(_GROUPS), title)


def _verb_order(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _mention_idle(name: str, verb: ModuleType, options: Namespace) -> None:
    """Say which flags this verb does not heed: gflags takes any flag anywhere."""
    for flag in options.given:
        if flag not in (*verb.FLAGS, "debug", "help"):
            print(f"caffe: --{flag} has no effect on '{name}'", file=sys.stderr)


def _fail(message: str, code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    print(f"caffe: {message}", file=sys.stderr)
    return code
