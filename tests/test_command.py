"""The `caffe` command: flags as gflags spells them, exit codes, one-line errors, Caffe's log."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from pycaffe.command import main, verb_names
from pycaffe.flags import FLAGS, READING, parse
from pycaffe.foreign import foreign_packages
from pycaffe.tools import is_tool, parse_tool
from retrain.events import Ended, Note, Output, Saving, Scored, Started, Stepped
from retrain.log import MOST_VALUES, Log, output_lines
from retrain.progress import ProgressBar, summary
from retrain.signals import watching

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with the golden snapshots' solver, net and genuine snapshots."""
    shutil.copytree(golden / "snapshots", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def said(captured: str) -> list[str]:
    """What a log says from the start of the optimization on, without times."""
    lines = [line.split("] ", 1)[1] for line in captured.splitlines() if "] " in line]
    start = lines.index("Starting Optimization")
    return [re.sub(r"\(.* iter/s, .*s/", "(iter/s, s/", line) for line in lines[start:]]


def shape(line: str) -> str:
    """The line without the numbers that random draws decide."""
    return re.sub(r"(loss|accuracy|=) = ?[-\d.e+]+", r"\1 = N", line).split(" (*")[0]


def test_a_run_says_what_genuine_caffe_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--solver=solver.prototxt"]) == 0
    ours, genuine = said(capsys.readouterr().err), said((folder / "train.log").read_text("utf-8"))
    assert [shape(line) for line in ours] == [shape(line) for line in genuine]
    rates = [line for line in genuine if ", lr = " in line]
    assert [line for line in ours if ", lr = " in line] == rates


def test_a_resumed_run_tests_as_genuine_caffe_did(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "-solver", "solver.prototxt", "-snapshot=lenet_small_iter_5.solverstate"]
    assert main(command) == 0
    ours, genuine = said(capsys.readouterr().err), said((folder / "train.log").read_text("utf-8"))
    at = genuine.index("Iteration 5, Testing net (#0)")
    assert ours[3:6] == genuine[at : at + 3]


def test_scores_are_genuine_caffes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["test", "--model=lenet_small.net.prototxt", "--iterations", "3"]
    assert main([*command, "-weights", "lenet_small_iter_10.caffemodel"]) == 0
    ours = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    genuine = (folder / "test.log").read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(genuine) if "Running for" in line)
    assert ours[1:] == [line.split("] ", 1)[1] for line in genuine[start:]]


def legacy_parser(text: str, year: int) -> list[dict[str, Any]]:
    """Rows of train and test outputs, read with the patterns and dates of Caffe's parse_log.py."""
    rows: list[dict[str, Any]] = []
    iteration, rate = -1, float("nan")
    for line in text.splitlines():
        if found := re.search(r"Iteration (\d+)", line):
            iteration = int(found[1])
        if iteration == -1:
            continue
        if found := re.search(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)", line):
            rate = float(found[1])
        if found := re.search(r"(Train|Test) net output #\d+: (\S+) = ([\.\deE+-]+)", line):
            day, time = line.split()[:2]
            clock = datetime.strptime(time, "%H:%M:%S.%f")
            at = clock.replace(year=year, month=int(day[1:3]), day=int(day[3:]))
            row = {"phase": found[1], "it": iteration, "lr": rate, "at": at}
            rows.append({**row, found[2]: float(found[3])})
    return rows


def test_caffes_own_log_parser_reads_our_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "--solver=solver.prototxt"])
    rows = legacy_parser(capsys.readouterr().err, datetime.now().year)
    trained = [(row["it"], row["lr"]) for row in rows if row["phase"] == "Train"]
    tested = [row["it"] for row in rows if row["phase"] == "Test" and "accuracy" in row]
    assert [it for it, _ in trained] == [0, 2, 4, 6, 8]
    assert trained[-1][1] == pytest.approx(0.0099955)
    assert tested == [0, 5, 10]
    assert abs((datetime.now() - rows[-1]["at"]).total_seconds()) < 600


def test_curves_are_drawn_at_the_end(folder: Path) -> None:
    assert main(["train", "--solver=solver.prototxt"]) == 0
    assert (folder / "lenet_small_loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "lenet_small_adaptive_weights.png").exists()


def test_curves_of_adaptive_weights(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    shutil.copytree(golden / "trajectories", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    solver = Path("i1_rmsprop.solver.prototxt")
    text = solver.read_text("utf-8").replace("100000", "3").replace("display: 0", "display: 2")
    solver.write_text(text, encoding="utf-8")
    assert main(["train", "--solver", str(solver), "--fork=integral"]) == 0
    assert Path("i1_rmsprop_adaptive_weights.png").read_bytes().startswith(b"\x89PNG")
    logged = re.findall(r"Adaptive weights of ada_loss: (.*)", capsys.readouterr().err)
    assert [len(line.split(", ")) for line in logged] == [5, 5]
    assert re.match(r"heatmap_flatten [\d.]+, heatmap2_flatten [\d.]+, pred_joint_2d", logged[0])


@pytest.mark.parametrize(
    "spelling",
    [
        ["train", "--solver=F", "--iterations=7"],
        ["train", "--solver", "F", "--iterations", "7"],
        ["train", "-solver", "F", "-iterations", "7"],
        ["train", "-solver=F", "-iterations=7"],
        ["-solver", "F", "train", "--iterations=7"],
        ["--solver=F", "-iterations=7", "train"],
    ],
    ids=" ".join,
)
def test_flags_are_spelt_as_gflags_lets_one(spelling: list[str]) -> None:
    options = parse(spelling)
    assert (options.verb, options.solver, options.iterations) == (["train"], "F", 7)
    assert sorted(options.given) == ["iterations", "solver"]


@pytest.mark.parametrize(
    ("tokens", "debug"),
    [
        (["--debug=true"], True),
        (["-debug=1"], True),
        (["--debug=false"], False),
        (["--nodebug"], False),
        (["--logtostderr=1", "-alsologtostderr", "--debug"], True),
        (["-minloglevel", "2", "--v=1", "--nolog_prefix"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_switches_and_glogs_flags(tokens: list[str], debug: bool) -> None:
    """As gflags reads them; glog's own are taken and have no effect."""
    options = parse(["train", *tokens, "--solver=F"])
    assert (options.verb, options.solver, bool(options.debug)) == (["train"], "F", debug)


def test_lists_are_split_at_commas() -> None:
    options = parse(["train", "--weights=a.caffemodel,b.caffemodel", "--stage=x"])
    assert options.weights == ("a.caffemodel", "b.caffemodel")
    assert options.stage == ("x",)


def test_without_arguments_there_is_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert [re.search(rf"^  {verb} ", shown, re.M) is not None for verb in verb_names()] == [
        True
    ] * len(verb_names())
    assert len(shown.splitlines()) < len(verb_names()) + 20
    assert max(map(len, shown.splitlines())) <= 100
    groups = re.findall(r"^(\w.*):$", shown, re.M)
    assert [groups[0], groups[-1]] == ["training", "legacy scripts and files"]
    assert re.search(r"^training:\n  train .*\n  test .*\n  time ", shown, re.M)


@pytest.mark.parametrize("verb", ["train", "test"])
@pytest.mark.parametrize("spelling", ["--help", "-help"])
def test_help_of_a_verb(verb: str, spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, spelling]) == 0
    shown = capsys.readouterr().out
    assert "--weights=FILE,FILE" in shown
    assert ("--solver=FILE" in shown) == (verb == "train")


@pytest.mark.parametrize("spelling", [["help", "verify"], ["verify", "-h"], ["verify", "--help"]])
def test_help_of_a_verb_is_asked_for_in_many_ways(
    spelling: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(spelling) == 0
    assert capsys.readouterr().out.startswith("caffe verify: ")


@pytest.mark.parametrize("spelling", ["help", "-h", "--help"])
def test_help_is_that_of_the_command(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([spelling]) == 0
    assert capsys.readouterr().out.startswith("usage: caffe VERB")


@pytest.mark.parametrize("spelling", ["--version", "-version", "version"])
def test_the_version(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([spelling]) == 0
    shown = capsys.readouterr().out
    assert re.fullmatch(rf"caffe-layers .* \(torch {re.escape(torch.__version__)}, .*\)\n", shown)


@pytest.mark.parametrize("verb", verb_names())
def test_help_fits_a_terminal_and_ends_with_examples(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example is a command line of this verb, all of whose flags there are."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("for example:")
    assert max(map(len, lines[:start])) <= 80
    assert any(line.startswith(f"usage: caffe {verb} ") for line in lines)
    examples = [shlex.split(line.partition(" && ")[0]) for line in lines[start + 1 :]]
    assert examples
    for program, name, *arguments in examples:
        assert (program, name) == ("caffe", verb)
        tool = import_module(f"pycaffe.verbs.{verb}")
        if is_tool(tool):
            parse_tool(tool.FLAGS, arguments)
        else:
            assert set(parse([name, *arguments]).given) <= set(tool.FLAGS)


READS_A_NET = ("convert", "verify", "dump", "inspect", "view", "draw", "audit", "rewrite")


@pytest.mark.parametrize("verb", [*READS_A_NET, "train", "test", "time"])
def test_all_that_read_a_net_take_the_same_flags_for_it(verb: str) -> None:
    flags = import_module(f"pycaffe.verbs.{verb}").FLAGS
    names = {flag if isinstance(flag, str) else flag.name for flag in flags}
    assert {flag.name for flag in READING} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "a", "b", "--tolerence=1"], "unknown flag '--tolerence=1'. Did you mean --to"),
        (["verify", "a", "b", "--tolerance=x"], "--tolerance=x: give a number"),
        (["verify", "a", "b", "--tolerance"], "--tolerance wants a number"),
        (["verify", "a", "b", "--phase=test"], "--phase=test: give TRAIN or TEST"),
        (["verify", "a"], "verify takes A B; found a"),
        (["convert"], "convert takes NET; found none"),
        (["convert", "a", "--to=keras"], "--to=keras: give pytorch or onnx or "),
        (["inspect", "a", "--phase=x"], "--phase=x: give TRAIN or TEST"),
        (["dump", "a", "-o", "x.txt"], "give the file to write: -o FILE.npz"),
        (["convert", "a.caffemodel"], "a.caffemodel: is no net; give the net's prototxt, and wei"),
        (["convert", "a", "--weights"], "--weights wants FILE,FILE"),
        (["convert", "none.prototxt"], "none.prototxt: cannot be read: No such file or directory"),
        (["train", "--solvr=F"], "unknown flag '--solvr=F'. Did you mean --solver?"),
        (["train", "-itertions", "3"], "unknown flag '-itertions'. Did you mean --iterations?"),
        (["trian", "--solver=F"], "unknown verb 'trian'. Did you mean 'train'?"),
        (["train"], "train needs --solver=FILE"),
        (["test", "--model=F"], "test needs --model=FILE and --weights=FILE"),
        (["train", "--solver"], "--solver wants a value"),
        (["train", "--solver=none.prototxt"], "solver file 'none.prototxt' is not there"),
        (
            ["test", "--model=F", "--weights=G", "--iterations=x"],
            "--iterations wants a whole number, found 'x'",
        ),
        (["test", "--model=F", "--weights=G", "--iterations=0"], "give 1 or more"),
        (
            ["train", "--solver=F", "--sigint_effect=die"],
            "--sigint_effect wants stop or snapshot or none, found 'die'",
        ),
        (["train", "--solver=F", "--snapshot=S", "--weights=W"], "not both"),
        (["train", f"--solver={ROOT}/examples/prototxt/lenet/lenet.prototxt"], "it has layers"),
        (["train", "F"], "unexpected argument 'F': flags look like --solver=FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


def test_every_flag_of_a_verb_exists() -> None:
    from pycaffe.verbs import test, train

    assert {*train.FLAGS, *test.FLAGS} <= {flag.name for flag in FLAGS}


def test_debug_shows_the_traceback_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--debug", "--solver=none.prototxt"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_flag_that_does_nothing_is_mentioned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--solver=solver.prototxt", "--phase=TEST"]) == 0
    assert "caffe: --phase has no effect on 'train'" in capsys.readouterr().err


def test_a_failed_run_is_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solver = folder / "solver.prototxt"
    text = solver.read_text("utf-8").replace("base_lr: 0.01", "base_lr: 1e30")
    solver.write_text(text, encoding="utf-8")
    assert main(["train", "--solver=solver.prototxt"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"caffe: iteration \d+: the loss is (nan|inf) \(output loss\)", last)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nothing is refused")
def test_a_gpu_that_is_asked_for_must_be_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--solver=solver.prototxt", "--gpu=0"]) == 2
    assert "--gpu=0: there is no CUDA device here" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so none is missed")
def test_solver_mode_gpu_without_one_is_one_warning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solver = folder / "solver.prototxt"
    text = solver.read_text("utf-8").replace("solver_mode: CPU", "solver_mode: GPU")
    solver.write_text(text, encoding="utf-8")
    assert main(["train", "--solver=solver.prototxt"]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W")]
    assert len(warned) == 1
    assert "solver_mode GPU, but no CUDA device: using the CPU" in warned[0]


def test_a_foreign_package_of_our_name_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines = foreign_packages(["converter", "no_such_package"], home)
    assert lines[0].startswith(f"package 'converter' is taken from {ROOT / 'converter'}, not from")
    assert lines[1].startswith("package 'no_such_package' is taken from None")
    assert foreign_packages() == []


def test_a_foreign_converter_on_the_path_stops_the_command(tmp_path: Path) -> None:
    (tmp_path / "converter").mkdir()
    (tmp_path / "converter" / "__init__.py").write_text("", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pycaffe", "train"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("caffe: package 'converter' is taken from ")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_stops_with_a_snapshot(folder: Path) -> None:
    solver = folder / "solver.prototxt"
    text = solver.read_text("utf-8").replace("max_iter: 10", "max_iter: 1000000")
    text = text.replace("snapshot: 5", "").replace("display: 2", "display: 1")
    solver.write_text(text.replace('"lenet_small"', '"stopped"'), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "pycaffe", "train", "--solver=solver.prototxt"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        wait_for("Iteration 4", run.stderr)
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 0
    assert "Optimization stopped early." in rest
    (state,) = folder.glob("stopped_iter_*.solverstate")
    assert int(state.stem.rpartition("_")[2]) >= 4
    assert state.with_suffix(".caffemodel").is_file()
    assert f"Snapshotting solver state to binary proto file {state.name}" in rest


def wait_for(text: str, stream: Any) -> None:
    while text not in (line := stream.readline()):
        assert line, f"the run ended before it said {text!r}"


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"sigint": "stop"}, "stop"),
        ({"sigint": "snapshot"}, "snapshot"),
        ({"sigint": "none"}, None),
    ],
    ids=["stop", "snapshot", "none"],
)
def test_effects_of_a_signal(effects: dict[str, Any], expected: str | None) -> None:
    with watching(**effects) as requested:
        signal.raise_signal(signal.SIGINT)
        assert requested() == expected
        assert requested() is None


def test_a_second_ctrl_c_is_a_way_out() -> None:
    with watching():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with watching():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_log_line_has_glogs_form() -> None:
    stream = io.StringIO()
    Log(stream, now=lambda: datetime(2026, 11, 2, 3, 4, 5, 678))(Note("solver.cpp:1", "text"))
    assert re.fullmatch(r"I1102 03:04:05\.000678 +\d+ solver\.cpp:1\] text\n", stream.getvalue())


def test_numbers_are_printed_as_cpp_streams_do() -> None:
    outputs = [Output("loss", [0.00986534912], 1.5), Output("acc", [1.0, 123456789.0, -0.0])]
    assert list(output_lines("Test", outputs)) == [
        "    Test net output #0: loss = 0.00986535 (* 1.5 = 0.014798 loss)",
        "    Test net output #1: acc = 1",
        "    Test net output #2: acc = 1.23457e+08",
        "    Test net output #3: acc = 0",
    ]


def test_a_huge_output_is_cut_and_says_so() -> None:
    outputs = [Output("maps", [0.0] * (MOST_VALUES + 7)), Output("loss", [2.0], 1.0)]
    lines = list(output_lines("Train", outputs))
    assert lines[MOST_VALUES] == "    Train net output: 7 more values of maps are not shown"
    assert lines[-1].startswith(f"    Train net output #{MOST_VALUES + 7}: loss = 2")


def test_the_bar_shows_loss_rate_speed_and_time_left() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    bar = ProgressBar(console)
    bar(Started("digits", "fixed", 4, 10))
    bar(Stepped(4, 0.5, 0.25, 0.01))
    bar(Scored(5, 0, [Output("loss", [2.5], 1.0)]))
    bar(Saving("a_iter_5.caffemodel", "a_iter_5.solverstate"))
    bar(Ended())
    shown = stream.getvalue()
    assert "loss 0.25  lr 0.01" in shown
    assert "5/10" in shown
    assert "it/s" in shown
    assert "Iteration 5, test net #0: loss = 2.5" in shown
    assert "Snapshot a_iter_5.caffemodel" in shown


def test_a_summary_names_single_values_first() -> None:
    outputs = [Output("map", [1.0, 2.0]), Output("acc", [0.75])]
    assert summary(outputs) == "acc = 0.75, map [2 values]"
    many = [Output(f"o{i}", [float(i)]) for i in range(10)]
    assert summary(many).endswith("o7 = 7 and 2 more")


def test_a_warning_is_what_it_says_without_a_place_in_the_code(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        'input: "x" input_shape { dim: 1 }\n'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" nonsense: 3 }\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pycaffe", "convert", str(net), "-o", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    first, second = done.stderr.splitlines()
    assert first == "Warning: not in the schema, kept but without effect: 1 field"
    assert second.startswith(f"{net}:2:")


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pycaffe", "convert", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""
