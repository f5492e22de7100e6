"""The sign of life: on a terminal alone, and gone when the work is done."""

from __future__ import annotations

import io
import sys
import time

import pytest
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


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_nor_does_one_that_is_to_be_coloured(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "1")
    with at_work("writing onnx"):
        time.sleep(0.15)
    assert capsys.readouterr() == ("", "")
