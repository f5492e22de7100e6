"""The log as a file, named and linked as glog does for `--log_dir`."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from .errors import RunError

_FORMAT = "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg"


class LogFile:
    """`FOLDER/caffe.HOST.USER.log.INFO.DATE-TIME.PID`, with the link `caffe.INFO` to the last one.

    A stream for `Log`: `Log(LogFile("logs"))`. Each entry is on the disk when `write` is back.

    Args:
        folder: where to; it is made if it is not there.
        now: the clock.

    Raises:
        RunError: the folder or the file cannot be written.
    """

    def __init__(self, folder: str | Path, *, now: Callable[[], datetime] = datetime.now) -> None:
        began, host = now(), platform.node()
        name = f"caffe.{host}.{_user()}.log.INFO.{began:%Y%m%d-%H%M%S}.{os.getpid()}"
        self.path = Path(folder) / name
        head = (f"Log file created at: {began:%Y/%m/%d %H:%M:%S}", f"Running on machine: {host}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("\n".join((*head, _FORMAT, "")), encoding="utf-8")
        except OSError as error:
            raise RunError(f"--log_dir={folder}: cannot be written: {error.strerror}") from error
        link = self.path.with_name("caffe.INFO")
        with suppress(OSError):  # systems without links
            link.unlink(missing_ok=True)
            link.symlink_to(name)

    def write(self, text: str) -> None:
        """Append the text."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else "user"
