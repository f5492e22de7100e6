"""Solver files as settings: Caffe's defaults, its old spellings, the real files of the corpus."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from converter.errors import SolverError
from converter.message import read_text
from converter.schema import load_schema
from converter.upgrade import upgrade_solver
from retrain.policies import RatePolicy
from retrain.settings import Settings, read_settings, settings_of

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
CAFFES_OWN = sorted(
    path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("BVLC+caffe/**/*solver*.prototxt")
)
SHARED = [f for f in fields(Settings) if f.name not in ("record", "file", "unknown", "weighting")]


@pytest.mark.parametrize("field", SHARED, ids=lambda field: field.name)
def test_defaults_are_the_schemas(field: Any) -> None:
    wanted = load_schema().message("SolverParameter").fields[field.name].default
    assert field.default == wanted or (wanted is None and not field.default)


def settings(text: str) -> Settings:
    record = read_text(text, "solver.prototxt", "SolverParameter", load_schema())
    return settings_of(upgrade_solver(record))


def test_what_was_not_set_stays_known() -> None:
    read = settings('lr_policy: "fixed" base_lr: 0.5')
    assert "solver_mode" not in read.record
    assert (read.solver_mode, read.iter_size, read.base_lr) == ("GPU", 1, 0.5)


def test_the_old_solver_type_becomes_the_type() -> None:
    assert settings('lr_policy: "fixed" solver_type: RMSPROP').type == "RMSProp"


def test_unknown_fields_are_listed() -> None:
    read = settings('lr_policy: "fixed"\nlarc: true')
    assert read.unknown == ("solver.prototxt:2:1: SolverParameter has no field larc",)


def test_a_file_without_policy_is_refused() -> None:
    with pytest.raises(SolverError, match='lr_policy is not set; add lr_policy: "fixed"'):
        settings("base_lr: 0.1")


@pytest.mark.parametrize("name", CAFFES_OWN)
def test_caffes_own_solver_files_read(corpus: Path, name: str) -> None:
    read = settings((corpus / name).read_text(encoding="utf-8"))
    assert read.unknown == ()
    fields = {k: v for k, v in read.record.fields.items() if k != "lr_policy"}
    assert RatePolicy(read.lr_policy, **fields).rate(0) == pytest.approx(read.base_lr)


def test_the_memos_solver(corpus: Path) -> None:
    folder = corpus / "strawberryfg+int-3dhuman-I1" / "training" / "d2=16"
    read = read_settings(folder / "solver_d16_ada_manual.prototxt")
    assert (read.type, read.momentum, read.weight_decay) == ("RMSProp", 0, 0)
    assert read.rms_decay == pytest.approx(0.99)
    assert (read.lr_policy, read.display, read.max_iter) == ("multistep", 10, 490_000_000)
