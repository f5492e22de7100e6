"""What gflags and glog let a command line say beyond the flags of a program."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
GLOG_SWITCHES = frozenset(
    (
        "logtostderr",
        "alsologtostderr",
        "colorlogtostderr",
        "log_prefix",
        "stop_logging_if_full_disk",
    )
)
GLOG_VALUES = frozenset(
    ("minloglevel", "stderrthreshold", "v", "vmodule", "log_link", "logbufsecs", "max_log_size")
)
"""Flags of the log that legacy scripts set; the log goes to standard error whatever they say."""


def plain(tokens: Sequence[str], switches: Collection[str]) -> list[str]:
    """The command line with `--switch` for `--switch=true`, without `--noswitch` and glog's flags.

    Args:
        tokens: the arguments.
        switches: names of the flags that take no value.
    """
    return list(_plain(iter(tokens), switches))


def _plain(tokens: Iterator[str], switches: Collection[str]) -> Iterator[str]:
    for token in tokens:
        name, equals, value = token.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not token.startswith("-"):
            yield token
        elif name in GLOG_VALUES:
            if not equals:
                next(tokens, None)
        elif name in GLOG_SWITCHES or name.removeprefix("no") in GLOG_SWITCHES:
            continue
        elif name in switches and equals and value.lower() in (*TRUE, *FALSE):
            if value.lower() in TRUE:
                yield f"--{name}"
        elif name.startswith("no") and name.removeprefix("no") in switches and not equals:
            continue
        else:
            yield token
