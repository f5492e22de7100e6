"""`caffe convert_imageset`: store the images of a list in a database for the layer Data."""

from __future__ import annotations

import random
from argparse import Namespace
from pathlib import Path
from typing import cast

import cv2

from caffe_layers.data.storage.images import COLOR, GRAY, Array, pixels, read_image
from caffe_layers.data.storage.labelled_list import read_labelled_list
from caffe_layers.data.storage.records import Backend
from caffe_layers.data.storage.writing import RecordWriter, new_records
from caffe_layers.datum import Datum
from caffe_layers.errors import DataError
from converter.datum import datum_to_bytes
from retrain.events import Caution, Note
from retrain.log import Log

from ..flags import Flag

GROUP = "data"
ARGUMENTS = ("ROOTFOLDER/", "LISTFILE", "DB_NAME")
FLAGS = (
    Flag("gray", "treat images as grayscale ones", default=False),
    Flag("shuffle", "shuffle the order of the images and their labels", default=False),
    Flag("backend", "what to store in", "KIND", default="lmdb", choices=("lmdb", "leveldb")),
    Flag("resize_width", "width to scale images to, with resize_height", "PIXELS", int, 0),
    Flag("resize_height", "height to scale images to, with resize_width", "PIXELS", int, 0),
    Flag("check_size", "stop at an image of another size than the first", default=False),
    Flag("encoded", "store image files instead of pixels", default=False),
    Flag(
        "encode_type", "file format to store, such as png or jpg; implies encoded", "TYPE", str, ""
    ),
)
EXAMPLES = ("caffe convert_imageset --shuffle --encoded images/ train.txt train_lmdb",)
_EVERY = 1000


def run(options: Namespace) -> int:
    """Store every image of the list; one that cannot be read is left out with a warning.

    The database appears when it is complete. Keys are the line's number and the name in it.

    Raises:
        DataError: the list cannot be read, the database is there already, or with --check_size an
            image has another size.
    """
    log = Log()
    root, source, target = options.arguments
    lines = read_labelled_list(source)
    if options.shuffle:
        log(Note("convert_imageset.cpp:83", "Shuffling data"))
        random.shuffle(lines)
    log(Note("convert_imageset.cpp:86", f"A total of {len(lines)} images."))
    if options.encode_type and not options.encoded:
        log(Note("convert_imageset.cpp:89", "encode_type specified, assuming encoded=true."))
    with new_records(target, cast(Backend, options.backend.upper())) as writer:
        count = _store(writer, root, lines, options, log)
    if count % _EVERY:
        log(Note("convert_imageset.cpp:150", f"Processed {count} files."))
    return 0


def _store(
    writer: RecordWriter, root: str, lines: list[tuple[str, int]], options: Namespace, log: Log
) -> int:
    """Returns how many were stored."""
    count, first = 0, None
    for number, (name, label) in enumerate(lines):
        how = GRAY if options.gray else COLOR
        size = max(0, options.resize_height), max(0, options.resize_width)
        try:
            image = read_image(root + name, how, *size)
        except DataError as error:
            log(Caution(f"{error}; it is left out"))
            continue
        first = image.shape if first is None else first
        if options.check_size and image.size != first[0] * first[1] * first[2]:
            raise DataError(
                f"{root}{name} is {list(image.shape)}, the first image {list(first)}; leave out "
                "--check_size, or set --resize_height and --resize_width"
            )
        datum = _datum(root + name, label, image, options, resized=any(size))
        key = f"{number:08d}_{name}".encode("utf-8", "surrogateescape")
        writer.put(key, datum_to_bytes(datum))
        count += 1
        if count % _EVERY == 0:
            log(Note("convert_imageset.cpp:144", f"Processed {count} files."))
    return count


def _datum(path: str, label: int, image: Array, options: Namespace, *, resized: bool) -> Datum:
    """The pixels; or the file itself; or, where format or size differ, the image encoded anew."""
    ending = Path(path).suffix.lower().removeprefix(".")
    wanted = options.encode_type or (ending if options.encoded else "")
    if not wanted:
        return Datum(label, image)
    if not resized and (ending == wanted or (ending, wanted) == ("jpeg", "jpg")):
        return Datum(label, encoded=Path(path).read_bytes())
    try:
        _, content = cv2.imencode(f".{wanted}", pixels(image))
    except cv2.error as error:
        raise DataError(
            f"{path} cannot be encoded as '{wanted}': OpenCV has no such format; set --encode_type "
            "to another, such as png"
        ) from error
    return Datum(label, encoded=content.tobytes())
