"""Slice by slice, a convolution in three axes is torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from converter.exports.conv3d_in_slices import Conv3dInSlices, conv3d_in_slices

PLANS = {
    "plain": {},
    "pad": {"padding": 2},
    "axes of their own": {"stride": (2, 1, 3), "padding": (1, 0, 2), "dilation": (1, 2, 1)},
    "dilated": {"stride": (1, 2, 1), "padding": (3, 1, 0), "dilation": (3, 1, 2)},
    "groups": {"padding": (0, 1, 1), "groups": 2},
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_sums_are_those_of_conv3d(plan: dict[str, object], bias: bool) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 4, 9, 8, 7, dtype=torch.float64)
    groups = int(str(plan.get("groups", 1)))
    weight = torch.randn(6, 4 // groups, 3, 2, 3, dtype=torch.float64)
    offset = torch.randn(6, dtype=torch.float64) if bias else None
    found = conv3d_in_slices(x, weight, offset, **plan)  # type: ignore[arg-type]
    wanted = functional.conv3d(x, weight, offset, **plan)  # type: ignore[call-overload]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_within_it_modules_take_the_slices_and_float32_torchs_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    whole = functional.conv2d

    def counted(*arguments):  # type: ignore[no-untyped-def]
        taken.append(arguments[0].dtype)
        return whole(*arguments)

    monkeypatch.setattr(functional, "conv2d", counted)
    layer = torch.nn.Conv3d(2, 3, 3, padding=1)
    with Conv3dInSlices():
        layer(torch.randn(1, 2, 4, 5, 6))
        layer.double()(torch.randn(1, 2, 4, 5, 6, dtype=torch.float64))
    assert taken == [torch.float64] * 4


@pytest.mark.parametrize(
    ("shape", "plan"),
    [
        ((2, 6, 5, 7), {}),
        ((1, 2, 6, 5, 7), {"padding": "same"}),
        ((1, 2, 6, 5, 7), {"padding": "valid", "stride": (2,)}),
        ((1, 2, 6, 5, 7), {"padding": (1,), "dilation": [1, 2, 1]}),
    ],
    ids=["without a batch", "same", "valid", "one size for all axes"],
)
def test_within_it_all_that_torch_takes_gives_torchs_numbers(
    shape: tuple[int, ...], plan: dict[str, object]
) -> None:
    torch.manual_seed(2)
    x, weight = torch.randn(shape).double(), torch.randn(3, 2, 3, 3, 3).double()
    wanted = functional.conv3d(x, weight, **plan)  # type: ignore[call-overload]
    with Conv3dInSlices():
        found = functional.conv3d(x, weight, **plan)  # type: ignore[call-overload]
        named = functional.conv3d(input=x, weight=weight, **plan)  # type: ignore[call-overload]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(named, wanted, rtol=1e-12, atol=1e-12)


def test_a_kernel_deeper_than_the_volume_is_told() -> None:
    x, weight = torch.zeros(1, 1, 2, 4, 4).double(), torch.zeros(1, 1, 3, 3, 3).double()
    with pytest.raises(ValueError, match="reaches over 3 slices, the volume has 2"):
        conv3d_in_slices(x, weight)
