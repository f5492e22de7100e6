"""Softmax over volumes, sliced and integrated joint by joint, as one volumetric soft-argmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..graph import Graph, Node
from ..record import Record, Unknown
from ..scalar import spell
from .wiring import Wiring, exchanged, stand_in

AXES = "XYZ"
_SOFTMAX = "DeepHumanModelSoftmax3DHM"
_SOFTMAX_BLOCK = "deep_human_model_softmax_3d_hm_param"
_VECTOR = "DeepHumanModelIntegralVector"
_VECTOR_BLOCK = "deep_human_model_integral_vector_param"

Bounds = tuple[float, float]


def collapse_soft_argmax(graph: Graph) -> Graph:
    """Softmax3DHM → Slice → J × (IntegralX, Y, Z → IntegralVector) → 2 Concats become one layer.

    Flatten → ScaleVector → Reshape in front of the softmax go into it, too. Nothing changes where
    a blob in between is read by another layer, a joint lacks an axis, the joints' bounds differ,
    or the Concats are not x₀, y₀, x₁, ... and z₀, z₁, ...
    """
    wiring = Wiring(graph)
    gone: set[str] = set()
    placed: dict[str, Node] = {}
    for node in graph.nodes:
        found = _Chain.behind(wiring, node) if node.type == _SOFTMAX else None
        if found is not None:
            gone |= {part.key for part in found.parts}
            placed[node.key] = found.joined()
    return exchanged(graph, gone, placed)


@dataclass(frozen=True)
class _Chain:
    """The layers around one softmax: in front of it, itself, behind it, the two Concats."""

    front: tuple[Node, ...]
    scale: float
    softmax: Node
    body: tuple[Node, ...]
    plane: Node
    depth: Node
    bounds: tuple[Bounds, ...]

    @staticmethod
    def behind(wiring: Wiring, softmax: Node) -> _Chain | None:
        """The chain of this softmax, if it has the shape that one layer can stand for."""
        cut = wiring.next(softmax, "Slice")
        if cut is None or softmax.loss_weights is not None or not _cuts_joints(cut, softmax):
            return None
        joints = [_joint(wiring, top) for top in cut.tops]
        whole = [joint for joint in joints if joint is not None]
        if len(whole) != len(joints):
            return None
        bounds = {joint.bounds for joint in whole}
        plane = _gathering(wiring, [v.tops[0] for j in whole for v in j.vectors[:2]])
        depth = _gathering(wiring, [j.vectors[2].tops[0] for j in whole])
        if plane is None or depth is None or len(bounds) != 1:
            return None
        front, scale = _scaling(wiring, softmax)
        body = (cut, *(node for j in whole for node in (*j.marginals, *j.vectors)))
        found = _Chain(front, scale, softmax, body, plane, depth, bounds.pop())
        return found if all(part.propagate_down is None for part in found.parts) else None

    @property
    def parts(self) -> tuple[Node, ...]:
        """All its layers."""
        return (*self.front, self.softmax, *self.body, self.plane, self.depth)

    def joined(self) -> Node:
        """The one layer that stands for them, under the softmax's name."""
        first = self.front[0] if self.front else self.softmax
        tops = (*self.plane.tops, *self.depth.tops)
        names = (*self.plane.top_names, *self.depth.top_names)
        fields = {
            "name": self.softmax.name,
            "type": "VolumetricSoftArgmax",
            "bottom": first.bottom_names,
            "top": names,
        }
        where = self.softmax.record.where
        record = Record("LayerParameter", fields, where=where, unknown=(self._block(),))
        joined = replace(
            self.softmax,
            type="VolumetricSoftArgmax",
            record=record,
            bottoms=first.bottoms,
            tops=tops,
            params=(),
        )
        return stand_in(self.parts, joined)

    def _block(self) -> Unknown:
        joint_num, depth_dims = _sizes(self.softmax)
        fields = [_whole("joint_num", joint_num), _whole("depth_dims", depth_dims)]
        fields.append(_number("scale_factor", self.scale))
        for axis, (low, high) in zip(AXES.lower(), self.bounds, strict=True):
            fields += [_number(f"{axis}_lb", low), _number(f"{axis}_ub", high)]
        return Unknown("volumetric_soft_argmax_param", tuple(fields))


@dataclass(frozen=True)
class _Joint:
    """One cube's three marginals, and the vectors that make coordinates of them."""

    marginals: tuple[Node, ...]
    vectors: tuple[Node, ...]
    bounds: tuple[Bounds, ...]


def _joint(wiring: Wiring, cube: str) -> _Joint | None:
    by_type = {node.type: node for node in wiring.readers(cube)}
    types = [f"DeepHumanModelIntegral{axis}" for axis in AXES]
    if sorted(by_type) != types or len(wiring.readers(cube)) != len(types):
        return None
    marginals = tuple(by_type[name] for name in types)
    vectors = tuple(
        vector
        for vector in (wiring.next(marginal, _VECTOR) for marginal in marginals)
        if vector is not None
    )
    if len(vectors) != len(AXES):
        return None
    return _Joint(marginals, vectors, tuple(_bounds(vector) for vector in vectors))


def _bounds(vector: Node) -> Bounds:
    block = vector.record.get(_VECTOR_BLOCK)
    return (-1.0, 1.0) if block is None else (block.get("dim_lb", -1.0), block.get("dim_ub", 1.0))


def _gathering(wiring: Wiring, versions: Sequence[str]) -> Node | None:
    """The Concat along axis 1 that joins just these, in this order, if nobody else reads them."""
    node = wiring.only_reader(versions[0])
    if node is None or node.type != "Concat" or node.bottoms != tuple(versions):
        return None
    if any(wiring.only_reader(version) is not node for version in versions):
        return None
    weighted = any(
        maker is None or maker.loss_weights is not None for maker in map(wiring.maker, versions)
    )
    return None if weighted or node.loss_weights is not None or _axis(node) != 1 else node


def _axis(node: Node) -> int:
    """Axis of a Slice or Concat; -1 where the old field name says it."""
    name = node.type.lower()
    block = node.record.get(f"{name}_param")
    if block is None:
        return 1
    return -1 if f"{name}_dim" in block and name == "slice" else int(block.get("axis", 1))


def _sizes(softmax: Node) -> tuple[int, int]:
    block = softmax.record.get(_SOFTMAX_BLOCK)
    values = {} if block is None else block
    return int(values.get("joint_num", 16)), int(values.get("depth_dims", 64))


def _cuts_joints(cut: Node, softmax: Node) -> bool:
    """Whether a Slice has one top per joint, each of all its depth bins."""
    joint_num, depth_dims = _sizes(softmax)
    block = cut.record.get("slice_param")
    points = () if block is None else tuple(block.get("slice_point", ()))
    wanted = tuple(depth_dims * joint for joint in range(1, joint_num))
    plain = cut.loss_weights is None and _axis(cut) == 1
    return plain and len(cut.tops) == joint_num and points in ((), wanted)


def _scaling(wiring: Wiring, softmax: Node) -> tuple[tuple[Node, ...], float]:
    """Flatten, ScaleVector and Reshape behind a convolution to J·D maps, and their factor."""
    shaped = wiring.before(softmax, "Reshape")
    scaled = None if shaped is None else wiring.before(shaped, "ScaleVector")
    flat = None if scaled is None else wiring.before(scaled, "Flatten")
    if shaped is None or scaled is None or flat is None:
        return (), 1.0
    maps = wiring.maker(flat.bottoms[0])
    joint_num, depth_dims = _sizes(softmax)
    block = None if maps is None else maps.record.get("convolution_param")
    made = 0 if block is None else block.get("num_output", 0)
    dims = tuple(shaped.record["reshape_param"]["shape"].get("dim", ()))
    square = len(dims) == 4 and dims[:2] == (0, made) and dims[2] == dims[3]
    if made != joint_num * depth_dims or not square or "flatten_param" in flat.record:
        return (), 1.0
    factor = scaled.record.get("scale_vector_param")
    return (flat, scaled, shaped), 1.8 if factor is None else factor.get("scale_factor", 1.8)


def _whole(name: str, value: int) -> Unknown:
    return Unknown(name, value, str(value))


def _number(name: str, value: float) -> Unknown:
    return Unknown(name, float(value), spell("float", float(value)))
