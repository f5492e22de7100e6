"""Lists of image files with labels: what ImageData and convert_imageset read."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import DataError

_INTEGER = re.compile(r"\s*([+-]?\d+)")


def read_labelled_list(source: str) -> list[tuple[str, int]]:
    """Name and label of each line: what stands before the last space, and the integer behind it.

    A name may have spaces in it. Where no integer stands behind the last space, the label is 0;
    a line without any space is a name and, if it begins with digits, its label too. Empty lines
    are left out.

    Raises:
        DataError: the file cannot be read, or lists nothing.
    """
    try:
        content = Path(source).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"cannot read the list {source}: {error.strerror}") from error
    lines = [_split(line.rstrip()) for line in content.split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{source} lists no image; write `NAME LABEL` lines")
    return lines


def _split(line: str) -> tuple[str, int]:
    name, _, label = line.rpartition(" ")
    found = _INTEGER.match(label)
    return name if name else line, int(found.group(1)) if found else 0
