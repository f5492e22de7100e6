"""Absolute paths in nets, and nets that look for their files elsewhere."""

from __future__ import annotations

import os.path
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ..record import Record, Unknown

_ABSOLUTE = re.compile(r"^(/|[A-Za-z]:[\\/])")
_QUOTED_PATH = re.compile(r'"((?:/|[A-Za-z]:[\\/])[^"\n]*)"')
DATA = "data"
"""What stands for the data root in migrated nets."""


def absolute_paths(record: Record) -> list[str]:
    """Every text in a record that is an absolute path, Windows ones too."""
    return [text for text in _texts(record) if _ABSOLUTE.match(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Record):
        for item in (*value.fields.values(), *value.unknown):
            yield from _texts(item)
    elif isinstance(value, Unknown):
        yield from _texts(value.value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def data_root(paths: Iterable[str]) -> str:
    """The deepest folder that most of these paths lie in, with its separator; empty if none."""
    found = [path.replace("\\", "/") for path in paths]
    if not found:
        return ""
    by_top = Counter("/".join(path.split("/")[:2]) for path in found)
    top = by_top.most_common(1)[0][0]
    folders = {path.rsplit("/", 1)[0] for path in found if path.startswith(top)}
    folders |= {path.rstrip("/").rsplit("/", 1)[0] for path in found if path.startswith(top)}
    common = os.path.commonpath(sorted(folders))
    return f"{common.rstrip('/')}/" if common not in ("", "/") else ""


def moved(text: str, root: str, to: str) -> str:
    """The prototxt with every absolute path below `root` starting with the folder `to` instead."""

    def below(found: re.Match[str]) -> str:
        path = found[1].replace("\\\\", "/").replace("\\", "/")
        if not root or not path.startswith(root):
            return found[0]
        return f'"{to.rstrip("/")}/{path[len(root) :]}"'

    return _QUOTED_PATH.sub(below, text)


def with_data(text: str, folder: str, runs: str, span: tuple[int, int] | None) -> str:
    """A migrated net's text for one run: data from `folder`, side outputs below `runs`.

    Args:
        text: of a migrated net.
        folder: the data root.
        runs: folder of this run.
        span: first and last index that samples are drawn from; None leaves the net's own.
    """
    text = re.sub(rf'"{DATA}/', f'"{folder.rstrip("/")}/', text)
    text = re.sub(r'(\bsave_path\s*:\s*")(?!/)([^"]*")', rf"\g<1>{runs.rstrip('/')}/\g<2>", text)
    if span is not None:
        for name, value in zip(("index_lower_bound", "index_upper_bound"), span, strict=True):
            text = re.sub(rf"(^\s*{name}\s*:\s*)\d+", rf"\g<1>{value}", text, flags=re.MULTILINE)
    return text


def written_folders(text: str) -> list[str]:
    """The folders that layers of a net write to."""
    return re.findall(r'\bsave_path\s*:\s*"([^"]*)"', text)
