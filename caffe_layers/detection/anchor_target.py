"""AnchorTarget: what a region proposal network is to say at every anchor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layer import Layer, Shape
from ..registry import layer
from ._boxes import anchor_grid, base_anchors, box_targets, overlaps
from ._sampling import balanced


@layer("AnchorTarget", "anchor_target_param")
class AnchorTarget(Layer):
    """Labels: 1 where an anchor overlaps a box well, 0 where none, -1 between or not drawn.

    Positive is an anchor whose overlap (intersection over union) with some box is at least 0.7, or
    the greatest any anchor has with that box; negative one whose overlaps are all below 0.3. Of
    these 256 are drawn, up to half of them positive. Each anchor is to move onto the box it
    overlaps most.

    Prototxt:

        layer {
          name: "rpn-data" type: "AnchorTarget"
          bottom: "rpn_cls_score" bottom: "gt_boxes" bottom: "im_info"
          top: "rpn_labels" top: "rpn_bbox_targets"
          top: "rpn_bbox_inside_weights" top: "rpn_bbox_outside_weights"
          anchor_target_param { feat_stride: 16 scales: 8 scales: 16 scales: 32 }
        }

    Python: `labels, targets, inside, outside = AnchorTarget()(score, gt_boxes, im_info)`. Then
    SoftmaxWithLoss(ignore_label=-1) of the score as [1, 2, A·H, W] with the labels, and
    SmoothL1Loss(sigma=3) of the box prediction with targets, inside and outside.

    Args:
        feat_stride: pixels from one cell to the next.
        base_size: of the base anchor in pixels, 16 at any stride.
        scales: of the base anchor.
        ratios: of height to width.
        allowed_border: pixels that an anchor may stick out of the image.
        positive_overlap: from here on an anchor is positive.
        negative_overlap: below it is negative.
        clobber_positives: negatives win over the best anchor of a box.
        batch_size: how many anchors are drawn, 1 or more.
        positive_fraction: the greatest share of positive ones among them.
        positive_weight: below 0 every drawn anchor has outside weight 1/drawn; else, above 0 and
            below 1, the positive ones share this, the negative ones the rest.
        inside_weights: of the four targets of a positive anchor.

    Bottoms: a blob [1, any, H, W], of which only H and W matter; gt_boxes [G, 4 or more]: x1, y1,
        x2, y2, ...; im_info [1, 2 or more]: height, width, ... of the image in pixels. No
        gradients.
    Tops: labels [1, 1, A·H, W]; targets [1, 4·A, H, W]: (centre shift)/size, log of the scale;
        inside weights, 0 but for positive anchors, and outside weights, shaped as targets.

    Raises:
        LayerError: more than one image; bottoms of other shapes.

    Source: Ren et al., Faster R-CNN, 2015 (arXiv 1506.01497), section 3.1.2;
    rpn/anchor_target_layer.py of py-faster-rcnn, whose Python layer this is.

    Surprises: the overlap is that with the anchor, not with the box predicted there. A box that no
    anchor overlaps makes every anchor positive that it does not overlap, as there: all overlaps 0
    are the greatest. An image without boxes has negatives only.
    """

    bottom_count = (3, 4)
    top_count = (4, 4)
    base: Tensor

    def __init__(
        self,
        *,
        feat_stride: int = 16,
        base_size: int = 16,
        scales: Sequence[float] = (8.0, 16.0, 32.0),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        allowed_border: float = 0.0,
        positive_overlap: float = 0.7,
        negative_overlap: float = 0.3,
        clobber_positives: bool = False,
        batch_size: int = 256,
        positive_fraction: float = 0.5,
        positive_weight: float = -1.0,
        inside_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        if batch_size < 1 or not 0 <= positive_fraction <= 1 or len(inside_weights) != 4:
            raise self.error(
                f"wants batch_size 1 or more, positive_fraction 0 to 1 and 4 inside_weights, got "
                f"{batch_size}, {positive_fraction:g} and {len(inside_weights)}"
            )
        if not (positive_weight < 0 or 0 < positive_weight < 1):
            raise self.error(
                f"positive_weight must be below 0, or above 0 and below 1, got {positive_weight:g}"
            )
        self.feat_stride = feat_stride
        self.anchors = len(scales) * len(ratios)
        self.allowed_border = allowed_border
        self.positive_overlap = positive_overlap
        self.negative_overlap = negative_overlap
        self.clobber_positives = clobber_positives
        self.batch_size = batch_size
        self.positive_fraction = positive_fraction
        self.positive_weight = positive_weight
        self.register_buffer("base", base_anchors(base_size, ratios, scales), persistent=False)
        self.register_buffer("inside", torch.tensor(list(inside_weights)), persistent=False)

    inside: Tensor

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check that there is one image, and boxes of four sides."""
        cells, boxes, image, *_ = bottom_shapes
        if len(cells) != 4 or cells[0] != 1:
            raise self.error(f"wants a blob [1, any, H, W] of one image, got {list(cells)}")
        if len(boxes) != 2 or boxes[1] < 4 or len(image) != 2 or image[1] < 2:
            raise self.error(
                f"wants gt_boxes [G, 4 or more] and im_info [1, 2 or more], got {list(boxes)} and "
                f"{list(image)}"
            )

    def forward(
        self, cells: Tensor, boxes: Tensor, image: Tensor, *_: Tensor
    ) -> tuple[Tensor, ...]:
        """Label the anchors, draw, and say where they are to move."""
        height, width = cells.shape[2:]
        kind = torch.promote_types(cells.dtype, torch.float32)
        anchors = anchor_grid(self.base.to(kind), height, width, self.feat_stride)
        sides = boxes.detach().to(kind)[:, :4]
        inside = self._inside_image(anchors, image.detach().to(kind))
        labels, nearest = self._labels(anchors, sides, inside)
        labels = balanced(labels, self.batch_size, self.positive_fraction, -1).to(kind)
        positive = (labels == 1)[:, None]
        targets = box_targets(anchors, nearest).where(inside[:, None], 0)
        outside = self._outside_weights(labels)[:, None].expand(-1, 4)
        weights = self.inside.to(kind).where(positive, 0)
        planes = labels.reshape(1, height, width, self.anchors).permute(0, 3, 1, 2)
        return (
            planes.reshape(1, 1, self.anchors * height, width),
            *(self._planes(x, height, width) for x in (targets, weights, outside)),
        )

    def _inside_image(self, anchors: Tensor, image: Tensor) -> Tensor:
        low = anchors[:, :2] >= -self.allowed_border
        high = anchors[:, 2:] < image[0, :2].flip(0) + self.allowed_border
        return low.all(1) & high.all(1)

    def _labels(self, anchors: Tensor, sides: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """1, 0 or -1 for every anchor, and the box it overlaps most."""
        if sides.shape[0] == 0:
            return inside.to(anchors.dtype) - 1, anchors
        shared = overlaps(anchors, sides).where(inside[:, None], -1)
        most, which = shared.max(1)
        best = ((shared == shared.amax(0)) & inside[:, None]).any(1)
        positive = inside & (best | (most >= self.positive_overlap))
        negative = inside & (most < self.negative_overlap)
        positive = positive & ~negative if self.clobber_positives else positive
        labels = torch.where(positive, 1.0, torch.where(negative, 0.0, -1.0))
        return labels, sides[which]

    def _outside_weights(self, labels: Tensor) -> Tensor:
        positive, negative = (labels == 1).to(labels.dtype), (labels == 0).to(labels.dtype)
        if self.positive_weight < 0:
            drawn = positive + negative
            return drawn / drawn.sum().clamp(min=1)
        of_positive = self.positive_weight / positive.sum().clamp(min=1)
        of_negative = (1 - self.positive_weight) / negative.sum().clamp(min=1)
        return positive * of_positive + negative * of_negative

    def _planes(self, values: Tensor, height: int, width: int) -> Tensor:
        """[height·width·A, 4] as [1, A·4, height, width]."""
        return values.reshape(1, height, width, -1).permute(0, 3, 1, 2).contiguous()
