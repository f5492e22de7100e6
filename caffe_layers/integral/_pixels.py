"""Images as blobs: the readers' [N, 3, R, R], 0 to 255, blue first."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ._sample_files import Image


def resized(image: Image, size: int) -> Image:
    """Stretched to `size` × `size`, bilinear."""
    return np.asarray(cv2.resize(image, (size, size)), np.uint8)


def as_blob(images: Sequence[Image]) -> Tensor:
    """Images of one size as a float blob [N, 3, H, W]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().contiguous()
