"""DeepHandModel: the joints of a hand from its angles, by a chain of turns and shifts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._hand import BONES, PARAMETERS, listed, numbers


@layer("DeepHandModel")
class DeepHandModel(Layer):
    """y[n, j] = M_j(x[n]) · (0, 0, 0, 1), the place of joint j.

    Prototxt: `layer { type: "DeepHandModel" bottom: "angles" top: "joints" }`

    Python: `joints = DeepHandModel()(angles)`

    Parameter i is x_i + init_i, or init_i alone where DofConstraintId.in lists it. 0 to 2 shift
    and 3 to 5 turn the palm, 6 to 18 the wrist and the thumb, 19 to 30 the roots of little, ring,
    middle and index finger, 31 to 46 their joints. M_j is the product of the turns and shifts from
    the palm to the joint; a turn about y is [[c, 0, -s], [0, 1, 0], [s, 0, c]], the transpose of
    the usual one.

    Bottoms: x [N, 47], angles in radians, shifts in the unit of the bones.
    Tops: y [N, 93], x, y and z of 31 joints: tip, dip, second pip, first pip and base of little,
        ring, middle and index finger, their four roots, palm, wrist left and middle, thumb root,
        pip, dip and tip.

    Raises:
        LayerError: a bottom of another shape.
        DataError: configuration/BoneLength.in (30 numbers), InitialParameters.in (47) or
            DofConstraintId.in cannot be read from the working directory.

    Source: deep_hand_model_layer.cpp of strawberryfg/DeepModel_hand. Listed parameters get no
    gradient.
    """

    _length: Tensor
    _initial: Tensor
    _listed: Tensor

    def setup(self, *bottom_shapes: Shape) -> None:
        """Read the three files."""
        (shape,) = bottom_shapes
        if len(shape) != 2 or shape[1] != PARAMETERS:
            raise self.error(f"takes a bottom [N, {PARAMETERS}], got {list(shape)}")
        values = (numbers("BoneLength.in", BONES), numbers("InitialParameters.in", PARAMETERS))
        for name, array in zip(
            ("_length", "_initial", "_listed"), (*values, listed()), strict=True
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Follow the chain from the palm to each joint."""
        initial = self._initial.to(x.dtype)
        p = torch.where(self._listed, initial, x + initial)
        length = self._length.to(x.dtype)
        palm = shift(p[:, 0], 0) @ shift(p[:, 1], 1) @ shift(p[:, 2], 2)
        palm = palm @ turn(p[:, 5], 2) @ turn(p[:, 3], 0) @ turn(p[:, 4], 1)
        places = (*_fingers(palm, p, length), palm[:, None], _thumb_side(palm, p, length))
        return torch.cat(places, 1)[..., :3, 3].flatten(1)


def _fingers(palm: Tensor, p: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Places of four fingers from tip to base [N, 20, 4, 4], and of their roots [N, 4, 4, 4]."""
    k = torch.arange(4, device=p.device)
    root = palm[:, None] @ turn(p[:, 21 + 3 * k], 2) @ turn(p[:, 19 + 3 * k], 0)
    root = root @ turn(p[:, 20 + 3 * k], 1) @ shift(length[20 + k].expand(len(p), 4), 1)
    bones = [length[i + 5 * k].expand(len(p), 4) for i in range(5)]
    base = root @ turn(p[:, 32 + 4 * k], 2) @ turn(p[:, 31 + 4 * k], 0) @ shift(bones[4], 1)
    first = base @ turn(p[:, 33 + 4 * k], 0) @ shift(bones[3], 1)
    second = first @ shift(bones[2], 1)
    dip = second @ turn(p[:, 34 + 4 * k], 0) @ shift(bones[1], 1)
    tip = dip @ shift(bones[0], 1)
    chain = torch.stack((tip, dip, second, first, base), 2)
    return chain.flatten(1, 2), root


def _thumb_side(palm: Tensor, p: Tensor, length: Tensor) -> Tensor:
    """Places of wrist left and middle, thumb root, pip, dip and tip [N, 6, 4, 4]."""
    count = len(p)

    def root(first: int, bone: int) -> Tensor:
        turned = palm @ turn(p[:, first + 2], 2) @ turn(p[:, first], 0) @ turn(p[:, first + 1], 1)
        return turned @ shift(-length[bone].expand(count), 1)

    left, middle, thumb = root(6, 24), root(9, 25), root(12, 26)
    pip = thumb @ turn(p[:, 16], 2) @ turn(p[:, 15], 1) @ shift(length[27].expand(count), 0)
    dip = pip @ turn(p[:, 17], 2) @ shift(length[28].expand(count), 0)
    tip = dip @ turn(p[:, 18], 2) @ shift(length[29].expand(count), 0)
    return torch.stack((left, middle, thumb, pip, dip, tip), 1)


def turn(angle: Tensor, axis: int) -> Tensor:
    """Matrices [..., 4, 4] that turn by angles [...] about x (0), y (1) or z (2)."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rows = (
        ((one, zero, zero), (zero, c, -s), (zero, s, c)),
        ((c, zero, -s), (zero, one, zero), (s, zero, c)),
        ((c, -s, zero), (s, c, zero), (zero, zero, one)),
    )[axis]
    matrix = torch.stack([torch.stack((*row, zero), -1) for row in rows], -2)
    last = torch.stack((zero, zero, zero, one), -1)
    return torch.cat((matrix, last[..., None, :]), -2)


def shift(amount: Tensor, axis: int) -> Tensor:
    """Matrices [..., 4, 4] that shift by amounts [...] along x (0), y (1) or z (2)."""
    along = torch.zeros(4, 4, dtype=amount.dtype, device=amount.device)
    along[axis, 3] = 1
    eye = torch.eye(4, dtype=amount.dtype, device=amount.device)
    return eye + amount[..., None, None] * along
