"""Several files that appear together: all of them, or none, whenever the process is killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def staged(last: str | Path) -> Iterator[Path]:
    """A folder to write files to, `last` as the last one; then they move to where `last` belongs.

    As soon as `last` lies in the folder whole, the set counts as written: if the process is killed
    while the files move, `settle` moves the rest. Before, the old files stay as they were.

        with staged("runs/net_iter_5.solverstate") as folder:
            (folder / "net_iter_5.caffemodel").write_bytes(weights)
            (folder / "net_iter_5.solverstate").write_bytes(state)

    Raises:
        OSError: the folder cannot be made, or a file cannot be moved.
    """
    settle(last)
    folder = _folder(last)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    settle(last)


def settle(last: str | Path) -> None:
    """Move a set that was written whole to its place; one that was not is left alone."""
    folder, name = _folder(last), Path(last).name
    if not (folder / name).is_file():
        return
    others = sorted(file for file in folder.iterdir() if file.name != name)
    for file in (*others, folder / name):
        with suppress(FileNotFoundError):  # moved by another process in the meantime
            file.replace(folder.parent / file.name)
    with suppress(OSError):
        folder.rmdir()


def _folder(last: str | Path) -> Path:
    return Path(last).with_name(f".{Path(last).name}.saving")
