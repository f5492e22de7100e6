"""Reading weight files: every dialect against protobuf's and h5py's own reading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from protoc_oracle import message

from converter.caffemodel import layer_chunks, without_blobs, write_caffemodel
from converter.errors import WeightError
from converter.replacing import replacing
from converter.stored import StoredBlob, WeightFile
from converter.weights import read_weights
from converter.wire import Array, bytes_field, bytes_head

GOLDEN = Path(__file__).parent / "golden"
CAFFEMODELS = [
    pytest.param(path, id=path.stem)
    for path in sorted((*GOLDEN.glob("weights/*.caffemodel"), *GOLDEN.glob("snap*/*.caffemodel")))
]
HDF5_FILES = [
    pytest.param(path, id=path.stem)
    for path in sorted((*GOLDEN.glob("weights/*model.h5"), *GOLDEN.glob("snapshots/*model.h5")))
]
WEIGHT = np.linspace(-1, 2, 24, dtype=np.float32).reshape(4, 6)
BIAS = np.arange(4, dtype=np.float32)


def net_parameter(content: bytes = b"", *, unpacked: bool = False) -> Any:
    net = message("NetParameter", unpacked=unpacked)
    net.ParseFromString(content)
    return net


def fill_legacy(blobs: Any) -> None:
    for values in (WEIGHT, BIAS):
        blob = blobs.add()
        shape = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = shape
        blob.data.extend(values.reshape(-1))


def v0(unpacked: bool) -> bytes:
    net = net_parameter(unpacked=unpacked)
    net.name = "old"
    connection = net.layers.add(bottom=["data"], top=["ip/1"])
    connection.layer.name, connection.layer.type = "ip/1", "innerproduct"
    fill_legacy(connection.layer.blobs)
    return net.SerializeToString()


def v1(unpacked: bool) -> bytes:
    net = net_parameter(unpacked=unpacked)
    net.name = "old"
    fill_legacy(net.layers.add(name="ip/1", type=14, bottom=["data"], top=["ip/1"]).blobs)
    return net.SerializeToString()


def v2(field: str, *, unpacked: bool = False, **settings: Any) -> bytes:
    net = net_parameter(unpacked=unpacked)
    net.name = "old"
    layer = net.layer.add(name="ip/1", type="InnerProduct", bottom=["data"], top=["ip/1"])
    for values in (WEIGHT, BIAS):
        blob = layer.blobs.add(**settings)
        blob.shape.dim.extend(values.shape)
        if field == "raw_data":
            dtype = ("<f8", "<f4", "<f2")[settings["raw_data_type"]]
            blob.raw_data = values.astype(dtype).tobytes()
        else:
            getattr(blob, field).extend(values.reshape(-1))
    return net.SerializeToString()


DIALECTS = [
    pytest.param(v0(unpacked=True), "V0", id="v0-unpacked"),
    pytest.param(v0(unpacked=False), "V0", id="v0"),
    pytest.param(v1(unpacked=True), "V1", id="v1-unpacked"),
    pytest.param(v1(unpacked=False), "V1", id="v1"),
    pytest.param(v2("data"), "V2", id="v2"),
    pytest.param(v2("data", unpacked=True), "V2", id="v2-unpacked"),
    pytest.param(v2("double_data"), "V2", id="double"),
    pytest.param(v2("double_data", unpacked=True), "V2", id="double-unpacked"),
    pytest.param(v2("raw_data", raw_data_type=0), "V2", id="raw-double"),
    pytest.param(v2("raw_data", raw_data_type=1), "V2", id="raw-float"),
    pytest.param(v2("raw_data", raw_data_type=2), "V2", id="raw-half"),
]


def written(path: Path, content: bytes) -> WeightFile:
    path.write_bytes(content)
    return read_weights(path)


@pytest.mark.parametrize(("content", "dialect"), DIALECTS)
def test_every_dialect_reads(tmp_path: Path, content: bytes, dialect: str) -> None:
    file = written(tmp_path / "weights", content)
    assert (file.format, file.net_name) == (dialect, "old")
    assert list(file) == ["ip/1"]
    assert len(file) == 1
    (layer,) = file.layers
    assert (layer.bottoms, layer.tops) == (("data",), ("ip/1",))
    weight, bias = file["ip/1"]
    tolerance = 2**-11 if weight.dtype == np.float16 else 0
    np.testing.assert_allclose(weight.reshape(4, 6), WEIGHT, rtol=tolerance)
    np.testing.assert_array_equal(bias.reshape(4), BIAS)
    assert not weight.flags.owndata
    assert not weight.flags.writeable


@pytest.mark.parametrize("path", CAFFEMODELS)
def test_real_files_hold_what_protobuf_reads(path: Path) -> None:
    file = read_weights(path)
    net = net_parameter(path.read_bytes())
    layers = [*net.layers, *net.layer]
    assert file.net_name == net.name
    assert [layer.name for layer in file.layers] == [layer.name for layer in layers]
    assert [layer.bottoms for layer in file.layers] == [tuple(layer.bottom) for layer in layers]
    found = {name: [blob.tobytes() for blob in blobs] for name, blobs in file.items()}
    assert found == {
        layer.name: [np.float32(blob.data).tobytes() for blob in layer.blobs]
        for layer in layers
        if layer.blobs
    }
    shapes = [blob.shape for layer in file.layers for blob in layer.blobs if blob is not None]
    assert shapes == [
        tuple(b.shape.dim) if b.HasField("shape") else (b.num, b.channels, b.height, b.width)
        for layer in layers
        for b in layer.blobs
    ]


@pytest.mark.parametrize("path", HDF5_FILES)
def test_real_hdf5_files_hold_what_h5py_reads(path: Path) -> None:
    file = read_weights(path)
    assert file.format == "HDF5"
    with h5py.File(path) as oracle:
        assert [layer.name for layer in file.layers] == list(oracle["data"])
        wanted = {k: [v[i][()] for i in v] for k, v in oracle["data"].items() if len(v)}
    assert list(file) == list(wanted)
    found = [blob for blobs in file.values() for blob in blobs]
    assert [blob.shape for blob in found] == [b.shape for blobs in wanted.values() for b in blobs]
    assert b"".join(blob.tobytes() for blob in found) == b"".join(
        b.tobytes() for blobs in wanted.values() for b in blobs
    )


def test_both_snapshot_formats_of_a_run_hold_the_same_layers() -> None:
    binary = read_weights(GOLDEN / "snapshots" / "lenet_small_iter_10.caffemodel")
    hdf5 = read_weights(GOLDEN / "snapshots" / "lenet_small_h5_iter_10.caffemodel.h5")
    assert set(binary) == set(hdf5)
    found = [[blob.shape for blob in hdf5[name]] for name in binary]
    assert found == [[blob.shape for blob in blobs] for blobs in binary.values()]


def test_the_last_of_several_layers_of_one_name_counts(tmp_path: Path) -> None:
    net = net_parameter()
    first, second, without = (net.layer.add(name="twice") for _ in range(3))
    first.blobs.add(data=[1.0, 2.0]).shape.dim.append(2)
    second.blobs.add(data=[3.0, 4.0]).shape.dim.append(2)
    without.type = "Data"
    file = written(tmp_path / "weights", net.SerializeToString())
    np.testing.assert_array_equal(file["twice"][0], [3, 4])
    assert len(file.layers) == 3
    with pytest.raises(KeyError):
        file["once"]


def test_diffs_can_be_read(tmp_path: Path) -> None:
    net = net_parameter()
    net.layer.add(name="a").blobs.add(data=[1.0, 2.0], diff=[3.0, 4.0]).shape.dim.append(2)
    (layer,) = written(tmp_path / "weights", net.SerializeToString()).layers
    (blob,) = layer.blobs
    assert blob is not None
    np.testing.assert_array_equal(blob.diff, [3, 4])


def test_names_that_are_not_utf8_read(tmp_path: Path) -> None:
    layer = bytes_field(100, bytes_field(1, b"conv\xff"))
    (stored,) = written(tmp_path / "weights", layer).layers
    assert stored.name == r"conv\xff"


@pytest.mark.parametrize(("content", "dialect"), DIALECTS)
def test_the_definition_is_the_file_without_blobs(content: bytes, dialect: str) -> None:
    net = net_parameter(content)
    for layer in net.layers:
        layer.ClearField("blobs")
        if layer.HasField("layer"):
            layer.layer.ClearField("blobs")
    for layer in net.layer:
        layer.ClearField("blobs")
    assert net_parameter(without_blobs(content)) == net


# HDF5


def hdf5(path: Path, datasets: dict[str, Any], **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("data/relu")
        for name, values in datasets.items():
            file.create_dataset(name, data=values, **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"chunks": (2, 3), "compression": "gzip"}, id="compressed"),
        pytest.param({"dtype": ">f8"}, id="big-endian"),
    ],
)
def test_hdf5_layers_with_slashes_read(tmp_path: Path, options: dict[str, Any]) -> None:
    path = hdf5(tmp_path / "no_suffix", {"data/inception_3a/1x1/0": WEIGHT}, **options)
    file = read_weights(path)
    assert list(file) == ["inception_3a/1x1"]
    np.testing.assert_array_equal(file["inception_3a/1x1"][0], WEIGHT)
    assert {layer.name for layer in file.layers} == {"relu", "inception_3a/1x1"}


def test_blobs_that_hdf5_leaves_out_are_none(tmp_path: Path) -> None:
    (shared, *_) = read_weights(hdf5(tmp_path / "a.h5", {"data/ip/2": BIAS})).layers
    assert [blob is None for blob in shared.blobs] == [True, True, False]


@pytest.mark.parametrize(
    ("datasets", "reason"),
    [
        pytest.param({"data/ip/0": np.arange(3)}, "holds int64, not floats", id="integers"),
        pytest.param({"data/ip/0": "text"}, "not floats", id="text"),
    ],
)
def test_hdf5_files_of_something_else(tmp_path: Path, datasets: Any, reason: str) -> None:
    with pytest.raises(WeightError, match=reason):
        read_weights(hdf5(tmp_path / "a.h5", datasets))


def test_hdf5_without_data_says_what_is_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(WeightError, match="lie under /data in HDF5, found model_weights"):
        read_weights(tmp_path / "keras.h5")


# Files that are broken, or something else


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", id="lfs"),
        pytest.param(b"\n<!DOCTYPE html><html>", "web page", id="html"),
        pytest.param(b"PK\x03\x04rest", "zip archive", id="zip"),
        pytest.param(b"\x1f\x8b\x08rest", "gzip", id="gzip"),
        pytest.param(b'name: "lenet"\nlayer {', "prototxt", id="prototxt"),
        pytest.param(b"\x89HDF\r\n\x1a\nrest", "not a whole HDF5 file", id="hdf5-head-only"),
        pytest.param(bytes(64), "at byte 0 of 64, field number 0", id="zeros"),
    ],
)
def test_files_that_are_no_weights_say_so(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.caffemodel").write_bytes(content)
    with pytest.raises(WeightError, match=reason) as caught:
        read_weights(tmp_path / "a.caffemodel")
    assert str(caught.value).startswith(str(tmp_path / "a.caffemodel"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match="No such file"):
        read_weights(tmp_path / "none.caffemodel")


@pytest.mark.parametrize(
    ("cut", "offset"),
    [
        pytest.param(7, 0, id="in-the-name"),
        pytest.param(5000, 133, id="in-the-first-weights"),
        pytest.param(359_242 - 20, 359_242 - 51, id="in-the-last-layer"),
    ],
)
def test_cut_off_files_name_the_byte(tmp_path: Path, cut: int, offset: int) -> None:
    whole = (GOLDEN / "weights" / "cifar10_full_sigmoid_iter_60000.caffemodel").read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(whole[:cut])
    with pytest.raises(WeightError, match=f"cut.caffemodel: .* at byte {offset} of {cut}"):
        read_weights(tmp_path / "cut.caffemodel")


def test_a_cut_off_hdf5_file(tmp_path: Path) -> None:
    whole = (GOLDEN / "weights" / "cifar10_quick_iter_5000.caffemodel.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[:300_000])
    with pytest.raises(WeightError, match=r"cut\.h5: not a whole HDF5 file"):
        read_weights(tmp_path / "cut.h5")


# Beyond 2 GB, where protobuf stops


def test_a_layer_of_more_than_4_gb_reads(tmp_path: Path) -> None:
    count = (1 << 30) + 3
    blob = bytes_head(5, 4 * count)
    shape = bytes_field(7, bytes_field(1, b"\x83\x80\x80\x80\x04"))
    in_layer = bytes_field(1, b"huge") + bytes_head(7, len(blob) + 4 * count + len(shape)) + blob
    layer = bytes_head(100, len(in_layer) + 4 * count + len(shape)) + in_layer
    with open(tmp_path / "huge.caffemodel", "wb") as file:
        file.write(layer)
        file.seek(4 * (count - 1), 1)  # a hole: no disk is used
        file.write(np.float32(7).tobytes() + shape + layer_bytes("last", BIAS))
    weights = read_weights(tmp_path / "huge.caffemodel")
    assert list(weights) == ["huge", "last"]
    assert weights["huge"][0].shape == (count,)
    assert weights["huge"][0][[0, -1]].tolist() == [0, 7]
    np.testing.assert_array_equal(weights["last"][0], BIAS)


def layer_bytes(name: str, values: Array) -> bytes:
    return b"".join(layer_chunks(bytes_field(1, name.encode()), [StoredBlob(values)]))


def test_a_layer_of_more_than_4_gb_is_written(tmp_path: Path) -> None:
    count = (1 << 30) + 3
    (tmp_path / "zeros").touch()
    os.truncate(tmp_path / "zeros", 4 * count)  # a hole: no disk, and as an array no memory
    values = np.memmap(tmp_path / "zeros", np.float32, "r")
    head, record, blob_head, floats_head, floats, shape = layer_chunks(
        bytes_field(1, b"huge"), [StoredBlob(values)]
    )
    with open(tmp_path / "huge.caffemodel", "wb") as file:
        file.write(head + record + blob_head + floats_head)
        file.seek(len(floats), 1)
        file.write(shape)
    assert read_weights(tmp_path / "huge.caffemodel")["huge"][0].shape == (count,)


# Writing


def test_written_files_are_what_protobuf_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    record = bytes_field(1, b"ip") + bytes_field(2, b"InnerProduct")
    double = StoredBlob(WEIGHT.astype(np.float64), diff=-WEIGHT)
    write_caffemodel(path, "näme", [(record, [double, StoredBlob(BIAS)])])
    net = net_parameter(path.read_bytes())
    (layer,) = net.layer
    assert (net.name, layer.name, layer.type) == ("näme", "ip", "InnerProduct")
    assert list(layer.blobs[0].double_data) == WEIGHT.reshape(-1).tolist()
    assert list(layer.blobs[0].double_diff) == (-WEIGHT).reshape(-1).tolist()
    assert list(layer.blobs[0].shape.dim) == [4, 6]
    assert list(layer.blobs[1].data) == BIAS.tolist()


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    path.write_bytes(b"before")

    def layers() -> Any:
        yield bytes_field(1, b"ip"), [StoredBlob(WEIGHT)]
        raise MemoryError

    with pytest.raises(MemoryError):
        write_caffemodel(path, "net", layers())
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=r"none/a\.caffemodel: cannot be written"):
        write_caffemodel(tmp_path / "none" / "a.caffemodel", "net", [])


def test_replacing_keeps_permissions_and_follows_links(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_bytes(b"after")
        assert target.read_bytes() == b"before"
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_new_file_gets_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
