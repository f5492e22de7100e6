"""Records + NetState → Graph: which layers are in the net and what feeds what. No torch.

Caffe's rules are settled here (net.cpp): include and exclude, file order, in-place tops, blobs
with many consumers, parameters shared by name, loss weights, propagate_down. A blob that an
in-place layer overwrites becomes a new version of the same name, so that the net itself is plain
dataflow; `blob_names` leads back to the prototxt's names.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .errors import GraphError
from .net_state import State, told_way_in
from .record import Record, Where

if TYPE_CHECKING:
    from .schema import Schema


@dataclass(frozen=True, slots=True)
class Param:
    """One learnable blob's ParamSpec, as resolved among those that share its name.

    `owner` is the (node index, blob index) whose blob this one is; its own place if not shared.
    `lr_mult` and `decay_mult` are None where no sharer set them (Caffe: 1).
    """

    owner: tuple[int, int]
    name: str = ""
    lr_mult: float | None = None
    decay_mult: float | None = None
    permissive: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of the net. `bottoms` and `tops` are blob versions, unique in the Graph.

    `parts` are the layers of the prototxt that a rewritten one stands for; weight files and
    snapshots have these.
    """

    name: str
    key: str
    type: str
    record: Record
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    loss_weights: tuple[float, ...] | None
    propagate_down: tuple[bool, ...] | None
    params: tuple[Param, ...]
    parts: tuple[Node, ...] = ()

    @property
    def bottom_names(self) -> tuple[str, ...]:
        """Bottoms as the prototxt writes them."""
        return tuple(self.record.get("bottom", ()))

    @property
    def top_names(self) -> tuple[str, ...]:
        """Tops as the prototxt writes them."""
        return tuple(self.record.get("top", ()))

    @property
    def label(self) -> str:
        """How messages call this layer: `deploy.prototxt:3:1: layer 'conv1' (Convolution)`."""
        place = f"{self.record.where}: " if self.record.where else ""
        return f"{place}layer '{self.name}' ({self.type})"


@dataclass(frozen=True, slots=True)
class Graph:
    """The layers of one phase in file order.

    `outputs` maps the name of every top nobody reads to its version, in Caffe's (alphabetical)
    order. `inputs` are versions that come from outside though no layer makes them: empty but for
    the computing half of a split net. `schema` is what the records were read by, where a file was.
    `allow_python` is the user's permission to run the classes that "Python" layers name. `fixes`
    are the legacy defects that are mended, as `converter.fixes.with_fixes` settles them.
    `rewriting` tells what was done to it since the prototxt was read.
    """

    name: str
    phase: str
    nodes: tuple[Node, ...]
    blob_names: Mapping[str, str]
    outputs: Mapping[str, str]
    record: Record
    inputs: tuple[str, ...] = ()
    force_backward: bool = False
    last_versions: Mapping[str, str] = field(default_factory=dict)
    schema: Schema | None = field(default=None, compare=False, repr=False)
    allow_python: bool = False
    fixes: frozenset[str] = frozenset()
    rewriting: str = field(default="", compare=False)


def build_graph(
    net: Record, *, phase: str = "TEST", level: int = 0, stages: Sequence[str] = ()
) -> Graph:
    """The Graph of an upgraded NetParameter record under a NetState.

    Args:
        net: NetParameter with its layers in field `layer`.
        phase: "TRAIN" or "TEST".
        level: the state's level, for min_level and max_level rules.
        stages: the state's stages, added to those of the net's own `state`.

    Raises:
        GraphError: every problem found, each with file:line:column.
    """
    state_record = net.get("state")
    own = tuple(state_record.get("stage", ())) if state_record is not None else ()
    state = State(phase, level, frozenset((*own, *stages)))
    names = frozenset(record.get("name", "") for record in net.get("layer", ()))
    wiring = _Wiring(names, state)
    for record in net.get("layer", ()):
        if wiring.included(record):
            wiring.add(record)
        else:
            wiring.left_out.append(record)
    if wiring.problems:
        raise GraphError("\n".join(wiring.problems))
    return Graph(
        name=net.get("name", ""),
        phase=phase,
        nodes=tuple(wiring.nodes),
        blob_names=wiring.blob_names,
        outputs={name: wiring.latest[name] for name in sorted(wiring.unread)},
        record=net,
        force_backward=bool(net.get("force_backward", False)),
        last_versions=dict(wiring.latest),
    )


class _Wiring:
    """Takes layers in file order and follows each blob from top to bottom."""

    def __init__(self, names: frozenset[str], state: State) -> None:
        self.names, self.state = names, state
        self.left_out: list[Record] = []
        self.nodes: list[Node] = []
        self.problems: list[str] = []
        self.latest: dict[str, str] = {}
        self.unread: set[str] = set()
        self.blob_names: dict[str, str] = {}
        self._keys: set[str] = set()
        self._owners: dict[str, tuple[int, int]] = {}

    def included(self, record: Record) -> bool:
        """Whether the layer's rules admit it: any include rule, or no exclude rule."""
        include, exclude = record.get("include", ()), record.get("exclude", ())
        if include and exclude:
            self._problem(record, "has include and exclude rules; give only one kind")
        if include:
            return any(self.state.meets(rule) for rule in include)
        return not any(self.state.meets(rule) for rule in exclude)

    def add(self, record: Record) -> None:
        names = tuple(record.get("bottom", ()))
        bottoms = tuple(self._bottom(record, i, name) for i, name in enumerate(names))
        self.unread.difference_update(names)
        key = self._key(record)
        tops = tuple(
            self._top(record, key, i, name) for i, name in enumerate(record.get("top", ()))
        )
        self.nodes.append(
            Node(
                name=record.get("name", ""),
                key=key,
                type=record.get("type", ""),
                record=record,
                bottoms=bottoms,
                tops=tops,
                loss_weights=self._per_blob(record, "loss_weight", "top", len(tops)),
                propagate_down=self._per_blob(record, "propagate_down", "bottom", len(bottoms)),
                params=tuple(
                    self._param(record, i, spec) for i, spec in enumerate(record.get("param", ()))
                ),
            )
        )

    def _bottom(self, record: Record, index: int, name: str) -> str:
        version = self.latest.get(name)
        if version is None:
            self._problem(
                record,
                f"bottom {index} is '{name}', which no layer before it produces.{self._hint(name)}",
                "bottom",
                index,
            )
            return name
        return version

    def _hint(self, name: str) -> str:
        """The state in which a layer makes the blob that is not there, else a name like its."""
        makers = [record for record in self.left_out if name in record.get("top", ())]
        told = told_way_in(makers, self.state)
        if told:
            return f" {told}"
        near = difflib.get_close_matches(name, self.latest, n=1)
        return f" Did you mean '{near[0]}'?" if near else ""

    def _top(self, record: Record, key: str, index: int, name: str) -> str:
        bottoms = record.get("bottom", ())
        in_place = index < len(bottoms) and bottoms[index] == name
        version = name
        if name in self.latest:
            if not in_place:
                self._problem(
                    record,
                    f"top '{name}' is produced by an earlier layer already; "
                    "only a layer with it as bottom at the same place may overwrite it",
                    "top",
                    index,
                )
            version = f"{name}@{key}"
        self.latest[name] = version
        self.blob_names[version] = name
        self.unread.add(name)
        return version

    def _key(self, record: Record) -> str:
        """A name no other layer has: the layer's own, or for an anonymous one its top or type."""
        tops = record.get("top", ())
        base = record.get("name", "") or (tops[0] if tops else record.get("type", ""))
        key, count = base, 1
        while key in self._keys or (count > 1 and key in self.names):
            count += 1
            key = f"{base}_{count}"
        self._keys.add(key)
        return key

    def _per_blob(self, record: Record, what: str, kind: str, count: int) -> tuple | None:  # type: ignore[type-arg]
        values = record.get(what)
        if not values:
            return None
        if len(values) != count:
            self._problem(
                record, f"gives {what} {len(values)} times for {count} {kind}s; give one per {kind}"
            )
        return tuple(values)

    def _param(self, record: Record, index: int, spec: Record) -> Param:
        place = (len(self.nodes), index)
        name = spec.get("name", "")
        mine = Param(
            owner=self._owners.setdefault(name, place) if name else place,
            name=name,
            lr_mult=spec.get("lr_mult"),
            decay_mult=spec.get("decay_mult"),
            permissive=spec.get("share_mode") == "PERMISSIVE",
        )
        if mine.owner != place and mine.owner[0] < len(self.nodes):
            self._merge(record, mine)
        return mine

    def _merge(self, record: Record, mine: Param) -> None:
        """Give the owner what only a later sharer says; two different values are an error."""
        node_index, blob_index = mine.owner
        node = self.nodes[node_index]
        owner = node.params[blob_index]
        for what in ("lr_mult", "decay_mult"):
            theirs, ours = getattr(owner, what), getattr(mine, what)
            if ours is None:
                continue
            if theirs is not None and theirs != ours:
                self._problem(
                    record,
                    f"shares param '{mine.name}' with {what} {ours:g}, "
                    f"but layer '{node.name}' gives it {theirs:g}",
                )
            owner = replace(owner, **{what: ours if theirs is None else theirs})
        params = (*node.params[:blob_index], owner, *node.params[blob_index + 1 :])
        self.nodes[node_index] = replace(node, params=params)

    def _problem(self, record: Record, message: str, name: str = "", index: int = 0) -> None:
        place = _where(record, name, index)
        label = f"layer '{record.get('name', '')}' ({record.get('type', '')})"
        self.problems.append(f"{place}: {label}: {message}" if place else f"{label}: {message}")


def _where(record: Record, name: str, index: int) -> Where | None:
    """The place of the index-th value of a field where the record knows it, else the layer's."""
    return (record.where_of(name, index) if name else None) or record.where
