"""Python names out of the prototxt's: attributes, variables, stems that repeats share."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from .program import Op
from .repeats import common_words, name_words

_LONG = 20
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
    """Words as a Python name; one that begins with a digit gets the prefix."""
    text = words if isinstance(words, str) else "_".join(words)
    plain = re.sub(r"[\W_]+", "_", text).strip("_") or prefix
    plain = f"{prefix}_{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) or plain == "self" else plain


def local_names(occurrences: Sequence[Sequence[Op]], *, whole: bool = False) -> tuple[str, ...]:
    """A name for each op of a structure: what it is called, without what counts the occurrences.

    Long names are cut to the last words that still tell them apart, but not in a `whole` net.
    """
    ops = occurrences[0]
    unit = not whole and len(ops) <= 3 and not any(op.parts for op in ops)
    words = [_own_words(i, occurrences, whole) for i in range(len(ops))]
    words = [w if whole or len("_".join(w)) <= _LONG else _last_words(w, words) for w in words]
    names: list[str] = []
    for op, own in zip(ops, words, strict=True):
        kind = _kind(op)
        name = kind if not own or (unit and kind != "block") else identifier(own, kind)
        while name in names:
            name = numbered(name)
        names.append(name)
    return tuple(names)


def _own_words(index: int, occurrences: Sequence[Sequence[Op]], whole: bool) -> list[str]:
    """The words of an op's name behind what all of its occurrence begin with, counts left out."""
    common = [0 if whole else len(common_words(ops)) for ops in occurrences]
    own = [
        name_words(ops[index].name)[count:] for count, ops in zip(common, occurrences, strict=True)
    ]
    first = own[0]
    if any(len(words) != len(first) for words in own):
        return first
    same = [w for i, w in enumerate(first) if all(words[i] == w for words in own)]
    return same or first


def _last_words(words: list[str], others: Sequence[list[str]]) -> list[str]:
    for count in range(2, len(words)):
        ending = words[-count:]
        if sum(1 for other in others if other[-count:] == ending) == 1:
            return ending
    return words


def _kind(op: Op) -> str:
    """What an op without a name of its own is called."""
    found = next((name for start, name in _BY_TARGET if op.call.target.startswith(start)), None)
    return found or ("conv" if 0 < len(op.parts) <= 3 else "block")


def stem(name: str) -> str:
    """A name without the number or letter that counts it: `res2` of `res2a`."""
    found = re.fullmatch(r"(.*?[^\W_])_?(\d+|(?<=\d)[a-z])", name)
    return found[1] if found else name


def plural(name: str) -> str:
    """What a list of such things is called."""
    return name if name.endswith("s") else f"{name}s"


def numbered(name: str) -> str:
    """The next name of its kind: `dense_2` behind `dense`."""
    found = re.fullmatch(r"(.*?)_?(\d+)", name)
    return f"{found[1]}_{int(found[2]) + 1}" if found else f"{name}_2"
