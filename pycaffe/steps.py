"""One layer of a drop-in Net at work: forward into its top blobs, backward into its bottoms'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from caffe_layers.blob import Blob, leaf_of
from caffe_layers.layer import Layer, as_tuple
from caffe_layers.position import HasPosition
from caffe_layers.utility.python import Python
from converter.graph import Node

from .layer import BuiltInLayer
from .need_backward import Need

_SHARES_ITS_BOTTOM = frozenset({"Reshape", "Flatten"})


@dataclass
class Trace:
    """What a forward pass leaves for the backward pass: autograd's ends on both sides.

    `weights` are the layer's parameters with the versions that autograd knows them by.
    """

    bottoms: Sequence[Tensor]
    tops: Sequence[Tensor]
    weights: Sequence[tuple[Tensor, int]]

    def is_of_these_weights(self) -> bool:
        """Whether no solver has moved the parameters since."""
        return all(weight._version == version for weight, version in self.weights)


@dataclass
class Step:
    """A layer, its blobs, and its part in the backward pass.

    `weights` are the loss weights of its tops, 0 for none.
    """

    node: Node
    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]
    params: list[Blob]
    weights: tuple[float, ...]
    need: Need
    _trace: Trace | None = field(default=None, repr=False)

    @property
    def face(self) -> Any:
        """What scripts see: the user's own object for a Python layer, else type and blobs."""
        if isinstance(self.layer, Python):
            return self.layer.instance
        return BuiltInLayer(self.node.type, self.params)

    def set_loss_diffs(self) -> None:
        """Put the loss weights where the backward pass starts from."""
        for top, weight in zip(self.tops, self.weights, strict=True):
            if weight:
                top.diff_tensor.fill_(weight)

    def forward(self) -> float:
        """Compute the tops; returns the layer's share in the loss."""
        for blob in self.params:
            blob.push()
        self._forward()
        return sum(
            float((top.tensor * top.diff_tensor).sum())
            for top, weight in zip(self.tops, self.weights, strict=True)
            if weight
        )

    def reshape(self) -> None:
        """Give the tops the shapes that follow from the bottoms'."""
        if self.node.type == "Input":
            return
        if isinstance(self.layer, Python):
            self.layer.instance.reshape(self.bottoms, self.tops)
            return
        shapes = self.layer.top_shapes(*(blob.shape for blob in self.bottoms))
        for top, shape in zip(self.tops, shapes, strict=False):
            top.reshape(*shape)

    def backward(self) -> None:
        """Overwrite the diffs of the bottoms that need one, add to those of the blobs."""
        if not self.need.layer:
            return
        if isinstance(self.layer, Python):
            with self._blamed():
                self.layer.instance.backward(self.tops, list(self.need.bottoms), self.bottoms)
        elif self.node.type == "Split":
            self._sum_diffs()
        else:
            self._differentiate()

    def _forward(self) -> None:
        if self.node.type == "Input":
            return
        if self.node.type == "Split":
            for top in self.tops:
                top.reshape(*self.bottoms[0].shape)
                top.share_data(self.bottoms[0])
        elif isinstance(self.layer, Python):
            self.layer.tell_phase()
            with self._blamed():
                self.layer.instance.reshape(self.bottoms, self.tops)
                self.layer.instance.forward(self.bottoms, self.tops)
        else:
            self._trace = None  # its memory serves the new one
            trace = self._compute()
            for top, made in zip(self.tops, trace.tops, strict=False):
                self._show(top, made, trace)
            if self._grad_enabled():
                self._trace = trace

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Errors in the block name the layer."""
        try:
            yield
        except Exception as error:
            told = self.layer.told(error, [blob.shape for blob in self.bottoms])
            if told is error:
                raise
            raise told from error

    def _compute(self) -> Trace:
        with torch.set_grad_enabled(self._grad_enabled()):
            bottoms = [self._bottom(i) for i in range(len(self.bottoms))]
            return self._traced(bottoms)

    def _traced(self, bottoms: Sequence[Tensor]) -> Trace:
        tops = as_tuple(self.layer(*bottoms))
        return Trace(bottoms, tops, [(w, w._version) for w in self.layer.parameters()])

    def _grad_enabled(self) -> bool:
        return self.need.layer and torch.is_grad_enabled()

    def _bottom(self, index: int) -> Tensor:
        """A bottom as autograd's leaf; a copy where a top will overwrite its memory."""
        blob = self.bottoms[index]
        values = blob.tensor
        if not self._grad_enabled():
            return values
        if any(top is blob for top in self.tops) and not blob.can_move():
            values = values.clone()
        return values.requires_grad_(self.need.bottoms[index])

    def _show(self, top: Blob, made: Tensor, trace: Trace) -> None:
        if self.node.type in _SHARES_ITS_BOTTOM and top is not self.bottoms[0]:
            top.reshape(*made.shape)
            top.share_data(self.bottoms[0])
        elif self._grad_enabled():
            top.move_to(made, free=self._is_free(made, trace))
        else:
            top.put(made)

    def _is_free(self, made: Tensor, trace: Trace) -> bool:
        """Whether a top is new memory, that no bottom, blob or state of the layer has, too."""
        if made.grad_fn is None or isinstance(self.layer, HasPosition):
            return False
        held = [*trace.bottoms, *(tensor for _, tensor in self.layer.blob_tensors())]
        held += [top for top in trace.tops if top is not made]
        memory = made.untyped_storage().data_ptr()
        return all(memory != tensor.untyped_storage().data_ptr() for tensor in held)

    def _sum_diffs(self) -> None:
        if self.need.bottoms[0]:
            total = self.bottoms[0].diff_tensor
            total.copy_(self.tops[0].diff_tensor)
            for top in self.tops[1:]:
                total += top.diff_tensor

    def _differentiate(self) -> None:
        for blob in (*self.params, *self.tops):
            blob.push()
        trace = self._trace if self._trace is not None else self._compute()
        if not trace.is_of_these_weights():  # Caffe goes backward with what they are now
            trace = self._traced(trace.bottoms)
        pairs = [
            (made, top.diff_tensor.view_as(made).to(made.dtype))
            for made, top in zip(trace.tops, self.tops, strict=False)
            if made.requires_grad
        ]
        if not pairs:
            return
        wanted = [i for i, needed in enumerate(self.need.bottoms) if needed]
        leaves = [leaf_of(tensor) for _, tensor in self.layer.blob_tensors()]
        learning = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
        inputs = [trace.bottoms[i] for i in wanted] + [leaves[i] for i in learning]
        diffs = torch.autograd.grad(
            [made for made, _ in pairs],
            inputs,
            [diff for _, diff in pairs],
            retain_graph=True,
            allow_unused=True,
        )
        for i, diff in zip(wanted, diffs, strict=False):
            if diff is not None:
                self.bottoms[i].diff_tensor.copy_(diff)
        for i, diff in zip(learning, diffs[len(wanted) :], strict=True):
            if diff is not None:
                self.params[i].diff_tensor.view(diff.shape).add_(diff)
