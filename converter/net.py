"""Graph → Net, a torch.fx.GraphModule whose code reads like the prototxt. Torch starts here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from caffe_layers.errors import LayerError
from caffe_layers.layer import Gradient, Layer, Shape

from .errors import GraphError
from .fx_code import output_name, write_fx
from .graph import Graph, Node, Param
from .layer_making import make_layers, materialise, settle_shapes
from .legacy_layers import Blobs, legacy_layers
from .sharing import share_blob, share_layer

if TYPE_CHECKING:
    from .weights import WeightReport


@dataclass(frozen=True)
class LearnableBlob:
    """One blob of `Net.learnable()`: the solver's and the snapshot's view of a parameter.

    `lr_mult` is 0 for blobs that no gradient moves (BatchNorm's statistics).
    """

    layer: str
    index: int
    lr_mult: float
    decay_mult: float
    module: Layer
    attribute: str

    @property
    def tensor(self) -> Tensor:
        """The blob itself, on its device."""
        return getattr(self.module, self.attribute)


class Net(fx.GraphModule):
    """A Caffe net as plain torch: `outputs = net(data=x)`.

    Calling it takes the net's inputs by name (`net(**{"rpn-rois": x})` where Python has no such
    names) and returns a dict of the tops nobody reads, plus every top with a loss weight.
    Submodules bear the prototxt's layer names (a name that torch or Python itself needs, such as
    `loss` or `in`, gets the suffix `_layer`); `net.layers["loss"]` finds any layer by its own name.
    `.to()`, `state_dict()`, torch.compile and torch.export work as ever. `.train()` and `.eval()`
    are Caffe's TRAIN and TEST, but for layers whose prototxt fixes their phase.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, facts: dict[str, Any]) -> None:
        super().__init__(root, graph, "Net")
        self.meta.update(facts)
        for name, module in root.named_children():
            if name not in self._modules:  # Input layers: no line of the code calls them
                self.add_module(name, module)
        self._take_blob_names()

    def __deepcopy__(self, memo: dict[int, Any]) -> Net:
        other: Net = super().__deepcopy__(memo)  # type: ignore[assignment] # typed as GraphModule
        other._take_blob_names()
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as plan and layers; a Net whose fx graph was changed by hand is refused."""
        parts = (self.plan, list(self.layers.values()), self.meta, self.training)
        if _restored(*parts).code != self.code:
            raise PicklingError(
                f"net '{self.net_name}' has another graph than its prototxt gave it, which pickle "
                "would lose: save its state_dict(), or export it"
            )
        return _restored, parts

    def _take_blob_names(self) -> None:
        """Let calls name inputs that Python would not take as arguments' names."""
        arguments = [str(node.target) for node in self.graph.nodes if node.op == "placeholder"]
        spelt = dict(zip(self.inputs, arguments, strict=True))
        if any(blob != argument for blob, argument in spelt.items()):
            self.register_forward_pre_hook(partial(_by_argument, spelt), with_kwargs=True)

    @property
    def plan(self) -> Graph:
        """The Graph this net was built from."""
        return self.meta["plan"]

    @property
    def net_name(self) -> str:
        """The `name:` of the prototxt."""
        return self.plan.name

    @property
    def layers(self) -> dict[str, Layer]:
        """Layers by prototxt name (an anonymous one by its first top), in file order."""
        modules = self._modules
        return {key: modules[m] for key, m in self.meta["module_names"].items()}  # type: ignore[misc]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the blobs a call must give, in order; as keywords, other characters are `_`."""
        return self.meta["inputs"]

    @property
    def blob_shapes(self) -> dict[str, Shape]:
        """Shape of every blob version for the batch the prototxt declares."""
        return self.meta["blob_shapes"]

    @property
    def weight_report(self) -> WeightReport | None:
        """What `load_net` found in the weight files; None if it was given none."""
        return self.meta.get("weight_report")

    @property
    def loss_weights(self) -> dict[str, float]:
        """The tops with a weight that is not 0, and the weight."""
        return self.meta["loss_weights"]

    def all_blobs(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Run the net and return every blob version (`conv1`, `conv1@relu1`), not only outputs."""
        interpreter = fx.Interpreter(self, garbage_collect_values=False)
        interpreter.extra_traceback = False  # a layer's error is one line
        interpreter.run(*(inputs[name] for name in self.inputs))
        values = {node.name: value for node, value in interpreter.env.items()}
        return {version: values[name] for version, name in self.meta["value_names"].items()}

    def loss(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Sum of loss_weight × top over the tops with a weight, a scalar.

        A top of more than one element counts with all of them, as in Caffe.

        Raises:
            GraphError: the net has no top with a weight.
        """
        weights = self.loss_weights
        if not weights:
            raise GraphError(f"net '{self.net_name}' has no top with a loss_weight")
        terms = [_weighted(outputs[top], weight) for top, weight in weights.items()]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()

    def learnable(self) -> list[LearnableBlob]:
        """Every blob of every layer in Caffe's order, each shared one once, at its owner."""
        blobs = []
        for index, (node, layer) in enumerate(
            zip(self.plan.nodes, self.layers.values(), strict=True)
        ):
            parts = legacy_layers(node, layer)
            own = [(part.key, i, blob) for part, listed in parts for i, blob in enumerate(listed)]
            for place, (key, i, (attribute, tensor)) in enumerate(own):
                spec = _spec(node, index, place)
                if spec.owner == (index, place):
                    trained = isinstance(tensor, nn.Parameter)
                    lr_mult = _value(spec.lr_mult) if trained else 0.0
                    decay_mult = _value(spec.decay_mult)
                    blobs.append(LearnableBlob(key, i, lr_mult, decay_mult, layer, attribute))
        return blobs

    def share_with(self, other: Net) -> list[str]:
        """Use `other`'s blobs wherever a layer name is in both; returns the layers left alone.

        This is how test nets see what the train net learns (ShareTrainedLayersWith).

        Raises:
            GraphError: layers of one name differ in the number or shape of their blobs.
        """
        theirs, alone = {key: (lender, own) for key, lender, own in other._holders()}, []
        for key, layer, blobs in self._holders():
            if key not in theirs:
                alone.append(key)
                continue
            share_layer(key, layer, blobs, *theirs[key])
        return alone

    def _holders(self) -> Iterator[tuple[str, Layer, Blobs]]:
        """Name, module and blobs of each of the prototxt's layers that has any."""
        for node, layer in zip(self.plan.nodes, self.layers.values(), strict=True):
            for part, blobs in legacy_layers(node, layer):
                if blobs:
                    yield part.key, layer, blobs

    def train(self, mode: bool = True) -> Net:
        """TRAIN (or TEST) for every layer whose prototxt doesn't fix its phase."""
        super().train(mode)
        for key, phase in self.meta.get("fixed_phases", {}).items():
            self.layers[key].train(phase == "TRAIN")
        return self


def _weighted(top: Tensor, weight: float) -> Tensor:
    """A top's share in the loss."""
    total = top.sum() if top.ndim else top
    return total if weight == 1 else total * weight


def _by_argument(
    spelt: Mapping[str, str], _: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs by blob name as `forward` spells its arguments."""
    return args, {spelt.get(name, name): value for name, value in inputs.items()}


def build_net(
    graph: Graph,
    *,
    gradient: Gradient = "legacy",
    input_shapes: Mapping[str, Shape] | None = None,
    fill: bool = True,
) -> Net:
    """The Net of a Graph, in the Graph's phase, its weights filled as their fillers say.

    Args:
        gradient: backward of layers whose legacy one was not the derivative.
        input_shapes: shapes of `graph.inputs`, the blobs made by no layer of it.
        fill: False leaves all weights on the meta device (shapes without memory).

    Raises:
        LayerError: unknown type, parameters or shapes that do not fit; names the layer's place.
        GraphError: parameters that cannot be shared.
    """
    made = make_layers(graph, gradient)
    layers = [layer for layer, _ in made]
    shapes: dict[str, Shape] = {name: _input_shape(name, input_shapes) for name in graph.inputs}
    known: dict[Any, tuple[Shape, ...]] = {}
    for node, (layer, settings) in zip(graph.nodes, made, strict=True):
        bottoms = tuple(shapes[b] for b in node.bottoms)
        same = (type(layer), settings, bottoms)  # a net repeats most of its layers many times
        known[same] = settle_shapes(node, layer, bottoms, known.get(same))
        shapes.update(zip(node.tops, known[same], strict=False))
    if fill:
        for layer in layers:
            materialise(layer)
    for index, node in enumerate(graph.nodes):
        _apply_specs(graph, layers, index, node)
    net = _assembled(graph, layers, shapes)
    net.train(graph.phase == "TRAIN")
    return net


def _assembled(graph: Graph, layers: Sequence[Layer], shapes: Mapping[str, Shape]) -> Net:
    """The Net of layers that are ready to run."""
    weights = _loss_weights(graph, layers)
    code = write_fx(graph, layers, weights)
    facts = {
        "plan": graph,
        "module_names": code.module_names,
        "inputs": code.inputs,
        "value_names": code.value_names,
        "blob_shapes": shapes,
        "loss_weights": {output_name(graph, v): w for v, w in weights.items() if w != 0},
        "fixed_phases": {n.key: n.record["phase"] for n in graph.nodes if "phase" in n.record},
    }
    return Net(code.root, code.graph, facts)


def _restored(
    graph: Graph, layers: Sequence[Layer], meta: Mapping[str, Any], training: bool
) -> Net:
    """The Net that was pickled; each layer knows its own mode."""
    net = _assembled(graph, layers, meta["blob_shapes"])
    net.meta.update(meta)
    net.training = training
    return net


def _input_shape(name: str, shapes: Mapping[str, Shape] | None) -> Shape:
    if shapes is None or name not in shapes:
        raise GraphError(f"the shape of input blob '{name}' is not given")
    return shapes[name]


def _spec(node: Node, node_index: int, blob_index: int) -> Param:
    if blob_index < len(node.params):
        return node.params[blob_index]
    return Param(owner=(node_index, blob_index))


def _value(multiplier: float | None) -> float:
    return 1.0 if multiplier is None else multiplier


def _apply_specs(graph: Graph, layers: list[Layer], index: int, node: Node) -> None:
    """Share what is shared by name; freeze what has lr_mult 0."""
    blobs = layers[index].blob_tensors()
    if len(node.params) > len(blobs):
        raise LayerError(
            f"{node.label}: has {len(node.params)} param blocks for {len(blobs)} learnable blobs"
        )
    for i, (attribute, blob) in enumerate(blobs):
        spec = _spec(node, index, i)
        owner_index, owner_blob = spec.owner
        if spec.owner != (index, i):
            owning = layers[owner_index]
            owner_attribute, _ = owning.blob_tensors()[owner_blob]
            share_blob(node, layers[index], attribute, owning, owner_attribute, spec)
        elif isinstance(blob, nn.Parameter):
            blob.requires_grad_(_value(spec.lr_mult) != 0)
        elif spec.lr_mult:
            raise LayerError(
                f"{node.label}: blob {i} is a statistic that no solver may move; its lr_mult must "
                f"be 0, found {spec.lr_mult:g}"
            )


def _loss_weights(graph: Graph, layers: Sequence[Layer]) -> dict[str, float]:
    """Weight of each top version that has one; a loss layer's first top has 1 unless set."""
    weights: dict[str, float] = {}
    for node, layer in zip(graph.nodes, layers, strict=True):
        if node.loss_weights is not None:
            weights.update(zip(node.tops, node.loss_weights, strict=True))
        elif layer.is_loss:
            weights[node.tops[0] if node.tops else node.key] = 1.0
    return weights
