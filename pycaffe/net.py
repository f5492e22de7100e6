"""Net of the `import caffe` drop-in: blobs by name, layers run one by one."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caffe_layers.blob import Array, Blob
from caffe_layers.data.memory_data import MemoryData
from converter.graph import Graph, build_graph
from converter.net import build_net
from converter.weights import load_weights, save_weights

from . import batches
from .assembly import AUTOMATIC, assemble
from .dialects import read_legacy
from .errors import UsageError
from .splits import split_graph
from .state import PHASES, STATE

Callback = Callable[[int], Any]


class Net:
    """A net as legacy scripts know it.

        net = caffe.Net("deploy.prototxt", "model.caffemodel", caffe.TEST)
        net.blobs["data"].data[...] = image
        prob = net.forward()["prob"]

    Layers run one by one, so passes may start and end anywhere, and every blob's data and diff
    can be read and written in between. Caffe's Split layers are there under Caffe's names. Where
    the prototxt uses fields of a known fork, that fork's schema is taken, which is said on
    standard error. "Python" layers are run: the script that loads the net is the permission.
    `converted` is the same net as converter.load_net gives it, with the same parameters.

    Args:
        network_file: the prototxt.
        args: as for genuine Caffe: (phase, level, stages, weights), or (weights, phase).
        phase: caffe.TRAIN or caffe.TEST.
        level: NetState level.
        stages: NetState stages.
        weights: a weight file.

    Raises:
        CaffeError: a file does not read, or its layers do not fit together.
        UsageError: no phase.
    """

    def __init__(
        self,
        network_file: str | Path,
        *args: Any,
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
    ) -> None:
        if args and isinstance(args[0], str | Path):
            weights, args = args[0], args[1:]
            phase = args[0] if args else phase
        elif args:
            given = (*args, *(None, 0, None, None)[len(args) :])
            phase, level, stages, weights = given[0], given[1], given[2], given[3] or weights
        if phase not in (0, 1):
            raise UsageError(f"Net('{network_file}'): give the phase, caffe.TRAIN or caffe.TEST")
        record, schema = read_legacy(network_file)
        graph = build_graph(
            record,
            phase=PHASES[phase],
            level=level,
            stages=() if stages is None else tuple(stages),
        )
        self._set_up(replace(graph, schema=schema))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def of_graph(cls, graph: Graph) -> Net:
        """The drop-in Net of a Graph without Splits, such as a solver's."""
        net = cls.__new__(cls)
        net._set_up(graph)
        return net

    def _set_up(self, graph: Graph) -> None:
        self._graph = split_graph(replace(graph, allow_python=True))
        self._device = STATE.device
        self.converted = build_net(self._graph).to(self._device)
        self._callbacks: dict[str, list[Callback]] = {}
        self._steps, self._blob_map = assemble(self.converted, self._device)
        self._layer_names = [node.name for node in self._graph.nodes]
        self.layers = [step.face for step in self._steps]

    # what there is

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        """The blobs by name, in the order the layers make them."""
        return self._blob_map

    @property
    def params(self) -> OrderedDict[str, list[Blob]]:
        """The learnable blobs of every layer that has some, by layer name."""
        return OrderedDict((step.node.name, step.params) for step in self._steps if step.params)

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
        """The layers by name."""
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def inputs(self) -> list[str]:
        """The blobs of the Input layers."""
        nodes = self._graph.nodes
        return [name for node in nodes if node.type == "Input" for name in node.top_names]

    @property
    def outputs(self) -> list[str]:
        """The blobs that no layer reads."""
        return list(self._graph.outputs)

    @property
    def name(self) -> str:
        """The net's name in the prototxt."""
        return self._graph.name

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """The tops of every layer, by layer name."""
        return OrderedDict((s.node.name, self._names_of(s.tops)) for s in self._steps)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """The bottoms of every layer, by layer name."""
        return OrderedDict((s.node.name, self._names_of(s.bottoms)) for s in self._steps)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob, 0 for most."""
        weights = OrderedDict.fromkeys(self._blob_map, 0.0)
        for step in self._steps:
            weights.update(zip(self._names_of(step.tops), step.weights, strict=True))
        return weights

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    def _names_of(self, blobs: Sequence[Blob]) -> list[str]:
        names = {id(blob): name for name, blob in self._blob_map.items()}
        return [names.get(id(blob), AUTOMATIC) for blob in blobs]

    @property
    def _blob_names(self) -> list[str]:
        return list(self._blob_map)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self._blob_map.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(n) for n in self._names_of(self._steps[layer].bottoms)]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(n) for n in self._names_of(self._steps[layer].tops)]

    # passes

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run the layers from `start` to `end`, both included, by name; all if not given.

        Args:
            blobs: names of blobs to return beside the outputs (or, with `end`, its tops).
            start: first layer.
            end: last layer.
            kwargs: data for every one of the net's inputs, by name; sizes as the blobs have them.

        Returns:
            The blobs' data by name: views, which the next pass overwrites.

        Raises:
            UsageError: inputs that are not the net's, or no such layer.
        """
        first = 0 if start is None else self._layer_index(start)
        last = len(self._steps) - 1 if end is None else self._layer_index(end)
        names = self.outputs if end is None else self.top_names[end]
        if kwargs:
            self._fill(kwargs, self.inputs, "data")
        self._forward(first, last)
        wanted = dict.fromkeys((*names, *(() if blobs is None else blobs)))
        return {name: self._blob_map[name].data for name in wanted}

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Array,
    ) -> dict[str, Array]:
        """Run the layers backward from `start` to `end`, both included; all if not given.

        Diffs of blobs are overwritten, those of parameters added to. Layers that lead to no loss,
        or with nothing to learn in or under them, rest, unless the net has `force_backward`.

        Args:
            diffs: names of blobs whose diffs to return beside the inputs' (with `end`: beside
                its bottoms').
            start: first layer, the net's last if not given.
            end: last layer, the net's first if not given.
            kwargs: diffs of every one of the net's outputs, by name.

        Returns:
            The blobs' diffs by name.

        Raises:
            UsageError: outputs that are not the net's, or no such layer.
        """
        first = len(self._steps) - 1 if start is None else self._layer_index(start)
        last = 0 if end is None else self._layer_index(end)
        names = self.inputs if end is None else self.bottom_names[end]
        if kwargs:
            self._fill(kwargs, self.outputs, "diff")
        self._backward(first, last)
        wanted = dict.fromkeys((*names, *(() if diffs is None else diffs)))
        return {name: self._blob_map[name].diff for name in wanted}

    def forward_pass(self) -> float:
        """Run all layers; returns the loss."""
        return self._forward(0, len(self._steps) - 1)

    def backward_pass(self) -> None:
        """Run all layers backward."""
        self._backward(len(self._steps) - 1, 0)

    def _forward(self, start: int, end: int) -> float:
        loss = 0.0
        for index in range(start, end + 1):
            self._call("before_forward", index)
            loss += self._steps[index].forward()
            self._call("after_forward", index)
        return loss

    def _backward(self, start: int, end: int) -> None:
        for index in range(start, end - 1, -1):
            self._call("before_backward", index)
            self._steps[index].backward()
            self._call("after_backward", index)

    def _fill(self, given: Mapping[str, Array], names: Sequence[str], what: str) -> None:
        if set(given) != set(names):
            kind = "inputs" if what == "data" else "outputs"
            raise UsageError(f"{what} is given for {sorted(given)}, the {kind} are {list(names)}")
        for name, values in given.items():
            blob = self._blob_map[name]
            if np.shape(values)[:1] != blob.shape[:1]:
                raise UsageError(
                    f"{what} for '{name}' has shape {list(np.shape(values))}, the blob is "
                    f"{list(blob.shape)}: reshape the blob, or give as many items as it has"
                )
            getattr(blob, what)[...] = values

    def _layer_index(self, name: str) -> int:
        if name not in self._layer_names:
            raise UsageError(f"net '{self.name}' has no layer '{name}'")
        return self._layer_names.index(name)

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run any number of items through the net, batch by batch; see `batches.forward_all`."""
        return batches.forward_all(self, blobs, kwargs)

    def forward_backward_all(
        self,
        blobs: Iterable[str] | None = None,
        diffs: Iterable[str] | None = None,
        **kwargs: Array,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Both ways, batch by batch; see `batches.forward_backward_all`."""
        return batches.forward_backward_all(self, blobs, diffs, kwargs)

    def reshape(self) -> None:
        """Let all blobs follow from the inputs' shapes, without computing."""
        for step in self._steps:
            step.reshape()

    # callbacks: called with the layer's index

    def before_forward(self, callback: Callback) -> None:
        """Call before each layer's forward pass."""
        self._callbacks.setdefault("before_forward", []).append(callback)

    def after_forward(self, callback: Callback) -> None:
        """Call after each layer's forward pass."""
        self._callbacks.setdefault("after_forward", []).append(callback)

    def before_backward(self, callback: Callback) -> None:
        """Call before each layer's backward pass."""
        self._callbacks.setdefault("before_backward", []).append(callback)

    def after_backward(self, callback: Callback) -> None:
        """Call after each layer's backward pass."""
        self._callbacks.setdefault("after_backward", []).append(callback)

    def _call(self, when: str, index: int) -> None:
        for callback in self._callbacks.get(when, ()):
            callback(index)

    # weights

    def copy_from(self, weights: str | Path) -> None:
        """Take the weights of a .caffemodel or HDF5 file by layer name."""
        load_weights(self.converted, weights)

    def share_with(self, other: Net) -> None:
        """Use the other net's blobs wherever both have a layer of one name."""
        self.converted.share_with(other.converted)

    def save(self, path: str | Path) -> None:
        """Write the weights, as a .caffemodel unless the name ends in .h5."""
        self.push_params()
        save_weights(self.converted, path)

    def save_hdf5(self, path: str | Path) -> None:
        """Write the weights as HDF5."""
        self.push_params()
        whole = Path(f"{path}.h5")
        save_weights(self.converted, whole)
        os.replace(whole, path)

    def load_hdf5(self, path: str | Path) -> None:
        """Take the weights of an HDF5 file by layer name."""
        self.copy_from(path)

    def clear_param_diffs(self) -> None:
        """Zero the diffs of all parameters."""
        for step in self._steps:
            for blob in step.params:
                blob.diff_tensor.zero_()

    def push_params(self) -> None:
        """Take over what was written into copies of GPU parameters."""
        for step in self._steps:
            for blob in step.params:
                blob.push()

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Give the net's MemoryData layer, its first, the images and labels to serve.

        Raises:
            UsageError: the first layer is of another type.
        """
        node, layer = self._graph.nodes[0], self._steps[0].layer
        if not isinstance(layer, MemoryData):
            raise UsageError(f"set_input_arrays needs a MemoryData layer first, not {node.label}")
        layer.reset(*(np.ascontiguousarray(array, np.float32) for array in (data, labels)))
