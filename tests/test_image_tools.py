"""convert_imageset and compute_image_mean against what Caffe's own tools made."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_layers.data.storage.images import AS_STORED, decode
from caffe_layers.data.storage.records import Backend, open_records
from converter.blob import read_blob
from converter.datum import read_datum
from pycaffe.command import main
from pycaffe.flags import Flag
from pycaffe.tools import parse_tool


@pytest.fixture
def folder(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(golden / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    return tmp_path / "data"


def records(folder: str, backend: Backend = "LMDB") -> dict[bytes, bytes]:
    return {key: bytes(value) for key, value in open_records(folder, backend).items()}


def convert(*flags: str, target: str = "new") -> int:
    return main(["convert_imageset", *flags, "images/", "list.txt", target])


@pytest.mark.usefixtures("folder")
class TestConvertImageset:
    @pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
    def test_records_are_caffes(self, backend: str) -> None:
        assert convert(f"--backend={backend}") == 0
        kind: Backend = "LMDB" if backend == "lmdb" else "LEVELDB"
        assert records("new", kind) == records(f"{backend}_raw", kind)

    def test_gray_and_resized_within_a_grey_level(self) -> None:
        assert convert("-gray", "-resize_width=12", "--resize_height", "10") == 0
        ours, caffes = records("new"), records("lmdb_gray_resized")
        assert list(ours) == list(caffes)
        pairs = [(read_datum(ours[key]), read_datum(caffes[key])) for key in caffes]
        assert [a.label for a, _ in pairs] == [b.label for _, b in pairs]
        ours_all = np.stack([a.image for a, _ in pairs if a.image is not None]).astype(int)
        caffes_all = np.stack([b.image for _, b in pairs if b.image is not None]).astype(int)
        assert ours_all.shape == (7, 1, 10, 12)
        assert np.abs(ours_all - caffes_all).max() <= 1

    def test_encoded_records(self) -> None:
        assert convert("--encoded", "--encode_type=png") == 0
        ours, caffes = records("new"), records("lmdb_encoded")
        jpeg = b"00000005_img5.jpg"
        assert {k: v for k, v in ours.items() if k != jpeg} == {
            k: v for k, v in caffes.items() if k != jpeg
        }
        images = [decode(read_datum(v[jpeg]).encoded or b"", AS_STORED) for v in (ours, caffes)]
        assert np.array_equal(*images)

    def test_encoded_alone_keeps_the_files(self) -> None:
        assert convert("--encoded") == 0
        assert [read_datum(v).encoded for v in records("new").values()] == [
            *(Path("images", f"img{n}.png").read_bytes() for n in range(5)),
            Path("images/img5.jpg").read_bytes(),
            Path("images/img6.png").read_bytes(),
        ]

    def test_shuffled_lines_are_numbered_anew(self) -> None:
        assert convert("--shuffle") == 0
        pairs = [(k[9:], read_datum(v).label) for k, v in records("new").items()]
        listed = [line.split() for line in Path("list.txt").read_text().splitlines()]
        assert sorted(pairs) == sorted((name.encode(), int(label)) for name, label in listed)
        assert [int(k[:8]) for k in records("new")] == list(range(7))

    def test_what_cannot_be_read_is_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("images/img3.png").unlink()
        assert convert() == 0
        wanted = {k: v for k, v in records("lmdb_raw").items() if b"img3" not in k}
        assert records("new") == wanted
        said = capsys.readouterr().err
        assert "cannot read the image images/img3.png" in said
        assert "convert_imageset.cpp:150] Processed 6 files." in said

    def test_sizes_are_checked(self, capsys: pytest.CaptureFixture[str]) -> None:
        cv2.imwrite("images/img2.png", np.zeros((5, 4, 3), np.uint8))
        assert convert("--check_size") == 2
        assert "img2.png is [3, 5, 4], the first image [3, 14, 18]" in capsys.readouterr().err
        assert not Path("new").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["images/", "list.txt"], "takes ROOTFOLDER/ LISTFILE DB_NAME; found images/ list.txt"),
            (["--grey", "images/", "list.txt", "n"], "unknown flag '--grey'. Did you mean --gray"),
            (["--backend=hdf5", "images/", "list.txt", "n"], "give lmdb or leveldb"),
            (
                ["--resize_width=x", "images/", "list.txt", "n"],
                "--resize_width=x: give a whole number",
            ),
            (["--gray=maybe", "images/", "list.txt", "n"], "give true or false"),
            (["images/", "none.txt", "n"], "cannot read the list none.txt"),
            (["images/", "list.txt", "lmdb_raw"], "lmdb_raw is there already"),
            (["--encode_type=xyz", "images/", "list.txt", "n"], "cannot be encoded as 'xyz'"),
        ],
    )
    def test_refusals(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["convert_imageset", *arguments]) == 2
        assert message in capsys.readouterr().err
        assert not Path("n").exists()

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["convert_imageset", "--help"]) == 0
        said = capsys.readouterr().out
        assert "usage: caffe convert_imageset ROOTFOLDER/ LISTFILE DB_NAME [FLAGS]" in said
        assert "(lmdb | leveldb; default lmdb)" in said


@pytest.mark.usefixtures("folder")
class TestComputeImageMean:
    @pytest.mark.parametrize(
        "flags", [["lmdb_raw"], ["-backend", "leveldb", "leveldb_raw"]], ids=["lmdb", "leveldb"]
    )
    def test_the_file_is_caffes_to_the_byte(self, flags: list[str]) -> None:
        assert main(["compute_image_mean", *flags, "new.binaryproto"]) == 0
        assert Path("new.binaryproto").read_bytes() == Path("mean.binaryproto").read_bytes()

    def test_encoded_records_are_decoded(self) -> None:
        assert main(["compute_image_mean", "lmdb_encoded", "new.binaryproto"]) == 0
        assert np.array_equal(read_blob("new.binaryproto"), read_blob("mean.binaryproto"))

    def test_means_of_the_channels_are_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compute_image_mean", "lmdb_raw"]) == 0
        means = read_blob("mean.binaryproto")[0].mean((1, 2))
        said = capsys.readouterr().err
        told = [float(line.rsplit(" ", 1)[1]) for line in said.splitlines() if "channel [" in line]
        assert told == pytest.approx(means, rel=1e-5)
        assert "compute_image_mean.cpp:101] Processed 7 files." in said

    def test_images_of_two_sizes(self, capsys: pytest.CaptureFixture[str]) -> None:
        cv2.imwrite("images/img2.png", np.zeros((5, 4, 3), np.uint8))
        convert()
        assert main(["compute_image_mean", "new", "new.binaryproto"]) == 2
        assert "image 3 is [3, 5, 4], those before it are [3, 14, 18]" in capsys.readouterr().err
        assert not Path("new.binaryproto").exists()

    def test_another_backend(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compute_image_mean", "--backend=leveldb", "lmdb_raw"]) == 2
        assert "it is an LMDB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "gray", "size", "rest"),
    [
        (["-gray", "a"], True, 0, ["a"]),
        (["--gray=false", "a"], False, 0, ["a"]),
        (["--nogray", "--size", "-3"], False, -3, []),
        (["a", "--size=4", "--", "--gray"], False, 4, ["a", "--gray"]),
    ],
)
def test_flags_as_gflags_spells_them(
    tokens: list[str], gray: bool, size: int, rest: list[str]
) -> None:
    flags = (Flag("gray", "", default=False), Flag("size", "", "N", int, 0))
    options = parse_tool(flags, tokens)
    assert (options.gray, options.size, options.arguments) == (gray, size, rest)
