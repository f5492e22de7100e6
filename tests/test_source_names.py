"""Names of nets and layers that mean something in Python or torch already, in PyTorch source."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_pytorch_source import ROOT, conv, layer, net_of, source_in, source_that_matches

from converter.exports import pytorch
from converter.exports.pytorch import module_of, write_pytorch
from pycaffe.command import main

ROWS = 'inner_product_param { num_output: 5 weight_filler { type: "xavier" } }'


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        *((name, f"{name}_") for name in ("type", "half", "parameters", "state_dict", "to")),
        *((name, f"{name}_") for name in ("add_module", "T_destination", "training", "forward")),
        *((name, f"{name}_") for name in ("train", "eval", "register_buffer", "dump_patches")),
        *((name, f"{name}_") for name in ("class", "self")),
        ("_modules", "modules_"),
        ("type.", "type_"),
        ("typed", "typed"),
        ("weight", "weight"),
    ],
)
def test_a_layer_called_as_what_every_module_has(name: str, attribute: str, tmp_path: Path) -> None:
    text = net_of(layer(name, "InnerProduct", "data", "code", ROWS))
    _, made = source_in(text, tmp_path)
    written = write_pytorch(made.net, tmp_path, made.inputs)
    assert written.difference < 1e-12
    keys = json.loads(written.keys.read_text(encoding="utf-8"))["keys"]
    assert list(keys) == [f"{attribute}.weight", f"{attribute}.bias"]
    assert keys[f"{attribute}.weight"]["layer"] == name
    with pytorch.module_of(written.source.read_text(encoding="utf-8")) as module:
        net = getattr(module, written.class_name)()
        net.load_state_dict(load_file(written.weights))
        assert net.half().train().training


def test_two_layers_whose_names_become_one(tmp_path: Path) -> None:
    text = net_of(
        layer("type", "InnerProduct", "data", "a", ROWS),
        layer("type_", "InnerProduct", "a", "b", ROWS),
    )
    keys = list(source_that_matches(text, tmp_path).keys)
    assert keys == ["type_.weight", "type_.bias", "type_2.weight", "type_2.bias"]


def test_a_chain_whose_stem_is_what_every_module_has(tmp_path: Path) -> None:
    widths = [4, 4, 4, 4, 4, 4]
    layers = [conv(f"type{i}", f"type{i - 1}" if i else "data", w, 3) for i, w in enumerate(widths)]
    source = source_that_matches(net_of(*layers), tmp_path)
    assert "self.type_ = nn.Sequential(" in source.text
    assert "self.type_(data)" in source.text


def basic(name: str, bottom: str, width: int) -> str:
    made = conv(f"{name}/half", bottom, width, 3) + conv(f"{name}/type", f"{name}/half", width, 3)
    made += conv(f"{name}/train", bottom, width, 1)
    return made + layer(f"{name}/sum", "Eltwise", f"{name}/train {name}/type")


def test_a_structure_whose_modules_are_called_as_what_every_module_has(tmp_path: Path) -> None:
    blocks = [basic("a", "data", 4), basic("b", "a/sum", 4), basic("c", "b/sum", 6)]
    source = source_that_matches(net_of(*blocks), tmp_path)
    assert all(f"self.{name}_ = ConvReLU(" in source.text for name in ("half", "type", "train"))


@pytest.mark.parametrize(
    ("net", "name"),
    [("f", "FNet"), ("none", "NoneNet"), ("True", "TrueNet"), ("false", "FalseNet")],
)
def test_a_net_called_as_what_the_file_means_otherwise(net: str, name: str, tmp_path: Path) -> None:
    text = net_of(conv("conv1", "data", 4, 3)).replace('name: "net"', f'name: "{net}"')
    assert source_that_matches(text, tmp_path).class_name == name


@pytest.mark.parametrize("name", ["f", "none", "true"])
def test_a_structure_called_as_what_the_file_means_otherwise(name: str, tmp_path: Path) -> None:
    """Blocks that have no word of the field are called by what their layers' names share."""
    larger = "eltwise_param { operation: MAX }"
    rows, read = [], "data"
    for i in range(3):
        rows.append(layer(f"{name}/a{i}", "InnerProduct", read, f"a{i}", ROWS))
        rows.append(layer(f"{name}/b{i}", "Softmax", f"a{i}", f"b{i}"))
        rows.append(layer(f"{name}/c{i}", "AbsVal", f"b{i}", f"c{i}"))
        rows.append(layer(f"{name}/d{i}", "TanH", f"c{i}", f"d{i}"))
        rows.append(layer(f"{name}/e{i}", "Eltwise", f"d{i} a{i}", f"e{i}", larger))
        read = f"e{i}"
    source = source_that_matches(net_of(*rows), tmp_path)
    assert f"class {name.capitalize()}B(nn.Module):" in source.text


@pytest.mark.parametrize("name", ["F", "torch", "nn", "x", "self", "Tensor"])
def test_an_input_called_as_what_the_file_imports(name: str, tmp_path: Path) -> None:
    text = net_of(
        conv("conv1", "data", 4, 3),
        layer("pool", "Pooling", "conv1", "pool", "pooling_param { kernel_size: 2 stride: 2 }"),
        layer("cat", "Concat", "pool pool", "cat"),
    )
    text = text.replace('"data"', f'"{name}"')
    source_that_matches(text, tmp_path)


def test_shared_weights_of_a_layer_called_as_what_every_module_has(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "v" }'
    text = net_of(
        layer("type", "InnerProduct", "data", "a", f"{shared} {ROWS}"),
        layer("half", "InnerProduct", "data", "b", f"{shared} {ROWS}"),
        layer("sum", "Eltwise", "a b", "sum"),
    )
    assert source_that_matches(text, tmp_path).text.count("self.type_(") == 2


def converted(name: str, folder: Path) -> Path:
    """Where a net of that name, and a layer of caffe_layers in it, is written by the command."""
    rounded = layer("p", "Pooling", "conv1", "p", "pooling_param { kernel_size: 1 stride: 2 }")
    text = net_of(conv("conv1", "data", 4, 3), rounded).replace('name: "net"', f'name: "{name}"')
    path = folder / "read.prototxt"
    path.write_text(text, encoding="utf-8")
    assert main(["convert", str(path), "-o", str(folder / "new")]) == 0
    return folder / "new"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        *((name, f"{name}_") for name in ("torch", "safetensors", "caffe_layers", "numpy")),
        *((name, f"{name}_") for name in ("random", "types", "json", "typing_extensions")),
        *(("Torch", "torch_"), ("Random", "random_"), ("Class", "class_"), ("None", "none")),
        *(("__future__", "future"), ("random-net", "random_net"), ("LeNet", "lenet")),
    ],
)
def test_a_file_hides_no_module_from_imports_in_its_folder(
    name: str, stem: str, tmp_path: Path
) -> None:
    folder = converted(name, tmp_path)
    endings = (".keys.json", ".py", ".safetensors")
    assert sorted(path.name for path in folder.iterdir()) == [f"{stem}{end}" for end in endings]
    code = f"""
        import inspect, {stem}
        from safetensors.torch import load_file
        kinds = inspect.getmembers({stem}, inspect.isclass)
        (kind,) = [kind for _, kind in kinds if kind.__module__ == "{stem}"]
        print(kind().load_state_dict(load_file("{stem}.safetensors")))
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    place = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, capture_output=True, text=True, cwd=folder, env=place, check=False)
    assert done.returncode == 0, done.stderr
    assert "All keys matched" in done.stdout
    assert f'load_file("{stem}.safetensors")' in (folder / f"{stem}.py").read_text(encoding="utf-8")


def test_what_was_read_is_not_written_over_by_a_file_of_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Converting random_.safetensors' own net beside it would write random_.safetensors."""
    folder = converted("random", tmp_path)
    weights = folder / "random_.safetensors"
    before = weights.read_bytes()
    read = str(tmp_path / "read.prototxt")
    assert main(["convert", read, f"--weights={weights}", "-o", str(folder)]) != 0
    assert "random_.safetensors: is what was read" in capsys.readouterr().err
    assert weights.read_bytes() == before


def test_files_that_python_does_not_import_keep_the_nets_name(tmp_path: Path) -> None:
    converted("random", tmp_path)
    read = str(tmp_path / "read.prototxt")
    assert main(["convert", read, "--to", "caffe", "-o", str(tmp_path / "caffe")]) == 0
    names = sorted(path.name for path in (tmp_path / "caffe").iterdir())
    assert names == ["random.caffemodel", "random.prototxt"]


def test_inputs_alike_in_python_get_names_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three that are a_b, weighed 1 : 2 : 4, and one called as a function of the source."""
    path = tmp_path / "net.prototxt"
    blobs = ("a-b", "a.b", "a_b", "euclidean_loss")
    inputs = "".join(f'input: "{name}" input_shape {{ dim: 2 dim: 3 }}\n' for name in blobs)
    path.write_text(
        f"""name: "alike" {inputs}
        layer {{ name: "sum" type: "Eltwise" bottom: "a-b" bottom: "a.b" bottom: "a_b" top: "sum"
          eltwise_param {{ coeff: 1 coeff: 2 coeff: 4 }} }}
        layer {{ name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "euclidean_loss"
          top: "loss" }}"""
    )
    assert main(["convert", str(path), "-o", str(tmp_path / "out")]) == 0
    source = tmp_path / "out" / "alike.py"
    with module_of(source.read_text(encoding="utf-8")) as module:
        names = list(inspect.signature(module.Alike.forward).parameters)[1:]
        a, b, c, target = (torch.randn(2, 3) for _ in blobs)
        found = module.Alike()(a, b, c, target)["loss"]
    assert names == ["a_b_2", "a_b_3", "a_b", "euclidean_loss_2"]
    wanted = (a + 2 * b + 4 * c - target).square().sum() / 4
    assert found.item() == pytest.approx(wanted.item())
    capsys.readouterr()
    assert main(["verify", str(path), str(source)]) == 0
