"""The hand model of the same author, joint by joint after its specification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from caffe_layers import DeepHandModel, DeepHandModelDofConstraintLoss
from caffe_layers.errors import DataError, LayerError

LISTED = [*range(6, 15), *range(19, 31)]
Matrix = NDArray[np.float64]


@pytest.fixture
def hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, NDArray[np.float32]]:
    """The five files, and what stands in them."""
    draw = np.random.default_rng(3)
    files = {
        "BoneLength.in": draw.uniform(1, 9, 30).astype(np.float32),
        "InitialParameters.in": draw.uniform(-1, 1, 47).astype(np.float32),
        "DofConstraintLowerBound.in": draw.uniform(-1, -0.5, 47).astype(np.float32),
        "DofConstraintUpperBound.in": draw.uniform(0.5, 1, 47).astype(np.float32),
    }
    folder = tmp_path / "configuration"
    folder.mkdir()
    for name, values in files.items():
        (folder / name).write_text("\n".join(repr(float(v)) for v in values))
    (folder / "DofConstraintId.in").write_text(" ".join(map(str, [len(LISTED), *LISTED])))
    monkeypatch.chdir(tmp_path)
    return files


def by_hand(p: Matrix, length: Matrix) -> Matrix:
    """One hand's 31 joints, matrix by matrix in the order of the specification."""

    def turn(axis: str, i: int) -> Matrix:
        c, s = np.cos(p[i]), np.sin(p[i])
        three = {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
        four = np.eye(4)
        four[:3, :3] = three
        return four

    def shift(axis: int, amount: float) -> Matrix:
        four = np.eye(4)
        four[axis, 3] = amount
        return four

    palm = shift(0, p[0]) @ shift(1, p[1]) @ shift(2, p[2])
    palm = palm @ turn("z", 5) @ turn("x", 3) @ turn("y", 4)
    wrist = [
        palm @ turn("z", a) @ turn("x", b) @ turn("y", c) @ shift(1, -length[bone])
        for a, b, c, bone in ((8, 6, 7, 24), (11, 9, 10, 25), (14, 12, 13, 26))
    ]
    pip = wrist[2] @ turn("z", 16) @ turn("y", 15) @ shift(0, length[27])
    dip = pip @ turn("z", 17) @ shift(0, length[28])
    tip = dip @ turn("z", 18) @ shift(0, length[29])
    fingers, roots = [], []
    for k in range(4):
        mcp = palm @ turn("z", 21 + 3 * k) @ turn("x", 19 + 3 * k) @ turn("y", 20 + 3 * k)
        mcp = mcp @ shift(1, length[20 + k])
        base = mcp @ turn("z", 32 + 4 * k) @ turn("x", 31 + 4 * k) @ shift(1, length[4 + 5 * k])
        first = base @ turn("x", 33 + 4 * k) @ shift(1, length[3 + 5 * k])
        second = first @ shift(1, length[2 + 5 * k])
        dip_k = second @ turn("x", 34 + 4 * k) @ shift(1, length[1 + 5 * k])
        fingers += [dip_k @ shift(1, length[5 * k]), dip_k, second, first, base]
        roots.append(mcp)
    joints = [*fingers, *roots, palm, *wrist, pip, dip, tip]
    return np.concatenate([joint[:3, 3] for joint in joints])


def test_every_joint(hand: dict[str, NDArray[np.float32]]) -> None:
    x = np.random.default_rng(5).uniform(-1.5, 1.5, (3, 47))
    initial = hand["InitialParameters.in"].astype(np.float64)
    parameters = x + initial
    parameters[:, LISTED] = initial[LISTED]
    wanted = [by_hand(p, hand["BoneLength.in"].astype(np.float64)) for p in parameters]
    found = DeepHandModel().double()(torch.from_numpy(x))
    assert found.shape == (3, 93)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("hand")
def test_its_gradient_is_the_jacobian_and_none_for_listed_parameters() -> None:
    x = torch.rand(2, 47, dtype=torch.float64, requires_grad=True)
    model = DeepHandModel().double()
    assert torch.autograd.gradcheck(model, (x,))
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert torch.equal(gradient[:, LISTED], torch.zeros(2, len(LISTED), dtype=torch.float64))
    assert float(gradient[:, :3].abs().min()) > 0


def test_the_constraint(hand: dict[str, NDArray[np.float32]]) -> None:
    x = torch.from_numpy(np.random.default_rng(7).uniform(-2, 2, (5, 47))).requires_grad_()
    low = hand["DofConstraintLowerBound.in"].astype(np.float64)
    high = hand["DofConstraintUpperBound.in"].astype(np.float64)
    free = [i for i in range(47) if i not in LISTED]
    total = 0.0
    for row in x.detach().numpy():
        for i in free:
            over = row[i] - high[i] if row[i] > high[i] else min(row[i] - low[i], 0)
            total += over**2
    loss = DeepHandModelDofConstraintLoss().double()
    assert loss(x).item() == pytest.approx(total / 5, rel=1e-12)
    assert torch.autograd.gradcheck(loss, (x,))


@pytest.mark.parametrize("cls", [DeepHandModel, DeepHandModelDofConstraintLoss])
def test_files_that_are_not_there(
    cls: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"configuration/\w+\.in: cannot be read"):
        cls()(torch.zeros(2, 47))


@pytest.mark.usefixtures("hand")
@pytest.mark.parametrize("cls", [DeepHandModel, DeepHandModelDofConstraintLoss])
def test_other_shapes_are_refused(cls: type) -> None:
    with pytest.raises(LayerError, match=r"takes a bottom \[N, 47\], got \[2, 46\]"):
        cls()(torch.zeros(2, 46))
