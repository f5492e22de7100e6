"""What a structure is called, by what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from .program import Op, Window
from .words import WEIGHTED, common_words

_UNIT_WORDS = (
    ("nn.ConvTranspose", "ConvTranspose"),
    ("nn.Conv", "Conv"),
    ("nn.Linear", "Linear"),
    ("nn.BatchNorm", "BatchNorm"),
    ("FrozenBatchNorm", "BatchNorm"),
    ("BatchStatisticsNorm", "BatchNorm"),
    ("ChannelScale", "Scale"),
    ("F.relu", "ReLU"),
    ("F.leaky_relu", "LeakyReLU"),
    ("F.elu", "ELU"),
    ("nn.PReLU", "PReLU"),
    ("torch.sigmoid", "Sigmoid"),
    ("torch.tanh", "Tanh"),
)
_RESIDUAL = ("Bottleneck", "ResidualBlock", "InvertedResidual")
_TIMES = {2: "Double", 3: "Triple"}


def class_name(
    ops: Sequence[Op], window: Window, taken: Sequence[str], others: Sequence[Op] = ()
) -> str:
    """A class name in the field's words that is not taken yet.

    Args:
        ops: what the class is made of.
        window: how they are wired.
        taken: names that are.
        others: the ops of the net: a residual block with a projection is called so if there are
            others without one.
    """
    name = _unit_name(ops) or _block_name(ops, window)
    projected = name in _RESIDUAL and _is_projected(ops, window)
    if projected and any(_is_plain_sum(op, others) for op in others):
        name = f"Projected{name}"
    choices = [name]
    if any(op.call.target.startswith("torch.cat") for op in ops) and _is_sum(ops[-1]):
        choices.append(f"Branched{name}")
    if projected and not name.startswith("Projected"):
        choices.append(f"Projected{name}")
    return next(choice for choice in chain(choices, _lettered(name)) if choice not in taken)


def net_class_name(net: str, taken: Sequence[str]) -> str:
    """The class name of a whole net."""
    name = camel_case(net) or "Net"
    return f"{name}Net" if name in taken else name


def camel_case(text: str) -> str:
    """`bvlc_googlenet-v2` as `BvlcGooglenetV2`; what begins with a digit gets `Net` before it."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return f"Net{name}" if name[:1].isdigit() else name


def _lettered(name: str) -> Iterator[str]:
    """`InceptionB`, `InceptionC`, …: as the literature tells its own variants apart."""
    yield from (f"{name}{letter}" for letter in "BCDEFGHIJKLMNOPQRSTUVWXYZ")
    count = 2
    while True:
        yield f"{name}{count}"
        count += 1


def _unit_name(ops: Sequence[Op]) -> str:
    words = []
    for op in ops:
        word = next((word for start, word in _UNIT_WORDS if op.call.target.startswith(start)), None)
        if word is None:
            return ""
        words.append(f"Depthwise{word}" if op.call.depthwise else word)
    return "".join(words)


def _block_name(ops: Sequence[Op], window: Window) -> str:
    targets = [op.call.target for op in ops]
    merge = next((t for t in reversed(targets) if not t.startswith("F.")), "")
    pools = any("pool" in target for target in targets)
    grows = any(_grows(op) for op in ops)
    if pools and grows:
        return "Hourglass"
    if len(window.outputs) > 1 and any(_is_sum(op) for op in ops) and "torch.cat" in merge:
        return "DualPathBlock"
    if _is_sum(ops[-1]) or merge.startswith("{0} + "):
        return _residual_name(ops)
    if merge.startswith("torch.cat"):
        return _concat_name(ops, window)
    return _chain_name(ops, window) or _own_name(ops)


def _own_name(ops: Sequence[Op]) -> str:
    """What the layers' names say."""
    words = [re.sub(r"\d+$", "", word) for word in common_words(ops)]
    return camel_case("_".join(word for word in words if not word.isdigit())) or "Block"


def _is_sum(op: Op) -> bool:
    return op.call.target.startswith("{0} + ")


def _is_plain_sum(op: Op, others: Sequence[Op]) -> bool:
    """Whether an op adds something to a value that is what it was added to is made of."""
    if not _is_sum(op):
        return False
    return any(sum(value in other.inputs for other in others) > 1 for value in op.inputs)


def _is_projected(ops: Sequence[Op], window: Window) -> bool:
    """Whether the window adds two values of its own, its input none of them."""
    sums = [i for i, op in enumerate(ops) if _is_sum(op)]
    return bool(sums) and all(op >= 0 for op, _ in window.refs[sums[-1]])


def _residual_name(ops: Sequence[Op]) -> str:
    if any(_has_depthwise(op) for op in ops):
        return _RESIDUAL[2]
    kernels = [size for op in ops for size in _kernels(op)]
    narrow = kernels.count(1) >= 2 and max(kernels, default=1) > 1
    return _RESIDUAL[0] if narrow else _RESIDUAL[1]


def _concat_name(ops: Sequence[Op], window: Window) -> str:
    last = window.refs[-1]
    if any(op == -1 for op, _ in last):
        return "UpBlock" if any(_grows(op) for op in ops) else "DenseLayer"
    weighted = [i for i, op in enumerate(ops) if _kernels(op)]
    squeezed = len(weighted) == 3 and all(
        window.refs[i] == ((weighted[0], 0),) for i in weighted[1:]
    )
    return "Fire" if squeezed else "Inception"


def _chain_name(ops: Sequence[Op], window: Window) -> str:
    """What a chain of convolutions is called, "" for other things."""
    if len(window.outputs) > 1 or not all(_kernels(op) or op.call.form != "module" for op in ops):
        return "ClassifierHead" if ops[-1].call.target.startswith("nn.Linear") else ""
    depthwise = [_has_depthwise(op) for op in ops]
    if depthwise == [True, False]:
        return "DepthwiseSeparableConv"
    if depthwise == [False, True, False]:
        return "InvertedBottleneck"
    if [size == 1 for op in ops for size in _kernels(op)] == [True, False, True]:
        return "Bottleneck"
    targets = {op.call.target for op in ops}
    return f"{_TIMES.get(len(ops), '')}Conv" if len(targets) == 1 and len(ops) in _TIMES else ""


def _has_depthwise(op: Op) -> bool:
    return op.call.depthwise or any(_has_depthwise(part) for part in op.parts)


def _grows(op: Op) -> bool:
    starts = ("nn.ConvTranspose", "F.interpolate")
    return op.call.target.startswith(starts) or any(_grows(part) for part in op.parts)


def _kernels(op: Op) -> list[int]:
    """Kernel sizes of the convolutions in an op."""
    if op.parts:
        return [size for part in op.parts for size in _kernels(part)]
    if not op.call.target.startswith(WEIGHTED):
        return []
    sizes = [slot.value for slot in op.call.slots if slot.name == "kernel_size"]
    return [size if isinstance(size, int) else max(size) for size in sizes]
