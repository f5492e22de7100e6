"""What each training run of a repository was: losses, fillers, rates, batch, as the files say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from caffe_layers.registry import registered

from ..graph import Graph, Node, build_graph
from ..record import Record
from .inventory import NetFile, SolverFile

RATES = ("stepvalue", "stepsize", "gamma", "power")
HEADS = ("recipe", "net", "solver", "rate", "batch", "losses with a weight", "std of the fillers")


@dataclass(frozen=True)
class Recipe:
    """One row of the table; texts as they stand in it."""

    name: str
    net: str
    solver: str
    rate: str
    batch: str
    losses: str
    std: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row, as `HEADS` names its columns."""
        return self.name, self.net, self.solver, self.rate, self.batch, self.losses, self.std


def recipe_of(net: NetFile, solver: SolverFile | None) -> Recipe:
    """The row of a net, with its solver if one names it."""
    graph = build_graph(net.record, phase="TRAIN" if "TRAIN" in net.phases else "TEST")
    record = solver.record if solver is not None else Record("SolverParameter")
    kind = str(record.get("type", "SGD")) if solver is not None else "none names it"
    return Recipe(
        name=solver.recipe if solver is not None else net.name,
        net=net.name,
        solver=kind,
        rate=_rate(record) if solver is not None else "",
        batch=", ".join(str(size) for size in dict.fromkeys(_batches(graph))),
        losses=", ".join(f"{name} {weight:g}" for name, weight in _losses(graph).items()),
        std=_stds(graph),
    )


def _rate(record: Record) -> str:
    policy = record.get("lr_policy", "")
    used = {"fixed": (), "step": RATES[1:3], "multistep": (RATES[0], RATES[2])}.get(policy, RATES)
    extra = [f"{name} {_plain(record[name])}" for name in used if name in record]
    return ", ".join([f"{record.get('base_lr', 0):g}", policy, *extra])


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _batches(graph: Graph) -> Iterator[int]:
    """The batch_size of every reader, wherever its block has it."""
    for node in graph.nodes:
        if node.bottoms:
            continue
        for block in node.record.fields.values():
            if isinstance(block, Record) and "batch_size" in block:
                yield block["batch_size"]


def _losses(graph: Graph) -> Mapping[str, float]:
    found = {}
    for node in graph.nodes:
        for name, weight in zip(node.top_names or (node.name,), _weights(node), strict=False):
            if weight:
                found[name] = weight
    return found


def _weights(node: Node) -> Iterable[float]:
    if node.loss_weights is not None:
        return node.loss_weights
    cls = registered().get(node.type)
    return (1.0,) if cls is not None and cls.is_loss else ()


def _stds(graph: Graph) -> str:
    """The commonest std, and every layer that has another."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        for block in node.record.fields.values():
            filler = block.get("weight_filler") if isinstance(block, Record) else None
            if filler is not None and filler.get("type") != "bilinear":
                found[node.name] = _filler(filler)
    if not found:
        return ""
    common = Counter(found.values()).most_common(1)[0][0]
    others = [f"{name} {text}" for name, text in found.items() if text != common]
    shown = others if len(others) <= 6 else [*others[:6], f"and {len(others) - 6} more"]
    return ", ".join((common, *shown))


def _filler(filler: Record) -> str:
    kind = filler.get("type", "constant")
    return f"{filler.get('std', 1.0):g}" if kind == "gaussian" else str(kind)
