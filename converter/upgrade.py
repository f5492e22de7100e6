"""Old nets and solvers → the form of Caffe 1.0, step by step as Caffe's own upgrade does.

V0 layers, V1 layers, data fields that moved to transform_param, `input` with `input_dim` or
`input_shape`, BatchNorm with three params, solver_type. Source: upgrade_proto.cpp.
"""

from __future__ import annotations

from .errors import TextError
from .record import Record
from .upgrade_v0 import upgrade_v0
from .upgrade_v1 import upgrade_transform, upgrade_v1

SOLVERS = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
AXES = 4
"""input_dim gives so many numbers for each input."""
BATCH_NORM_BLOBS = 3


def upgrade_net(net: Record) -> Record:
    """A NetParameter of any age as Caffe 1.0 would have it: all its layers are under `layer`.

    Fields the schema did not know stay where they were: of the net, the layer, the block.

    Raises:
        TextError: an old field that cannot be carried over, with its place.
    """
    if any("layer" in layer for layer in net.get("layers", ())):
        net = upgrade_v0(net)
    net = upgrade_transform(net)
    if "layers" in net:
        net = upgrade_v1(net)
    if "input" in net:
        net = _upgrade_input(net)
    return _upgrade_batch_norm(net)


def upgrade_solver(solver: Record) -> Record:
    """A SolverParameter whose solver_type (an enum), if it has one, is a type (text).

    Raises:
        TextError: it has both.
    """
    if "solver_type" not in solver:
        return solver
    if "type" in solver:
        place = solver.where_of("solver_type")
        raise TextError(
            f"{f'{place}: ' if place else ''}solver_type: {solver['solver_type']} (old) and "
            f'type: "{solver["type"]}" (new) are both given: remove solver_type'
        )
    return solver.without("solver_type").having(type=SOLVERS[solver["solver_type"]])


def _upgrade_input(net: Record) -> Record:
    """`input` fields as an Input layer at the front, or dropped where they have no shape."""
    inputs, shapes = net["input"], _input_shapes(net)
    net = net.without("input", "input_shape", "input_dim")
    if shapes is None:
        return net
    fields = {
        "name": "input",
        "type": "Input",
        "top": inputs,
        "input_param": Record("InputParameter", {"shape": shapes}, net.where_of("input")),
    }
    layer = Record("LayerParameter", fields, net.where_of("input"))
    return net.having(layer=(layer, *net.get("layer", ())))


def _input_shapes(net: Record) -> tuple[Record, ...] | None:
    """One BlobShape per input; None where neither input_shape nor input_dim is given."""
    names, shapes, dims = net["input"], net.get("input_shape", ()), net.get("input_dim", ())
    if shapes:
        if len(shapes) < len(names):
            raise _misfit(net, "input_shape", f"{len(shapes)} for {len(names)} inputs")
        return shapes[: len(names)]
    if not dims:
        return None
    if len(dims) < AXES * len(names):
        wanted = f"{len(dims)} numbers for {len(names)} inputs, which take {AXES} each"
        raise _misfit(net, "input_dim", wanted)
    where = net.where_of("input_dim")
    return tuple(
        Record("BlobShape", {"dim": dims[AXES * i : AXES * (i + 1)]}, where)
        for i in range(len(names))
    )


def _misfit(net: Record, name: str, found: str) -> TextError:
    place = net.where_of(name)
    return TextError(
        f"{f'{place}: ' if place else ''}{name} is given {found}: every 'input' needs its own"
    )


def _upgrade_batch_norm(net: Record) -> Record:
    """BatchNorm layers with three params never learn these: their multipliers become 0."""
    if not any(map(_old_batch_norm, net.get("layer", ()))):
        return net
    return net.having(
        layer=tuple(
            layer.having(param=tuple(p.having(lr_mult=0.0, decay_mult=0.0) for p in layer["param"]))
            if _old_batch_norm(layer)
            else layer
            for layer in net["layer"]
        )
    )


def _old_batch_norm(layer: Record) -> bool:
    return layer.get("type") == "BatchNorm" and len(layer.get("param", ())) == BATCH_NORM_BLOBS
