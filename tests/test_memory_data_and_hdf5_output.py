"""MemoryData and HDF5Output: order of rows, what the file holds, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caffe_layers.errors import DataError, LayerError
from caffe_layers.registry import find
from converter import load_net

SIZES = {"batch_size": 2, "channels": 3, "height": 4, "width": 5}


def make(type_name: str, /, **arguments: Any) -> Any:
    layer = find(type_name)(**arguments)
    layer.name = "this"
    return layer


def images(rows: int) -> np.ndarray:
    """Rows of the value of their number."""
    return np.arange(rows, dtype="float32")[:, None, None, None] * np.ones((3, 4, 5), "float32")


class TestMemoryData:
    def test_rows_come_round_and_round(self) -> None:
        layer = make("MemoryData", **SIZES)
        layer.reset(images(6), np.arange(6) * 10)
        batches = [layer() for _ in range(4)]
        assert [data[:, 2, 3, 4].tolist() for data, _ in batches] == [
            [0, 1],
            [2, 3],
            [4, 5],
            [0, 1],
        ]
        assert [label.tolist() for _, label in batches] == [[0, 10], [20, 30], [40, 50], [0, 10]]

    def test_tops_are_of_the_shapes_foretold(self) -> None:
        layer = make("MemoryData", **SIZES)
        layer.reset(torch.zeros(2, 3, 4, 5, dtype=torch.float64), torch.zeros(2, 1, 1, 1))
        data, label = layer()
        assert layer.top_shapes() == (tuple(data.shape), tuple(label.shape))
        assert data.dtype == label.dtype == torch.float32

    def test_what_is_written_into_the_arrays_is_seen(self) -> None:
        layer, data = make("MemoryData", **SIZES), images(2)
        layer.reset(data, np.zeros(2, "float32"))
        data[1] = 7
        assert layer()[0][1].unique().tolist() == [7]

    def test_new_arrays_begin_at_their_first_row(self) -> None:
        layer = make("MemoryData", **SIZES)
        layer.reset(images(4), np.arange(4))
        layer()
        layer.reset(images(4), np.arange(4) + 5)
        assert layer()[1].tolist() == [5, 6]

    def test_in_a_net(self, tmp_path: Path) -> None:
        (tmp_path / "net.prototxt").write_text(
            """
            layer { name: "data" type: "MemoryData" top: "data" top: "label"
              memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
            layer { name: "sum" type: "InnerProduct" bottom: "data" top: "sum"
              inner_product_param { num_output: 1 weight_filler { value: 1 } } }
            """
        )
        net = load_net(tmp_path / "net.prototxt")
        net.layers["data"].reset(images(4), np.arange(4))  # type: ignore[operator] # a MemoryData
        assert [net()["sum"].flatten().tolist() for _ in range(2)] == [[0, 60], [120, 180]]

    def test_without_arrays(self) -> None:
        with pytest.raises(DataError, match=r"'this' \(MemoryData\): has no data yet; give it arr"):
            make("MemoryData", **SIZES)()

    @pytest.mark.parametrize(
        ("data", "labels", "message"),
        [
            (
                images(3),
                np.zeros(3),
                r"rows of \[3, 4, 5\], .* of batch_size 2, got \[3, 3, 4, 5\]",
            ),
            (images(0), np.zeros(0), r"got \[0, 3, 4, 5\]"),
            (images(4)[:, :, 0], np.zeros(4), r"got \[4, 3, 5\]"),
            (images(4), np.zeros(2), "a label for each of the 4 rows, got 2"),
        ],
        ids=["part of a batch", "no rows", "shape", "labels"],
    )
    def test_arrays_that_do_not_fit(
        self, data: np.ndarray, labels: np.ndarray, message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            make("MemoryData", **SIZES).reset(data, labels)

    def test_sizes_must_be_set(self) -> None:
        with pytest.raises(LayerError, match=r"must set batch_size, .* found 2, 3, 4, 0"):
            make("MemoryData", **{**SIZES, "width": 0}).set_up()


class TestHDF5Output:
    def test_rows_of_all_passes(self, tmp_path: Path) -> None:
        layer = make("HDF5Output", file_name=str(tmp_path / "kept.h5"))
        first, second = torch.randn(2, 3, 5, requires_grad=True), torch.randn(4, 3, 5)
        assert layer(first, torch.tensor([1.0, 2.0])) is None
        layer(second, torch.tensor([3.0, 4.0, 5.0, 6.0]))
        with h5py.File(tmp_path / "kept.h5") as file:
            data, label = file["data"][()], file["label"][()]
        assert np.array_equal(data[..., 0], torch.cat((first, second)).detach().numpy())
        assert (data.shape, label.shape) == ((6, 3, 5, 1), (6, 1, 1, 1))
        assert label.ravel().tolist() == [1, 2, 3, 4, 5, 6]

    @pytest.mark.parametrize(
        ("dtype", "wanted"),
        [(torch.float64, "f8"), (torch.float32, "f4"), (torch.bfloat16, "f4")],
        ids=str,
    )
    def test_type(self, tmp_path: Path, dtype: torch.dtype, wanted: str) -> None:
        rows = torch.ones(2, 3, dtype=dtype)
        make("HDF5Output", file_name=str(tmp_path / "kept.h5"))(rows, rows)
        with h5py.File(tmp_path / "kept.h5") as file:
            assert file["data"].dtype == np.dtype(wanted)

    def test_more_than_four_axes_are_kept(self, tmp_path: Path) -> None:
        rows = torch.zeros(2, 3, 4, 5, 6)
        make("HDF5Output", file_name=str(tmp_path / "kept.h5"))(rows, rows)
        with h5py.File(tmp_path / "kept.h5") as file:
            assert file["data"].shape == (2, 3, 4, 5, 6)

    def test_is_read_by_hdf5_data(self, tmp_path: Path) -> None:
        rows = torch.randn(3, 2, 4, 5)
        make("HDF5Output", file_name=str(tmp_path / "kept.h5"))(rows, torch.arange(3.0))
        (tmp_path / "list.txt").write_text(str(tmp_path / "kept.h5"))
        data, label = make("HDF5Data", source=str(tmp_path / "list.txt"), batch_size=3)()
        assert torch.equal(data, rows)
        assert label.flatten().tolist() == [0, 1, 2]

    def test_only_a_pass_replaces_the_file(self, tmp_path: Path) -> None:
        kept = tmp_path / "kept.h5"
        kept.write_bytes(b"old")
        (tmp_path / "net.prototxt").write_text(
            f"""
            layer {{ name: "in" type: "Input" top: "data" top: "label"
              input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
            layer {{ name: "keep" type: "HDF5Output" bottom: "data" bottom: "label"
              hdf5_output_param {{ file_name: "{kept}" }} }}
            """
        )
        net = load_net(tmp_path / "net.prototxt")
        assert kept.read_bytes() == b"old"
        assert net(data=torch.ones(2, 3), label=torch.zeros(2)) == {}
        with h5py.File(kept) as file:
            assert file["data"].shape == (2, 3, 1, 1)

    def test_rows_of_another_shape(self, tmp_path: Path) -> None:
        layer = make("HDF5Output", file_name=str(tmp_path / "kept.h5"))
        layer(torch.zeros(2, 3), torch.zeros(2))
        with pytest.raises(DataError, match=r"has rows \[3, 1, 1\] in 'data', .* \[4, 1, 1\]"):
            layer(torch.zeros(2, 4), torch.zeros(2))

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        layer = make("HDF5Output", file_name=str(tmp_path / "nowhere" / "kept.h5"))
        with pytest.raises(DataError, match=r"'this' \(HDF5Output\): cannot write .*kept.h5"):
            layer(torch.zeros(2, 3), torch.zeros(2))

    def test_numbers_of_rows_that_differ(self) -> None:
        with pytest.raises(LayerError, match=r"as many rows in both, got \[2, 3\] and \[3\]"):
            make("HDF5Output", file_name="kept.h5").set_up((2, 3), (3,))
