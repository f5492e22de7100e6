"""Python: a layer that the user wrote for Caffe's own `type: "Python"`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..blob import Blob, BlobVector, GradientMemory, Memory, TensorMemory
from ..layer import Layer, Shape
from ..registry import layer as registered_as

PHASES = {"TRAIN": 0, "TEST": 1}


@registered_as("Python", "python_param")
class Python(Layer):
    """tops = what the user's `forward(bottom, top)` writes into them.

    Prototxt:

        layer {
          name: "loss" type: "Python" bottom: "x" bottom: "t" top: "loss" loss_weight: 1
          python_param { module: "pyloss" layer: "EuclideanLossLayer" param_str: "{}" }
        }

    Python: `loss = Python(module="pyloss", layer="EuclideanLossLayer")(x, t)`.

    The class has `setup(bottom, top)`, `reshape(bottom, top)`, `forward(bottom, top)` and
    `backward(top, propagate_down, bottom)`, as for Caffe, and computes with numpy on the CPU;
    autograd calls its `backward`. `self.param_str`, `self.phase` (0 TRAIN, 1 TEST) and
    `self.blobs` (`add_blob(*shape)` in setup) are there before setup.

    Args:
        module: the Python module that has the class, importable from sys.path.
        layer: the name of the class in it.
        param_str: handed to the class as `self.param_str`.
        share_in_parallel: of genuine Caffe's training on several GPUs; no effect here.
        tops: number of tops.
        top_names: their names, where a net has some; then it counts them.
        phase: what `self.phase` is in `setup`; later it follows train() and eval().
        allow_python: False refuses, naming what would have been imported. A net asks for it, so
            that no file alone can make code run.

    Bottoms: any number of any shapes.
    Tops: any number, of the shapes that `reshape` gives them.
    Blobs: those that `setup` added, as it left them.

    Raises:
        LayerError: not allowed; the module or the class is not there.

    Source: Caffe's python_layer.hpp. What surprises: bottoms and tops are separate memory even if
    they have one name, and what is written into a bottom is lost on a GPU.
    """

    bottom_count = (0, None)
    top_count = (0, None)

    _device_anchor: Tensor

    def __init__(
        self,
        *,
        module: str = "",
        layer: str = "",
        param_str: str = "",
        share_in_parallel: bool = False,
        tops: int = 1,
        top_names: Sequence[str] | None = None,
        phase: Literal["TRAIN", "TEST"] = "TRAIN",
        allow_python: bool = True,
    ) -> None:
        super().__init__()
        if not allow_python:
            raise self.error(
                f"class {layer} of Python module '{module}' would be run; if you trust it, say so "
                "with allow_python=True (--allow-python on the command line)"
            )
        self.tops = tops if top_names is None else len(top_names)
        self._shapes: list[Shape] = [(0,)] * self.tops
        self.share_in_parallel = share_in_parallel
        self.instance = _instance(self._find_class(module, layer), param_str, PHASES[phase])
        self.register_buffer("_device_anchor", torch.empty(0), persistent=False)

    def _find_class(self, module: str, name: str) -> Any:
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            hint = (
                "`import pycaffe` first: it stands in for caffe"
                if error.name == "caffe"
                else "its folder must be on PYTHONPATH"
            )
            raise self.error(f"module '{module}' cannot be imported ({error}); {hint}") from error
        if not hasattr(found, name):
            raise self.error(f"module '{module}' ({found.__file__}) has no class '{name}'")
        return getattr(found, name)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Run the class's `setup` on blobs of these shapes, all 0; its blobs become parameters."""
        bottoms, tops = [Blob(shape) for shape in bottom_shapes], self._make_tops()
        self.instance.setup(bottoms, tops)
        self._shapes = [top.shape for top in tops]
        for i, blob in enumerate(self.instance.blobs):
            self.register_parameter(f"blob{i}", nn.Parameter(blob.tensor))
            find = partial(getattr, self, f"blob{i}")
            self.instance.blobs[i] = Blob(
                blob.shape, data=TensorMemory(find), diff=GradientMemory(find)
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The shapes that the class's `reshape` gives the tops."""
        tops = self._make_tops()
        self.instance.reshape([Blob(shape) for shape in bottom_shapes], tops)
        return tuple(top.shape for top in tops)

    def blob_tensors(self) -> list[tuple[str, Tensor]]:
        """The blobs that `setup` added."""
        return [(f"blob{i}", getattr(self, f"blob{i}")) for i in range(len(self.instance.blobs))]

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...] | None:
        """Run `reshape` and `forward` of the class."""
        self.tell_phase()
        if not self.tops:
            self.run([Blob.over(bottom) for bottom in bottoms])
            return None
        blobs = [blob for _, blob in self.blob_tensors()]
        tops: tuple[Tensor, ...] = _Call.apply(self, len(bottoms), *bottoms, *blobs)  # type: ignore[no-untyped-call] # torch types it so
        return tops[0] if len(tops) == 1 else tops

    def tell_phase(self) -> None:
        """Set `phase` of the class's instance to the layer's."""
        self.instance.phase = PHASES[self.phase]

    def run(self, bottoms: Sequence[Blob]) -> list[Blob]:
        """Tops of one forward pass over blobs."""
        tops = self._make_tops()
        self.instance.reshape(bottoms, tops)
        self.instance.forward(bottoms, tops)
        for blob in self.instance.blobs:
            blob.push()
        return tops

    def _make_tops(self) -> list[Blob]:
        """Blobs of the shapes that `setup` gave them: some classes reshape nowhere else."""
        return [Blob(shape) for shape in self._shapes]


def _instance(cls: Any, param_str: str, phase: int) -> Any:
    """An object of the user's class, what Caffe gives it set before its constructor runs."""
    instance = cls.__new__(cls)
    instance.param_str = param_str
    instance.phase = phase
    instance.blobs = BlobVector()
    if cls.__init__ is not object.__init__:
        instance.__init__(None)
    return instance


class _Call(torch.autograd.Function):
    """Forward and backward of the user's class as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, layer: Python, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.layer, ctx.count = layer, count
        ctx.bottoms = [Blob.over(tensor) for tensor in tensors[:count]]
        ctx.tops = layer.run(ctx.bottoms)
        ctx.devices = [tensor.device for tensor in tensors]
        device = layer._device_anchor.device if not tensors else tensors[0].device
        return tuple(top.tensor.to(device, copy=True) for top in ctx.tops)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *top_diffs: Tensor) -> tuple[Tensor | None, ...]:
        for top, diff in zip(ctx.tops, top_diffs, strict=True):
            top.diff_tensor.copy_(diff)
        instance, wanted = ctx.layer.instance, ctx.needs_input_grad[2:]
        own = [blob.lead_diff(Memory()) for blob in instance.blobs]
        try:
            instance.backward(ctx.tops, list(wanted[: ctx.count]), ctx.bottoms)
            blobs = [*ctx.bottoms, *instance.blobs]
            diffs = [blob.diff_tensor for blob in blobs]
        finally:
            for blob, memory in zip(instance.blobs, own, strict=True):
                blob.lead_diff(memory)
        placed = [
            diff.to(device) if want else None
            for diff, device, want in zip(diffs, ctx.devices, wanted, strict=True)
        ]
        return (None, None, *placed)
