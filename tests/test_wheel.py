"""The wheel: what is in it, and that it reads a net in a venv of its own, outside the clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[1]
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("caffe_layers", "converter", "pycaffe", "retrain")
BUILD = "import sys, setuptools.build_meta as build; print(build.build_wheel(sys.argv[1]))"
READ = """
import sys
from pathlib import Path
import converter
from converter import load_net
from converter.schema import Schema
assert Path(converter.__file__).is_relative_to(sys.prefix), converter.__file__
Path("net.prototxt").write_text('''
    layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 5 } }''')
print(load_net("net.prototxt").blob_shapes["y"], *Schema.forks())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    copied = folder / "copy"
    ignore = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "proto"):
        shutil.copytree(CLONE / package, copied / package, ignore=ignore)
    for file in FILES:
        shutil.copy(CLONE / file, copied)
    made = run(sys.executable, "-c", BUILD, str(folder), folder=copied)
    return folder / made.splitlines()[-1]


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_brings_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert "converter/view/page/page.html" in names


def test_it_brings_every_schema(wheel: Path) -> None:
    names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/proto/" in name}
    assert {path.name for path in (CLONE / "proto").glob("*.proto")} <= names


def test_it_reads_a_net_in_a_venv_of_its_own(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home)
    paths = {"base": str(home), "platbase": str(home)}
    own = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    theirs = sysconfig.get_path("purelib")
    python = str(Path(sysconfig.get_path("scripts", "venv", vars=paths), "python"))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps")
    run(*pip, "--no-index", str(wheel), folder=tmp_path)
    own.joinpath("dependencies.pth").write_text(theirs)  # torch and the like, not their .pth files
    forks = sorted(path.stem for path in (CLONE / "proto").glob("*.proto") if path.stem != "caffe")
    assert run(python, "-I", "-c", READ, folder=tmp_path) == f"(3, 5) {' '.join(forks)}\n"
