"""Nets as ONNX: onnxruntime's numbers are the net's, in any batch, by the prototxt's names."""

from __future__ import annotations

import json
from pathlib import Path
from types import MethodType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from golden_case import FORWARD, GoldenCase

from caffe_layers.layer import Layer
from converter import load_net
from converter.errors import ExportError
from converter.exports import onnx_numbers
from converter.exports.onnx_export import NEWEST_OPSET, OPSET
from converter.exports.onnx_file import write_onnx
from converter.load import load_graph
from converter.net import Net
from converter.stand_in import quietly_fed

ROOT = Path(__file__).parent.parent
LENET = ROOT / "examples" / "prototxt" / "lenet" / "lenet.prototxt"
GOLDEN = Path(__file__).parent / "golden" / "layers"
CASES = (
    *("conv_group_dil", "deconv_group_bilinear", "crop", "lrn_across", "lrn_within", "mvn"),
    *("eltwise_prod", "eltwise_sum_coeff", "inner_product_axis2_T", "batch_norm_test", "prelu"),
    *("slice_points", "softmax", "power_half", "lstm", "rnn", "tile", "im2col", "concat_axis"),
    *("batch_norm_train", "argmax", "argmax_axis", "argmax_topk_val", "accuracy_top2_ignore"),
    *("pool_ave_pad", "pool_max_mask", "spp_max", "scale_two_bottoms", "net_shared_weights"),
)

BATCH_STATISTICS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } }
}
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn"
  batch_norm_param { use_global_stats: false } }
"""


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Path]:
    torch.manual_seed(3)
    fed = quietly_fed(load_graph(LENET), batch=2)
    path = tmp_path_factory.mktemp("onnx") / "lenet.onnx"
    write_onnx(fed.net, path, fed.inputs)
    return fed.net, path


TOPLESS_LOSS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "the_loss" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" }
"""


def test_a_loss_without_a_top_is_an_output_by_its_layers_name(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TOPLESS_LOSS)
    fed = quietly_fed(load_graph(path), batch=2)
    assert write_onnx(fed.net, tmp_path / "net.onnx", fed.inputs).difference < 1e-6
    assert [value.name for value in session(tmp_path / "net.onnx").get_outputs()] == ["the_loss"]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_gives_the_nets_numbers(lenet: tuple[Net, Path], batch: int) -> None:
    net, path = lenet
    data = torch.rand(batch, 1, 28, 28, generator=torch.Generator().manual_seed(batch))
    (found,) = session(path).run(None, {"data": data.numpy()})
    np.testing.assert_allclose(found, net(data=data)["prob"].detach().numpy(), atol=1e-6)


def test_inputs_outputs_nodes_and_metadata_bear_the_prototxts_names(
    lenet: tuple[Net, Path],
) -> None:
    net, path = lenet
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert [value.name for value in model.graph.input] == ["data"]
    assert [value.name for value in model.graph.output] == ["prob"]
    assert model.opset_import[0].version == OPSET
    assert facts["caffe.net"] == net.net_name
    assert facts["caffe.phase"] == "TEST"
    assert json.loads(facts["caffe.loss_weights"]) == {}
    assert [layer["name"] for layer in json.loads(facts["caffe.layers"])] == list(net.layers)
    assert "conv1/Conv" in {node.name for node in model.graph.node}
    assert {"conv1", "pool1"} <= {name for node in model.graph.node for name in node.output}


def test_no_path_of_the_exporters_machine_is_in_the_file(lenet: tuple[Net, Path]) -> None:
    assert b".py" not in lenet[1].read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_caffes_own_numbers(name: str, tmp_path: Path) -> None:
    case = GoldenCase(GOLDEN / f"{name}.prototxt")
    inputs = {blob: value.detach() for blob, value in case.inputs.items()}
    write_onnx(case.net, tmp_path / "net.onnx", inputs)
    model = session(tmp_path / "net.onnx")
    wanted = case.tops()
    for value, array in zip(
        model.get_outputs(), model.run(None, {k: v.numpy() for k, v in inputs.items()}), strict=True
    ):
        top = wanted[value.name]
        np.testing.assert_allclose(array.reshape(top.shape), top, atol=FORWARD * np.abs(top).max())


def test_a_net_that_computes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.prototxt").write_text('input: "a" input_shape { dim: 2 dim: 3 }')
    net = load_net(tmp_path / "data.prototxt")
    with pytest.raises(ExportError, match="no layer of phase TEST computes"):
        write_onnx(net, tmp_path / "d.onnx", {"a": torch.rand(2, 3)})


@pytest.mark.parametrize("opset", [18, 21, NEWEST_OPSET])
def test_the_opset_is_chosen(opset: int, tmp_path: Path) -> None:
    net, data = load_net(LENET), torch.rand(2, 1, 28, 28)
    written = write_onnx(net, tmp_path / "lenet.onnx", {"data": data}, opset=opset)
    (version,) = [entry.version for entry in onnx.load(written.path).opset_import]
    assert version == written.opset == opset
    (found,) = session(written.path).run(None, {"data": data.numpy()})
    np.testing.assert_allclose(found, net(data=data)["prob"].detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("opset", [OPSET - 1, NEWEST_OPSET + 1])
def test_an_opset_that_torch_does_not_write_is_refused(opset: int, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"opset {opset}: .* {OPSET} to {NEWEST_OPSET}"):
        write_onnx(
            load_net(LENET), tmp_path / "n.onnx", {"data": torch.rand(2, 1, 28, 28)}, opset=opset
        )


def test_statistics_of_the_batch_are_those_of_the_batch_at_hand(tmp_path: Path) -> None:
    """torch's exporter alone would write BatchNorm as if by the global statistics."""
    (tmp_path / "norm.prototxt").write_text(BATCH_STATISTICS)
    net = load_net(tmp_path / "norm.prototxt")
    before = {name: blob.clone() for name, blob in net.state_dict().items()}
    write_onnx(net, tmp_path / "norm.onnx", {"data": torch.rand(2, 3, 6, 5)})
    assert all(torch.equal(blob, before[name]) for name, blob in net.state_dict().items())
    x = np.random.default_rng(4).normal(3, 2, (7, 3, 6, 5)).astype(np.float32)
    (found,) = session(tmp_path / "norm.onnx").run(None, {"data": x})
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "rnn", "scale_axis0_two_axes"])
def test_an_axis_that_the_net_or_the_file_fixes_is_not_promised(name: str, tmp_path: Path) -> None:
    """Steps of a recurrent layer, and samples that have a factor each."""
    case = GoldenCase(GOLDEN / f"{name}.prototxt")
    inputs = {blob: value.detach() for blob, value in case.inputs.items()}
    written = write_onnx(case.net, tmp_path / "net.onnx", inputs)
    assert written.dynamic == ()
    for value in session(tmp_path / "net.onnx").get_inputs():
        assert value.shape == list(inputs[value.name].shape)


def test_two_inputs_have_any_length_together(tmp_path: Path) -> None:
    case = GoldenCase(GOLDEN / "scale_two_bottoms.prototxt")
    inputs = {blob: value.detach() for blob, value in case.inputs.items()}
    written = write_onnx(case.net, tmp_path / "net.onnx", inputs)
    model = session(tmp_path / "net.onnx")
    twice = {n: torch.cat((b, b)) if n in written.dynamic else b for n, b in inputs.items()}
    found = model.run(None, {name: blob.numpy() for name, blob in twice.items()})
    for value, array in zip(model.get_outputs(), found, strict=True):
        np.testing.assert_allclose(array, case.net(**twice)[value.name].detach(), rtol=1e-5)


def test_what_rounding_blows_up_is_compared_layer_by_layer(tmp_path: Path) -> None:
    """Weights of spread 3 between tanh's make a chaotic map: in float32 outputs mean nothing."""
    layer = """layer {{ name: "ip{0}" type: "InnerProduct" bottom: "x{0}" top: "ip{0}"
  inner_product_param {{ num_output: 30 weight_filler {{ type: "gaussian" std: 3 }} }} }}
layer {{ name: "x{1}" type: "TanH" bottom: "ip{0}" top: "x{1}" }}
"""
    start = (
        'layer { name: "x0" type: "Input" top: "x0" input_param { shape { dim: 2 dim: 30 } } }\n'
    )
    path = tmp_path / "net.prototxt"
    path.write_text(start + "".join(layer.format(i, i + 1) for i in range(20)))
    torch.manual_seed(1)
    written = write_onnx(load_net(path), tmp_path / "net.onnx", {"x0": torch.rand(2, 30)})
    assert written.engine == "onnxruntime, layer by layer"
    assert len(written.differences) == 40
    assert written.difference < 1e-5


@pytest.mark.parametrize(
    ("top", "said"),
    [("data", "overwrites the net's input 'data' in place.*another name"), ("", "has no name")],
)
def test_tops_that_onnx_has_no_name_for(top: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    layer = f'layer {{ name: "relu" type: "ReLU" bottom: "data" top: "{top}" }}'
    path.write_text(RANKING.partition('\nlayer { name: "best')[0] + layer)
    with pytest.raises(ExportError, match=rf"layer 'relu' \(ReLU\): .*{said}"):
        write_onnx(load_net(path), tmp_path / "net.onnx", {"data": torch.rand(2, 40)})
    assert not (tmp_path / "net.onnx").exists()


RANKING = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 40 } } }
layer { name: "best" type: "ArgMax" bottom: "data" top: "best" argmax_param { top_k: 40 } }
"""


@pytest.mark.parametrize("opset", [OPSET, NEWEST_OPSET])
def test_of_equal_values_the_one_of_higher_index_is_first_as_in_caffe(
    opset: int, tmp_path: Path
) -> None:
    """Caffe sorts pairs (value, index) in falling order."""
    path = tmp_path / "net.prototxt"
    path.write_text(RANKING)
    x = np.random.default_rng(5).integers(0, 4, (3, 40)).astype(np.float32)
    net = load_net(path)
    write_onnx(net, tmp_path / "net.onnx", {"data": torch.from_numpy(x[:2])}, opset=opset)
    (found,) = session(tmp_path / "net.onnx").run(None, {"data": x})
    wanted = [sorted(range(40), key=lambda i: (row[i], i), reverse=True) for row in x]
    np.testing.assert_array_equal(found[:, 0], wanted)


def test_a_layer_that_onnx_has_no_words_for_is_named_and_nothing_else_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def forward(self: Layer, x: torch.Tensor) -> torch.Tensor:
        return 2 * x if x.flatten()[0].item() > 0 else x

    net = load_net(LENET)
    net.layers["relu1"].forward = MethodType(forward, net.layers["relu1"])
    with pytest.raises(ExportError, match=r"layer 'relu1' \(ReLU\): .*numbers.*--outputs"):
        write_onnx(net, tmp_path / "lenet.onnx", {"data": torch.rand(2, 1, 28, 28)})
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_layer_that_torchs_exporter_cannot_translate_is_named_with_the_operator(
    tmp_path: Path,
) -> None:
    net = load_net(LENET)
    net.layers["relu1"].forward = torch.digamma  # type: ignore[method-assign]
    with pytest.raises(ExportError, match=r"layer 'relu1' \(ReLU\): .*digamma"):
        write_onnx(net, tmp_path / "lenet.onnx", {"data": torch.rand(2, 1, 28, 28)})
    assert not list(tmp_path.iterdir())


def test_a_file_that_gives_other_numbers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load_net(LENET)
    whole = onnx_numbers.run_onnx

    def wrong(*arguments):  # type: ignore[no-untyped-def]
        return {name: value + 0.1 for name, value in whole(*arguments).items()}

    monkeypatch.setattr(onnx_numbers, "run_onnx", wrong)
    with pytest.raises(ExportError, match=r"onnxruntime gives other numbers .* blob '"):
        write_onnx(net, tmp_path / "lenet.onnx", {"data": torch.rand(2, 1, 28, 28)})
    assert not list(tmp_path.iterdir())
