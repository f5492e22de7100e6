"""What Caffe's upgrade tools have in common: their flags, their words, a file written whole."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from converter.errors import WeightError
from converter.message import read_text_file, unknown_fields, write_text
from converter.record import Record
from converter.replacing import replacing
from converter.schema import Schema, load_schema
from retrain.events import Caution, Note
from retrain.log import Log

from .flags import Flag

FLAGS = (
    Flag("fork", "read with this fork's schema, such as integral", "NAME"),
    Flag("proto", "read with these .proto files", "FILE,FILE", lambda t: tuple(t.split(",")), ()),
)


def schema_of(options: Namespace) -> Schema:
    """The schema that --fork and --proto choose."""
    return load_schema(options.fork, options.proto)


def upgrade_text(
    options: Namespace, message: str, upgrade: Callable[[Record], Record], tool: str
) -> int:
    """Read INPUT as a message, upgrade it, write it to OUTPUT; comments do not survive.

    Raises:
        TextError: INPUT does not read, or cannot be carried over.
        WeightError: OUTPUT cannot be written.
    """
    source, target = options.arguments
    schema = schema_of(options)
    record = read_text_file(source, message, schema)
    upgraded = upgrade(record)
    log = Log()
    for line in unknown_fields(upgraded):
        log(Caution(f"{line}; it is kept"))
    try:
        with replacing(target) as temporary:
            temporary.write_text(
                write_text(upgraded, schema), encoding="utf-8", errors="surrogateescape"
            )
    except OSError as error:
        raise WeightError(f"{target}: cannot be written: {error.strerror}") from error
    say(log, tool, message, source, target, changed=upgraded != record, kind="text")
    return 0


def say(
    log: Log, tool: str, message: str, source: str, target: str, *, changed: bool, kind: str
) -> None:
    """Caffe's words about what was done."""
    if not changed:
        log(Note(f"{tool}.cpp:43", f"File already in latest proto format: {source}"))
    log(Note(f"{tool}.cpp:53", f"Wrote upgraded {message} {kind} proto to {target}"))
