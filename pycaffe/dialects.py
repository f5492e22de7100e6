"""Which schema a legacy net was written for, when nobody says so: Caffe's, or a known fork's."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from converter.caffemodel import read_definition
from converter.errors import TextError
from converter.message import read_binary, read_text_file, unknown_fields
from converter.record import Record
from converter.schema import Schema, load_schema


def fork_of(path: str | Path, message: str = "NetParameter") -> str | None:
    """The fork whose fields the file uses; None if Caffe 1.0's schema serves as well as any.

    What was taken is said on standard error, unless it is Caffe's.

    Raises:
        TextError: the file reads under no schema; the problems are those under Caffe's.
    """
    try:
        strange = _strange(path, message, load_schema())
    except TextError as problem:
        found = _best(path, message, len(problem.problems), Schema.forks())
        if found is None:
            raise
        return found
    if not strange:
        return None
    return _best(path, message, len(strange), Schema.forks())


def _best(path: str | Path, message: str, most: int, forks: Iterable[str]) -> str | None:
    """The fork that leaves the fewest fields unknown, fewer than `most`."""
    best: str | None = None
    left = most
    for fork in forks:
        try:
            strange = len(_strange(path, message, load_schema(fork)))
        except TextError:
            continue
        if strange < left:
            best, left = fork, strange
    if best is not None:
        print(f"{path}: read with the schema of fork '{best}'", file=sys.stderr)
    return best


def _strange(path: str | Path, message: str, schema: Schema) -> list[str]:
    return unknown_fields(_read(path, message, schema))


def _read(path: str | Path, message: str, schema: Schema) -> Record:
    definition = read_definition(path) if message == "NetParameter" else None
    if definition is not None:
        return read_binary(definition, message, schema)
    return read_text_file(path, message, schema)
