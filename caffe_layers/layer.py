"""The base class of every layer: how many bottoms and tops, learnable blobs, shapes."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from .errors import LayerError
from .fillers import Filler, fill_

Shape = tuple[int, ...]
Gradient = Literal["legacy", "exact"]
"""Backward of layers whose legacy code was not the derivative: as it was, or the derivative."""


class Layer(nn.Module):
    """A Caffe layer as a torch module: `tops = layer(*bottoms)`.

    A subclass is registered with `@layer(type, *param_blocks)`; its keyword-only constructor
    arguments are the fields of those blocks. It overrides `forward`, and where needed:

    * `bottom_count`, `top_count`: inclusive bounds, `None` for no upper bound;
    * `blobs`: attribute names of the learnable blobs in Caffe's order, made in `setup`;
    * `setup(*bottom_shapes)`: checks shapes and makes the blobs with `add_blob`;
    * `forward`: one top is returned as a Tensor, several as a tuple, none as None;
    * `top_shapes(*bottom_shapes)`: only if tops can't be had by running `forward` on meta tensors.

    Used alone, a layer sets itself up at its first call. In a net, `Net` does so beforehand.
    """

    layer_type: ClassVar[str] = ""
    param_blocks: ClassVar[tuple[str, ...]] = ()
    bottom_count: ClassVar[tuple[int, int | None]] = (1, 1)
    top_count: ClassVar[tuple[int, int | None]] = (1, 1)
    blobs: ClassVar[tuple[str, ...]] = ()
    part_blobs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """For a layer that stands for several: which blobs belong to the part of each type."""
    is_loss: ClassVar[bool] = False
    """Its first top has loss_weight 1 unless the prototxt says otherwise."""
    refused_blocks: ClassVar[Mapping[str, str]] = {}
    """Blocks that other types read and this one refuses, lest somebody rely on them: why."""
    feeds: ClassVar[bool] = False
    """It reads files or draws samples: it may run beside the net, in a data worker."""
    known_fixes: ClassVar[Mapping[str, str]] = {}
    """Switches for what the legacy forward pass did wrong: name and what it does instead."""
    fixes: frozenset[str] = frozenset()
    """Which of `known_fixes` are on."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.where = ""
        """Where it stands in a prototxt, `file:line:column`; a Net says so."""
        self.bottom_names: tuple[str, ...] = ()
        self._fillers: dict[str, Filler] = {}
        self._lenders: dict[str, tuple[Layer, str, torch.Size]] = {}
        self._pending = self.register_forward_pre_hook(_set_up_at_first_call)

    def __call__(self, *bottoms: Any, **named: Any) -> Any:
        """Run the layer; what goes wrong in it names the layer and its bottoms.

        Raises:
            LayerError: bottoms that do not fit, also where torch found it out.
        """
        try:
            return nn.Module.__call__(self, *bottoms, **named)
        except Exception as error:
            if torch.compiler.is_compiling():
                raise
            told = self.told(error, [tuple(bottom.shape) for bottom in bottoms])
            if told is error:
                raise
            raise told from error

    def told(self, error: Exception, bottom_shapes: Sequence[Shape]) -> Exception:
        """What to raise for an error in this layer's work: one that names layer and bottoms.

        What torch raises for shapes and values becomes a LayerError; other kinds are the caller's
        own, or a defect, and get a note.
        """
        given = self._given(bottom_shapes)
        if type(error) in (RuntimeError, ValueError, IndexError):
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return self.error(f"{reason}{given}")
        if isinstance(error, LayerError):
            if self.bottom_names and given not in str(error):
                error.args = (f"{error}{given}",)
        elif hasattr(error, "add_note"):  # Python 3.11 and newer
            error.add_note(f"{self.label}{given}")
        return error

    def _given(self, shapes: Sequence[Shape]) -> str:
        """The bottoms, for messages: ` (bottoms: 'data' [2, 3])`."""
        names = self.bottom_names if len(self.bottom_names) == len(shapes) else ()
        quoted = [f"'{name}' " for name in names] or [""] * len(shapes)
        blobs = (f"{name}{list(shape)}" for name, shape in zip(quoted, shapes, strict=True))
        return f" (bottoms: {', '.join(blobs)})" if shapes else ""

    @property
    def phase(self) -> Literal["TRAIN", "TEST"]:
        """Caffe's phase, as torch says it: TRAIN while `.train()` is on."""
        return "TRAIN" if self.training else "TEST"

    def switch_on(self, fixes: Collection[str]) -> None:
        """Turn on these of `known_fixes`.

        Raises:
            LayerError: the class does not know one; the message names the nearest.
        """
        for fix in fixes:
            if fix not in self.known_fixes:
                near = difflib.get_close_matches(fix, self.known_fixes, n=1, cutoff=0.4)
                known = ", ".join(self.known_fixes) or "none"
                hint = f"Did you mean '{near[0]}'?" if near else f"It knows {known}."
                raise self.error(f"has no fix '{fix}'. {hint}")
        self.fixes = frozenset(fixes)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the shapes and make the learnable blobs (on torch's current default device)."""

    def set_up(self, *bottom_shapes: Shape) -> None:
        """Run `setup` once, after checking the number of bottoms.

        Raises:
            LayerError: a bottom too many or too few, or a shape that does not fit.
        """
        self.check_count("bottom", len(bottom_shapes), self.bottom_count)
        self._pending.remove()
        self.setup(*(tuple(shape) for shape in bottom_shapes))

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """Shapes of the tops for these bottoms, by running `forward` on meta tensors."""
        state = dict((*self.named_parameters(), *self.named_buffers()))
        floating = (blob.dtype for blob in state.values() if blob.is_floating_point())
        dtype = next(floating, torch.get_default_dtype())
        state = {name: blob.to("meta") for name, blob in state.items() if not blob.is_meta}
        with torch.no_grad(), torch.device("meta"):
            bottoms = tuple(torch.empty(shape, dtype=dtype) for shape in bottom_shapes)
            if state:
                tops = torch.func.functional_call(self, state, bottoms)
            else:
                tops = self.forward(*bottoms)
        return tuple(tuple(top.shape) for top in as_tuple(tops))

    def add_blob(
        self, name: str, shape: Sequence[int], filler: Filler | None = None, learnable: bool = True
    ) -> None:
        """Make the blob `name` (a Parameter, or a buffer if not `learnable`) and fill it.

        `filler` None is Caffe's default, constant 0. On the meta device nothing is filled.
        """
        self._fillers[name] = filler or Filler()
        data = torch.empty(tuple(shape))
        if learnable:
            self.register_parameter(name, nn.Parameter(data))
        else:
            self.register_buffer(name, data)
        if not data.is_meta:
            fill_(data, self._fillers[name])

    @property
    def filled_blobs(self) -> tuple[str, ...]:
        """Attribute names of all that `add_blob` made."""
        return tuple(self._fillers)

    def reset_parameters(self) -> None:
        """Fill every blob anew with its filler, from torch's global generator."""
        for name, filler in self._fillers.items():
            fill_(getattr(self, name).data, filler)

    def blob_tensors(self) -> list[tuple[str, Tensor]]:
        """The learnable blobs that exist, in Caffe's order, with their attribute names."""
        pairs = ((name, getattr(self, name, None)) for name in self.blobs)
        return [(name, blob) for name, blob in pairs if blob is not None]

    def borrow_blob(self, name: str, lender: Layer, lender_name: str) -> None:
        """Let the blob `name` be another layer's, seen in this layer's shape; the counts agree."""
        shape = getattr(self, name).shape
        if name not in self._lenders:
            delattr(self, name)
            self.__class__ = _borrowing(type(self), (name,))
        self._lenders[name] = (lender, lender_name, shape)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As ever; a class that `borrow_blob` made is made again where the copy is read."""
        if not self._lenders:
            return super().__reduce_ex__(protocol)
        own = next(cls for cls in type(self).__mro__ if not hasattr(cls, "borrowed_blobs"))
        return _blank, (own, tuple(self._lenders)), self.__dict__.copy()

    def borrows(self, name: str) -> bool:
        """Whether the blob `name` is another layer's."""
        return name in self._lenders

    def error(self, message: str) -> LayerError:
        """A LayerError that names this layer: `raise self.error("...")`."""
        return LayerError(f"{self.label}: {message}")

    @property
    def label(self) -> str:
        """How messages call this layer: `deploy.prototxt:3:1: layer 'conv1' (Convolution)`."""
        place = f"{self.where}: " if self.where else ""
        named = f"layer '{self.name}' ({self.layer_type})" if self.name else self.layer_type
        return f"{place}{named}"

    def check_count(self, kind: str, found: int, bounds: tuple[int, int | None]) -> None:
        """Raise LayerError unless `found` bottoms (or tops) lie within the inclusive bounds."""
        low, high = bounds
        if found < low or (high is not None and found > high):
            wanted = f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more"
            raise self.error(f"takes {wanted} {kind}{'' if wanted == '1' else 's'}, got {found}")


class SourceLayer(Layer):
    """A layer without bottoms: what it makes appears on the device its net was moved to."""

    bottom_count = (0, 0)
    feeds = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_device_anchor", torch.empty(0), persistent=False)

    def place(self, data: Tensor) -> Tensor:
        """`data` on this layer's device."""
        anchor: Tensor = self._device_anchor  # type: ignore[assignment]
        return data if anchor.is_meta else data.to(anchor.device, non_blocking=True)


def as_tuple(tops: Tensor | Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    """What a forward returned, as a tuple: a layer without tops returns None."""
    if tops is None:
        return ()
    return (tops,) if isinstance(tops, Tensor) else tuple(tops)


def _borrowing(cls: type[Layer], names: tuple[str, ...]) -> type[Layer]:
    """A class whose blobs of these names are those of other layers."""
    borrowed = {name: property(partial(_borrowed, name=name)) for name in names}
    return type(cls.__name__, (cls,), {**borrowed, "borrowed_blobs": names})


def _blank(cls: type[Layer], names: tuple[str, ...]) -> Layer:
    """A layer that borrows these blobs, without its state yet."""
    borrowing = _borrowing(cls, names)
    return borrowing.__new__(borrowing)


def _borrowed(layer: Layer, name: str) -> Tensor:
    lender, lender_name, shape = layer._lenders[name]
    tensor: Tensor = getattr(lender, lender_name)
    return tensor.view(shape)


def _set_up_at_first_call(layer: nn.Module, bottoms: tuple[Any, ...]) -> None:
    assert isinstance(layer, Layer)
    layer.set_up(*(tuple(bottom.shape) for bottom in bottoms))
