"""The face of the converter: from a prototxt (and weights) to a running Net."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from caffe_layers.caution import warn_caller
from caffe_layers.layer import Gradient
from caffe_layers.registry import load_module, registered

from .caffemodel import read_definition
from .errors import GraphError, TextError
from .fixes import settle_fixes, with_fixes
from .graph import Graph, build_graph
from .message import read_binary, read_text_file, unknown_fields
from .net import Net, build_net
from .record import Record
from .rewrite.catalogue import rewritten
from .schema import Schema, load_schema
from .upgrade import upgrade_net

Source = str | Path
_LOG = logging.getLogger(__name__)


def load_net(
    prototxt: Source,
    weights: Source | Sequence[Source] | None = None,
    *,
    phase: Literal["TRAIN", "TEST"] = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    fork: str | None = None,
    protos: Sequence[Source] = (),
    layers: Sequence[str] = (),
    gradient: Gradient = "legacy",
    fixes: str | Sequence[str] | None = None,
    allow_python: bool = False,
    rewrites: Sequence[str] = (),
) -> Net:
    """The net a prototxt describes, as a torch module: `load_net("deploy.prototxt")(data=x)`.

    Args:
        prototxt: path of a net in text form, or in binary form (a .caffemodel, whose weights are
            only read if it is given as `weights` too); V0 and V1 nets are upgraded as Caffe does.
        weights: one or several weight files (.caffemodel or HDF5), matched by layer name.
        phase: "TRAIN" or "TEST"; also sets the module's train or eval mode.
        level: NetState level for min_level and max_level rules.
        stages: NetState stages for stage and not_stage rules.
        fork: name of a schema fragment that comes with the package, such as "integral"; not
            given, the one that knows the file's fields is found.
        protos: a fork's own .proto files, whole or fragments, with or without a package line.
        layers: importable modules whose `@layer` classes the net uses.
        gradient: backward of layers whose legacy one was not the derivative of their forward.
        fixes: which defects of legacy forward passes and labels are mended: "all", "none" or
            names; not given, those that NET.fixes.yaml beside the file says, if it is there.
        allow_python: run the classes that layers of type "Python" name: the file's own code.
        rewrites: names of `converter.rewrite.catalogue`, or "all": fewer layers, equal numbers.

    Returns:
        The Net on the CPU, its weights filled as the prototxt says where no file gave them.

    Raises:
        TextError: the file does not read; every problem with file:line:column.
        GraphError: its layers do not fit together.
        LayerError: a layer type is unknown, or its parameters or shapes do not fit.
        WeightError: a weight file does not read or does not fit.
    """
    graph = load_graph(
        prototxt,
        phase=phase,
        level=level,
        stages=stages,
        fork=fork,
        protos=protos,
        layers=layers,
        fixes=fixes,
        allow_python=allow_python,
        rewrites=rewrites,
    )
    net = build_net(graph, gradient=gradient)
    if weights is not None:
        _load(net, [weights] if isinstance(weights, str | Path) else weights)
    return net


def _load(net: Net, weights: Sequence[Source]) -> None:
    from .weights import load_weights

    net.meta["weight_report"] = report = load_weights(net, *weights)
    _LOG.info("%s", report)


def load_graph(
    prototxt: Source,
    *,
    phase: Literal["TRAIN", "TEST"] = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    fork: str | None = None,
    protos: Sequence[Source] = (),
    layers: Sequence[str] = (),
    fixes: str | Sequence[str] | None = None,
    allow_python: bool = False,
    rewrites: Sequence[str] = (),
) -> Graph:
    """The Graph of a prototxt under a NetState; arguments as for `load_net`."""
    for module in layers:
        load_module(module)
    try:
        record, schema = read_with_schema(prototxt, fork=fork, protos=protos)
    except TextError as error:
        wiring = wiring_problems(error.record, phase=phase, level=level, stages=stages)
        raise TextError([*error.problems, *wiring], error.record) from error
    graph = build_graph(record, phase=phase, level=level, stages=stages)
    graph = with_fixes(graph, settle_fixes(fixes, prototxt))
    graph = replace(graph, schema=schema, allow_python=allow_python)
    return rewritten(graph, rewrites) if rewrites else graph


def wiring_problems(record: Record | None, **state: Any) -> list[str]:
    """What is wrong between the layers of a file that does not read, beside what stands in them.

    Args:
        record: what was read of it (`TextError.record`).
        state: phase, level and stages, as for `build_graph`.
    """
    if record is None:
        return []
    try:
        build_graph(upgrade_net(record), **state)
    except (GraphError, TextError) as error:
        return str(error).splitlines()
    return []


def read_net(prototxt: Source, *, fork: str | None = None, protos: Sequence[Source] = ()) -> Record:
    """The upgraded NetParameter record of a prototxt, as `read_with_schema` reads it."""
    return read_with_schema(prototxt, fork=fork, protos=protos)[0]


def read_with_schema(
    prototxt: Source, *, fork: str | None = None, protos: Sequence[Source] = ()
) -> tuple[Record, Schema]:
    """The upgraded NetParameter record of a net's file, and the schema it was read by.

    With neither `fork` nor `protos`, that is Caffe's own schema, or, where it leaves fields of the
    file unknown, the first shipped fork that knows them all; where it does not read the file, at
    least the first that does.

    Fields that the schema does not know are kept and printed back; one warning lists them, but
    for the parameter blocks of layer classes that are registered in Python.

    Raises:
        TextError: the file does not read; every problem with file:line:column.
        GraphError: it has no layers.
    """
    schema = load_schema(fork, tuple(protos))
    try:
        record, problem = _read(prototxt, schema), None
    except TextError as error:
        record, problem = None, error
    if fork is None and not protos and (record is None or unknown_fields(record)):
        record, schema = _read_by_fork(prototxt, readable=record is not None) or (record, schema)
    if record is None:
        assert problem is not None
        raise problem
    record = upgrade_net(record)
    if not record.get("layer"):
        advice = "is it a solver file? Its `net:` names the net's file"
        raise GraphError(f"{prototxt}: no net: it has no layers; {advice}")
    blocks = {block for cls in registered().values() for block in cls.param_blocks}
    strange = unknown_fields(record, known_blocks=blocks)
    if strange:
        warn_caller(
            "not in the schema, kept but without effect: "
            f"{len(strange)} field{'s' * (len(strange) != 1)}\n" + "\n".join(strange)
        )
    return record, schema


def _read(prototxt: Source, schema: Schema) -> Record:
    definition = read_definition(prototxt)
    if definition is not None:
        return read_binary(definition, "NetParameter", schema)
    return read_text_file(prototxt, "NetParameter", schema)


def _read_by_fork(prototxt: Source, *, readable: bool) -> tuple[Record, Schema] | None:
    """The record by the first shipped fork whose schema leaves nothing unknown, if there is one.

    A file that is not `readable` by Caffe's own schema may have unknown fields left.
    """
    second_best = None
    for name in load_schema().forks():
        schema = load_schema(name)
        try:
            record = _read(prototxt, schema)
        except TextError:
            continue
        if not unknown_fields(record):
            _LOG.info("%s is read with the schema of the fork '%s'", prototxt, name)
            return record, schema
        if not readable:
            second_best = second_best or (record, schema)
    return second_best
