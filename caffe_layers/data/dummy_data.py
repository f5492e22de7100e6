"""DummyData: blobs out of fillers, for trying nets without data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..fillers import Filler, fill_
from ..layer import Shape, SourceLayer
from ..registry import layer


@layer("DummyData", "dummy_data_param")
class DummyData(SourceLayer):
    """Tops filled by fillers: constant ones once, the others anew at every pass.

    Prototxt:

        layer {
          name: "made" type: "DummyData" top: "data" top: "label"
          dummy_data_param {
            shape { dim: 8 dim: 3 dim: 32 dim: 48 } shape { dim: 8 }
            data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 }
          }
        }

    Python: `x = DummyData(shape=[(8, 3, 32, 48)], data_filler=[Filler("gaussian")])()`.

    Args:
        data_filler: none (all 0), one for all tops, or one per top.
        shape: one for all tops, or one per top.
        num: old form of the first size, one for all tops or one per top; not with `shape`.
        channels: old form of the second size.
        height: old form of the third size.
        width: old form of the fourth size.
        tops: number of tops.

    Bottoms: none.
    Tops: one or more blobs of the given shapes.

    Raises:
        LayerError: numbers of shapes or fillers that do not fit the tops.

    Source: Caffe's dummy_data_layer.cpp. Draws come from torch's global generator.
    """

    top_count = (1, None)

    def __init__(
        self,
        *,
        data_filler: Sequence[Filler] = (),
        shape: Sequence[Sequence[int]] = (),
        num: Sequence[int] = (),
        channels: Sequence[int] = (),
        height: Sequence[int] = (),
        width: Sequence[int] = (),
        tops: int = 1,
    ) -> None:
        super().__init__()
        self.data_filler = tuple(data_filler)
        self.shape = tuple(tuple(one) for one in shape)
        self.old_sizes = {"num": num, "channels": channels, "height": height, "width": width}
        self.tops = tops
        self._constants: dict[int, Tensor] = {}

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the numbers of shapes and fillers."""
        self.top_shapes()
        if len(self.data_filler) not in (0, 1, self.tops):
            raise self.error(
                f"has {self.tops} tops and {len(self.data_filler)} fillers; "
                "give none, one, or one per top"
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """The given shapes.

        Raises:
            LayerError: their number does not fit the tops.
        """
        shapes = self._old_shapes() if any(self.old_sizes.values()) else self.shape
        if len(shapes) not in (1, self.tops):
            raise self.error(
                f"has {self.tops} tops and {len(shapes)} shapes; give one, or one per top"
            )
        return shapes * self.tops if len(shapes) == 1 else shapes

    def _old_shapes(self) -> tuple[Shape, ...]:
        if self.shape:
            raise self.error("shape and num, channels, height, width are both set; keep shape")
        for name, sizes in self.old_sizes.items():
            if len(sizes) not in (1, self.tops):
                raise self.error(
                    f"has {self.tops} tops and {len(sizes)} times {name}; give one, or one per top"
                )
        columns = (tuple(s) * (self.tops // len(s)) for s in self.old_sizes.values())
        return tuple(zip(*columns, strict=True))

    def forward(self) -> Tensor | tuple[Tensor, ...]:
        """Fill what is not constant."""
        tops = tuple(self._top(i, shape) for i, shape in enumerate(self.top_shapes()))
        return tops[0] if self.tops == 1 else tops

    def _top(self, index: int, shape: Shape) -> Tensor:
        fillers = self.data_filler
        filler = fillers[index if len(fillers) > 1 else 0] if fillers else Filler()
        if filler.type != "constant":
            return self.place(fill_(torch.empty(shape, device="cpu"), filler))
        if index not in self._constants:
            self._constants[index] = torch.full(shape, filler.value, device="cpu")
        self._constants[index] = self.place(self._constants[index])
        return self._constants[index]
