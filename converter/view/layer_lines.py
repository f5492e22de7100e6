"""Which lines of a prototxt a layer stands in."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>]|\n""")


class LineFinder:
    """Finds the lines of blocks in one text.

    Args:
        text: the file's.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def of(self, line: int, column: int) -> tuple[int, int] | None:
        """First and last line of the block whose name is there; all count from 1."""
        if line > len(self._starts):
            return None
        return line, line + _rows(self._text, self._starts[line - 1] + column - 1)


def _rows(text: str, start: int) -> int:
    """How many line ends are between `start` and the end of the block."""
    depth = rows = 0
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        if mark == "\n":
            rows += 1
        elif mark in "{<":
            depth += 1
        elif mark in "}>":
            depth -= 1
            if depth <= 0:
                return rows
    return 0
