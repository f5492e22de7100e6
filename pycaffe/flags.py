"""The command line, spelt as gflags lets one: `-solver F`, `--solver F`, `--solver=F`."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .errors import UsageError
from .gflags import plain


@dataclass(frozen=True)
class Flag:
    """One flag: what it is for, how its value is called and read. No `value` name: a switch."""

    name: str
    purpose: str
    value: str = ""
    kind: Callable[[str], Any] = str
    default: Any = None
    choices: tuple[str, ...] = ()


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts of a flag's value."""
    return tuple(part for part in text.split(",") if part)


READING = (
    Flag("level", "network level, for layers with min_level or max_level", "N", int),
    Flag("stage", "network stages, for layers with stage", "NAME,NAME", comma_separated, ()),
    Flag("fork", "read nets with this fork's schema, such as integral", "NAME"),
    Flag("proto", "read nets with these .proto files", "FILE,FILE", comma_separated, ()),
    Flag(
        "layers",
        "import these modules for their @layer classes",
        "MODULE,MODULE",
        comma_separated,
        (),
    ),
)
"""Flags of all that read a net: in which state, and by whose schema and classes."""

NET = (*(flag.name for flag in READING), "gradient", "fixes", "rewrite", "allow_python")
"""Names of the flags of all that compute with a net by Caffe's own commands."""

PHASE = Flag("phase", "network phase", "PHASE", default="TEST", choices=("TRAIN", "TEST"))
INPUTS = Flag(
    "inputs", "feed these blobs, named BLOB or in:BLOB; else made-up ones", "FILE.npz", default=""
)
WEIGHTS = Flag(
    "weights",
    "weights: .caffemodel, .h5, .safetensors or .npz; of several files the later ones win",
    "FILE,FILE",
    comma_separated,
    (),
)

FLAGS = (
    Flag("solver", "the solver definition (prototxt)", "FILE"),
    Flag("model", "the model definition (prototxt)", "FILE"),
    WEIGHTS,
    Flag("snapshot", "the .solverstate to resume training from", "FILE"),
    Flag("iterations", "how many batches to run", "N", int, 50),
    Flag("gpu", "run on this GPU; `train` takes several, each in a process", "ID,ID|all"),
    Flag("nproc", "train in this many processes on the CPU", "N", int),
    Flag("phase", "network phase", "PHASE", choices=("TRAIN", "TEST")),
    *READING,
    Flag(
        "sigint_effect",
        "what Ctrl-C does",
        "EFFECT",
        default="stop",
        choices=("stop", "snapshot", "none"),
    ),
    Flag(
        "sighup_effect",
        "what a hang-up does",
        "EFFECT",
        default="snapshot",
        choices=("stop", "snapshot", "none"),
    ),
    Flag(
        "amp",
        "half precision for convolutions and products, the rest in float32",
        "FORMAT",
        choices=("bf16", "fp16"),
    ),
    Flag("compile", "compile the net with torch.compile"),
    Flag("channels_last", "keep 4-axis blobs in memory as N, H, W, C"),
    Flag(
        "event_files",
        "records beside the snapshots",
        "WHICH",
        default="all",
        choices=("all", "jsonl", "tensorboard", "none"),
    ),
    Flag(
        "weighting",
        "weigh the net's losses in place of their loss_weight: cov, uncertainty, gradnorm, …",
        "NAME[:KEY=VALUE,…]",
    ),
    Flag("log_dir", "write the log into a file in this folder, too", "FOLDER"),
    Flag("forward_only", "no backward passes"),
    Flag(
        "sort",
        "order of the layers",
        "ORDER",
        default="file",
        choices=("file", "forward", "backward", "total"),
    ),
    Flag(
        "gradient",
        "backward of layers whose legacy one was wrong",
        "WHICH",
        default="legacy",
        choices=("legacy", "exact"),
    ),
    Flag(
        "rewrite",
        "fewer layers, equal numbers: all, or names of rewrites",
        "NAME,NAME",
        comma_separated,
        (),
    ),
    Flag(
        "fixes",
        "mend defects of the legacy layers: all, none or names",
        "NAME,NAME",
        comma_separated,
    ),
    Flag("workers", "processes that read data ahead (default: as many as it takes)", "N", int),
    Flag("allow_python", "run the classes that layers of type Python name"),
    Flag("debug", "show the traceback of an error"),
    Flag("help", "show this help"),
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Verb and flags of a command line; `given` has the names of the flags that were there.

    `arguments` is the command line itself. As with gflags every verb knows every flag, the verb
    may stand anywhere, `--debug=false` and `--nodebug` are no `--debug`. glog's flags are heeded
    as far as they can be: the log goes to standard error anyway.

    Raises:
        UsageError: an unknown flag, with the nearest known one, or a bad value.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("verb", nargs="*")
    for flag in FLAGS:
        _add(parser, flag)
    switches = [flag.name for flag in FLAGS if not flag.value]
    options, rest = parser.parse_known_intermixed_args(plain(arguments, switches))
    for token in rest:
        raise UsageError(_unknown(token))
    defaults = {flag.name: flag.default for flag in FLAGS}
    options.arguments = list(arguments)
    options.given = [name for name in defaults if hasattr(options, name)]
    for name, default in defaults.items():
        if not hasattr(options, name):
            setattr(options, name, default)
    return options


def net_state(options: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `READING` say, as arguments of `converter.load.load_graph`."""
    return {
        "level": 0 if options.level is None else options.level,
        "stages": options.stage,
        "fork": options.fork,
        "protos": options.proto,
        "layers": options.layers,
    }


def usage(
    verb: str,
    purpose: str,
    flags: Sequence[Flag],
    arguments: Sequence[str] = (),
    examples: Sequence[str] = (),
) -> str:
    """The help of one verb, as wide as the terminal is."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 100)
    heads = [f"  {'--' if len(f.name) > 1 else '-'}{_spelt(f)}" for f in flags]
    column = max(len(head) for head in heads) + 2
    rows = [
        "\n".join(
            textwrap.wrap(
                f"{flag.purpose}{_extra(flag)}",
                width,
                initial_indent=f"{head:<{column}}",
                subsequent_indent=" " * column,
                break_on_hyphens=False,
            )
        )
        for head, flag in zip(heads, flags, strict=True)
    ]
    shown = [f"  {example}" for example in examples]
    more = ["", "for example:", *shown] if shown else []
    heading = textwrap.fill(f"caffe {verb}: {purpose}", width)
    line = textwrap.fill(" ".join(("usage: caffe", verb, *arguments, "[FLAGS]")), width)
    return "\n".join((heading, "", line, "", *rows, *more))


def wanted(flag: Flag) -> str:
    """What a flag's value must be, in words."""
    return " or ".join(filter(None, flag.choices)) or _WANTED.get(flag.kind, flag.value)


_WANTED: dict[Callable[[str], Any], str] = {int: "a whole number", float: "a number"}


def _spelt(flag: Flag) -> str:
    if not flag.value:
        return flag.name
    return f"{flag.name}{'=' if len(flag.name) > 1 else ' '}{flag.value}"


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        argument, _, problem = message.partition(": ")
        flag = argument.rpartition("/")[2].removeprefix("argument ").lstrip("-")
        known = {f.name: f for f in FLAGS}.get(flag.replace("-", "_"))
        if known is None:
            raise UsageError(message)
        what = wanted(known) if known.choices or known.kind in _WANTED else "a value"
        found = re.search(r"(?:choice|value): '(.*?)'(?: \(choose|$)", problem)
        given = f", found '{found[1]}'" if found else ""
        raise UsageError(f"--{known.name} wants {what}{given}")


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    names = dict.fromkeys((flag.name, flag.name.replace("_", "-")))
    spellings = [dashes + name for name in names for dashes in ("--", "-")]
    if not flag.value:
        parser.add_argument(*spellings, action="store_true", default=argparse.SUPPRESS)
        return
    parser.add_argument(
        *spellings,
        type=flag.kind,
        choices=flag.choices if flag.choices else None,
        metavar=flag.value,
        default=argparse.SUPPRESS,
    )


def _extra(flag: Flag) -> str:
    notes = [" | ".join(filter(None, flag.choices))] if flag.choices else []
    if flag.value and flag.default not in (None, (), ""):
        notes.append(f"default {flag.default}")
    return f" ({'; '.join(notes)})" if notes else ""


def _unknown(token: str) -> str:
    name = token.lstrip("-").partition("=")[0].replace("-", "_")
    near = difflib.get_close_matches(name, [flag.name for flag in FLAGS], n=1, cutoff=0.5)
    hint = f" Did you mean --{near[0]}?" if near else " `caffe` alone shows what there is."
    return f"unknown flag '{token}'.{hint}"
