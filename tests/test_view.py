"""Charts of nets: nothing overlaps; and their page in a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from converter.facts.net_facts import facts_of, net_without_data
from converter.load import load_graph
from converter.view.chart import Chart, chart_of
from converter.view.layer_lines import LineFinder
from converter.view.letters import text_width
from converter.view.placing import Picture, picture_of
from pycaffe.command import main
from retrain.errors import RunError
from retrain.log_curves import read_curves

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples/prototxt"
NETS = (
    "lenet/train_test",
    "residual/residual",
    "inception/inception",
    "adaptive_i1/train_val",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")


def chart(path: Path, phase: str = "TRAIN") -> Chart:
    graph = load_graph(path, phase="TRAIN" if phase == "TRAIN" else "TEST")
    stood = net_without_data(graph)
    return chart_of(graph, stood.net, facts_of(graph, stood))


@pytest.fixture(scope="module", params=NETS)
def named_chart(request: pytest.FixtureRequest) -> Chart:
    return chart(EXAMPLES / f"{request.param}.prototxt")


def overlaps(picture: Picture) -> list[tuple[str, str]]:
    """Pairs of boxes that share a pixel, unless one is an open block around the other."""
    found = []
    for a, b in combinations(picture.placed, 2):
        apart = (
            a.x + a.width <= b.x
            or b.x + b.width <= a.x
            or a.y + a.height <= b.y
            or b.y + b.height <= a.y
        )
        around = a.is_open and set(b.chart.keys) <= set(a.chart.keys)
        if not apart and not around:
            found.append((a.chart.name, b.chart.name))
    return found


def crossed(picture: Picture) -> list[str]:
    """Boxes that a straight piece of a wire runs through."""
    boxes = [placed for placed in picture.placed if not placed.is_open]
    return [
        box.chart.name
        for line in picture.lines
        for (x, y), (x1, y1) in pairwise(line.points)
        if x == x1
        for box in boxes
        if box.x < x < box.x + box.width and max(y, box.y) + 0.5 < min(y1, box.y + box.height)
    ]


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "folded"])
def test_no_box_and_no_wire_lies_on_a_box(named_chart: Chart, is_open: bool) -> None:
    picture = picture_of(named_chart, lambda block: is_open)
    assert not overlaps(picture)
    assert not crossed(picture)
    assert all(p.x >= 0 and p.x + p.width <= picture.width for p in picture.placed)


def test_every_layer_is_in_one_box_and_below_what_it_reads(named_chart: Chart) -> None:
    keys = [key for box in named_chart.boxes() for key in box.keys]
    assert sorted(keys) == sorted(named_chart.keys)
    picture = picture_of(named_chart)
    assert all(line.points[0][1] <= line.points[-1][1] for line in picture.lines)


def test_the_same_net_is_laid_out_the_same(named_chart: Chart) -> None:
    assert picture_of(named_chart) == picture_of(named_chart)


def test_repeated_structures_are_blocks() -> None:
    whole = chart(EXAMPLES / "adaptive_i1/train_val.prototxt")
    blocks = [child.label.lines[0] for child in whole.children if child.grid and child.label]
    assert sum("Hourglass" in name for name in blocks) == 2


def test_a_chain_is_one_box() -> None:
    boxes = {box.keys for box in chart(EXAMPLES / "lenet/train_test.prototxt").boxes()}
    assert ("ip1", "relu1") in boxes
    assert ("conv1",) in boxes


def test_lines_of_a_layer() -> None:
    text = 'name: "n"\nlayer { # a }\n  name: "}"\n  p { a: 1 }\n}\nlayer { name: "b" }\n'
    finder = LineFinder(text)
    assert finder.of(2, 1) == (2, 5)
    assert finder.of(6, 1) == (6, 6)


# Drawings


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_draw(tmp_path: Path, ending: str, rankdir: str) -> None:
    target = tmp_path / f"net.{ending}"
    net = EXAMPLES / "lenet/train_test.prototxt"
    assert main(["draw", str(net), "-o", str(target), f"--rankdir={rankdir}"]) == 0
    start = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[ending]
    assert target.read_bytes().startswith(start)


def test_an_svg_has_every_box_and_wire(tmp_path: Path) -> None:
    target = tmp_path / "net.svg"
    assert main(["draw", str(EXAMPLES / "lenet/train_test.prototxt"), "-o", str(target)]) == 0
    root = ElementTree.parse(target).getroot()
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"digits", "conv1", "pool2", "ip2"} <= texts
    wires = [e for e in root.iter() if e.tag.endswith("path") and e.get("marker-end")]
    assert len(wires) == 8  # seven down the chain, and the labels


@pytest.mark.parametrize("net", NETS)
def test_the_lines_of_a_drawing_are_inside_their_boxes(tmp_path: Path, net: str) -> None:
    target = tmp_path / "net.svg"
    assert main(["draw", str(EXAMPLES / f"{net}.prototxt"), "-o", str(target)]) == 0
    room, over = 0.0, []
    for element in ElementTree.parse(target).getroot().iter():
        if element.tag.endswith("rect") and element.get("stroke-dasharray") is None:
            room = float(element.get("width", "0").rstrip("%"))
        elif element.tag.endswith("text") and element.get("text-anchor"):
            text, bold = element.text or "", element.get("font-weight") is not None
            if text_width(text, float(element.get("font-size", 12)), bold=bold) > room:
                over.append(text)
    assert not over


def test_draw_says_which_endings_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = EXAMPLES / "lenet/train_test.prototxt"
    assert main(["draw", str(net), "-o", str(tmp_path / "net.bmp")]) == 2
    assert ".svg, .png, .pdf" in capsys.readouterr().err


# Logs

LOG = """I1122 01:24:51.935607 7316 solver.cpp:239] Iteration 20 (9 iter/s, 2s/20 iters), loss = 1.5
I1122 01:24:51.935607 7316 solver.cpp:258]     Train net output #0: loss = 1.25 (* 1 = 1.25 loss)
I1122 01:24:51.935607 7316 sgd_solver.cpp:112] Iteration 20, lr = 0.01
I1122 01:24:52.935607 7316 solver.cpp:347] Iteration 40, Testing net (#0)
I1122 01:24:52.935607 7316 solver.cpp:414]     Test net output #0: accuracy = 0.875
I1122 01:24:52.935607 7316 solver.cpp:228] Iteration 40, loss = nan
"""
LINES = [
    {"event": "start", "iteration": 0, "net": "n"},
    {
        "event": "display",
        "iteration": 20,
        "smoothed_loss": 1.5,
        "rate": 0.01,
        "outputs": {"loss": 1.25},
    },
    {"event": "test", "iteration": 40, "net": 0, "outputs": {"accuracy": 0.875}},
]
CURVES = {
    ("loss of the display", "TRAIN"): [(20, 1.5)],
    ("loss", "TRAIN"): [(20, 1.25)],
    ("lr", "TRAIN"): [(20, 0.01)],
    ("accuracy", "TEST"): [(40, 0.875)],
}


def test_curves_of_caffes_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    found = {(c.name, c.phase): list(c.points) for c in read_curves(tmp_path / "log")}
    not_a_number = (40, None)
    assert found.pop(("loss of the display", "TRAIN")) == [(20, 1.5), not_a_number]
    assert found == {
        key: points for key, points in CURVES.items() if key[0] != "loss of the display"
    }


def test_curves_of_a_runs_lines(tmp_path: Path) -> None:
    path = tmp_path / "run_log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    assert {(c.name, c.phase): list(c.points) for c in read_curves(path)} == CURVES


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("nothing of the kind\n")
    with pytest.raises(RunError, match="is it a log"):
        read_curves(tmp_path / "log")


# The page in a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "log").write_text(LOG)
    target = folder / "net.html"
    net = EXAMPLES / "adaptive_i1/train_val.prototxt"
    assert main(["view", str(net), "-o", str(target), "--log", str(folder / "log")]) == 0
    return target


def dumped(page: Path, wish: str = "") -> str:
    """The page's elements after its script ran, with `wish` behind the #."""
    assert CHROMIUM is not None
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, "--headless", "--no-sandbox", *quiet.split(), "--disable-sync"]
    command += ["--disable-component-update", f"--user-data-dir={page.parent / 'profile'}"]
    command += ["--window-size=1360,860"]
    command += ["--virtual-time-budget=2000", "--dump-dom", f"file://{page}#{wish}"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return made.stdout.partition("<script")[0]


def told(dom: str) -> dict[str, str]:
    """What the page says of itself: the data- attributes of its body."""
    body = re.search(r"<body[^>]*>", dom)
    assert body
    return dict(re.findall(r'data-(\w+)="([^"]*)"', body.group()))


def test_the_page_needs_nothing_else(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"(src|href)=|@import|url\((?!#)|fetch\(|https?://(?!www\.w3\.org)", text)


@in_a_browser
@pytest.mark.parametrize("wish", ["open=all", "open=none"])
def test_the_browser_puts_boxes_where_python_does(page: Path, wish: str) -> None:
    dom = dumped(page, wish)
    facts = told(dom)
    assert "error" not in facts
    whole = chart(EXAMPLES / "adaptive_i1/train_val.prototxt")
    picture = picture_of(whole, lambda block: wish == "open=all")
    fronts = [p for p in picture.placed if not p.is_open]
    assert int(facts["boxes"]) == len(fronts)
    assert int(facts["wires"]) == len(picture.lines)
    drawn = re.findall(
        r'<rect class="front" x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)"',
        dom,
    )
    places = sorted(tuple(round(float(n), 3) for n in box) for box in drawn)
    wanted = sorted(
        tuple(round(float(n), 3) for n in (p.x, p.y, p.width, p.height)) for p in picture.placed
    )
    assert places == wanted


@in_a_browser
def test_search_layer_and_phase(page: Path) -> None:
    dom = dumped(page, "phase=TEST&search=hourglass1&layer=conv_1")
    facts = told(dom)
    assert "error" not in facts
    assert facts["phase"] == "TEST"
    text = (EXAMPLES / "adaptive_i1/train_val.prototxt").read_text()
    named = len(re.findall(r'name: "[^"]*hourglass1', text))
    assert int(facts["found"]) >= named > 0
    panel = html.unescape(dom.partition("<aside")[2].partition("</aside>")[0])
    assert 'name: "conv_1"' in panel
    assert "lr × " in panel


@in_a_browser
def test_the_summary_shows_losses_and_curves(page: Path) -> None:
    dom = dumped(page)
    assert "error" not in told(dom)
    panel = dom.partition("<aside")[2].partition("</aside>")[0]
    assert 'data-go="ada_loss_all"' in panel
    assert re.findall('data-curve="([^"]*)"', panel) == [
        *("loss of the display", "loss", "accuracy", "lr"),
    ]
