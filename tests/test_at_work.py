"""The sign of life: on a terminal alone, and gone when the work is done."""

from __future__ import annotations

import io
import sys
import time

from rich.console import Console

from pycaffe.at_work import at_work


def test_a_terminal_shows_what_is_done_and_is_wiped_clean() -> None:
    file = io.StringIO()
    with at_work("writing onnx", Console(file=file, force_terminal=True, width=60)):
        time.sleep(0.15)
        shown = file.getvalue()
    assert "writing onnx" in shown
    assert "0:00:00" in shown
    assert file.getvalue().endswith("\x1b[1A\x1b[2K")  # up one line, and that line erased


def test_a_pipe_shows_nothing() -> None:
    stdout = sys.stdout
    file = io.StringIO()
    with at_work("writing onnx", Console(file=file)):
        assert sys.stdout is stdout
    assert file.getvalue() == ""
