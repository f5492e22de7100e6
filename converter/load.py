"""The face of the converter: from a prototxt (and weights) to a running Net."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from caffe_layers.layer import Gradient
from caffe_layers.registry import load_module, registered

from .caffemodel import read_definition
from .graph import Graph, build_graph
from .message import read_binary, read_text_file, unknown_fields
from .net import Net, build_net
from .record import Record
from .schema import Schema, load_schema
from .upgrade import upgrade_net

Source = str | Path


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
) -> Net:
    """The net a prototxt describes, as a torch module: `load_net("deploy.prototxt")(data=x)`.

    Args:
        prototxt: path of a net in text form, or in binary form (a .caffemodel, whose weights are
            only read if it is given as `weights` too); V0 and V1 nets are upgraded as Caffe does.
        weights: one or several weight files (.caffemodel or HDF5), matched by layer name.
        phase: "TRAIN" or "TEST"; also sets the module's train or eval mode.
        level: NetState level for min_level and max_level rules.
        stages: NetState stages for stage and not_stage rules.
        fork: name of a schema fragment that comes with the package, such as "integral".
        protos: a fork's own .proto files, whole or fragments, with or without a package line.
        layers: importable modules whose `@layer` classes the net uses.
        gradient: backward of layers whose legacy one was not the derivative of their forward.

    Returns:
        The Net on the CPU, its weights filled as the prototxt says where no file gave them.

    Raises:
        TextError: the file does not read; every problem with file:line:column.
        GraphError: its layers do not fit together.
        LayerError: a layer type is unknown, or its parameters or shapes do not fit.
        WeightError: a weight file does not read or does not fit.
    """
    graph = load_graph(
        prototxt, phase=phase, level=level, stages=stages, fork=fork, protos=protos, layers=layers
    )
    net = build_net(graph, gradient=gradient)
    if weights is not None:
        from .weights import load_weights

        sources = [weights] if isinstance(weights, str | Path) else list(weights)
        load_weights(net, *sources)
    return net


def load_graph(
    prototxt: Source,
    *,
    phase: Literal["TRAIN", "TEST"] = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    fork: str | None = None,
    protos: Sequence[Source] = (),
    layers: Sequence[str] = (),
) -> Graph:
    """The Graph of a prototxt under a NetState; arguments as for `load_net`."""
    for module in layers:
        load_module(module)
    schema = load_schema(fork, tuple(protos))
    record = _read(prototxt, schema)
    return replace(build_graph(record, phase=phase, level=level, stages=stages), schema=schema)


def read_net(prototxt: Source, *, fork: str | None = None, protos: Sequence[Source] = ()) -> Record:
    """The upgraded NetParameter record of a prototxt.

    Fields that the schema does not know are kept and printed back; one warning lists them, but
    for the parameter blocks of layer classes that are registered in Python.
    """
    return _read(prototxt, load_schema(fork, tuple(protos)))


def _read(prototxt: Source, schema: Schema) -> Record:
    definition = read_definition(prototxt)
    if definition is not None:
        record = upgrade_net(read_binary(definition, "NetParameter", schema))
    else:
        record = upgrade_net(read_text_file(prototxt, "NetParameter", schema))
    blocks = {block for cls in registered().values() for block in cls.param_blocks}
    strange = unknown_fields(record, known_blocks=blocks)
    if strange:
        warnings.warn(
            f"{len(strange)} fields are not in the schema; they are kept but have no effect:\n"
            + "\n".join(strange),
            stacklevel=4,
        )
    return record
