"""What a structure is called, by what it does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .program import Op
from .repeats import Window, common_words

_UNIT_WORDS = (
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
)


def class_name(
    ops: Sequence[Op], window: Window | None, taken: Sequence[str], net: str = ""
) -> str:
    """A class name in the field's words that is not taken yet."""
    if window is None:
        name = camel_case(net) or "Net"
        return f"{name}Net" if name in taken else name
    name = _unit_name(ops) or _block_name(ops, window)
    for qualified in (name, *(f"{word}{name}" for word in _qualities(ops, window))):
        if qualified not in taken:
            return qualified
    count = 2
    while f"{name}{count}" in taken:
        count += 1
    return f"{name}{count}"


def camel_case(text: str) -> str:
    """`bvlc_googlenet-v2` as `BvlcGooglenetV2`; what begins with a digit gets `Net` before it."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return f"Net{name}" if name[:1].isdigit() else name


def _unit_name(ops: Sequence[Op]) -> str:
    words = []
    for op in ops:
        word = next((word for start, word in _UNIT_WORDS if op.call.target.startswith(start)), None)
        if word is None:
            return ""
        words.append(word)
    return "".join(words)


def _block_name(ops: Sequence[Op], window: Window) -> str:
    targets = [op.call.target for op in ops]
    merge = next((t for t in reversed(targets) if not t.startswith("F.")), "")
    pools = any("pool" in target for target in targets)
    grows = any(target.startswith(("nn.ConvTranspose", "F.interpolate")) for target in targets)
    if pools and grows:
        return "Hourglass"
    if merge.startswith("{0} + "):
        return _residual_name(ops)
    if merge.startswith("torch.cat"):
        return _concat_name(ops, window)
    words = [word for word in common_words(ops) if not word.isdigit()]
    return camel_case(re.sub(r"\d+$", "", "_".join(words))) or "Block"


def _residual_name(ops: Sequence[Op]) -> str:
    kernels = [size for op in ops for size in _kernels(op)]
    return (
        "Bottleneck" if kernels.count(1) >= 2 and max(kernels, default=1) > 1 else "ResidualBlock"
    )


def _concat_name(ops: Sequence[Op], window: Window) -> str:
    last = window.refs[-1]
    if any(op == -1 for op, _ in last):
        return "DenseLayer"
    weighted = [i for i, op in enumerate(ops) if _kernels(op)]
    squeezed = len(weighted) == 3 and all(
        window.refs[i] == ((weighted[0], 0),) for i in weighted[1:]
    )
    return "Fire" if squeezed else "Inception"


def _qualities(ops: Sequence[Op], window: Window) -> list[str]:
    """Words that set a structure apart from another of its name, the most telling first."""
    found = []
    if any(op.call.target.startswith("torch.cat") for op in ops):
        found.append("Branched")
    if sum(any(op == -1 for op, _ in refs) for refs in window.refs) > 1:
        found.append("Projected")
    if any("pool" in op.call.target for op in ops):
        found.append("Pooled")
    return [*found, "Wide", "Deep"]


def _kernels(op: Op) -> list[int]:
    """Kernel sizes of the convolutions in an op."""
    if op.parts:
        return [size for part in op.parts for size in _kernels(part)]
    sizes = [slot.value for slot in op.call.slots if slot.name == "kernel_size"]
    return [size if isinstance(size, int) else max(size) for size in sizes]
