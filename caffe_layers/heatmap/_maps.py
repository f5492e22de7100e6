"""What layers that read maps ask of their bottom."""

from __future__ import annotations

from torch import Tensor

from ..layer import Shape
from ..shapes import Fail


def check_map_axes(fail: Fail, maps: Shape, depth: int = 0) -> None:
    """Refuse anything but maps [N, K, ...] of 1 to 3 spatial axes.

    Args:
        depth: if not 0, channels are depth bins: their number must be a multiple.

    Raises:
        LayerError: other axes, or channels that `depth` does not divide.
    """
    if not 3 <= len(maps) <= 5:
        raise fail(f"wants maps [N, K, ...] of 1 to 3 spatial axes, got {list(maps)}")
    if depth and (len(maps) != 4 or maps[1] % depth):
        raise fail(f"wants [N, K·{depth}, H, W], depth bins of {depth} each, got {list(maps)}")


def volumes(maps: Tensor, depth: int) -> Tensor:
    """[N, K·depth, H, W] as [N, K, depth, H, W]; without depth, as it is."""
    return maps.reshape(len(maps), -1, depth, *maps.shape[2:]) if depth else maps
