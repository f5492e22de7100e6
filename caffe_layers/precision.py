"""Half precision: what would leave its range or lose digits is computed in float32."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """x, as float32 if it is in half precision; its gradient comes back in its own type."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
