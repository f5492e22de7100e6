"""A legacy repository becomes a project that trains, resumes and says what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from converter.errors import CaffeError, WeightError
from converter.migrate.inventory import survey
from converter.migrate.places import data_root, moved, with_data
from converter.migrate.plan import make_plan
from converter.migrate.project import write_project
from converter.safetensors_weights import convert_weights
from converter.weights import read_weights
from pycaffe.command import main
from retrain.errors import SolverError
from retrain.load import load_trainer
from retrain.recipe_file import project_settings, read_recipe, recipe_trainer, solver_settings

ROOT = Path(__file__).parent.parent
NET = """name: "small"
layer { name: "x" type: "ReadBlobFromFile" top: "x" read_blob_from_file_param {
  file_path: "/old/place/set/x.txt" num_to_read: 6 batch_size: 2 } }
layer { name: "y" type: "ReadBlobFromFile" top: "y" read_blob_from_file_param {
  file_path: "/old/place/set/y.txt" num_to_read: 3 batch_size: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1" inner_product_param {
  num_output: 5 weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "act" type: "TanH" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param {
  num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "far" type: "EuclideanLoss" bottom: "ip2" bottom: "y" top: "far" loss_weight: 0.5 }
"""
SOLVER = """net: "train_small.prototxt"
type: "Adam" base_lr: 0.01 momentum: 0.9 lr_policy: "multistep" stepvalue: 3 stepvalue: 40
gamma: 0.5 max_iter: 9 display: 2 random_seed: 4 snapshot_prefix: "%s/old" solver_mode: CPU
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the data really are."""
    folder = tmp_path / "elsewhere" / "set"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (("x", 6), ("y", 3)):
        rows = random.standard_normal((4, count))
        (folder / f"{name}.txt").write_text("\n".join(" ".join(map(str, r)) for r in rows))
    return folder


@pytest.fixture
def repo(tmp_path: Path, data: Path) -> Path:
    """A repository with a net, its solver, a run of 4 iterations, and some of what goes wrong."""
    folder = tmp_path / "legacy"
    (folder / "training").mkdir(parents=True)
    (folder / "training" / "train_small.prototxt").write_text(NET)
    solver = folder / "training" / "solver_small.prototxt"
    solver.write_text(SOLVER % (folder / "training"))
    (folder / "training" / "solver_lost.prototxt").write_text(
        'net: "train_smalls.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\n'
    )
    (folder / "broken.prototxt").write_text('layer { name: "a" type: }\n')
    (folder / "tool.py").write_text("raise SystemExit('never run')\n")
    here = folder / "training" / "here.prototxt"
    here.write_text(NET.replace("/old/place/set", str(data)))
    trainer = load_trainer(_own(folder, here), observer=lambda event: None)
    trainer.step(4)
    trainer.snapshot()
    here.unlink()
    (folder / "training" / "here_solver.prototxt").unlink()
    return folder


def _own(folder: Path, net: Path) -> Path:
    solver = folder / "training" / "here_solver.prototxt"
    text = SOLVER % (folder / "training")
    solver.write_text(text.replace("train_small.prototxt", str(net)))
    return solver


@pytest.fixture
def project(repo: Path, data: Path, tmp_path: Path) -> Path:
    target = tmp_path / "new"
    write_project(make_plan(survey(repo)), target, audits=False)
    settings = target / "settings.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("data_root: data", f"data_root: {data}"))
    return target


def test_inventory(repo: Path) -> None:
    found = survey(repo)
    assert [net.name for net in found.nets] == ["train_small"]
    assert [(s.recipe, s.net is not None) for s in found.solvers] == [
        ("lost", False),
        ("small", True),
    ]
    assert [path.name for path in found.weights] == ["old_iter_4.caffemodel"]
    assert [path.name for path in found.states] == ["old_iter_4.solverstate"]
    assert [path.name for path in found.scripts] == ["tool.py"]
    assert [path.name for path in found.unread] == ["broken.prototxt"]


def test_plan_says_what_is_written_and_what_is_missing(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", str(repo), "--plan"]) == 0
    text = capsys.readouterr().out
    for line in (
        "nets/train_small.prototxt",
        "recipes/small.yaml",
        "weights/old_iter_4.safetensors",
        "states/old_iter_4.solverstate",
        "data_root in place of /old/place/set/",
        "solver_lost.prototxt names train_smalls.prototxt, which is not there",
        "broken.prototxt does not read",
    ):
        assert line in text
    assert not (tmp_path / "new").exists()


def test_a_plan_of_a_folder_without_nets_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", str(tmp_path), "--plan"]) == 2
    assert "no net in it" in capsys.readouterr().err


def test_migrate_wants_a_place(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(repo)]) == 2
    assert "-o NEW_DIR" in capsys.readouterr().err


def test_parity_is_exact_and_written(project: Path) -> None:
    (entry,) = json.loads((project / "parity.json").read_text())
    assert set(entry["blobs"]) == {"x", "y", "ip1", "ip1@act", "ip2", "far"}
    assert set(entry["blobs"].values()) == {0.0}
    assert entry["weights"] == "training/old_iter_4.caffemodel"
    assert "| train_small | TRAIN |" in (project / "parity.md").read_text()


def test_recipe_is_the_solver(project: Path) -> None:
    recipe = read_recipe(project, "small")
    assert recipe["solver"]["base_lr"] == 0.01
    assert recipe["solver"]["stepvalue"] == [3, 40]
    settings = solver_settings(recipe)
    assert (settings.type, settings.lr_policy, settings.max_iter) == ("Adam", "multistep", 9)
    assert settings.policy_fields["gamma"] == 0.5


def test_readme_has_the_recipe_and_what_is_missing(project: Path) -> None:
    text = (project / "README.md").read_text()
    assert "| small | train_small | Adam | 0.01, multistep, stepvalue 3 40, gamma 0.5 | 2 |" in text
    assert "far 0.5" in text
    assert "solver_lost.prototxt names" in text
    assert "tool.py" in text


def test_weights_are_the_legacy_ones(project: Path, repo: Path) -> None:
    found = read_weights(project / "weights" / "old_iter_4.safetensors")
    legacy = read_weights(repo / "training" / "old_iter_4.caffemodel")
    assert sorted(found) == sorted(legacy) == ["ip1", "ip2"]
    for layer in legacy:
        for mine, theirs in zip(found[layer], legacy[layer], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_the_run_goes_on_where_the_legacy_one_stood(
    project: Path, repo: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = repo / "training" / "here.prototxt"
    net.write_text(NET.replace("/old/place/set", str(data)))
    whole = load_trainer(_own(repo, net))
    whole.restore(str(repo / "training" / "old_iter_4.solverstate"))
    whole.step(3)
    monkeypatch.chdir(project)
    taken = recipe_trainer(project, "small", resume=True, iterations=3)
    assert taken.iteration == 4
    taken.solve()
    assert taken.iteration == 7
    pairs = zip(taken.train.net.learnable(), whole.train.net.learnable(), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.tensor, theirs.tensor, rtol=0, atol=0)


def run(project: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_projects_own_command_trains_and_resumes(project: Path) -> None:
    assert "Iteration 0" in run(project, "train.py", "small", "--iterations", "3")
    assert (project / "runs" / "small" / "net_iter_3.solverstate").is_file()
    run(project, "train.py", "small", "--resume", "--iterations", "2")
    assert (project / "runs" / "small" / "net_iter_5.solverstate").is_file()


def test_the_projects_own_test_passes(project: Path) -> None:
    assert "4 passed" in run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_nothing_is_left_of_a_failed_migration(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise WeightError("no")

    plan = make_plan(survey(repo))
    monkeypatch.setattr("converter.migrate.project._recipes", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(WeightError):
        write_project(plan, tmp_path / "new")
    assert set(tmp_path.iterdir()) == before


def test_a_folder_that_is_there_is_left_alone(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(CaffeError, match="is there already"):
        write_project(make_plan(survey(repo)), tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_unknown_setting_is_refused(project: Path) -> None:
    (project / "settings.yaml").write_text(yaml.safe_dump({"dataroot": "data"}))
    with pytest.raises(SolverError, match="no setting is called 'dataroot'"):
        project_settings(project)


@pytest.mark.parametrize(
    ("paths", "root"),
    [
        (["/data/set/a/", "/data/set/b/c/"], "/data/set/"),
        (["D:\\set\\a\\1.txt", "D:\\set\\b\\2.txt"], "D:/set/"),
        (["/data/set/a/", "/data/set/b/", "/elsewhere/x"], "/data/set/"),
        ([], ""),
    ],
    ids=["folders", "windows", "one stranger", "none"],
)
def test_data_root(paths: list[str], root: str) -> None:
    assert data_root(paths) == root


def test_moved_paths() -> None:
    text = 'a: "/data/set/x/" # "/data/set" b: "D:\\\\set\\\\y" c: "/other/z"'
    assert moved(text, "/data/set/", "data") == text.replace("/data/set/x/", "data/x/")
    assert moved(text, "D:/set/", "data") == text.replace("D:\\\\set\\\\y", "data/y")


def test_a_runs_own_text() -> None:
    text = 'file: "data/x/"\nsave_path: "g/"\n  index_lower_bound: 0\n  index_upper_bound: 77\n'
    wanted = 'file: "/new/x/"\nsave_path: "runs/r/g/"\n  index_lower_bound: 2\n'
    assert with_data(text, "/new/", "runs/r", (2, 5)) == wanted + "  index_upper_bound: 5\n"


def test_safetensors_without_their_map_are_refused(tmp_path: Path, golden: Path) -> None:
    file = next((golden / "weights").glob("*.caffemodel"))
    target = tmp_path / "w.safetensors"
    keys = convert_weights(read_weights(file), target)
    assert {place["layer"] for place in keys.values()} == set(read_weights(file))
    target.with_suffix(".keys.json").unlink()
    with pytest.raises(WeightError, match=r"\.keys\.json"):
        read_weights(target)
