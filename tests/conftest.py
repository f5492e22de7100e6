"""Fixtures that every test file may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers that genuine Caffe computed."""
    return TESTS / "golden"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Real legacy prototxts, not part of the project: a test over them skips without them."""
    folder = TESTS.parent.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("the corpus of legacy prototxts is not here")
    return folder
