"""Blobs as Caffe's Python face shows them: data and diff are numpy arrays to write into."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CPU = torch.device("cpu")
Array = NDArray[np.floating[Any]]
Shape = tuple[int, ...]


class Memory:
    """The numbers of one or several blobs: flat, zero at first, made when first asked for.

    On the CPU the array and the tensor are the same memory. For a GPU the array is a copy, which
    is handled as Caffe's SyncedMemory does it: whoever asks for the array gets the GPU's numbers
    and may write; the next use on the GPU takes over what the array then holds.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self._device = device
        self._flat: Tensor | None = None
        self._array: Callable[[], Array | None] = _nothing
        """The array over `_flat` while somebody holds it or a view of it."""
        self._host: Array | None = None
        self._host_leads = False

    def source(self, count: int) -> Tensor:
        """The flat tensor of `count` values or more, whatever the CPU's copy says."""
        if self._flat is None or self._flat.numel() < count:
            self._begin_with(torch.zeros(count, device=self._device))
        assert self._flat is not None
        return self._flat

    def _begin_with(self, flat: Tensor) -> None:
        self._flat, self._array, self._host_leads = flat, _nothing, False

    def tensor(self, count: int) -> Tensor:
        """The first `count` values where the net computes."""
        flat = self.source(count)
        self.push()
        return flat[:count]

    def array(self, count: int) -> Array:
        """The first `count` values as numpy; for a GPU a copy that is taken over when next used."""
        flat = self.source(count)
        if is_numpys(flat):
            return self._over(flat)[:count]
        if not self._host_leads or self._host is None or self._host.size != flat.numel():
            self._host = flat.detach().to(CPU, copy=True).numpy()
            self._host_leads = True
        return self._host[:count]

    def _over(self, flat: Tensor) -> Array:
        """The array over this memory: always the same one, while somebody holds it."""
        array = self._array()
        if array is None or (array.ctypes.data, array.size) != (flat.data_ptr(), flat.numel()):
            array = flat.numpy()
            self._array = weakref.ref(array)
        return array

    def push(self) -> None:
        """Take over what was written into the CPU's copy."""
        if self._host_leads and self._host is not None:
            self._host_leads = False
            flat = self.source(self._host.size)
            flat.copy_(torch.from_numpy(self._host))

    def can_move(self) -> bool:
        """Whether the numbers may lie elsewhere from now on: nobody holds an array of them."""
        return self._array() is None

    def move_to(self, flat: Tensor) -> None:
        """Have these numbers, in their own memory, from now on."""
        self._begin_with(flat)


def is_numpys(tensor: Tensor) -> bool:
    """Whether numpy can have the very memory of a tensor."""
    return tensor.device.type == "cpu"


def _nothing() -> None:
    """No array."""


class TensorMemory(Memory):
    """The numbers of a tensor that lives elsewhere, such as a layer's weight.

    Args:
        find: says which tensor that is at present: nets that share blobs swap them.
    """

    def __init__(self, find: Callable[[], Tensor]) -> None:
        super().__init__()
        self._find = find

    def source(self, count: int) -> Tensor:
        """The tensor, flat."""
        return self._find().data.view(-1)


class GradientMemory(Memory):
    """The `.grad` of a tensor that lives elsewhere; made, all 0, when first asked for.

    Where torch dropped the gradient (`zero_grad`), the same memory is zeroed and used again, so
    that arrays that somebody holds go on showing it.
    """

    def __init__(self, find: Callable[[], Tensor]) -> None:
        super().__init__()
        self._find = find
        self._kept: tuple[Tensor, Tensor] | None = None

    def source(self, count: int) -> Tensor:
        """The gradient, flat."""
        tensor = leaf_of(self._find())
        if tensor.grad is None:
            tensor.grad = self._zeros(tensor)
        self._kept = (tensor, tensor.grad)
        return tensor.grad.data.view(-1)

    def _zeros(self, tensor: Tensor) -> Tensor:
        if self._kept is not None and self._kept[0] is tensor:
            return self._kept[1].zero_()
        return torch.zeros_like(tensor, requires_grad=False)


def leaf_of(tensor: Tensor) -> Tensor:
    """The tensor whose `.grad` counts: a view's is that of the parameter behind it."""
    base = tensor._base
    return tensor if tensor.is_leaf or base is None else base


class Blob:
    """A Caffe blob: `blob.data[...] = image`, `blob.diff`, `blob.reshape(10, 3, 227, 227)`.

    `data` and `diff` are float32 numpy arrays. On a CPU net they are the memory the net computes
    with, and stay so until the blob outgrows it. On a GPU net they are copies; what is written
    into one counts from the next forward or backward pass on, so ask for it anew after each pass.
    """

    def __init__(
        self, shape: Shape = (0,), *, data: Memory | None = None, diff: Memory | None = None
    ) -> None:
        self._shape = tuple(shape)
        self._data = Memory() if data is None else data
        self._diff = Memory() if diff is None else diff

    @classmethod
    def over(cls, tensor: Tensor) -> Blob:
        """A blob on the CPU with a tensor's numbers: its memory where it has float32 on the CPU."""
        flat = tensor.detach().to(CPU, torch.float32).contiguous()
        return cls(tuple(tensor.shape), data=TensorMemory(lambda: flat))

    @property
    def data(self) -> Array:
        """The values."""
        return self._data.array(self.count).reshape(self._shape)

    @property
    def diff(self) -> Array:
        """The gradient."""
        return self._diff.array(self.count).reshape(self._shape)

    @property
    def tensor(self) -> Tensor:
        """The values as the net computes with them; writing is not noticed by autograd."""
        return self._data.tensor(self.count).view(self._shape).data

    @property
    def diff_tensor(self) -> Tensor:
        """The gradient, likewise."""
        return self._diff.tensor(self.count).view(self._shape).data

    @property
    def shape(self) -> Shape:
        """The sizes."""
        return self._shape

    @property
    def count(self) -> int:
        """How many values."""
        return math.prod(self._shape)

    @property
    def num(self) -> int:
        """The first of four sizes; a size that is not there counts as 1."""
        return self._legacy_size(0)

    @property
    def channels(self) -> int:
        """The second of four sizes."""
        return self._legacy_size(1)

    @property
    def height(self) -> int:
        """The third of four sizes."""
        return self._legacy_size(2)

    @property
    def width(self) -> int:
        """The last of four sizes."""
        return self._legacy_size(3)

    def _legacy_size(self, index: int) -> int:
        if len(self._shape) > 4:
            raise ValueError(
                f"num, channels, height and width are of blobs with up to 4 axes, "
                f"this one is {list(self._shape)}; use shape"
            )
        return self._shape[index] if index < len(self._shape) else 1

    def reshape(self, *shape: int) -> None:
        """Take other sizes; values stay where they are while the memory suffices, else are 0."""
        self._shape = tuple(int(size) for size in shape)

    def put(self, values: Tensor) -> None:
        """Take a tensor's shape and a copy of its values."""
        self.reshape(*values.shape)
        self.tensor.copy_(values.detach())

    def can_move(self) -> bool:
        """Whether `move_to` will leave the memory there was to whoever else has it."""
        return self._data.can_move()

    def move_to(self, values: Tensor, *, free: bool) -> None:
        """Take a tensor's shape and values; its very memory, if that is `free` and fits.

        Somebody who holds an array of this blob's data goes on seeing it: then they are copied.
        """
        if not self._data.can_move():
            self.put(values)
            return
        self.reshape(*values.shape)
        device = self._data.source(0).device
        fits = free and values.is_contiguous() and values.dtype == torch.float32
        fits = fits and values.untyped_storage().nbytes() == 4 * self.count
        flat = values.data  # not detach(): writing into it is none of autograd's business
        if not (fits and values.device == device):
            flat = torch.empty(self._shape, device=device).copy_(flat)
        self._data.move_to(flat.view(-1))

    def share_data(self, other: Blob) -> None:
        """Use another blob's memory for the values."""
        self._data = other._data

    def lead_diff(self, memory: Memory) -> Memory:
        """Use `memory` for the diff; returns the one it had."""
        self._diff, old = memory, self._diff
        return old

    def push(self) -> None:
        """Take over what was written into copies on the CPU."""
        self._data.push()
        self._diff.push()


class BlobVector(list[Blob]):
    """A layer's learnable blobs: `self.blobs.add_blob(64, 3, 7, 7)`."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of this shape, all 0."""
        self.append(Blob(tuple(int(size) for size in shape)))
