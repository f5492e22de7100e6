"""Files that appear together: whenever a process is killed, all of them or none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrain.staging import settle, staged

NAMES = ("net.caffemodel", "net.runstate", "net.solverstate")


class Killed(BaseException):
    """Stands for the end of the process."""


def write(folder: Path, text: str) -> None:
    for name in NAMES:
        (folder / name).write_text(text, encoding="utf-8")


def read(folder: Path) -> list[str]:
    return [(folder / name).read_text(encoding="utf-8") for name in NAMES]


def save(folder: Path, text: str) -> None:
    with staged(folder / NAMES[-1]) as inside:
        write(inside, text)


def test_the_files_take_their_places_and_nothing_else_stays(tmp_path: Path) -> None:
    write(tmp_path, "old")
    save(tmp_path, "new")
    assert read(tmp_path) == ["new"] * 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_failed_write_leaves_the_old_files(tmp_path: Path) -> None:
    write(tmp_path, "old")
    with pytest.raises(ZeroDivisionError), staged(tmp_path / NAMES[-1]) as folder:
        (folder / NAMES[0]).write_text(str(1 // 0), encoding="utf-8")
    assert read(tmp_path) == ["old"] * 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_killed_while_files_move_the_new_ones_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    write(tmp_path, "old")
    replace, left = Path.replace, iter(range(moved))

    def dying(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise Killed
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Killed):
            save(tmp_path, "new")
    settle(tmp_path / NAMES[-1])
    assert read(tmp_path) == ["new"] * 3
    assert len(list(tmp_path.iterdir())) == 3


def test_killed_while_files_are_written_the_old_ones_stay(tmp_path: Path) -> None:
    write(tmp_path, "old")
    folder = tmp_path / f".{NAMES[-1]}.saving"
    folder.mkdir()
    (folder / NAMES[0]).write_text("half", encoding="utf-8")
    settle(tmp_path / NAMES[-1])
    assert read(tmp_path) == ["old"] * 3
    save(tmp_path, "new")
    assert read(tmp_path) == ["new"] * 3
    assert not folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL and a fork server are POSIX's")
def test_killed_at_random_a_run_loses_no_snapshot(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "kill.py"
    made = subprocess.run(
        [sys.executable, str(script), "--kills", "5"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert "5 kills" in made.stdout
    assert "0 lost; the weights at the end are the same" in made.stdout
