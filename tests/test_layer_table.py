"""docs/layers.md is what the registry says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from caffe_layers.registry import registered

ROOT = Path(__file__).parent.parent


def test_it_is_up_to_date() -> None:
    script = ROOT / "scripts" / "layer_table.py"
    run = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_every_type_has_a_row() -> None:
    page = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    own = {n for n, cls in registered().items() if cls.__module__.startswith("caffe_layers.")}
    assert {name for name in own if f"[{name}](" not in page} == set()
