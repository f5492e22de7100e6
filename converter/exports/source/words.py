"""The words that layers' names are made of, and those that ops have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .program import Op

WEIGHTED = ("nn.Conv", "nn.Linear")
_GENERIC = {"conv", "layer", "block", "fc", "bn"}


def name_words(name: str) -> list[str]:
    """The words of a layer's name: `inception_3a/3x3_reduce` is inception, 3a, 3x3, reduce."""
    return [word for word in re.split(r"[^0-9A-Za-z]+", name) if word]


def common_start(lists: Sequence[list[str]]) -> list[str]:
    """What all lists begin with."""
    start = []
    for words in zip(*lists, strict=False):
        if len(set(words)) > 1:
            break
        start.append(words[0])
    return start


def common_end(lists: Sequence[list[str]]) -> list[str]:
    """What all lists end with."""
    return common_start([words[::-1] for words in lists])[::-1]


def common_words(ops: Sequence[Op]) -> list[str]:
    """The words that the names of all these ops begin with; else those of its modules, or in all.

    A sum or Concat behind a block is often called otherwise than what is in it.
    """
    lists = [name_words(op.name) for op in ops]
    modules = [name_words(op.name) for op in ops if op.call.form == "module"]
    found = common_start(lists) or (common_start(modules) if len(modules) > 1 else [])
    return found or [w for w in lists[0] if len(w) > 1 and all(w in words for words in lists)]


def occurrence_names(occurrences: Sequence[Sequence[Op]]) -> list[str]:
    """What each occurrence of a structure is called.

    By its only weighted op; else by the words its ops' names have in common; else, or where they
    only say of what kind it is, by the blob it gives.
    """
    names = [_weighted_name(ops) or "_".join(common_words(ops)) for ops in occurrences]
    blobs = [ops[-1].outputs[0].partition("@")[0] for ops in occurrences]
    if len(names) > 1 and set(names) <= _GENERIC:
        return blobs
    return [name or blob for name, blob in zip(names, blobs, strict=True)]


def _weighted_name(ops: Sequence[Op]) -> str:
    weighted = [op for op in ops if op.call.target.startswith(WEIGHTED)]
    return weighted[0].name if len(weighted) == 1 and len(ops) <= 3 else ""
