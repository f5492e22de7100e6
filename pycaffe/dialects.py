"""Reading a legacy net when nobody says which fork it was written for."""

from __future__ import annotations

import sys
from pathlib import Path

from converter.load import read_with_schema
from converter.record import Record
from converter.schema import Schema, load_schema


def read_legacy(path: str | Path) -> tuple[Record, Schema]:
    """The upgraded record of a net's file and its schema; a fork's is named on standard error.

    Raises:
        TextError: the file does not read.
    """
    record, schema = read_with_schema(path)
    for fork in Schema.forks():
        if load_schema(fork) is schema:
            print(f"{path}: read with the schema of fork '{fork}'", file=sys.stderr)
    return record, schema
