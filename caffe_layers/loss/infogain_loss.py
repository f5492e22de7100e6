"""InfogainLoss: the log-likelihood of all classes, weighted by a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layer import Layer, Shape
from ..registry import layer
from ..shapes import canonical_axis
from ._floored import floored
from ._labels import check_labels, check_places
from ._normalizer import normalizer

FLOOR = math.log(1e-20)
"""log of the least probability that counts."""


@layer("InfogainLoss", "infogain_loss_param", "loss_param")
class InfogainLoss(Layer):
    """L = - Σ Σ_k H[label, k]·log softmax(x)[k] / normaliser, over the places and the classes k.

    Prototxt:

        layer {
          name: "loss" type: "InfogainLoss" bottom: "fc8" bottom: "label" top: "loss"
          infogain_loss_param { source: "infogain.binaryproto" }
        }

    Python: `loss = InfogainLoss()(scores, labels, H)`, or with a file
    `InfogainLoss(source="H.npy", read_blob=numpy.load)(scores, labels)`.

    Args:
        source: file of H, taken as written from the working folder; only without a third bottom.
        axis: the axis of the classes; -1 is the last.
        ignore_label: places with this label count for nothing.
        normalize: refused, as in Caffe: this layer came after it.
        normalization: FULL divides by all places, VALID by those not ignored, BATCH_SIZE by the
            items before `axis`, NONE by 1. The divisor is at least 1.
        read_blob: what reads a file into an array; a net brings one for .binaryproto files.
        tops: 2 to have the probabilities as well.

    Bottoms: scores [N, C, ...]; labels, integers as floats, one per place; if wanted, H of C·C
        values, row by row. Only the scores get a gradient.
    Tops: the loss, a number without axes; if wanted, the probabilities, shaped as scores, without
        a gradient.

    Raises:
        LayerError: neither a third bottom nor a source; bottoms that do not fit each other; a
            label that is no class (on the CPU).
        DataError: the file does not read, or does not hold C·C values.

    Source: Caffe's infogain_loss_layer.cpp. With the identity for H it is SoftmaxWithLoss. A
    probability below 1e-20 counts as that in the loss; the gradient is that without this floor,
    p·Σ_k H[label, k] - H[label].
    """

    bottom_count = (2, 3)
    top_count = (1, 2)
    is_loss = True

    matrix: Tensor | None

    def __init__(
        self,
        *,
        source: str | None = None,
        axis: int = 1,
        ignore_label: int | None = None,
        normalize: bool | None = None,
        normalization: Literal["FULL", "VALID", "BATCH_SIZE", "NONE"] = "VALID",
        read_blob: Callable[[str], NDArray[Any]] | None = None,
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.source = source
        self.axis = axis
        self.ignore_label = ignore_label
        self.normalize = normalize
        self.normalization = normalization
        self.read_blob = read_blob
        self.tops = tops
        self.register_buffer("matrix", None, persistent=False)

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the shapes; read H if it does not come as a bottom."""
        if self.normalize is not None:
            raise self.error("does not read normalize, the old form; set normalization")
        scores, labels, *matrix = bottom_shapes
        self.axis = canonical_axis(self.axis, len(scores), self.error)
        check_places(scores, labels, self.axis, self.error)
        classes = scores[self.axis]
        if not matrix:
            self.matrix = self._read(classes)
        elif math.prod(matrix[0]) != classes * classes:
            raise self.error(
                f"wants a third bottom of {classes} times {classes} values, one per pair of "
                f"classes, got {list(matrix[0])}"
            )

    def _read(self, classes: int) -> Tensor:
        if self.source is None:
            raise self.error("needs the matrix: give it as third bottom, or set source")
        if self.read_blob is None:
            raise self.error(f"needs read_blob, which says how to read source {self.source}")
        try:
            values = self.read_blob(self.source)
        except (OSError, ValueError, DataError) as error:
            raise DataError(f"{self.label}: cannot read source: {error}") from error
        if values.size != classes * classes:
            raise DataError(
                f"{self.label}: {self.source} holds {values.size} values in shape "
                f"{list(values.shape)}; wanted {classes} times {classes}, one per pair of classes"
            )
        return torch.from_numpy(values.astype("float32").reshape(classes, classes))

    def forward(
        self, scores: Tensor, labels: Tensor, matrix: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The loss, and the probabilities if there is a second top."""
        short = scores.dtype in (torch.float16, torch.bfloat16)
        log_p = torch.log_softmax(scores, self.axis, dtype=torch.float32 if short else None)
        classes = scores.shape[self.axis]
        rows = log_p.movedim(self.axis, -1).reshape(-1, classes)
        label = labels.to(torch.int64).reshape(-1)
        valid = None if self.ignore_label is None else label != self.ignore_label
        if valid is not None:
            label = label.where(valid, 0)
        check_labels(label, classes, self.error)
        weights = self._weights(matrix, rows)[label]
        if valid is not None:
            weights = weights.where(valid[:, None], 0)
        divisor = normalizer(
            self.normalization,
            places=label.numel(),
            items=math.prod(scores.shape[: self.axis]),
            valid=valid,
        )
        loss = -(weights * floored(rows, FLOOR)).sum() / divisor
        return (loss, log_p.detach().exp()) if self.tops == 2 else loss

    def _weights(self, matrix: Tensor | None, like: Tensor) -> Tensor:
        """H, from the bottom or the file, in the type and on the device of the scores."""
        given = self.matrix if matrix is None else matrix
        assert given is not None
        classes = like.shape[1]
        return given.detach().to(like).reshape(classes, classes)
