"""Data, ImageData and MemoryData: order, position, draws, refusals."""

from __future__ import annotations

import copy
import os
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from caffe_layers.data.storage.writing import new_records
from caffe_layers.datum import Datum
from caffe_layers.errors import DataError, LayerError
from caffe_layers.registry import find
from converter.datum import datum_to_bytes, read_datum

KINDS = ["Data", "ImageData"]


def make(type_name: str, /, **arguments: Any) -> Any:
    layer = find(type_name)(**arguments)
    layer.name = "this"
    layer.set_up()
    return layer


def picture(number: int, channels: int = 3) -> np.ndarray:
    """[4, 6, channels], all its pixels different."""
    return (np.arange(24 * channels, dtype=np.uint8) + number).reshape(4, 6, channels)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven images of the labels 0 to 6: as an LMDB, as a LevelDB, and as files with a list."""
    monkeypatch.chdir(tmp_path)
    for number in range(7):
        cv2.imwrite(f"{number}.png", picture(number))
    Path("list.txt").write_text("".join(f"{n}.png {n}\n" for n in range(7)))
    for backend in ("LMDB", "LEVELDB"):
        with new_records(f"db_{backend}", backend) as writer:
            for n in range(7):
                image = picture(n).transpose(2, 0, 1)
                writer.put(b"%d" % n, datum_to_bytes(Datum(n, image)))
    return tmp_path


def data(batch_size: int = 2, *, backend: str = "LMDB", **arguments: Any) -> Any:
    source = f"db_{backend}"
    return make(
        *("Data",),
        **{"source": source, "batch_size": batch_size, "backend": backend, **arguments},
        read_datum=read_datum,
    )


def image_data(batch_size: int = 2, **arguments: Any) -> Any:
    return make("ImageData", **{"source": "list.txt", "batch_size": batch_size, **arguments})


MAKE = {"Data": data, "ImageData": image_data}


def labels(layer: Any, batches: int) -> list[int]:
    return [int(n) for _, label in islice(iter(layer, None), batches) for n in label]


@pytest.mark.usefixtures("folder")
class TestOrder:
    @pytest.mark.parametrize("kind", KINDS)
    def test_rows_come_round_and_round(self, kind: str) -> None:
        assert labels(MAKE[kind](3), 5) == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0]

    @pytest.mark.parametrize("kind", KINDS)
    def test_images_are_planes_of_blue_green_and_red(self, kind: str) -> None:
        images, _ = MAKE[kind](2)()
        wanted = np.stack([picture(n).transpose(2, 0, 1) for n in (0, 1)])
        assert np.array_equal(images.numpy(), wanted.astype("float32"))

    @pytest.mark.parametrize("kind", KINDS)
    def test_tops_are_of_the_shapes_foretold(self, kind: str) -> None:
        layer = MAKE[kind](5, crop_size=3)
        assert layer.top_shapes() == tuple(tuple(top.shape) for top in layer())

    @pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
    def test_two_layers_read_one_database(self, backend: str) -> None:
        first, second = data(2, backend=backend), data(3, backend=backend)
        assert (labels(first, 1), labels(second, 1), labels(first, 1)) == (
            [0, 1],
            [0, 1, 2],
            [2, 3],
        )

    def test_images_alone(self) -> None:
        assert data(2, tops=1)().shape == (2, 3, 4, 6)

    def test_processes_share_the_records_of_train(self) -> None:
        layers = [data(2), data(2), data(2)]
        for rank, layer in enumerate(layers):
            layer.take_share(rank, 3)
        assert [labels(layer, 2) for layer in layers] == [[0, 3, 6, 2], [1, 4, 0, 3], [2, 5, 1, 4]]

    def test_in_test_every_process_reads_all(self) -> None:
        layer = data(2).eval()
        layer.take_share(1, 3)
        assert labels(layer, 2) == [0, 1, 2, 3]

    def test_shuffled_rounds_hold_every_line_once(self) -> None:
        torch.manual_seed(4)
        rows = labels(image_data(7, shuffle=True), 6)
        rounds = [rows[i : i + 7] for i in range(0, 42, 7)]
        assert [sorted(one) for one in rounds] == [list(range(7))] * 6
        assert len({tuple(one) for one in rounds}) > 1

    def test_rand_skip_begins_at_any_of_the_first(self) -> None:
        torch.manual_seed(5)
        assert {labels(image_data(1, rand_skip=3), 1)[0] for _ in range(40)} == {0, 1, 2}


@pytest.mark.usefixtures("folder")
class TestPosition:
    @pytest.mark.parametrize("before", [0, 1, 3, 4, 7])
    @pytest.mark.parametrize(
        ("kind", "settings"),
        [("Data", {}), ("Data", {"backend": "LEVELDB"}), ("ImageData", {"shuffle": True})],
        ids=["lmdb", "leveldb", "shuffled images"],
    )
    def test_it_is_kept(self, kind: str, settings: dict[str, Any], before: int) -> None:
        torch.manual_seed(4)
        first, second = MAKE[kind](2, **settings), MAKE[kind](2, **settings)
        labels(first, before)
        state, generator = first.get_state(), torch.get_rng_state()
        wanted = labels(first, 9)
        second.set_state(state)
        torch.set_rng_state(generator)
        assert labels(second, 9) == wanted

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_a_copy_goes_on_by_itself(self, kind: str, copied: Any) -> None:
        first = MAKE[kind](2)
        labels(first, 2)
        second = copied(first)
        assert labels(second, 2) == labels(first, 2) == [4, 5, 6, 0]

    def test_a_forked_process_goes_on_by_itself(self) -> None:
        layer = data(2)
        labels(layer, 1)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, repr(labels(layer, 3)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 100).decode() == repr(labels(layer, 3)) == "[2, 3, 4, 5, 6, 0]"

    def test_another_database(self) -> None:
        with pytest.raises(DataError, match="no record b'9', where the saved position is"):
            data().set_state({"after": "39", "offset": 3})

    def test_another_list(self) -> None:
        with pytest.raises(DataError, match="has 7 lines, the saved position is in a list of 2"):
            image_data().set_state({"line": 1, "order": [1, 0]})


@pytest.mark.usefixtures("folder")
class TestEncoded:
    @pytest.fixture
    def stored(self) -> dict[str, Any]:
        """One gray and encoded record."""
        content = cv2.imencode(".png", picture(9, 1))[1].tobytes()
        with new_records("encoded", "LMDB") as writer:
            writer.put(b"0", datum_to_bytes(Datum(-5, encoded=content)))
        return {"source": "encoded", "batch_size": 2}

    @pytest.mark.parametrize(
        ("settings", "channels"),
        [({}, 1), ({"force_color": True}, 3), ({"force_gray": True}, 1)],
        ids=["as stored", "color", "gray"],
    )
    def test_channels(
        self, stored: dict[str, Any], settings: dict[str, bool], channels: int
    ) -> None:
        images, label = data(**stored, **settings)()
        wanted = np.repeat(picture(9, 1).transpose(2, 0, 1)[None], channels, axis=1)
        assert np.array_equal(images.numpy(), np.repeat(wanted, 2, axis=0).astype("float32"))
        assert label.tolist() == [-5, -5]

    def test_not_both(self, stored: dict[str, Any]) -> None:
        with pytest.raises(LayerError, match="force_color and force_gray are both set"):
            data(**stored, force_color=True, force_gray=True)

    def test_numbers_cannot_be_decoded(self) -> None:
        with pytest.warns(UserWarning, match="are for encoded records"):
            data(force_gray=True)()

    @pytest.mark.parametrize("name", ["rand_skip", "force_encoded_color"])
    def test_old_fields(self, name: str) -> None:
        with pytest.warns(UserWarning, match=f"{name} is not read, as in Caffe 1.0"):
            data(**{name: 1})


@pytest.mark.usefixtures("folder")
class TestRefusals:
    def test_images_of_two_sizes(self) -> None:
        cv2.imwrite("1.png", picture(1)[:3])
        with pytest.raises(DataError, match=r"layer 'this' .*comes out as \[3, 3, 6\] where"):
            image_data(2)()

    def test_sizes_change_from_batch_to_batch(self) -> None:
        cv2.imwrite("1.png", picture(1)[:3])
        layer = image_data(1)
        assert [tuple(layer()[0].shape) for _ in range(3)] == [
            *((1, 3, 4, 6), (1, 3, 3, 6), (1, 3, 4, 6)),
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "cannot read the image ./2.png: No such"), (b"text", "./2.png: holds no image")],
        ids=["missing", "no image"],
    )
    def test_a_bad_image_is_named(self, content: bytes | None, message: str) -> None:
        os.remove("2.png")
        if content is not None:
            Path("2.png").write_bytes(content)
        with pytest.raises(DataError, match=rf"{message}.*\(listed in list.txt\)"):
            labels(image_data(2, root_folder="./"), 2)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"new_height": 5}, "new_height is 5 and new_width 0"),
            ({"batch_size": 0}, "batch_size is 0"),
            ({"source": "none.txt"}, "cannot read the list none.txt"),
            ({"source": os.devnull}, "lists no image"),
            ({"mean_value": (1, 2)}, "2 mean_value for images of 3 channels"),
        ],
    )
    def test_settings(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises((DataError, LayerError), match=rf"this.*{message}"):
            image_data(**settings)()

    def test_an_empty_database(self) -> None:
        with new_records("empty", "LMDB"):
            pass
        with pytest.raises(DataError, match="empty is empty"):
            data(source="empty")()

    def test_a_record_that_is_no_datum(self) -> None:
        with new_records("bad", "LMDB") as writer:
            writer.put(b"0", b"\x08\x03\x10\x02\x18\x02\x22\x02ab")
        with pytest.raises(DataError, match=r"this.* bad: .*image of \[3, 2, 2\] holds 2 values"):
            data(source="bad")()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a b.png 3", ("a b.png", 3)),
        ("a.png -2\r", ("a.png", -2)),
        ("a.png", ("a.png", 0)),
        ("12.png", ("12.png", 12)),
        ("a.png x", ("a.png", 0)),
        ("a.png 7.9", ("a.png", 7)),
    ],
)
def test_lines_of_a_list(tmp_path: Path, line: str, wanted: tuple[str, int]) -> None:
    from caffe_layers.data.storage.labelled_list import read_labelled_list

    path = tmp_path / "list.txt"
    path.write_text(f"\n{line}\n\n")
    assert read_labelled_list(str(path)) == [wanted]


class TestMemoryData:
    SIZES = {"batch_size": 2, "channels": 3, "height": 3, "width": 3}

    def test_added_images_are_transformed(self) -> None:
        layer = make("MemoryData", **self.SIZES, crop_size=3, scale=0.5, mean_value=(2,)).eval()
        layer.add_images([picture(n) for n in range(4)], [5, 6, 7, 8])
        wanted = [(picture(n).transpose(2, 0, 1)[:, 0:3, 1:4] - 2.0) / 2 for n in range(4)]
        batches = [layer() for _ in range(2)]
        assert np.array_equal(np.concatenate([b[0] for b in batches]), np.stack(wanted))
        assert [b[1].tolist() for b in batches] == [[5, 6], [7, 8]]

    def test_arrays_are_not_and_that_is_said(self) -> None:
        layer = make("MemoryData", **self.SIZES, scale=0.5)
        with pytest.warns(UserWarning, match="transform_param is not applied to arrays"):
            layer.reset(np.ones((2, 3, 3, 3)), np.zeros(2))
        assert layer()[0].unique().tolist() == [1]

    def test_images_that_do_not_fit(self) -> None:
        layer = make("MemoryData", **self.SIZES)
        with pytest.raises(DataError, match=r"comes out as \[3, 4, 6\] where \[3, 3, 3\]"):
            layer.add_images([picture(0), picture(1)], [0, 1])
