"""Verbs that were programs of their own in Caffe: with flags of their own, and plain arguments."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Iterator, Sequence
from types import ModuleType

from .errors import UsageError
from .flags import Flag, usage, wanted
from .gflags import FALSE, TRUE, plain

_HELP = Flag("help", "show this help")
_DEBUG = Flag("debug", "show the traceback of an error")
_SWITCHED = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}


def is_tool(verb: ModuleType) -> bool:
    """Whether a verb takes plain arguments: it then has ARGUMENTS, and its FLAGS are its own."""
    return hasattr(verb, "ARGUMENTS")


def run_tool(verb: ModuleType, name: str, purpose: str, arguments: Sequence[str]) -> int:
    """Run a tool on what stands behind its name; returns the exit code.

    Raises:
        UsageError: an unknown flag, a bad value, or too many or too few arguments.
    """
    flags: tuple[Flag, ...] = (*verb.FLAGS, _DEBUG, _HELP)
    options = parse_tool(flags, arguments)
    if options.help:
        print(usage(name, purpose, flags, verb.ARGUMENTS, verb.EXAMPLES))
        return 0
    required = [argument for argument in verb.ARGUMENTS if not argument.startswith("[")]
    if not len(required) <= len(options.arguments) <= len(verb.ARGUMENTS):
        found = " ".join(options.arguments) or "none"
        raise UsageError(f"{name} takes {' '.join(verb.ARGUMENTS)}; found {found}")
    return int(verb.run(options))


def parse_tool(flags: Sequence[Flag], tokens: Sequence[str]) -> Namespace:
    """Flags as gflags spells them (`-gray`, `--gray=true`, `--nogray`), and `arguments`, the rest.

    Raises:
        UsageError: an unknown flag, or a bad value.
    """
    options = Namespace(arguments=[], **{flag.name: flag.default for flag in flags})
    known = {flag.name: flag for flag in flags}
    waiting = iter(plain(tokens, ()))
    for token in waiting:
        if token == "--":
            options.arguments += waiting
        elif token.startswith("-") and token != "-":
            _take_flag(options, known, token, waiting)
        else:
            options.arguments.append(token)
    return options


def _take_flag(
    options: Namespace, known: dict[str, Flag], token: str, waiting: Iterator[str]
) -> None:
    written, equals, value = token.lstrip("-").partition("=")
    name = written.replace("-", "_")
    flag = known.get(name)
    if flag is None and name.removeprefix("no") in known and not equals:
        flag, value, equals = known[name.removeprefix("no")], "false", "="
        if flag.value:
            flag = None
    if flag is None:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean --{near[0]}?" if near else ""
        raise UsageError(f"unknown flag '{token}'.{hint}")
    if flag.value and not equals:
        following = next(waiting, None)
        if following is None:
            raise UsageError(f"--{flag.name} wants {wanted(flag)}")
        value = following
    setattr(options, flag.name, _value(flag, value if flag.value or equals else "true"))


def _value(flag: Flag, text: str) -> object:
    if not flag.value:
        if text.lower() not in _SWITCHED:
            raise UsageError(f"--{flag.name}={text}: give true or false")
        return _SWITCHED[text.lower()]
    try:
        value = flag.kind(text)
    except ValueError as error:
        raise UsageError(f"--{flag.name}={text}: give {wanted(flag)}") from error
    if flag.choices and value not in flag.choices:
        raise UsageError(f"--{flag.name}={text}: give {wanted(flag)}")
    return value
