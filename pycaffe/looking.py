"""What `inspect`, `draw` and `view` have in common: reading a net to look at it, not to run it."""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path

from caffe_layers.errors import CaffeError
from converter.errors import GraphError
from converter.facts.net_facts import NetFacts, bare_facts, facts_of, net_without_data
from converter.graph import Graph
from converter.load import load_graph
from converter.net import Net
from converter.view.chart import chart_of
from converter.view.page import Shown

from .errors import UsageError
from .flags import READING, Flag, net_state

LOOKING = (
    Flag("phase", "network phase; else both, or TRAIN", "PHASE", choices=("TRAIN", "TEST")),
    *READING,
)
"""Flags of those verbs; without --phase both phases are shown, or TRAIN where one must do."""


def read_graph(source: str, options: Namespace, phase: str) -> Graph:
    """The Graph of a net in one phase, as the flags say."""
    if not Path(source).is_file():
        raise UsageError(f"{source}: there is no such file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_graph(
            source,
            phase="TRAIN" if phase == "TRAIN" else "TEST",
            **net_state(options),
        )


def looked_at(graph: Graph) -> tuple[Net | None, NetFacts]:
    """A Graph's net and facts; a net that does not fit together has no shapes, and says why."""
    try:
        net, made_up = net_without_data(graph)
    except CaffeError as error:
        return None, bare_facts(graph, str(error).splitlines()[0])
    return net, facts_of(graph, net, made_up)


def charted(source: str, options: Namespace) -> dict[str, Shown]:
    """The net in the phase asked for, or in each that has layers that fit together.

    Raises:
        CaffeError: it reads in none of them.
    """
    wanted = (options.phase,) if options.phase else ("TRAIN", "TEST")
    found, first = {}, None
    for phase in wanted:
        try:
            graph = read_graph(source, options, phase)
        except GraphError as error:
            first = first or error
            continue
        net, facts = looked_at(graph)
        found[phase] = Shown(graph, facts, chart_of(graph, net, facts))
    if not found:
        assert first is not None
        raise first
    return found


def net_text(source: str) -> str:
    """The text of a prototxt; nothing of a net in binary form."""
    try:
        return Path(source).read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return ""
