"""Python names out of the prototxt's: attributes, variables, stems that repeats share."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from torch import nn

from .local_definitions import LOCAL_DEFINITIONS
from .program import Op
from .words import common_end, common_start, common_words, name_words

_LONG = 20
_IN_FORWARD = ("self", "torch", "F")
_OF_EVERY_MODULE = frozenset(dir(nn.Module()))
_BY_TARGET = (
    ("nn.Conv", "conv"),
    ("nn.Linear", "linear"),
    ("nn.BatchNorm", "norm"),
    ("Frozen", "norm"),
    ("BatchStatistics", "norm"),
    ("ChannelScale", "scale"),
    ("nn.PReLU", "prelu"),
    ("nn.Dropout", "dropout"),
)


def identifier(words: Sequence[str] | str, prefix: str = "layer") -> str:
    """Words as a Python name; one that begins with a digit gets the prefix.

    One that has a meaning in Python, or in every `forward`, gets `_` behind it.
    """
    text = words if isinstance(words, str) else "_".join(words)
    plain = re.sub(r"[\W_]+", "_", text).strip("_") or prefix
    plain = f"{prefix}_{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) or plain in _IN_FORWARD else plain


def argument_names(blobs: Sequence[str]) -> tuple[str, ...]:
    """What a forward calls its inputs: each by a name of its own, none that the file defines."""
    plain = [identifier(blob, "input") for blob in blobs]
    kept = {name for name, blob in zip(plain, blobs, strict=True) if name == blob}
    taken = {*LOCAL_DEFINITIONS, *kept}
    names = []
    for name, blob in zip(plain, blobs, strict=True):
        own = name
        while own in taken and (own != blob or own in LOCAL_DEFINITIONS):
            own = numbered(own)
        taken.add(own)
        names.append(own)
    return tuple(names)


def attribute_name(name: str) -> str:
    """The name, with `_` behind it where every nn.Module has an attribute of that name."""
    return f"{name}_" if name in _OF_EVERY_MODULE else name


def local_names(occurrences: Sequence[Sequence[Op]], *, whole: bool = False) -> tuple[str, ...]:
    """A name for each op of a structure: what it is called, without what counts the occurrences.

    Long names are cut to the last words that still tell them apart, but not in a `whole` net.
    """
    ops = occurrences[0]
    unit = not whole and len(ops) <= 3 and not any(op.parts for op in ops)
    words = [_own_words(i, occurrences, whole) for i in range(len(ops))]
    if not whole:
        words = _without_end(words, [op.call.form == "module" for op in ops])
    words = [w if whole or len("_".join(w)) <= _LONG else _last_words(w, words) for w in words]
    names: list[str] = []
    for op, own in zip(ops, words, strict=True):
        kind = _kind(op)
        name = attribute_name(kind if not own or unit else identifier(own, kind))
        while name in names:
            name = numbered(name)
        names.append(name)
    return tuple(names)


def _own_words(index: int, occurrences: Sequence[Sequence[Op]], whole: bool) -> list[str]:
    """The words of an op's name that every occurrence has, without those of all its ops."""
    lists = [name_words(ops[index].name) for ops in occurrences]
    if whole:
        return lists[0]
    common = [common_words(ops) for ops in occurrences]
    own = [_without(words, left_out) for words, left_out in zip(lists, common, strict=True)]
    first = own[0]
    if any(len(words) != len(first) for words in own):
        return common_start(own) or common_end(own)
    return [w for i, w in enumerate(first) if all(words[i] == w for words in own)]


def _without(words: list[str], common: Sequence[str]) -> list[str]:
    if words[: len(common)] == list(common):
        return words[len(common) :]
    return [word for word in words if word not in common]


def _without_end(words: list[list[str]], counted: Sequence[bool]) -> list[list[str]]:
    """Names without the words that those of all modules end with: `conv2d` of each."""
    named = [w for w, is_module in zip(words, counted, strict=True) if is_module]
    end = len(common_end(named)) if len(named) > 2 else 0
    if not end or any(len(w) <= end for w in named):
        return words
    return [w[:-end] if m else w for w, m in zip(words, counted, strict=True)]


def _last_words(words: list[str], others: Sequence[list[str]]) -> list[str]:
    for count in range(2, len(words)):
        ending = words[-count:]
        if sum(1 for other in others if other[-count:] == ending) == 1:
            return ending
    return words


def _kind(op: Op) -> str:
    """What an op without a name of its own is called."""
    target = op.call.target
    found = next((name for start, name in _BY_TARGET if target.startswith(start)), None)
    if found or not op.parts:
        return found or "block"
    if len(op.parts) > 3 or any(part.parts for part in op.parts):
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target).lower()
    kinds = [_kind(part) for part in op.parts]
    return next((kind for kind in kinds if kind in ("conv", "linear")), "block")


def stem(name: str) -> str:
    """A name without the number or letter that counts it: `res2` of `res2a`."""
    found = re.fullmatch(r"(.*?[^\W_])_?(\d+|(?<=\d)[a-z])", name)
    return found[1] if found else name


def chain_name(names: Sequence[str], others: Sequence[str]) -> str:
    """What nn.Sequential of things with one stem is called: the stem, `res1_to_3` if others are so.

    Args:
        names: of what is in it.
        others: stems of what is beside it, and the names of what stands alone.
    """
    plain = stem(names[0])
    if len(plain) == 1:
        plain = "layers"
    if plain not in others:
        return plain
    return f"{names[0]}_to_{names[-1].removeprefix(plain).strip('_')}"


def plural(name: str) -> str:
    """What a list of such things is called."""
    return name if name.endswith("s") else f"{name}s"


def numbered(name: str) -> str:
    """The next name of its kind: `dense_2` behind `dense`."""
    found = re.fullmatch(r"(.*?)_?(\d+)", name)
    return f"{found[1]}_{int(found[2]) + 1}" if found else f"{name.removesuffix('_')}_2"
