"""What a text list of files holds: how many, with which labels, and whether they are here."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_ENTRY = re.compile(r"(\S.*?)((?:\s+[-+]?\d+(?:\.\d+)?)*)\s*")
_LOOKED_AT = 100
MOST_SOUGHT = 10_000
"""Files that are looked for; of more, the first."""


@dataclass(frozen=True, slots=True)
class ListFacts:
    """A list of files, a line each, with as many numbers behind the name as there are.

    `labels` counts the lines by their number where each has one whole one. `missing` are those of
    the `sought` first files that are not there, as seen from the current folder.
    """

    count: int
    first: str
    numbers: tuple[int, ...]
    labels: dict[int, int]
    sought: int
    missing: int

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def is_list(text: str) -> bool:
    """Whether every line is a path, maybe with numbers behind it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(_is_entry(line) for line in lines[:_LOOKED_AT])


def _is_entry(line: str) -> bool:
    found = _ENTRY.fullmatch(line)
    return (
        found is not None
        and re.search(r"[\w)]\.\w+$|[/\\]", found[1]) is not None
        and not (set(line) & set('{}"#') or re.search(r":\s", line))
    )


def list_facts(text: str) -> ListFacts:
    """The facts of a list of files, as ImageData and HDF5Data read it."""
    lines = [line for line in text.splitlines() if line.strip()]
    entries = [found.groups() for line in lines if (found := _ENTRY.fullmatch(line))]
    numbers = [behind.split() for _, behind in entries]
    are_labels = all(len(own) == 1 and own[0].lstrip("+-").isdecimal() for own in numbers)
    labels = Counter(int(own[0]) for own in numbers) if are_labels else Counter[int]()
    sought = entries[:MOST_SOUGHT]
    return ListFacts(
        count=len(lines),
        first=entries[0][0],
        numbers=tuple(sorted({len(own) for own in numbers})),
        labels=dict(sorted(labels.items())),
        sought=len(sought),
        missing=sum(not Path(path).exists() for path, _ in sought),
    )
