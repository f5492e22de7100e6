"""The shoot-out's arithmetic, and the page about weightings."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from benchmarks.weighting_shootout import FLAGS, Run, errors_of, win_rate
from caffe_layers.weighting.registry import find, registered
from retrain.weighting_choice import choice_of_flag

ROOT = Path(__file__).parent.parent


def test_every_weighting_is_in_the_shoot_out() -> None:
    shown = {find(choice_of_flag(flag).name) for flag in FLAGS.values() if flag}
    assert shown == set(registered().values())


def test_win_rate() -> None:
    runs = {
        "best": [Run((1.0, 1.0, 1.0)), Run((1.0, 5.0, 1.0))],
        "other": [Run((2.0, 1.0, 3.0)), Run((2.0, 4.0, 2.0))],
        "diverged": [Run(), Run((9.0, 9.0, 9.0))],
    }
    assert win_rate("best", runs) == pytest.approx((2 + 0.5 + 2 + 6) / 12)
    assert win_rate("other", runs) == pytest.approx((0.5 + 1 + 6) / 12)
    assert win_rate("diverged", runs) == 0


def test_errors_from_caffes_losses() -> None:
    """16 joints, each 0.1 off in x and 0.05 in depth: half sums of squares, as EuclideanLoss."""
    tops = {"joint2dloss_s2_int": 0.08, "depthloss_s2_int": 0.02, "error(mm)_3d_s2_int": 123.0}
    plane, depth, joints = errors_of(tops)
    assert (plane, depth, joints) == pytest.approx((6.4, 100.0, 123.0))
    assert math.isfinite(plane)


def test_the_page_names_every_weighting_and_its_code_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT.joinpath("docs", "weighting.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ([A-Za-z]+) \|[^|]*\|[^|]*\|[^|]*\|$", page, re.MULTILINE)
    assert set(named[1:]) == set(registered())
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/weighting.md", "exec"), {})
    assert "maps" in capsys.readouterr().out
