"""The rewrites by name, in the order in which they are applied."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import GraphError
from ..graph import Graph
from .batch_norm import join_batch_norm_and_scale
from .dead_metrics import drop_dead_metrics, drop_side_outputs
from .soft_argmax import collapse_soft_argmax
from .splits import drop_splits

Rewrite = Callable[[Graph], Graph]

EQUAL: Mapping[str, Rewrite] = {
    "splits": drop_splits,
    "soft_argmax": collapse_soft_argmax,
    "batch_norm": join_batch_norm_and_scale,
}
"""Those that leave every output and every gradient as it was, up to rounding: `all`."""
LESS: Mapping[str, Rewrite] = {
    "side_outputs": drop_side_outputs,
    "dead_metrics": drop_dead_metrics,
}
"""Those after which a training net shows or writes less; each must be named."""
REWRITES: Mapping[str, Rewrite] = {**LESS, **EQUAL}
ALL = "all"


def rewritten(graph: Graph, names: Sequence[str]) -> Graph:
    """A Graph after the rewrites that `names` call for, in the catalogue's order.

    Its `rewriting` says how many layers there were, are, and went with each rewrite.

    Args:
        graph: of either phase.
        names: of the catalogue, or "all" for those that change no output.

    Raises:
        GraphError: a name that the catalogue does not have.
    """
    whole, told = graph, []
    for name in wanted_rewrites(names):
        before = len(graph.nodes)
        graph = REWRITES[name](graph)
        told.append(f"{name} {before - len(graph.nodes)}")
    layers = f"{len(whole.nodes)} layers -> {len(graph.nodes)}"
    return replace(graph, rewriting=f"{layers} (fewer by: {', '.join(told)})" if told else "")


def wanted_rewrites(names: Sequence[str]) -> tuple[str, ...]:
    """The names with "all" written out.

    Raises:
        GraphError: a name that the catalogue does not have.
    """
    for name in names:
        if name not in REWRITES and name != ALL:
            near = difflib.get_close_matches(name, (*REWRITES, ALL), n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            known = ", ".join((ALL, *REWRITES))
            raise GraphError(f"no rewrite is called '{name}'. {hint}There are {known}")
    wanted = {*names, *(EQUAL if ALL in names else ())}
    return tuple(name for name in REWRITES if name in wanted)
