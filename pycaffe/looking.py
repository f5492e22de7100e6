"""What `inspect`, `draw` and `view` have in common: reading a net to look at it, not to run it."""

from __future__ import annotations

import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from caffe_layers.errors import CaffeError
from caffe_layers.layer import Shape
from converter.errors import GraphError
from converter.facts.net_facts import NetFacts, Picture, bare_facts, facts_of, net_without_data
from converter.graph import Graph
from converter.load import load_graph
from converter.net import Net
from converter.stand_in import PICTURES
from converter.text import Field, parse
from converter.verify.no_net import check_prototxt
from converter.view.chart import chart_of
from converter.view.page import Shown

from .errors import UsageError
from .flags import READING, Flag, net_state

Weights = Mapping[tuple[str, int], Shape]
"""Shapes of trained blobs, by layer and number."""
MOST_STAGES = 6


def picture_size(text: str) -> Picture:
    """`3,224,224` as three numbers.

    Raises:
        ValueError: it is something else.
    """
    sizes = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(text)
    return sizes[0], sizes[1], sizes[2]


LOOKING = (
    Flag("phase", "network phase; else both, or TRAIN", "PHASE", choices=("TRAIN", "TEST")),
    Flag(
        "picture",
        "size of pictures that neither the net nor data say",
        "CHANNELS,HEIGHT,WIDTH",
        picture_size,
    ),
    *READING,
)
"""Flags of those verbs; without --phase both phases are shown, or TRAIN where one must do."""


def read_graph(source: str, options: Namespace, phase: str, *stages: str) -> Graph:
    """The Graph of a net in one phase, as the flags say, and in these stages, too."""
    if not Path(source).is_file():
        raise UsageError(f"{source}: there is no such file")
    check_prototxt(Path(source))
    state = net_state(options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_graph(
            source,
            phase="TRAIN" if phase == "TRAIN" else "TEST",
            **(state | {"stages": (*state["stages"], *stages)}),
        )


def looked_at(
    graph: Graph, picture: Picture | None, weights: Weights | None = None
) -> tuple[Net | None, NetFacts]:
    """A Graph's net and facts; a net that does not fit together has no shapes, and says why.

    Args:
        graph: as the prototxt has it.
        picture: size of its pictures, where nothing declares it.
        weights: where the size of the pictures would be a guess, it is the first that these fit.
    """
    try:
        stood = net_without_data(graph, None if picture is None else (picture,))
    except CaffeError as error:
        return None, bare_facts(graph, str(error).splitlines()[0])
    facts = facts_of(graph, stood)
    if facts.guessed and weights and misfits(facts, weights):
        for size in PICTURES:
            net, other = looked_at(graph, size)
            if not other.problem and not misfits(other, weights):
                return net, other
    return stood.net, facts


def misfits(facts: NetFacts, weights: Weights) -> list[str]:
    """Blobs of the net that the weights have in another size, each as a line."""
    found = []
    for layer in facts.layers:
        for index, blob in enumerate(layer.blobs):
            stored = weights.get((layer.key, index), blob.shape)
            if _plain(stored) != _plain(blob.shape):
                sizes = [" × ".join(str(size) for size in shape) for shape in (stored, blob.shape)]
                found.append(f"{layer.key} [{index}] is {sizes[0]}, the net needs {sizes[1]}")
    return found


def _plain(shape: Shape) -> Shape:
    """Without the ones in front that old files have."""
    return _plain(shape[1:]) if shape[:1] == (1,) else shape


def charted(source: str, options: Namespace, weights: Weights | None = None) -> dict[str, Shown]:
    """The net in the phase asked for, or in each that has layers that fit together.

    Where the net has stages and none is asked for, it is also shown in each stage that has other
    layers. What is the same in both phases goes by both their names.

    Raises:
        CaffeError: it reads in none of them.
    """
    shown = {}
    for name, graph in _graphs(source, options).items():
        net, facts = looked_at(graph, options.picture, weights)
        shown[name] = Shown(graph, facts, chart_of(graph, net, facts))
    return shown


def _graphs(source: str, options: Namespace) -> dict[str, Graph]:
    found: dict[str, Graph] = {}
    first = None
    for name, phase, stages in _variants(source, options):
        try:
            graph = read_graph(source, options, phase, *stages)
        except GraphError as error:
            first = first or error
            continue
        same = next((other for other, g in found.items() if g.nodes == graph.nodes), None)
        if same is None:
            found[name] = graph
        elif same == "TRAIN" and not stages:
            found["TRAIN and TEST"] = found.pop("TRAIN")
    if not found:
        assert first is not None
        raise first
    return found


def _variants(source: str, options: Namespace) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What to look at: a name, the phase, stages beside those that are asked for."""
    phases = (options.phase,) if options.phase else ("TRAIN", "TEST")
    for phase in phases:
        yield phase, phase, ()
    stages = [] if options.stage else list(dict.fromkeys(_stages(source)))[:MOST_STAGES]
    for phase in phases:
        for stage in stages:
            yield f"{phase} {stage}", phase, (stage,)


def _stages(source: str) -> Iterator[str]:
    """Every stage that a rule of a layer names."""
    for layer in _blocks(parse(net_text(source), source).fields, "layer", "layers"):
        for rule in _blocks(layer, "include", "exclude"):
            for field in rule:
                if field.name in ("stage", "not_stage") and isinstance(field.value, str):
                    yield field.value.strip("\"'")


def _blocks(fields: list[Field], *names: str) -> Iterator[list[Field]]:
    for field in fields:
        if field.name in names and isinstance(field.value, list):
            yield field.value


def net_text(source: str) -> str:
    """The text of a prototxt; nothing of a net in binary form."""
    try:
        return Path(source).read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return ""
