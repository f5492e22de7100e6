"""`caffe compute_image_mean`: the mean of a database's images, as transform_param's mean_file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import cast

import numpy as np

from caffe_layers.data.storage.images import AS_STORED, Array, decode
from caffe_layers.data.storage.records import Backend, open_records
from caffe_layers.errors import DataError
from converter.blob import mean_to_bytes
from converter.datum import read_datum
from converter.replacing import replacing
from retrain.events import Note
from retrain.log import Log

from ..flags import Flag

GROUP = "data"
ARGUMENTS = ("INPUT_DB", "[OUTPUT_FILE]")
FLAGS = (Flag("backend", "what it is", "KIND", default="lmdb", choices=("lmdb", "leveldb")),)
EXAMPLES = ("caffe compute_image_mean train_lmdb mean.binaryproto",)
_EVERY = 10000


def run(options: Namespace) -> int:
    """Write the mean image, if a file is named, and print the mean of each channel.

    Sums are float32, as Caffe's are: beyond some 65,000 images of bright pixels they round.

    Raises:
        DataError: the database cannot be read or is empty, its images are not of one size, or the
            file cannot be written.
    """
    log = Log()
    source, *targets = options.arguments
    log(Note("compute_image_mean.cpp:70", "Starting iteration"))
    mean = _mean(source, cast(Backend, options.backend.upper()), log)
    for target in targets:
        log(Note("compute_image_mean.cpp:108", f"Write to {target}"))
        try:
            with replacing(target) as temporary:
                temporary.write_bytes(mean_to_bytes(mean))
        except OSError as error:
            raise DataError(f"{target}: cannot be written: {error.strerror}") from error
    log(Note("compute_image_mean.cpp:114", f"Number of channels: {mean.shape[0]}"))
    for channel, values in enumerate(mean):
        value = values.cumsum(dtype=np.float32)[-1] / np.float32(values.size)
        log(Note("compute_image_mean.cpp:119", f"mean_value channel [{channel}]: {value:g}"))
    return 0


def _mean(source: str, backend: Backend, log: Log) -> Array:
    total: Array | None = None
    count = 0
    for image in _images(source, backend):
        total = np.zeros(image.shape, np.float32) if total is None else total
        if image.shape != total.shape:
            raise DataError(
                f"{source}: image {count + 1} is {list(image.shape)}, those before it are "
                f"{list(total.shape)}; a mean needs one size: store them anew with --resize_height "
                "and --resize_width"
            )
        total += image
        count += 1
        if count % _EVERY == 0:
            log(Note("compute_image_mean.cpp:95", f"Processed {count} files."))
    if total is None:
        raise DataError(f"{source} is empty")
    if count % _EVERY:
        log(Note("compute_image_mean.cpp:101", f"Processed {count} files."))
    return total / np.float32(count)


def _images(source: str, backend: Backend) -> Iterator[Array]:
    for key, record in open_records(source, backend).items():
        try:
            datum = read_datum(record)
            if datum.image is not None:
                yield datum.image
            elif datum.encoded is not None:
                yield decode(datum.encoded, AS_STORED)
        except DataError as error:
            raise DataError(f"{source}: record {key!r}: {error}") from error
