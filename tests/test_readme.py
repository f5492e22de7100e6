"""What the README says is run: its Python, and its test command is the one CI calls."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pycaffe.command import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_block(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_commands_are_single_lines_that_make_their_venv() -> None:
    commands = re.findall(r"<!-- (train|test) command -->\n```sh\n(.*)\n```", TEXT)
    assert [name for name, _ in commands] == ["train", "test"]
    train, test = (line for _, line in commands)
    assert train.startswith(
        "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ."
    )
    assert train.endswith("caffe train --solver=examples/prototxt/adaptive_i1/solver.prototxt")
    assert test.endswith("-m pytest")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


FIVE_MINUTES = re.search(r"<!-- five minutes -->\n```sh\n(.*?)```", TEXT, re.DOTALL)


def test_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command of the section in turn; what verify and convert compare agrees."""
    assert FIVE_MINUTES is not None
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    commands = FIVE_MINUTES[1].splitlines()
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "caffe"
        assert main(arguments) == 0, command
    assert "agree within" in capsys.readouterr().out
    made = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "runs").rglob("*.*")}
    assert made == {
        *(f"runs/inception/inception.{end}" for end in ("py", "safetensors", "keys.json", "onnx")),
        *(f"runs/back/inception.{end}" for end in ("prototxt", "caffemodel")),
        "runs/inception.html",
    }
