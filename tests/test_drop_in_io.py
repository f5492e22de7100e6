"""caffe.io, Classifier and Detector against formulas and other libraries."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

import pycaffe as caffe
from pycaffe.errors import UsageError

IMAGE = np.random.default_rng(4).random((9, 7, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(5, 11), (18, 14), (9, 3)], ids=str)
def test_linear_resizing_is_scipys(size: tuple[int, int]) -> None:
    zoom = [size[0] / 9, size[1] / 7, 1]
    wanted = ndimage.zoom(IMAGE, zoom, order=1, mode="nearest", grid_mode=True)
    found = caffe.io.resize_image(IMAGE, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_nearest_resizing_repeats_pixels() -> None:
    found = caffe.io.resize_image(IMAGE, (18, 21), 0)
    np.testing.assert_array_equal(found, IMAGE.repeat(2, 0).repeat(3, 1))


def test_transformer_goes_there_and_back() -> None:
    transformer = caffe.io.Transformer({"data": (1, 3, 9, 7)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([104.0, 117, 123]))
    transformer.set_input_scale("data", 0.5)
    made = transformer.preprocess("data", IMAGE)
    wanted = 0.5 * (255 * IMAGE[..., ::-1] - [104, 117, 123])
    np.testing.assert_allclose(made, wanted.transpose(2, 0, 1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(transformer.deprocess("data", made), IMAGE, atol=1e-6)


def test_transformer_refuses_what_does_not_fit() -> None:
    transformer = caffe.io.Transformer({"data": (1, 3, 9, 7)})
    with pytest.raises(UsageError, match="not one of the inputs"):
        transformer.preprocess("image", IMAGE)
    with pytest.raises(UsageError, match="2 numbers for 3 channels"):
        transformer.set_mean("data", np.zeros(2))
    with pytest.raises(UsageError, match="the input is"):
        transformer.set_mean("data", np.zeros((3, 4, 5)))


def test_oversample_takes_corners_centre_and_mirrors() -> None:
    crops = caffe.io.oversample([IMAGE], (4, 3))
    five = [IMAGE[:4, :3], IMAGE[:4, 4:], IMAGE[5:, :3], IMAGE[5:, 4:], IMAGE[2:6, 2:5]]
    np.testing.assert_array_equal(crops, np.stack(five + [crop[:, ::-1] for crop in five]))


@pytest.mark.parametrize("color", [True, False], ids=["colour", "grey"])
def test_images_are_read_as_rgb_in_0_to_1(tmp_path: Path, color: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), pixels[..., ::-1])
    image = caffe.io.load_image(str(tmp_path / "image.png"), color)
    assert image.dtype == np.float32
    if color:
        np.testing.assert_allclose(image, pixels / 255, atol=1e-7)
    else:
        grey = pixels @ [0.2125, 0.7154, 0.0721] / 255
        np.testing.assert_allclose(image[..., 0], grey, atol=1e-6)


def test_blobproto_there_and_back() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    blob = caffe.io.array_to_blobproto(values, -values)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, True).reshape(2, 3, 4), -values)
    old = caffe.proto.caffe_pb2.BlobProto(num=1, channels=2, height=3, width=4, data=range(24))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 3, 4)


def test_blobprotovector_there_and_back() -> None:
    arrays = [np.ones((2, 3)), np.zeros((4,))]
    text = caffe.io.arraylist_to_blobprotovecor_str(arrays)
    found = caffe.io.blobprotovector_str_to_arraylist(text)
    assert [array.tolist() for array in found] == [array.tolist() for array in arrays]


@pytest.mark.parametrize("dtype", [np.uint8, np.float64], ids=["bytes", "floats"])
def test_datum_there_and_back(dtype: type) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    datum = caffe.io.array_to_datum(values, 7)
    found = caffe.io.datum_to_array(datum)
    assert (found.dtype, datum.label) == (dtype, 7)
    np.testing.assert_array_equal(found, values)
    assert bool(datum.data) == (dtype is np.uint8)


NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 5 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    caffe.Net(str(path), caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return str(path), str(tmp_path / "net.caffemodel")


def test_classifier_averages_over_crops(files: tuple[str, str]) -> None:
    classifier = caffe.Classifier(*files, image_dims=(8, 9), raw_scale=10, channel_swap=(2, 1, 0))
    images = [IMAGE, IMAGE[:5] * 2]
    found = classifier.predict(images).reshape(2, 3)
    resized = [caffe.io.resize_image(image, (8, 9)) for image in images]
    crops = caffe.io.oversample(resized, (6, 5)).mean((1, 2)).reshape(2, 10, 3).mean(1)
    np.testing.assert_allclose(found, 10 * crops[:, ::-1], rtol=1e-4)
    middle = classifier.predict(images, oversample=False).reshape(2, 3)
    centre = np.stack([image[1:7, 2:7].mean((0, 1)) for image in resized])
    np.testing.assert_allclose(middle, 10 * centre[:, ::-1], rtol=1e-4)


def test_detector_runs_over_windows(files: tuple[str, str], tmp_path: Path) -> None:
    name = str(tmp_path / "image.png")
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[5:15, 10:20] = (255, 0, 51)  # BGR
    cv2.imwrite(name, pixels)
    detector = caffe.Detector(*files)
    found = detector.detect_windows([(name, [(5, 10, 15, 20), (0, 0, 5, 30)])])
    np.testing.assert_allclose(found[0]["prediction"], [0.2, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found[1]["prediction"], [0, 0, 0], atol=1e-6)
    assert [row["filename"] for row in found] == [name, name]


def test_detector_shows_context_and_the_mean_beyond_the_border(files: tuple[str, str]) -> None:
    mean = np.array([0.25, 0.5, 0.75], np.float32)
    detector = caffe.Detector(*files, mean=mean, context_pad=1)
    image = np.ones((12, 10, 3), np.float32)
    inside = detector.crop(image, (4, 4, 7, 6))
    assert inside.shape == (6, 5, 3)
    np.testing.assert_allclose(inside, 1, atol=1e-6)
    corner = detector.crop(image, (0, 0, 3, 2))
    np.testing.assert_allclose(corner[0, 0], mean, atol=1e-6)
    np.testing.assert_allclose(corner[-1, -1], 1, atol=1e-6)


def test_selective_search_says_what_it_needs(files: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="selective_search_ijcv_with_python"):
        caffe.Detector(*files).detect_selective_search(["a.png"])
