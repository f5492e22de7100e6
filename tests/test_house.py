"""The house rules, read off the source: storeys, circles, lengths."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STOREYS = ("caffe_layers", "converter", "retrain", "pycaffe")
FILES = sorted(path for storey in STOREYS for path in (ROOT / storey).rglob("*.py"))
TORCHLESS = (
    *("text", "record", "schema", "message", "graph", "printer", "wire", "scalar", "spelling"),
    *("text_record", "upgrade", "upgrade_v0", "upgrade_v1", "overlay", "proto_text"),
)
NO_TORCH = {f"converter.{name}" for name in TORCHLESS}
PROTOBUF = {"converter.schema", "converter.message"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Full names of the modules a file imports, `from x import y` as x.y where that is a file."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    package = (
        module_name(path).split(".")
        if path.name == "__init__.py"
        else module_name(path).split(".")[:-1]
    )
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            names = {f"{source}.{alias.name}" for alias in node.names}
            files = {
                name
                for name in names
                if ROOT.joinpath(*name.split(".")).with_suffix(".py").exists()
            }
            found |= files if files else {source}
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_storeys(path: Path) -> None:
    me, used = module_name(path), imports(path)
    mine = me.split(".")[0]
    above = STOREYS[STOREYS.index(mine) + 1 :]
    assert not {name for name in used if name.split(".")[0] in above}, "imports run downward only"
    assert mine == me or mine not in used, "no import of a package's root from inside it"
    assert me in PROTOBUF or not any(n.startswith("google.protobuf") for n in used)
    assert me not in NO_TORCH or not any(n.split(".")[0] == "torch" for n in used)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_lengths(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno >= 60}
    assert not long
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


def test_no_import_circle() -> None:
    edges = {module_name(path): imports(path, top_level=True) for path in FILES}
    while leaves := {name for name, used in edges.items() if not used & (edges.keys() - {name})}:
        edges = {name: used for name, used in edges.items() if name not in leaves}
    assert not edges, "these modules import each other in a circle"


OFTEN_ABSENT = {"torchjd", "plyvel", "triton", "caffe"}
"""Packages that only some features need; these tell how to get them, or do without."""
SOLD_AS = {
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "yaml": "pyyaml",
    "onnx_ir": "onnx-ir",
}


def test_what_is_imported_is_required() -> None:
    """A plain `pip install .` has all that the commands need, whatever the tests install."""
    required = next(
        ast.literal_eval(word.value)
        for word in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")))
        if isinstance(word, ast.keyword) and word.arg == "install_requires"
    )
    names = {re.split(r"[<>=!\[]", line)[0] for line in required}
    used = {name.partition(".")[0] for path in FILES for name in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - set(STOREYS) - OFTEN_ABSENT
    assert {SOLD_AS.get(name, name) for name in foreign} <= names
