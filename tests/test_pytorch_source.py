"""Nets as PyTorch source: the source does what the net does, and reads as a person's would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from golden_case import GoldenCase
from safetensors.torch import load_file

from converter import load_net
from converter.errors import ExportError
from converter.exports import pytorch
from converter.exports.pytorch import heading, write_pytorch
from converter.exports.source.layout import split_arguments, wrapped
from converter.exports.source.lower import program_of
from converter.exports.source.module_text import Source, source_of
from converter.graph import Graph
from converter.load import load_graph
from converter.stand_in import Fed, quietly_fed, with_files
from pycaffe.command import main

ROOT = Path(__file__).parent.parent
PROTOTXT = ROOT / "examples" / "prototxt"
GALLERY = ROOT / "docs" / "gallery"
GOLDEN = sorted((Path(__file__).parent / "golden").glob("layers/*.prototxt"))
NETS = {
    "lenet": ("lenet/lenet.prototxt", "TEST", 1e-12),
    "residual": ("residual/residual.prototxt", "TEST", 1e-12),
    "inception": ("inception/inception.prototxt", "TEST", 1e-12),
    "adaptive_i1_d16": ("adaptive_i1/train_val.prototxt", "TRAIN", 1e-9),
}


def graph_of(name: str) -> Graph:
    path, phase, _ = NETS[name]
    return load_graph(PROTOTXT / path, phase=phase)


def fed(name: str, folder: Path) -> Fed:
    """The net on made-up inputs, its camera file in the folder."""
    torch.manual_seed(1)
    return quietly_fed(with_files(graph_of(name), folder), batch=2)


@pytest.mark.parametrize("name", NETS)
def test_the_source_gives_the_nets_numbers(name: str, tmp_path: Path) -> None:
    made = fed(name, tmp_path)
    target = tmp_path / "new"
    written = write_pytorch(made.net, target, made.inputs, origin=Path(NETS[name][0]).name)
    assert written.difference < NETS[name][2]
    assert sorted(path.name for path in target.iterdir()) == [
        f"{name}.keys.json",
        f"{name}.py",
        f"{name}.safetensors",
    ]


@pytest.mark.parametrize("name", NETS)
def test_the_gallery_shows_what_is_written_today(name: str) -> None:
    net = quietly_fed(graph_of(name), batch=2).net
    source = source_of(program_of(net), heading(net, name, Path(NETS[name][0]).name))
    assert source.text == (GALLERY / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["lenet", "residual", "inception"])
def test_a_source_of_torchs_layers_needs_torch_alone(name: str) -> None:
    code = f"""
        import sys, torch
        class Refuse:
            def find_spec(self, name, path=None, target=None):
                assert name.split(".")[0] not in ("caffe_layers", "converter", "pycaffe"), name
        sys.meta_path.insert(0, Refuse())
        sys.path.insert(0, {str(GALLERY)!r})
        import {name}
        net = next(v for v in vars({name}).values() if getattr(v, "__module__", "") == "{name}"
                   and v.__doc__ is None)()
        print(sum(p.numel() for p in net.parameters()))
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    net = load_net(PROTOTXT / NETS[name][0])
    assert int(done.stdout) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", NETS)
def test_other_numbers_are_refused_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that is off by a thousandth shows: the last, which no BatchNorm hides."""
    exact = pytorch.state_of

    def off(net, keys):  # type: ignore[no-untyped-def]
        state = exact(net, keys)
        key = [k for k in state if k.endswith("weight") and state[k].ndim == 4][-1]
        return {**state, key: state[key] * 1.001}

    monkeypatch.setattr(pytorch, "state_of", off)
    made = fed(name, tmp_path)
    with pytest.raises(ExportError, match=r"output '.+' differs by .+; nothing is written"):
        write_pytorch(made.net, tmp_path / "new", made.inputs)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("prototxt", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_case(prototxt: Path) -> None:
    """Genuine Caffe's inputs through net and source, whatever the layer."""
    case = GoldenCase(prototxt)
    source = source_of(program_of(case.net), "A case.")
    inputs = {name: blob.detach() for name, blob in case.inputs.items()}
    assert max(pytorch.compared(case.net, source, inputs).values(), default=0) < 1e-6


SIAMESE = """
name: "pair"
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "fa" type: "InnerProduct" bottom: "a" top: "fa"
  param { name: "w" } param { name: "v" }
  inner_product_param { num_output: 4 transpose: true weight_filler { type: "xavier" } } }
layer { name: "fb" type: "InnerProduct" bottom: "b" top: "fb"
  param { name: "w" } param { name: "v" }
  inner_product_param { num_output: 4 transpose: true weight_filler { type: "xavier" } } }
layer { name: "d" type: "Eltwise" bottom: "fa" bottom: "fb" top: "d"
  eltwise_param { coeff: 1 coeff: -1 } }
"""


def test_shared_weights_stay_one_module(tmp_path: Path) -> None:
    source, made = source_in(SIAMESE, tmp_path)
    assert list(source.keys) == ["fa.weight", "fa.bias"]
    assert "self.fa(a)" in source.text
    assert "self.fa(b)" in source.text
    assert max(pytorch.compared(made.net, source, made.inputs).values()) < 1e-12


CUT = """
name: "cut"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 7 } } }
layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "y0" top: "loss"
  propagate_down: true propagate_down: false loss_weight: 0.3 }
"""


def test_what_gets_no_gradient_is_detached(tmp_path: Path) -> None:
    text = CUT.replace(
        'layer { name: "loss"',
        'layer { name: "y0" type: "InnerProduct" bottom: "x" top: "y0" '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'
        'layer { name: "loss"',
    )
    source, made = source_in(text, tmp_path)
    assert "self.y0(x).detach()" in source.text
    assert 'LOSS_WEIGHTS = {"loss": 0.3}' in source.text
    with pytorch.module_of(source.text) as module:
        net = getattr(module, source.class_name)()
        module.total_loss(net(made.inputs["x"])).backward()
        assert net.y0.weight.grad is None
        assert float(net.y.weight.grad.abs().max()) > 0


def source_in(text: str, folder: Path):  # type: ignore[no-untyped-def]
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    made = quietly_fed(load_graph(path), batch=2)
    source: Source = source_of(program_of(made.net), "A net.")
    return source, made


def test_the_key_map_leads_to_blobs_of_the_same_size(tmp_path: Path) -> None:
    made = fed("residual", tmp_path)
    written = write_pytorch(made.net, tmp_path, made.inputs)
    state, keys = load_file(written.weights), json.loads(written.keys.read_text())["keys"]
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert set(state) - counters == set(keys)
    for key, place in keys.items():
        blob = made.net.layers[place["layer"]].blob_tensors()[place["blob"]][1]
        assert blob.numel() == state[key].numel()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lenet = str(PROTOTXT / "lenet" / "lenet.prototxt")
    assert main(["convert", lenet, "--to", "pytorch", "-o", str(tmp_path)]) == 0
    assert "lenet.py: class LeNet, 9 layers in" in capsys.readouterr().out
    assert (tmp_path / "lenet.py").is_file()


def test_lines_are_broken_as_formatters_do() -> None:
    assert wrapped("x = call(a, b)", 4) == ["    x = call(a, b)"]
    long = f"x = call({'a' * 50}, {'b' * 50})"
    assert wrapped(long, 0) == ["x = call(", f"    {'a' * 50},", f"    {'b' * 50},", ")"]
    assert split_arguments('a, f(b, c), "d, e", [1, 2]') == ["a", "f(b, c)", '"d, e"', "[1, 2]"]


# What a person would have written: nets said in a few lines, and what of their source must be so


def layer(name: str, kind: str, bottoms: str, top: str = "", settings: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {settings} }}\n'


def conv(name: str, bottom: str, width: int, kernel: int, more: str = "", relu: bool = True) -> str:
    pad = f"pad: {kernel // 2}" if kernel > 1 else ""
    size = (
        f'num_output: {width} kernel_size: {kernel} {pad} {more} weight_filler {{ type: "msra" }}'
    )
    made = layer(name, "Convolution", bottom, name, f"convolution_param {{ {size} }}")
    return made + (layer(f"relu_{name}", "ReLU", name, name) if relu else "")


def pool(name: str, bottom: str, settings: str = "kernel_size: 2 stride: 2") -> str:
    return layer(name, "Pooling", bottom, name, f"pooling_param {{ {settings} }}")


def net_of(*layers: str, shape: str = "dim: 2 dim: 3 dim: 16 dim: 16") -> str:
    given = f"input_param {{ shape {{ {shape} }} }}"
    return 'name: "net"\n' + layer("data", "Input", "", "data", given) + "".join(layers)


def source_that_matches(text: str, folder: Path) -> Source:
    source, made = source_in(text, folder)
    assert max(pytorch.compared(made.net, source, made.inputs).values()) < 1e-9
    assert max(map(len, source.text.splitlines())) <= 88
    return source


def separable(name: str, bottom: str, width: int, out: int) -> str:
    return conv(f"{name}/dw", bottom, width, 3, f"group: {width}") + conv(
        f"{name}/sep", f"{name}/dw", out, 1
    )


def test_a_depthwise_convolution_and_its_pointwise_one_are_one_class(tmp_path: Path) -> None:
    widths = [6, 8, 8, 10, 10, 12, 14]
    blocks, read = [conv("conv1", "data", 6, 3)], "conv1"
    for i, (width, out) in enumerate(pairwise(widths)):
        blocks.append(separable(f"conv{i + 2}", read, width, out))
        read = f"conv{i + 2}/sep"
    source = source_that_matches(net_of(*blocks), tmp_path)
    assert "class DepthwiseSeparableConv(nn.Module):" in source.text
    assert "DepthwiseSeparableConv(10, 12)" in source.text
    assert "groups=channels" in source.text


def stage(name: str, bottom: str, width: int, count: int) -> str:
    names = [bottom, *(f"{name}_{i + 1}" for i in range(count))]
    return "".join(conv(names[i + 1], names[i], width, 3) for i in range(count)) + pool(
        f"pool{name}", names[-1]
    )


def test_convolutions_in_a_row_are_nn_sequential_and_no_class(tmp_path: Path) -> None:
    stages = [("data", 4, 2), ("poolconv1", 6, 3), ("poolconv2", 8, 3), ("poolconv3", 8, 4)]
    layers = [stage(f"conv{i + 1}", *given) for i, given in enumerate(stages)]
    source = source_that_matches(net_of(*layers), tmp_path)
    assert set(source.structures) == {"ConvReLU", "Net"}
    assert "self.conv1 = nn.Sequential(ConvReLU(3, 4), ConvReLU(4, 4))" in source.text
    assert "*(ConvReLU(8, 8) for _ in range(4))" in source.text


def basic(name: str, bottom: str, width: int, project: bool) -> str:
    short = f"{name}_branch1" if project else bottom
    made = conv(short, bottom, width, 1, relu=False) if project else ""
    made += conv(f"{name}_branch2a", bottom, width, 3)
    made += conv(f"{name}_branch2b", f"{name}_branch2a", width, 3, relu=False)
    made += layer(name, "Eltwise", f"{short} {name}_branch2b")
    return made + layer(f"{name}_relu", "ReLU", name, name)


def test_the_projected_block_is_called_so_and_not_the_other(tmp_path: Path) -> None:
    blocks = [
        basic("res2a", "data", 4, project=True),
        basic("res2b", "res2a", 4, project=False),
        basic("res3a", "res2b", 6, project=True),
        basic("res3b", "res3a", 6, project=False),
        basic("res4a", "res3b", 8, project=True),
        basic("res4b", "res4a", 8, project=False),
    ]
    source = source_that_matches(net_of(*blocks), tmp_path)
    assert (
        "self.res3 = nn.Sequential(ProjectedResidualBlock(4, 6), ResidualBlock(6))" in source.text
    )
    plain = source.text.partition("class ResidualBlock")[2].partition("class ")[0]
    assert "branch1" not in plain
    assert '"""3 in the net: res2b, res3b, res4b."""' in source.text


def fire(name: str, bottom: str, squeezed: int) -> str:
    made = conv(f"{name}/squeeze", bottom, squeezed, 1)
    made += conv(f"{name}/expand1x1", f"{name}/squeeze", 4 * squeezed, 1)
    made += conv(f"{name}/expand3x3", f"{name}/squeeze", 3 * squeezed, 3)
    return made + layer(f"{name}/concat", "Concat", f"{name}/expand1x1 {name}/expand3x3")


def test_what_stands_before_the_branches_belongs_to_the_block_by_its_name(tmp_path: Path) -> None:
    layers = [fire("fire2", "data", 2), fire("fire3", "fire2/concat", 3)]
    layers += [fire("fire4", "fire3/concat", 3)]
    source = source_that_matches(net_of(*layers), tmp_path)
    assert "self.fire = nn.Sequential(Fire(3, 2), Fire(14, 3), Fire(21, 3))" in source.text


def test_global_pooling_goes_straight_to_rows(tmp_path: Path) -> None:
    classes = 'inner_product_param { num_output: 5 weight_filler { type: "xavier" } }'
    text = net_of(
        conv("conv1", "data", 4, 3),
        pool("pool", "conv1", "pool: AVE global_pooling: true"),
        layer("score", "InnerProduct", "pool", "score", classes),
    )
    source = source_that_matches(text, tmp_path)
    assert ".mean((2, 3))" in source.text
    assert "flatten" not in source.text


def test_what_is_flattened_already_is_not_flattened_again(tmp_path: Path) -> None:
    rows = 'inner_product_param { num_output: 768 weight_filler { type: "xavier" } }'
    text = net_of(
        layer("flat", "Flatten", "data"),
        layer("code", "InnerProduct", "data", "code", rows),
        layer("loss", "EuclideanLoss", "code flat"),
    )
    assert source_that_matches(text, tmp_path).text.count("flatten(1)") == 1


def test_settings_that_are_torchs_own_are_left_out(tmp_path: Path) -> None:
    text = net_of(
        layer("norm", "LRN", "data", "norm", "lrn_param { local_size: 5 alpha: 1e-4 beta: 0.75 }"),
        layer("bn", "BatchNorm", "norm", "bn", "batch_norm_param { eps: 1e-5 }"),
    )
    source = source_that_matches(text, tmp_path)
    assert "F.local_response_norm(data, 5)" in source.text
    assert "eps" not in source.text


def test_a_name_is_used_again_once_what_it_held_is_read(tmp_path: Path) -> None:
    text = net_of(
        layer("a", "Split", "data", "a").replace("Split", "AbsVal"),
        layer("b", "Eltwise", "a data", "b"),
        layer("c", "Eltwise", "b a", "a2"),
        layer("d", "Eltwise", "a2 b", "d"),
    )
    source = source_that_matches(text, tmp_path)
    assert "_ =" not in source.text


def test_lists_are_broken_item_by_item_and_long_calls_put_in_brackets() -> None:
    pair = f'return {{"{"a" * 40}": {"a" * 20}, "b": {"b" * 20}}}'
    assert wrapped(pair, 0)[1:3] == [f'    "{"a" * 40}": {"a" * 20},', f'    "b": {"b" * 20},']
    long = f"{'a' * 50} = self.{'b' * 40}({'c' * 30})"
    assert wrapped(long, 0) == [f"{'a' * 50} = (", f"    self.{'b' * 40}({'c' * 30})", ")"]


@pytest.mark.parametrize("name", NETS)
def test_the_gallery_is_formatted_and_clean_where_it_is_copied_to(
    name: str, tmp_path: Path
) -> None:
    path = str(shutil.copy(GALLERY / f"{name}.py", tmp_path))
    for command in (["format", "--check"], ["check", "--select", "E,F,I,B,UP,SIM,RET,C4"]):
        run = ["ruff", *command, "--isolated", "--line-length", "88", path]
        done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout


LABELS = 'layer { name: "label" type: "Input" top: "label" input_param { shape { %s } } }\n'


def scored(shape: str, *losses: str) -> str:
    return net_of(conv("score", "data", 5, 1, relu=False), LABELS % shape, *losses)


@pytest.mark.parametrize(
    ("labels", "settings", "said"),
    [
        ("dim: 2 dim: 1 dim: 16 dim: 16", "", "label.squeeze(1).long())"),
        ("dim: 2 dim: 16 dim: 16", "ignore_label: 3", "label.long(), ignore_index=3)"),
        ("dim: 2 dim: 16 dim: 16", "normalize: false", 'reduction="sum") / label.shape[0]'),
        ("dim: 2 dim: 16 dim: 16", "normalization: NONE", 'reduction="sum")'),
    ],
)
def test_a_loss_at_every_place_is_torchs_own(
    labels: str, settings: str, said: str, tmp_path: Path
) -> None:
    loss = layer("loss", "SoftmaxWithLoss", "score label", "loss", f"loss_param {{ {settings} }}")
    text = source_that_matches(scored(labels, loss), tmp_path).text
    assert said in " ".join(text.split())
    assert "caffe_layers" not in text


def test_a_long_operation_is_broken_at_its_operators() -> None:
    long = f"loss = {'a' * 40}({'b' * 30}) * 2 / {'c' * 30}"
    assert wrapped(long, 0) == [
        "loss = (",
        f"    {'a' * 40}({'b' * 30})",
        "    * 2",
        f"    / {'c' * 30}",
        ")",
    ]


def test_accuracy_counts_as_caffe_does(tmp_path: Path) -> None:
    classes = 'inner_product_param { num_output: 7 weight_filler { type: "xavier" } }'
    text = net_of(
        layer("score", "InnerProduct", "data", "score", classes),
        LABELS % "dim: 2",
        layer("accuracy", "Accuracy", "score label", "accuracy", "accuracy_param { top_k: 3 }"),
    )
    source = source_that_matches(text, tmp_path)
    with pytorch.module_of(source.text) as module:
        same = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 1.0]])
        label = torch.tensor([0.0, 0.0, 0.0])
        assert module.top_k_accuracy(same, label).item() == pytest.approx(1 / 3)
        assert module.top_k_accuracy(same, label, 2).item() == pytest.approx(2 / 3)


def test_a_map_is_cropped_without_a_layer(tmp_path: Path) -> None:
    text = net_of(
        conv("low", "data", 5, 5, "stride: 2"),
        layer("score", "Crop", "data low", "score", "crop_param { axis: 2 offset: 3 }"),
    )
    assert "crop_like(data, " in source_that_matches(text, tmp_path).text


def test_a_blob_called_like_a_function_of_the_file(tmp_path: Path) -> None:
    text = net_of(
        conv("F", "data", 3, 3),
        layer("torch", "Eltwise", "F data"),
        layer("loss", "EuclideanLoss", "torch data", "euclidean_loss"),
        layer("again", "EuclideanLoss", "F data"),
        layer("sum", "Eltwise", "euclidean_loss again"),
    )
    source_that_matches(text, tmp_path)
