"""Nets as ONNX: onnxruntime's numbers are the net's, in any batch, by the prototxt's names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from golden_case import FORWARD, GoldenCase

from converter import load_net
from converter.errors import ExportError
from converter.exports import onnx_file
from converter.exports.onnx_file import OPSET, write_onnx
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
    *("pool_ave_pad", "pool_max_mask", "spp_max", "scale_two_bottoms", "net_shared_weights"),
)


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Path]:
    torch.manual_seed(3)
    fed = quietly_fed(load_graph(LENET), batch=2)
    path = tmp_path_factory.mktemp("onnx") / "lenet.onnx"
    write_onnx(fed.net, path, fed.inputs)
    return fed.net, path


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


def test_a_file_that_gives_other_numbers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load_net(LENET)
    whole = onnx_file.run_onnx

    def wrong(*arguments):  # type: ignore[no-untyped-def]
        outputs, engine = whole(*arguments)
        return {name: value + 0.1 for name, value in outputs.items()}, engine

    monkeypatch.setattr(onnx_file, "run_onnx", wrong)
    with pytest.raises(ExportError, match=r"onnxruntime gives other numbers .* 'prob'"):
        write_onnx(net, tmp_path / "lenet.onnx", {"data": torch.rand(2, 1, 28, 28)})
    assert not list(tmp_path.iterdir())
