"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes `path`'s place if the block succeeds.

    The bytes are on the disk before the name changes, so that a crash leaves either the old file
    or the new one. If the block raises, the old file stays and the temporary one goes. A symbolic
    link is followed: the file it points to is replaced.

        with replacing("net.caffemodel") as temporary:
            temporary.write_bytes(data)

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(_mode(target))
        temporary.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if os.name == "posix":
        _flush(target.parent)


def _flush(path: Path) -> None:
    """Have the system put the file (or the folder's list of names) on the disk."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(target: Path) -> int:
    """Permissions of the file that is replaced, or those that a new file gets."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
