"""The page of `caffe view` under the hand: mouse, fingers, keys, paper; what it says and how."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from converter.load import load_net
from converter.weights import save_weights
from pycaffe.command import main

ROOT = Path(__file__).parent.parent
CSS = ROOT / "converter/view/page/page.css"
NET = ROOT / "examples/prototxt/adaptive_i1/train_val.prototxt"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

HANDS = Path(__file__).with_name("view_page.js")

LOG = """I1122 01:24:51.935607 7316 solver.cpp:258]     Train net output #0: loss = 1.25
I1122 01:24:52.935607 7316 solver.cpp:228] Iteration 20, loss = 1.5
I1122 01:24:52.935607 7316 solver.cpp:258]     Train net output #0: loss = nan
I1122 01:24:53.935607 7316 solver.cpp:228] Iteration 40, loss = 1.5
I1122 01:24:53.935607 7316 solver.cpp:258]     Train net output #0: loss = 0.5
"""


def told_by(page: Path, script: str) -> dict[str, Any]:
    """What `script`, run in the page by a browser, says."""
    assert CHROMIUM is not None
    acted = page.with_name("acted.html")
    acted.write_text(
        page.read_text("utf-8").replace("</body>", f"<script>{script}</script></body>")
    )
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, "--headless", "--no-sandbox", *quiet.split(), "--disable-sync"]
    command += ["--disable-component-update", f"--user-data-dir={page.parent / 'profile'}"]
    command += ["--window-size=1360,860", "--virtual-time-budget=2000", "--dump-dom"]
    made = subprocess.run(
        [*command, f"file://{acted}"], capture_output=True, text=True, timeout=240, check=True
    )
    body = re.search(r"<body[^>]*>", made.stdout)
    assert body
    facts = dict(re.findall(r'data-(\w+)="([^"]*)"', body.group()))
    assert "error" not in facts, html.unescape(facts["error"])
    found: dict[str, Any] = json.loads(html.unescape(facts["told"]))
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happens on the page of the pose net when it is used."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "log").write_text(LOG)
    page = folder / "net.html"
    assert main(["view", str(NET), "-o", str(page), f"--log={folder / 'log'}"]) == 0
    return told_by(page, HANDS.read_text("utf-8"))


@in_a_browser
def test_the_mouse_on_a_box_tells_settings_shapes_and_blobs(told: dict[str, Any]) -> None:
    lines = told["tip"].splitlines()
    assert lines[0] == "conv_1 Convolution"
    assert "kernel_size: 7" in lines[1]
    assert "8 × 3 × 64 × 64 → 8 × 32 × 32 × 32" in lines
    assert "blob 0: 32 × 3 × 7 × 7, lr × 1, decay × 1" in lines
    assert "bn_1 BatchNorm" in lines


@in_a_browser
def test_the_tip_goes_when_the_picture_moves(told: dict[str, Any]) -> None:
    assert told["tip_after_a_key"] == ""


@in_a_browser
def test_the_mouse_on_a_wire_tells_its_blob(told: dict[str, Any]) -> None:
    assert told["wire"].split() == ["crop_gt_joint_2d", "8", "×", "32"]


@in_a_browser
def test_dragging_moves_and_chooses_nothing(told: dict[str, Any]) -> None:
    assert told["dragged"] == [50, 20, None]


@in_a_browser
def test_two_fingers_and_ctrl_with_the_wheel_zoom_where_they_are(told: dict[str, Any]) -> None:
    assert told["pinched"] == pytest.approx(2)
    assert told["zoomed"] == pytest.approx([2.718281828**0.3, 0, 0], abs=1e-6)
    assert told["scrolled"] == [0, -70]


@in_a_browser
def test_a_click_shows_the_lines_and_arrows_follow_wires(told: dict[str, Any]) -> None:
    assert told["chosen"][0] == "conv_1"
    assert "kernel_size: 7" in told["panel"].partition("layer {")[2]
    assert told["down"]
    assert told["up"] == told["chosen"]


@in_a_browser
def test_search_knows_types_and_enter_goes_there(told: dict[str, Any]) -> None:
    types, is_there = told["searched"]
    assert set(types) == {"BatchNorm"}
    assert is_there
    assert told["unsearched"] == ["", 0]


@in_a_browser
def test_a_block_that_opens_is_in_view(told: dict[str, Any]) -> None:
    assert told["opened"]
    for left, right, zoom, room in told["opened"]:
        assert left >= 11.9
        assert right <= room or zoom == pytest.approx(0.5)


@in_a_browser
def test_text_is_inside_its_box(told: dict[str, Any]) -> None:
    assert told["over"] == []


@in_a_browser
def test_the_table_begins_with_most_work(told: dict[str, Any]) -> None:
    # 8 pictures, 32 × 32 places, 32 outputs of 3 × 3 × 32: more than any other
    assert told["heaviest"] == "residual_1_branch1_conv2"


@in_a_browser
def test_a_curve_has_a_gap_where_the_value_is_no_number(told: dict[str, Any]) -> None:
    assert told["gap"] == 2


@in_a_browser
def test_paper_gets_the_whole_net(told: dict[str, Any]) -> None:
    box, width, height, moved, box_after, moved_after = told["printed"]
    assert box == f"0 0 {width:g} {height:g}"
    assert not moved
    assert not box_after
    assert moved_after


# Colours


def colours(theme: str) -> dict[str, str]:
    light, _, rest = CSS.read_text("utf-8").partition(
        "@media screen and (prefers-color-scheme: dark)"
    )
    part = light if theme == "light" else rest.partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#\w{6})\b", part))


def luminance(colour: str) -> float:
    """Of sRGB, by WCAG 2.1."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


FAMILIES = "vision common activation normalization data utility losses recurrent integral own"
FILLS = (*FAMILIES.split(), "block", "ground", "sheet")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_every_colour(theme: str) -> None:
    found = colours(theme)
    pairs = [*product(("ink", "soft"), FILLS), ("ink", "mark"), ("sheet", "loss")]
    low = {}
    for text, ground in pairs:
        dark, bright = sorted((luminance(found[text]), luminance(found[ground])))
        if (bright + 0.05) / (dark + 0.05) < 4.5:  # WCAG's least for text
            low[text, ground] = (bright + 0.05) / (dark + 0.05)
    assert not low


# Phases, stages, sizes, weights

STAGED = """
layer {{ name: "a" type: "Input" top: "x" include {{ phase: TRAIN }}
  input_param {{ shape {{ dim: 4 dim: 3 dim: 7 dim: 6 }} }} }}
layer {{ name: "b" type: "Input" top: "x" include {{ phase: TEST stage: "small" }}
  input_param {{ shape {{ dim: 2 dim: 3 dim: 7 dim: 6 }} }} }}
layer {{ name: "c" type: "Input" top: "x" include {{ phase: TEST stage: "large" }}
  input_param {{ shape {{ dim: 9 dim: 3 dim: 7 dim: 6 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param {{ num_output: 5 }} }}
""".replace("{{", "{").replace("}}", "}")
NO_SIZE = """
layer { name: "d" type: "Data" top: "x" top: "y" data_param { source: "gone" batch_size: 6 } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip"
  inner_product_param { num_output: 10 } }
"""
Captured = pytest.CaptureFixture[str]


def viewed(path: Path, text: str, *flags: str) -> dict[str, Any]:
    """The data of the page of this prototxt."""
    path.write_text(text)
    target = path.with_suffix(".html")
    assert main(["view", str(path), "-o", str(target), *flags]) == 0
    found = re.search(r'id="data">(.*?)</script>', target.read_text("utf-8"), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_each_stage_has_its_button(tmp_path: Path) -> None:
    phases = viewed(tmp_path / "net.prototxt", STAGED)["phases"]
    assert list(phases) == ["TRAIN", "TEST small", "TEST large"]
    assert [phase["batch"] for phase in phases.values()] == [4, 2, 9]


def test_a_stage_that_is_asked_for_is_the_only_one(tmp_path: Path) -> None:
    phases = viewed(tmp_path / "net.prototxt", STAGED, "--phase=TEST", "--stage=large")["phases"]
    assert [(name, phase["batch"]) for name, phase in phases.items()] == [("TEST", 9)]


def test_phases_with_the_same_layers_are_one(tmp_path: Path) -> None:
    text = STAGED.replace("include { phase: TRAIN }", "")
    text = re.sub(r'layer \{ name: "[bc]".*?\n.*?\n', "", text)
    assert list(viewed(tmp_path / "net.prototxt", text)["phases"]) == ["TRAIN and TEST"]


def test_a_size_that_nothing_declares_is_called_a_guess(tmp_path: Path, capsys: Captured) -> None:
    notes = viewed(tmp_path / "net.prototxt", NO_SIZE)["phases"]["TRAIN and TEST"]["notes"]
    assert "is a guess" in notes[1]
    assert notes[1] in capsys.readouterr().out


def test_a_size_that_is_said_is_taken(tmp_path: Path) -> None:
    shown = viewed(tmp_path / "net.prototxt", NO_SIZE, "--picture=2,9,8")["phases"]
    layers = shown["TRAIN and TEST"]["layers"]
    assert layers["d"]["tops"]["x"] == [6, 2, 9, 8]
    assert not any("guess" in note for note in shown["TRAIN and TEST"]["notes"])


@pytest.mark.parametrize("picture", ["3", "3,x,4", "3,0,4", "3,4,5,6"])
def test_a_picture_has_three_sizes(tmp_path: Path, capsys: Captured, picture: str) -> None:
    (tmp_path / "net.prototxt").write_text(NO_SIZE)
    assert main(["view", str(tmp_path / "net.prototxt"), f"--picture={picture}"]) == 2
    assert "CHANNELS,HEIGHT,WIDTH" in capsys.readouterr().err


@pytest.fixture
def digits_weights(tmp_path: Path) -> Path:
    """Weights of the net without a size on pictures of 1 × 28 × 28."""
    shape = "input_param { shape { dim: 6 dim: 1 dim: 28 dim: 28 } }"
    text = re.sub(
        r'type: "Data" top: "x" top: "y" data_param \{.*?\}',
        f'type: "Input" top: "x" {shape}',
        NO_SIZE,
    )
    path = tmp_path / "trained.prototxt"
    path.write_text(text)
    save_weights(load_net(path), tmp_path / "digits.caffemodel")
    return tmp_path / "digits.caffemodel"


def test_weights_tell_the_size(tmp_path: Path, digits_weights: Path) -> None:
    data = viewed(tmp_path / "net.prototxt", NO_SIZE, f"--weights={digits_weights}")
    layers = data["phases"]["TRAIN and TEST"]["layers"]
    assert layers["d"]["tops"]["x"] == [6, 1, 28, 28]
    assert layers["c"]["blobs"][0]["numbers"]["shape"] == [4, 1, 5, 5]


def test_weights_that_the_net_has_no_place_for_are_named(
    tmp_path: Path, capsys: Captured, digits_weights: Path
) -> None:
    text = NO_SIZE.replace('name: "c"', 'name: "other"').replace("num_output: 10", "num_output: 9")
    viewed(tmp_path / "net.prototxt", text, f"--weights={digits_weights}")
    told = capsys.readouterr().err
    assert "the net does not have: c" in told
    assert "ip [0] is 10 × 2304, the net needs 9 × " in told


def test_a_layer_without_a_name_has_the_weights_that_go_by_its_top(
    tmp_path: Path, capsys: Captured
) -> None:
    """As `convert` and `verify` take them: by the name of its first top."""
    text = """
layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 6 dim: 1 dim: 28 dim: 28 } } }
layer { name: "" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 5 } }
"""
    (tmp_path / "net.prototxt").write_text(text)
    save_weights(load_net(tmp_path / "net.prototxt"), tmp_path / "net.safetensors")
    data = viewed(tmp_path / "net.prototxt", text, f"--weights={tmp_path / 'net.safetensors'}")
    assert "the net does not have" not in capsys.readouterr().err
    (phase,) = data["phases"].values()
    assert phase["layers"]["c"]["blobs"][0]["numbers"]["shape"] == [4, 1, 5, 5]
