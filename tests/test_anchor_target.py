"""What a region proposal network is taught: anchors, labels, draws, and a whole prototxt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layer_case import draw, make, numbers
from loss_cases import BOXES, CELLS, IMAGE
from torch.nn import functional

from converter import load_net


class TestAnchors:
    def test_base_anchors_are_py_faster_rcnns(self) -> None:
        in_matlab = [  # as its generate_anchors.py quotes them, pixels counted from 1
            *([-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]),
            *([-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]),
            *([-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]),
        ]
        assert (make("AnchorTarget").base + 1).tolist() == in_matlab

    def test_anchors_are_16_pixels_at_any_stride(self) -> None:
        fine, coarse = make("AnchorTarget", feat_stride=8), make("AnchorTarget", feat_stride=32)
        assert torch.equal(fine.base, coarse.base)
        small = make("AnchorTarget", base_size=8, scales=(16.0,), ratios=(1.0,))
        assert small.base.tolist() == [[-60, -60, 67, 67]]  # 128 pixels about the centre 3.5

    def test_targets_by_the_definition(self) -> None:
        layer = make("AnchorTarget", scales=(2.0, 4.0), batch_size=4000)
        labels, targets, inside, outside = layer(CELLS, BOXES, IMAGE)
        wanted = reference(layer.base.double().numpy(), BOXES.numpy(), 96, 112)
        shape = (6, 7, 6)
        found = labels.reshape(6, 6, 7).permute(1, 2, 0).reshape(-1)
        np.testing.assert_array_equal(found.numpy(), wanted[0])
        moved = targets.reshape(*shape[2:], 4, 6, 7).permute(2, 3, 0, 1).reshape(-1, 4)
        np.testing.assert_allclose(moved.numpy(), wanted[1], rtol=1e-12, atol=1e-12)
        assert int((found == 1).sum()) > 1
        assert set(inside.unique().tolist()) == {0.0, 1.0}
        assert float(inside.sum()) == 4 * int((found == 1).sum())
        assert float(outside.sum()) == pytest.approx(4)

    @pytest.mark.parametrize(("size", "positive"), [(8, 4), (20, 10), (1000, None)])
    def test_draws_up_to_half_positive(self, size: int, positive: int | None) -> None:
        every = make("AnchorTarget", scales=(2.0, 4.0), batch_size=4000)(CELLS, BOXES, IMAGE)[0]
        found = make("AnchorTarget", scales=(2.0, 4.0), batch_size=size)(CELLS, BOXES, IMAGE)[0]
        ones = int((every == 1).sum())
        assert int((found == 1).sum()) == (ones if positive is None else min(positive, ones))
        if positive is not None:
            assert int((found >= 0).sum()) == size
        assert bool(((found == every) | (found == -1)).all())

    def test_weights_of_a_given_share(self) -> None:
        layer = make("AnchorTarget", scales=(2.0, 4.0), positive_weight=0.25)
        labels, _, _, outside = layer(CELLS, BOXES, IMAGE)
        by_anchor = outside.reshape(6, 4, 6, 7)[:, 0].reshape(labels.shape)
        assert float(by_anchor[labels == 1].sum()) == pytest.approx(0.25)
        assert float(by_anchor[labels == 0].sum()) == pytest.approx(0.75)

    def test_an_image_without_boxes(self) -> None:
        labels, targets, inside, _ = make("AnchorTarget", scales=(2.0,))(
            CELLS, torch.empty(0, 5).double(), IMAGE
        )
        assert set(labels.unique().tolist()) == {-1.0, 0.0}
        assert not targets.any()
        assert not inside.any()

    def test_all_are_equally_likely(self) -> None:
        torch.manual_seed(0)
        layer = make("BalancedSampling", batch_size=2, positive_fraction=0.5)
        labels = numbers(1, 1, 1, 1, 0, 0, 0, 0)
        drawn = sum((layer(labels) == labels).double() for _ in range(2000)) / 2000
        assert bool(((drawn - 0.25).abs() < 0.05).all())


def reference(base: Any, boxes: Any, height: int, width: int) -> tuple[Any, Any]:
    """Labels and targets of all anchors, one by one as the paper says it."""
    labels, targets = [], []
    anchors = [b + 16 * np.array([j, i, j, i]) for i in range(6) for j in range(7) for b in base]
    inside = [a[0] >= 0 and a[1] >= 0 and a[2] < width and a[3] < height for a in anchors]
    shared = np.array([[iou(a, b) for b in boxes] for a in anchors])
    best = shared[inside].max(0)
    for anchor, within, row in zip(anchors, inside, shared, strict=True):
        box = boxes[row.argmax()]
        label = 1 if row.max() >= 0.7 or (row == best).any() else 0 if row.max() < 0.3 else -1
        labels.append(label if within else -1)
        size, wanted = anchor[2:] - anchor[:2] + 1, box[2:4] - box[:2] + 1
        shift = (box[:2] + wanted / 2 - anchor[:2] - size / 2) / size
        move = np.concatenate([shift, np.log(wanted / size)])
        targets.append(move if within else np.zeros(4))
    return np.array(labels), np.array(targets)


def iou(a: Any, b: Any) -> float:
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return w * h / (sum(areas) - w * h)


RPN = """
input: "score" input_shape { dim: 1 dim: 18 dim: 6 dim: 7 }
input: "boxes" input_shape { dim: 2 dim: 5 }
input: "im_info" input_shape { dim: 1 dim: 3 }
input: "move" input_shape { dim: 1 dim: 36 dim: 6 dim: 7 }
layer { name: "pairs" type: "Reshape" bottom: "score" top: "pairs"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 7 } } }
layer { name: "targets" type: "AnchorTarget" bottom: "score" bottom: "boxes" bottom: "im_info"
  top: "labels" top: "targets" top: "inside" top: "outside"
  anchor_target_param { scales: 1 scales: 2 scales: 4 } }
layer { name: "cls" type: "SoftmaxWithLoss" bottom: "pairs" bottom: "labels" top: "cls"
  loss_param { ignore_label: -1 } }
layer { name: "box" type: "SmoothL1Loss" bottom: "move" bottom: "targets" bottom: "inside"
  bottom: "outside" top: "box" smooth_l1_loss_param { sigma: 3 } }
"""


def test_a_region_proposal_network_is_trained_from_its_prototxt(tmp_path: Path) -> None:
    path = tmp_path / "rpn.prototxt"
    path.write_text(RPN, encoding="utf-8")
    net = load_net(path)
    score, move = CELLS.float().requires_grad_(), draw(1, 36, 6, 7).float().requires_grad_()
    torch.manual_seed(1)
    tops = net(score=score, boxes=BOXES.float(), im_info=IMAGE.float(), move=move)
    torch.manual_seed(1)
    labels, targets, inside, _ = make("AnchorTarget", scales=(1.0, 2.0, 4.0))(
        score, BOXES.float(), IMAGE.float()
    )
    drawn = int((labels >= 0).sum())
    pairs = score.reshape(1, 2, -1, 7).flatten(2)[0].T
    entropy = functional.cross_entropy(pairs, labels.flatten().long(), ignore_index=-1)
    torch.testing.assert_close(tops["cls"], entropy)
    bent = functional.smooth_l1_loss(move, targets, beta=1 / 9, reduction="none") * inside
    torch.testing.assert_close(tops["box"], bent.sum() / drawn)
    net.loss(tops).backward()
    assert bool(score.grad.isfinite().all())
    assert int((move.grad != 0).sum()) == int(inside.sum())
