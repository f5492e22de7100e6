"""A Net is plain torch: code, inputs, shared blobs, gradients, copies, compile and export."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from converter import load_net
from converter.errors import DataError, GraphError, LayerError
from converter.exports.caffe_files import write_caffe
from converter.exports.onnx_file import write_onnx
from converter.exports.pytorch import write_pytorch
from converter.net import Net
from converter.weights import load_weights, read_weights, save_weights

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }\n'


def product(name: str, bottom: str, outputs: int, *, more: str = "", param: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {param}\n'
        f"  inner_product_param {{ num_output: {outputs} bias_term: false {more}\n"
        '    weight_filler { type: "xavier" } } }\n'
    )


STRICT = (
    INPUT
    + product("a", "x", 2, param='param { name: "w" lr_mult: 3 }')
    + product("b", "x", 2, param='param { name: "w" }')
)
PERMISSIVE = (
    INPUT
    + product("a", "x", 2, param='param { name: "w" }')
    + product(
        "b", "x", 2, more="transpose: true", param='param { name: "w" share_mode: PERMISSIVE }'
    )
)
LOSSES = (
    'name: "losses"\n'
    + INPUT
    + 'layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }\n'
    + product("ip", "x", 2)
    + 'layer { name: "squash" type: "Sigmoid" bottom: "ip" top: "ip" loss_weight: 0.5 }\n'
    + product("far", "ip", 5)
    + 'layer { name: "loss" type: "EuclideanLoss" bottom: "far" bottom: "far" top: "loss"\n'
    + "  loss_weight: 2 propagate_down: true propagate_down: false }\n"
)

OPEN = 'open("PWNED", "w")'
HOSTILE = (
    f'conv",{OPEN})or getattr(self,"conv',
    f"conv',{OPEN})or getattr(self,'conv",
    f'"""\n{OPEN}\n"""',
    f'"""+str({OPEN})+"""',
    f'": {OPEN}, "b',
    f"x\n{OPEN}",
    f"x\r{OPEN}",
    f"x\u2028{OPEN}",
    f"x#\f{OPEN}",
    f"{{{OPEN}}}",
    f'\\"""\n{OPEN}',
    'quo"te',
    "back\\slash",
    "\\",
    "new\nline",
)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def build(tmp_path: Path) -> Any:
    def build(text: str, **options: Any) -> Net:
        path = tmp_path / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        return load_net(path, **options)

    return build


class TestCode:
    def test_it_reads_like_the_prototxt(self, build: Any) -> None:
        lines = [line.partition(";")[0].strip() for line in build(LOSSES).code.splitlines()]
        assert [line for line in lines if line] == [
            "def forward(self, x):",
            "relu = self.relu(x)",
            "ip = self.ip(relu)",
            "squash = self.squash(ip)",
            "far = self.far(squash)",
            "detach = far.detach()",
            "loss = self.loss_layer(far, detach)",
            "return {'loss': loss, 'ip': squash}",
        ]

    def test_inputs_whose_names_are_alike_in_python(self, build: Any) -> None:
        names = ("a/b", "a_b", "self", "lambda")
        inputs = "".join(f'input: "{n}" input_shape {{ dim: 3 dim: 4 }}\n' for n in names)
        bottoms = "".join(f'bottom: "{n}" ' for n in names)
        net = build(f'{inputs} layer {{ name: "s" type: "Concat" {bottoms} top: "out" }}')
        assert net.inputs == names
        given = [torch.full((3, 4), float(i)) for i in range(4)]
        assert net(*given)["out"][0, ::4].tolist() == [0, 1, 2, 3]

    def test_a_blob_called_self(self, build: Any, x: Tensor) -> None:
        net = build(INPUT + product("self", "x", 2) + product("out", "self", 5))
        assert net(x=x)["out"].shape == (3, 5)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_name_is_never_code(
        self, name: str, build: Any, x: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        spelt = "".join(f"\\{byte:03o}" for byte in name.encode())
        net = build(f'name: "{spelt}"\n' + INPUT + product(spelt, "x", 2))
        wanted = x @ net.learnable()[0].tensor.T
        torch.testing.assert_close(net(x=x)[name], wanted)
        torch.testing.assert_close(copy.deepcopy(net)(x)[name], wanted)
        assert list(net.layers) == ["in", name]
        inputs = {"x": x}
        written = write_pytorch(net, tmp_path / "torch", inputs, origin=name)
        assert compile(written.source.read_bytes(), "net.py", "exec", dont_inherit=True)
        write_onnx(net, tmp_path / "net.onnx", inputs)
        write_caffe(net, tmp_path / "caffe")
        assert not (tmp_path / "PWNED").exists()
        assert not (tmp_path / "torch" / "PWNED").exists()

    def test_layers_of_one_name_beside_one_that_has_the_name_they_would_get(
        self, build: Any, x: Tensor
    ) -> None:
        one, two, three = (product(n, "x", size) for n, size in (("c", 2), ("d", 5), ("c_2", 6)))
        net = build(INPUT + one + two.replace('name: "d"', 'name: "c"') + three)
        assert {name: top.shape[1] for name, top in net(x=x).items()} == {"c": 2, "d": 5, "c_2": 6}
        assert net.layers["c_2"].num_output == 6
        assert [blob.layer for blob in net.learnable()] == ["c", "c_3", "c_2"]


class TestSharing:
    def test_one_parameter_of_two_layers(self, build: Any) -> None:
        net = build(STRICT)
        assert net.a.weight is net.b.weight
        assert [(blob.layer, blob.lr_mult) for blob in net.learnable()] == [("a", 3.0)]

    def test_other_shapes_are_refused_unless_permissive(self, build: Any) -> None:
        with pytest.raises(GraphError, match=r"shares param 'w' of shape \[2, 4\], needs \[4, 2\]"):
            build(PERMISSIVE.replace("share_mode: PERMISSIVE", ""))

    def test_permissive_is_the_same_memory(self, build: Any, x: Tensor) -> None:
        net = build(PERMISSIVE)
        made = net(x=x)
        torch.testing.assert_close(made["b"], x @ net.a.weight.view(4, 2))
        (made["a"].sum() + made["b"].sum()).backward()
        both = x.sum(0).expand(2, 4) + x.sum(0)[:, None].expand(4, 2).reshape(2, 4)
        torch.testing.assert_close(net.a.weight.grad, both)
        assert [name for name, _ in net.named_parameters()] == ["a.weight"]

    @pytest.mark.parametrize("text", [STRICT, PERMISSIVE], ids=["strict", "permissive"])
    def test_a_test_net_sees_what_the_train_net_learns(
        self, build: Any, x: Tensor, text: str
    ) -> None:
        train, test = build(text, phase="TRAIN"), build(text)
        test.share_with(train)
        with torch.no_grad():
            train.a.weight.mul_(-3)
        torch.testing.assert_close(test(x=x), train(x=x))

    @pytest.mark.parametrize("text", [STRICT, PERMISSIVE], ids=["strict", "permissive"])
    def test_a_copy_shares_within_itself_only(self, build: Any, x: Tensor, text: str) -> None:
        net = build(text)
        before = net(x=x)
        other = copy.deepcopy(net).double()
        with torch.no_grad():
            other.a.weight.zero_()
        assert not any(top.any() for top in other(x=x.double()).values())
        torch.testing.assert_close(net(x=x), before)
        assert other.layers["b"].blob_tensors()[0][1].dtype == torch.float64

    @pytest.mark.parametrize("text", [STRICT, PERMISSIVE], ids=["strict", "permissive"])
    def test_weights_come_back(self, build: Any, x: Tensor, text: str, tmp_path: Path) -> None:
        net, other = build(text), build(text)
        save_weights(net, tmp_path / "w.caffemodel")
        assert load_weights(other, tmp_path / "w.caffemodel").complete
        torch.testing.assert_close(other(x=x), net(x=x))
        net.a.weight.grad = torch.arange(8.0).view(2, 4)
        save_weights(net, tmp_path / "d.caffemodel", with_diff=True)
        (diff,) = (blob.diff for blob in read_weights(tmp_path / "d.caffemodel").layers[2].blobs)
        assert diff.flatten().tolist() == list(range(8))
        third = build(text)
        third.load_state_dict(net.state_dict())
        torch.testing.assert_close(third(x=x), net(x=x))


class TestGradients:
    def test_loss_is_the_weighted_sum_of_every_element(self, build: Any, x: Tensor) -> None:
        net = build(LOSSES)
        made = net(x=x)
        assert list(made) == ["loss", "ip"]
        torch.testing.assert_close(net.loss(made), 2 * made["loss"] + 0.5 * made["ip"].sum())

    def test_propagate_down_false_stops_the_gradient(self, build: Any, x: Tensor) -> None:
        tail = 'layer { name: "l" type: "Reduction" bottom: "b" top: "l" loss_weight: 1 }'
        stopped = product("b", "a", 5, param="propagate_down: false")
        net = build(INPUT + product("a", "x", 2) + stopped + tail)
        net.loss(net(x=x)).backward()
        assert net.a.weight.grad is None
        assert net.b.weight.grad.any()

    def test_lr_mult_0_needs_no_gradient(self, build: Any) -> None:
        net = build(INPUT + product("a", "x", 2, param="param { lr_mult: 0 }"))
        assert not net.a.weight.requires_grad


class TestTorch:
    @pytest.mark.parametrize("text", [LOSSES, STRICT, PERMISSIVE], ids=["losses", "strict", "perm"])
    def test_compile(self, build: Any, x: Tensor, text: str) -> None:
        net = build(text)
        torch.testing.assert_close(
            torch.compile(net, backend="eager", fullgraph=True)(x=x), net(x=x)
        )

    @pytest.mark.parametrize("text", [LOSSES, STRICT, PERMISSIVE], ids=["losses", "strict", "perm"])
    def test_export_with_any_batch_size(self, build: Any, text: str) -> None:
        net, x = build(text), torch.randn(7, 4)
        sizes = {"x": {0: torch.export.Dim("batch", min=2)}}
        program = torch.export.export(net, (), {"x": torch.randn(3, 4)}, dynamic_shapes=sizes)
        torch.testing.assert_close(program.module()(x=x), net(x=x))

    @pytest.mark.parametrize("text", [LOSSES, STRICT, PERMISSIVE], ids=["losses", "strict", "perm"])
    def test_pickle(self, build: Any, x: Tensor, text: str) -> None:
        net = build(text, phase="TRAIN")
        net.meta["weight_report"] = None
        other = pickle.loads(pickle.dumps(net))
        assert isinstance(other, Net)
        assert (other.code, other.training) == (net.code, True)
        assert other.state_dict().keys() == net.state_dict().keys()
        torch.testing.assert_close(other(x=x), net(x=x))
        assert [b.layer for b in other.learnable()] == [b.layer for b in net.learnable()]
        with torch.no_grad():
            other.learnable()[0].tensor.zero_()
        assert not any(top.any() for top in other(x=x).values()) or text is LOSSES
        assert net.learnable()[0].tensor.any()

    def test_pickle_refuses_a_graph_changed_by_hand(self, build: Any) -> None:
        net = build(STRICT)
        node = next(node for node in net.graph.nodes if node.target == "b")
        node.target = "a"
        net.recompile()
        with pytest.raises(pickle.PicklingError, match="state_dict"):
            pickle.dumps(net)

    @pytest.mark.parametrize("name", ["in", "conv1/3x3_s2", "a.b", "1", "loss", "forward"])
    def test_export_whatever_a_layer_is_called(self, build: Any, x: Tensor, name: str) -> None:
        net = build(INPUT.replace('"in"', '"data"') + product(name, "x", 2))
        program = torch.export.export(net, (), {"x": x})
        torch.testing.assert_close(program.module()(x=x), net(x=x))

    def test_deepcopy_is_a_net(self, build: Any, x: Tensor) -> None:
        net = build(LOSSES)
        other = copy.deepcopy(net)
        assert isinstance(other, Net)
        assert other.inputs == ("x",)
        assert list(other.layers) == list(net.layers)
        torch.testing.assert_close(other.loss(other(x=x)), net.loss(net(x=x)))


def test_problems_of_several_layers_are_reported_at_once(tmp_path: Path) -> None:
    prototxt = tmp_path / "two.prototxt"
    prototxt.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "a" type: "Sigmod" bottom: "x" top: "a" }\n'
        'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { } }\n'
    )
    with pytest.raises(LayerError) as caught:
        load_net(prototxt)
    unknown, unset = str(caught.value).splitlines()
    assert unknown.startswith(f"{prototxt}:2:1: layer 'a' (Sigmod)")
    assert "'Sigmoid'" in unknown
    assert (
        unset
        == f"{prototxt}:3:1: layer 'b' (InnerProduct): inner_product_param must set num_output"
    )


def test_a_missing_data_file_is_told_with_the_layers_place(tmp_path: Path) -> None:
    prototxt = tmp_path / "data.prototxt"
    prototxt.write_text(
        'layer { name: "d" type: "HDF5Data" top: "x" '
        'hdf5_data_param { source: "nofile.txt" batch_size: 2 } }\n'
    )
    with pytest.raises(DataError, match=r"data\.prototxt:1:1: layer 'd' \(HDF5Data\).*nofile\.txt"):
        load_net(prototxt)
