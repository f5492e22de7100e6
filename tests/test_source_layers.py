"""Input, DummyData and HDF5Data: shapes, order of rows, position, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_layers.errors import DataError, LayerError
from caffe_layers.fillers import Filler
from caffe_layers.layer import Layer
from caffe_layers.registry import find


def make(type_name: str, /, **arguments: Any) -> Any:
    layer = find(type_name)(**arguments)
    layer.name = "made"
    return layer


class TestInput:
    def test_one_shape_serves_all_tops(self) -> None:
        layer = make("Input", shape=[(2, 3, 5)], tops=2)
        assert layer.top_shapes() == ((2, 3, 5), (2, 3, 5))

    def test_alone_it_is_zero(self) -> None:
        a, b = make("Input", shape=[(2, 3), (4,)], tops=2)()
        assert (tuple(a.shape), tuple(b.shape)) == ((2, 3), (4,))
        assert not a.any()

    def test_wrong_number_of_shapes(self) -> None:
        with pytest.raises(LayerError, match=r"layer 'made' \(Input\): has 3 tops and 2 shapes"):
            make("Input", shape=[(2,), (3,)], tops=3).set_up()


def dummy() -> Any:
    return make(
        "DummyData",
        shape=[(2, 3), (4,)],
        data_filler=[Filler(value=2.5), Filler(value=-1.0)],
        tops=2,
    )


class TestDummyData:
    @pytest.mark.parametrize("batch", range(5))
    def test_constants_are_caffes(self, golden: Path, batch: int) -> None:
        with np.load(golden / "data" / "dummydata.npz") as file:
            wanted = [file[f"top:{name}:{batch}"] for name in ("data", "label")]
        found = list(islice(iter(dummy(), None), batch + 1))[-1]
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))

    def test_constants_are_made_once(self) -> None:
        layer = make("DummyData", shape=[(2, 3)], data_filler=[Filler(value=4.0)])
        assert layer() is layer()

    def test_draws_are_made_anew(self) -> None:
        layer = make("DummyData", shape=[(2, 3)], data_filler=[Filler("gaussian")])
        assert not torch.equal(layer(), layer())

    def test_one_filler_and_one_shape_serve_all_tops(self) -> None:
        a, b = make("DummyData", shape=[(2, 3)], data_filler=[Filler("uniform")], tops=2)()
        assert a.shape == b.shape == (2, 3)
        assert not torch.equal(a, b)

    def test_no_filler_is_zero(self) -> None:
        assert not make("DummyData", shape=[(2, 3)])().any()

    def test_old_sizes(self) -> None:
        layer = make("DummyData", num=(2, 7), channels=(3,), height=(4, 1), width=(5,), tops=2)
        assert layer.top_shapes() == ((2, 3, 4, 5), (7, 3, 1, 5))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tops": 2, "shape": [(2,)] * 3}, "has 2 tops and 3 shapes"),
            ({"shape": ()}, "has 1 tops and 0 shapes"),
            ({"tops": 3, "shape": [(2,)], "data_filler": [Filler()] * 2}, "3 tops and 2 fillers"),
            ({"shape": [(2,)], "num": (2,)}, "both set; keep shape"),
            ({"num": (2,), "channels": (3,), "height": (4,)}, "1 tops and 0 times width"),
        ],
        ids=["shapes", "no shape", "fillers", "old and new", "old size missing"],
    )
    def test_numbers_that_do_not_fit(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(LayerError, match=message):
            make("DummyData", **arguments).set_up()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of 3 and 4 rows, numbered 0 to 6."""
    write(tmp_path / "a.h5", 0, 3)
    write(tmp_path / "b.h5", 3, 7)
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, first: int, last: int, **datasets: np.ndarray) -> None:
    rows = np.arange(first, last)
    with h5py.File(path, "w") as file:
        file["data"] = rows[:, None] * np.ones((1, 2), "float64")
        file["label"] = rows
        for name, values in datasets.items():
            del file[name]
            file[name] = values


def hdf5(batch_size: int = 2, **arguments: Any) -> Any:
    return make("HDF5Data", source="list.txt", batch_size=batch_size, **arguments)


def labels(layer: Layer, batches: int) -> list[int]:
    made: Iterator[tuple[Tensor, Tensor]] = iter(layer, None)
    return [int(row) for _, label in islice(made, batches) for row in label]


class TestHDF5Data:
    def test_batches_are_caffes(self, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with np.load(golden / "data" / "hdf5data.npz") as file:
            wanted = [(file[f"top:data:{k}"], file[f"top:label:{k}"]) for k in range(5)]
        monkeypatch.chdir(golden / "data")
        layer = make("HDF5Data", source="h5/list.txt", batch_size=3)
        found = [tuple(top.numpy() for top in layer()) for _ in range(5)]
        assert all(
            np.array_equal(a, b)
            for f, w in zip(found, wanted, strict=True)
            for a, b in zip(f, w, strict=True)
        )

    @pytest.mark.usefixtures("folder")
    def test_batches_run_over_the_ends_of_files(self) -> None:
        assert labels(hdf5(batch_size=5), 3) == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0]

    @pytest.mark.usefixtures("folder")
    def test_a_batch_larger_than_all_files(self) -> None:
        assert labels(hdf5(batch_size=10), 1) == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]

    @pytest.mark.usefixtures("folder")
    def test_tops_are_float32_of_the_shapes_foretold(self) -> None:
        layer = hdf5()
        data, label = layer()
        assert layer.top_shapes() == (tuple(data.shape), tuple(label.shape)) == ((2, 2), (2,))
        assert data.dtype == label.dtype == torch.float32

    @pytest.mark.usefixtures("folder")
    def test_tops_are_the_named_datasets(self) -> None:
        only = hdf5(batch_size=3, top_names=("label",))()
        assert only.tolist() == [0, 1, 2]

    @pytest.mark.usefixtures("folder")
    def test_shuffled_rounds_hold_every_row_once(self) -> None:
        torch.manual_seed(4)
        rows = labels(hdf5(batch_size=7, shuffle=True), 6)
        rounds = [rows[i : i + 7] for i in range(0, 42, 7)]
        assert [sorted(one) for one in rounds] == [list(range(7))] * 6
        assert len({tuple(one) for one in rounds}) > 1

    @pytest.mark.usefixtures("folder")
    def test_shuffling_keeps_the_rows_of_a_file_together(self) -> None:
        torch.manual_seed(4)
        rows = labels(hdf5(batch_size=7, shuffle=True), 20)
        heads = {frozenset(rows[i : i + 3]) for i in range(0, 140, 7)}
        assert frozenset({0, 1, 2}) in heads
        assert len(heads) > 1

    @pytest.mark.usefixtures("folder")
    @pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
    @pytest.mark.parametrize("before", [0, 1, 2, 5])
    def test_position_is_kept(self, shuffle: bool, before: int) -> None:
        torch.manual_seed(4)
        first = hdf5(batch_size=2, shuffle=shuffle)
        labels(first, before)
        state, generator = first.get_state(), torch.get_rng_state()
        wanted = labels(first, 9)
        second = hdf5(batch_size=2, shuffle=shuffle)
        second.set_state(state)
        torch.set_rng_state(generator)
        assert labels(second, 9) == wanted

    def test_position_in_another_list(self, folder: Path) -> None:
        layer = hdf5()
        layer()
        state = layer.get_state()
        (folder / "list.txt").write_text("a.h5")
        with pytest.raises(DataError, match="lists 1 files, the saved position is in a list of 2"):
            layer.set_state(state)

    def test_position_in_a_shorter_file(self, folder: Path) -> None:
        layer = hdf5()
        layer()
        write(folder / "a.h5", 0, 1)
        with pytest.raises(DataError, match="has other rows; start without it"):
            hdf5().set_state(layer.get_state())


def refused(message: str, **arguments: Any) -> None:
    with pytest.raises(DataError, match=rf"layer 'made' \(HDF5Data\): .*{message}"):
        labels(hdf5(**arguments), 4)


class TestHDF5Files:
    def test_missing_list(self, folder: Path) -> None:
        (folder / "list.txt").unlink()
        refused("cannot read the list of files list.txt")

    def test_empty_list(self, folder: Path) -> None:
        (folder / "list.txt").write_text("\n")
        refused("list.txt lists no file; write one HDF5 file name per line")

    def test_missing_file(self, folder: Path) -> None:
        (folder / "b.h5").unlink()
        refused("cannot read b.h5, listed in list.txt")

    def test_garbled_file(self, folder: Path) -> None:
        (folder / "b.h5").write_bytes(b"not HDF5")
        refused("cannot read b.h5, listed in list.txt")

    @pytest.mark.usefixtures("folder")
    def test_missing_dataset(self) -> None:
        refused("a.h5 has no dataset 'depth', .*; it has data, label", top_names=("depth",))

    def test_dataset_of_words(self, folder: Path) -> None:
        write(folder / "a.h5", 0, 3, label=np.array([b"x", b"y", b"z"]))
        refused("dataset 'label' must be of floats or integers")

    def test_dataset_without_axes(self, folder: Path) -> None:
        write(folder / "a.h5", 0, 3, label=np.array(1.0))
        refused("dataset 'label' must be of .* with 1 axis or more, found float64 with 0 axes")

    def test_rows_that_differ(self, folder: Path) -> None:
        write(folder / "b.h5", 3, 7, label=np.zeros(5))
        refused("b.h5: .* as many rows, at least 1: data has 4, label has 5")

    def test_no_rows(self, folder: Path) -> None:
        write(folder / "a.h5", 0, 0)
        refused("at least 1: data has 0, label has 0")

    def test_files_of_other_shape(self, folder: Path) -> None:
        write(folder / "b.h5", 3, 7, data=np.zeros((4, 3)))
        refused("b.h5: the datasets have another shape than in the files before")

    @pytest.mark.usefixtures("folder")
    def test_batch_of_nothing(self) -> None:
        with pytest.raises(LayerError, match="batch_size is 0, which must be 1 or more"):
            hdf5(batch_size=0).set_up()
