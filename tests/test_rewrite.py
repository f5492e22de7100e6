"""Each rewrite against the layers it stands for: outputs, gradients, weights, printed text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from caffe_layers.layer import Gradient
from converter.errors import GraphError
from converter.graph import Graph, build_graph
from converter.load import load_net
from converter.message import read_text, write_text
from converter.net import Net, build_net
from converter.rewrite.catalogue import EQUAL, REWRITES, rewritten, wanted_rewrites
from converter.rewrite.repeats import find_repeats
from converter.schema import load_schema
from converter.weights import WeightFile, load_weights, read_weights, save_weights
from pycaffe.command import main
from retrain.feeding import fed_net

JOINTS, DEPTH, SIDE, BATCH = 3, 4, 5, 2

SOLID = """layer { name: "fill" type: "Input" top: "image"
  input_param { shape { dim: 2 dim: 6 dim: 5 dim: 5 } } }
layer { name: "truth" type: "Input" top: "truth" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "depth" type: "Input" top: "depth" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "image" top: "conv" convolution_param {
  num_output: 7 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv"
  param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } batch_norm_param { %s } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv"
  param { lr_mult: 3 } param { lr_mult: 2 } scale_param { bias_term: true
  filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "gaussian" std: 0.3 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "heads" type: "Split" bottom: "conv" top: "head_a" top: "head_b" }
layer { name: "maps" type: "Convolution" bottom: "head_a" top: "heatmap2" convolution_param {
  num_output: 12 kernel_size: 1 weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "side" type: "Convolution" bottom: "head_b" top: "side" convolution_param {
  num_output: 1 kernel_size: 1 weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "quiet" type: "Silence" bottom: "conv" }
layer { name: "flat" type: "Flatten" bottom: "heatmap2" top: "flat" }
layer { name: "times" type: "ScaleVector" bottom: "flat" top: "times"
  scale_vector_param { scale_factor: 3 } }
layer { name: "cubes" type: "Reshape" bottom: "times" top: "cubes"
  reshape_param { shape { dim: 0 dim: 12 dim: 5 dim: 5 } } }
layer { name: "norm" type: "DeepHumanModelSoftmax3DHM" bottom: "cubes" top: "norm"
  deep_human_model_softmax_3d_hm_param { joint_num: 3 depth_dims: 4 } }
layer { name: "cut" type: "Slice" bottom: "norm" top: "cube_0" top: "cube_1" top: "cube_2"
  slice_param { axis: 1 slice_point: 4 slice_point: 8 } }
"""
INTEGRAL = """layer { name: "{a}{j}v" type: "DeepHumanModelIntegral{A}" bottom: "cube_{j}"
  top: "{a}{j}v" }
layer { name: "{a}{j}" type: "DeepHumanModelIntegralVector" bottom: "{a}{j}v" top: "{a}{j}"
  deep_human_model_integral_vector_param { dim_lb: -0.5 dim_ub: 2 } }
"""
LOSSES = """layer { name: "apart" type: "EuclideanLoss" bottom: "xy" bottom: "truth" top: "apart"
  loss_weight: 2 }
layer { name: "deep" type: "EuclideanLoss" bottom: "z" bottom: "depth" top: "deep" }
layer { name: "rest" type: "Reduction" bottom: "side" top: "rest" loss_weight: 0.1 }
layer { name: "shown" type: "EuclideanLoss" bottom: "xy" bottom: "truth" top: "shown"
  loss_weight: 0 }
"""


def volume_net(statistics: str = "use_global_stats: false") -> str:
    cubes = "".join(
        INTEGRAL.replace("{a}", a).replace("{A}", a.upper()).replace("{j}", str(j))
        for j in range(JOINTS)
        for a in "xyz"
    )
    plane = " ".join(f'bottom: "{a}{j}"' for j in range(JOINTS) for a in "xy")
    depth = " ".join(f'bottom: "z{j}"' for j in range(JOINTS))
    joined = (
        f'layer {{ name: "xy" type: "Concat" {plane} top: "xy" }}\n'
        f'layer {{ name: "z" type: "Concat" {depth} top: "z" }}\n'
    )
    return SOLID % statistics + cubes + joined + LOSSES


def graph(text: str, phase: str = "TRAIN") -> Graph:
    schema = load_schema("integral")
    record = read_text(text, "net.prototxt", "NetParameter", schema)
    return replace(build_graph(record, phase=phase), schema=schema)


def inputs(net: Net) -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {name: torch.randn(net.blob_shapes[name]) for name in net.inputs}


def pair(
    names: Sequence[str], folder: Path, *, text: str = "", mode: Gradient = "legacy"
) -> tuple[Net, Net]:
    """The net as it is written and rewritten, with the same weights by way of a file."""
    whole = graph(text if text else volume_net())
    torch.manual_seed(0)
    plain = build_net(whole, gradient=mode)
    other = build_net(rewritten(whole, names), gradient=mode)
    save_weights(plain, folder / "plain.caffemodel")
    assert load_weights(other, folder / "plain.caffemodel").complete
    return plain, other


def gradients(net: Net) -> dict[tuple[str, int], Tensor]:
    """Gradients by the names that the prototxt gives, after one backward pass."""
    made = net(**inputs(net))
    net.loss(made).backward()
    return {
        (blob.layer, blob.index): blob.tensor.grad.clone()
        for blob in net.learnable()
        if blob.tensor.grad is not None
    }


def stored(path: Path) -> dict[str, list[Tensor]]:
    file: WeightFile = read_weights(path)
    return {
        layer.name: [torch.from_numpy(blob.data.copy()) for blob in layer.blobs if blob]
        for layer in file.layers
        if layer.blobs
    }


@pytest.mark.parametrize("mode", ["legacy", "exact"])
@pytest.mark.parametrize("name", ["all", *REWRITES])
def test_outputs_and_gradients_are_those_of_the_legacy_layers(
    name: str, mode: Gradient, tmp_path: Path
) -> None:
    plain, other = pair([name], tmp_path, mode=mode)
    assert other.loss_weights == plain.loss_weights
    expected, found = plain(**inputs(plain)), other(**inputs(other))
    assert found.keys() == expected.keys() - ({"shown"} if name == "dead_metrics" else set())
    for top, value in found.items():
        torch.testing.assert_close(value, expected[top], rtol=1e-5, atol=1e-6)
    wanted, got = gradients(plain), gradients(other)
    assert list(got) == list(wanted), "the solver's order is the legacy one"
    for blob, value in wanted.items():
        torch.testing.assert_close(got[blob], value, rtol=1e-4, atol=1e-6)


def test_layers_that_go() -> None:
    whole = graph(volume_net())
    assert len(whole.nodes) == 40
    fewer = {name: len(rewritten(whole, [name]).nodes) for name in REWRITES}
    soft = 3 + 2 + 6 * JOINTS + 2 - 1  # in front, softmax and slice, integrals, concats
    assert fewer == {
        "side_outputs": 40,
        "dead_metrics": 40 - 2,
        "splits": 40 - 2,
        "soft_argmax": 40 - soft,
        "batch_norm": 40 - 1,
    }
    told = rewritten(whole, ["all"]).rewriting
    assert told == "40 layers -> 13 (fewer by: splits 2, soft_argmax 24, batch_norm 1)"


def test_a_snapshot_of_the_rewritten_net_is_the_legacy_one(tmp_path: Path) -> None:
    plain, other = pair(["all", "dead_metrics"], tmp_path)
    save_weights(other, tmp_path / "other.caffemodel")
    want, found = stored(tmp_path / "plain.caffemodel"), stored(tmp_path / "other.caffemodel")
    assert found.keys() == want.keys() == {"conv", "bn", "scale", "maps", "side"}
    assert [len(blobs) for blobs in found.values()] == [2, 3, 2, 2, 2]
    for layer, blobs in want.items():
        for mine, theirs in zip(found[layer], blobs, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    for blob, own in zip(other.learnable(), plain.learnable(), strict=True):
        assert (blob.layer, blob.index) == (own.layer, own.index)
        assert (blob.lr_mult, blob.decay_mult) == (own.lr_mult, own.decay_mult)


def test_hdf5_weights_keep_the_legacy_names(tmp_path: Path) -> None:
    plain, other = pair(["all"], tmp_path)
    save_weights(other, tmp_path / "other.caffemodel.h5")
    assert load_weights(plain, tmp_path / "other.caffemodel.h5").complete


@pytest.mark.parametrize("fixes", [("half_cell",), ("half_cell", "stable_softmax")])
def test_fixes_hold_in_the_collapsed_layer(fixes: tuple[str, ...]) -> None:
    whole, made = replace(graph(volume_net()), fixes=frozenset(fixes)), []
    for names in ([], ["soft_argmax"]):
        torch.manual_seed(0)
        net = build_net(rewritten(whole, names))
        made.append((net(**inputs(net))["apart"], gradients(net)["maps", 0]))
    torch.testing.assert_close(made[1][0], made[0][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made[1][1], made[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("swapped", [False, True], ids=["from_legacy", "from_rewritten"])
def test_a_test_net_shares_blobs_across_rewrites(swapped: bool, tmp_path: Path) -> None:
    nets = pair(["all"], tmp_path)
    source, taker = reversed(nets) if swapped else nets
    assert taker.share_with(source) == []
    for mine, theirs in zip(taker.learnable(), source.learnable(), strict=True):
        assert mine.tensor.data_ptr() == theirs.tensor.data_ptr()


def test_batch_statistics_move_as_batch_norms_do(tmp_path: Path) -> None:
    plain, other = pair(["batch_norm"], tmp_path)
    for net in (plain, other):
        for _ in range(3):
            net(**inputs(net))
    joined, norm = other.layers["scale"], plain.layers["bn"]
    for name in ("mean", "variance", "scale_factor"):
        torch.testing.assert_close(getattr(joined, name), getattr(norm, name), rtol=0, atol=0)


def test_global_statistics_are_one_affine_map(tmp_path: Path) -> None:
    text = volume_net("use_global_stats: true")
    plain, other = pair(["batch_norm"], tmp_path, text=text)
    for net, key in ((plain, "bn"), (other, "scale")):
        layer, generator = net.layers[key], torch.Generator().manual_seed(1)
        layer.mean.copy_(torch.randn(7, generator=generator))
        layer.variance.copy_(torch.rand(7, generator=generator) + 0.5)
        layer.scale_factor.fill_(1.5)
    expected, found = plain(**inputs(plain)), other(**inputs(other))
    for top, value in expected.items():
        torch.testing.assert_close(found[top], value, rtol=1e-5, atol=1e-6)
    grads = gradients(other)
    for blob, value in gradients(plain).items():
        torch.testing.assert_close(grads[blob], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [20.0, 60.0], ids=["squares overflow", "powers overflow"])
def test_the_legacy_softmax_overflows_alike(scale: float, tmp_path: Path) -> None:
    text = volume_net().replace("scale_factor: 3", f"scale_factor: {scale}")
    plain, other = pair(["soft_argmax"], tmp_path, text=text)
    for net in (plain, other):
        net.layers["maps"].bias.data[5] = 3
    assert_same_numbers(other(**inputs(other))["apart"], plain(**inputs(plain))["apart"])
    grads, wanted = gradients(other), gradients(plain)
    assert not torch.isfinite(wanted["maps", 1]).all()
    torch.testing.assert_close(torch.isfinite(grads["maps", 1]), torch.isfinite(wanted["maps", 1]))


def assert_same_numbers(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


READ_TWICE = 'layer { name: "more" type: "Reduction" bottom: "%s" top: "more" }\n'


@pytest.mark.parametrize("blob", ["norm", "cube_1", "y2v", "x0", "times"])
def test_a_blob_that_others_read_is_kept(blob: str) -> None:
    whole = graph(volume_net() + READ_TWICE % blob)
    left = {node.key for node in rewritten(whole, ["soft_argmax"]).nodes}
    assert blob in left or (blob.startswith("cube") and "cut" in left)


def test_a_normalised_blob_that_others_read_is_kept() -> None:
    text = volume_net().replace('"scale" type: "Scale" bottom: "conv" top: "conv"', "%s")
    text = text % '"scale" type: "Scale" bottom: "conv" top: "scaled"'
    assert len(rewritten(graph(text), ["batch_norm"]).nodes) == 40


def test_shared_parameters_keep_the_pair() -> None:
    text = volume_net().replace("param { lr_mult: 3 }", 'param { name: "s" lr_mult: 3 }')
    text += """layer { name: "twin" type: "Scale" bottom: "conv" top: "twin"
      param { name: "s" } param { lr_mult: 1 } scale_param { bias_term: true } }
    layer { name: "hush" type: "Silence" bottom: "twin" }
    """
    assert len(rewritten(graph(text), ["batch_norm"]).nodes) == 42


def test_sharing_elsewhere_is_counted_anew(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" } '
    text = volume_net().replace('top: "side"', f'top: "side" {shared}')
    text += f"""layer {{ name: "side2" type: "Convolution" bottom: "head_b" top: "side2" {shared}
      convolution_param {{ num_output: 1 kernel_size: 1 }} }}
    layer {{ name: "rest2" type: "Reduction" bottom: "side2" top: "rest2" loss_weight: 0.2 }}"""
    plain, other = pair(["all"], tmp_path, text=text)
    assert other.layers["side2"].weight is other.layers["side"].weight
    grads = gradients(other)
    for blob, value in gradients(plain).items():
        torch.testing.assert_close(grads[blob], value, rtol=1e-4, atol=1e-6)


def test_the_text_of_a_rewritten_net_reads_back(tmp_path: Path) -> None:
    whole = graph(volume_net())
    changed = rewritten(whole, ["splits", "soft_argmax"])
    record = whole.record.having(layer=tuple(node.record for node in changed.nodes))
    again = graph(write_text(record, load_schema("integral")))
    assert [(n.type, n.bottoms, n.tops) for n in again.nodes] == [
        (n.type, n.bottoms, n.tops) for n in changed.nodes
    ]
    plain, _ = pair([], tmp_path)
    net = build_net(again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(net, tmp_path / "plain.caffemodel")
    torch.testing.assert_close(net(**inputs(net))["apart"], plain(**inputs(plain))["apart"])


def test_metrics_stay_in_phase_test() -> None:
    whole = graph(volume_net(), phase="TEST")
    assert len(rewritten(whole, ["dead_metrics"]).nodes) == len(whole.nodes)


def test_writers_go_only_when_named(tmp_path: Path) -> None:
    text = (
        volume_net()
        + f"""layer {{ name: "index" type: "DummyData" top: "index"
      dummy_data_param {{ shape {{ dim: 2 dim: 1 }} }} }}
    layer {{ name: "twice" type: "ScaleVector" bottom: "z" top: "twice" }}
    layer {{ name: "file" type: "OutputBlob" bottom: "twice" bottom: "index"
      output_blob_param {{ blob_name: "z" save_path: "{tmp_path}/" }} }}"""
    )
    whole = graph(text)
    without = rewritten(whole, ["side_outputs"])
    gone = {n.key for n in whole.nodes} - {n.key for n in without.nodes}
    assert gone == {"index", "twice", "file"}
    kept = {node.key for node in rewritten(whole, ["dead_metrics"]).nodes}
    assert {"index", "twice", "file"} <= kept


def test_a_rewritten_graph_is_split_and_fed() -> None:
    text = volume_net().replace('type: "Input"', 'type: "DummyData"')
    made = fed_net(rewritten(graph(text.replace("input_param", "dummy_data_param")), ["all"])).run()
    assert made.loss is not None
    assert list(made.outputs) == ["apart", "deep", "rest", "shown"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(GraphError, match=r"'batchnorm'\. Did you mean 'batch_norm'"):
        wanted_rewrites(["batchnorm"])
    assert set(wanted_rewrites(["all"])) == set(EQUAL)


UNIT = """layer { name: "a%d" type: "ReLU" bottom: "%s" top: "a%d" }
layer { name: "b%d" type: "Power" bottom: "a%d" top: "b%d" power_param { power: 2 } }
layer { name: "c%d" type: "Eltwise" bottom: "b%d" bottom: "%s" top: "c%d" }
"""


def unit(index: int, bottom: str) -> str:
    i = index
    return UNIT % (i, bottom, i, i, i, i, i, i, bottom, i)


def test_repeats_are_found_and_nested() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    last = "x"
    for block in range(2):
        for i in (2 * block, 2 * block + 1):
            text += unit(i, last)
            last = f"c{i}"
        text += f'layer {{ name: "t{block}" type: "TanH" bottom: "{last}" top: "t{block}" }}\n'
        last = f"t{block}"
    repeats = find_repeats(graph(text))
    assert [(r.starts, r.size) for r in repeats] == [((1, 8), 7)]
    assert [(r.starts, r.size) for r in repeats[0].inside] == [((1, 4), 3)]


def test_equal_units_in_a_row_are_units_not_pairs_of_them() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    text += "".join(unit(i, f"c{i - 1}" if i else "x") for i in range(4))
    assert [(r.starts, r.size) for r in find_repeats(graph(text))] == [((1, 4, 7, 10), 3)]


def test_other_settings_make_another_block() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
    text += unit(0, "x") + unit(1, "c0").replace("power: 2", "power: 3")
    assert find_repeats(graph(text)) == ()


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, out = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    net.write_text(volume_net())
    assert main(["rewrite", str(net), "-o", str(out), "--iterations=2", "--repeats"]) == 0
    text = capsys.readouterr().out
    assert "40 layers -> 13" in text
    assert "s per step -> " in text
    assert "14 layers, phase TRAIN" in text, "BatchNorm and Scale stay two"
    assert len(load_net(out, phase="TRAIN", fork="integral").layers) == 14


def test_the_command_refuses_an_unknown_rewrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(volume_net())
    assert main(["rewrite", str(net), "--rewrite=softargmax"]) == 2
    assert "Did you mean 'soft_argmax'" in capsys.readouterr().err


def test_training_says_what_was_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = volume_net().replace('type: "Input"', 'type: "DummyData"')
    (tmp_path / "net.prototxt").write_text(text.replace("input_param", "dummy_data_param"))
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 '
        f'snapshot_prefix: "{tmp_path}/run" solver_mode: CPU'
    )
    assert main(["train", f"--solver={solver}", "--fork=integral", "--rewrite=all"]) == 0
    assert "Rewritten: 40 layers -> 13" in capsys.readouterr().err
    stored = read_weights(tmp_path / "run_iter_1.caffemodel")
    assert sorted(stored) == ["bn", "conv", "maps", "scale", "side"]
