"""Losses against worked examples in float64, computed apart from this project."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from layer_case import make
from torch import Tensor
from worked_examples import example, holds, near, wide

from caffe_layers.integral._cube_softmax import cube_softmax
from caffe_layers.layer import as_tuple


def losses_and_gradient(
    type_name: str, bottoms: Sequence[Tensor], place: int = 0, /, **arguments: Any
) -> tuple[Tensor, Tensor]:
    """The first top, and its gradient for one bottom."""
    given = [bottom.clone() for bottom in bottoms]
    given[place].requires_grad_()
    loss = as_tuple(make(type_name, **arguments)(*given))[0]
    (gradient,) = torch.autograd.grad(loss, given[place])
    return loss.detach(), gradient


PAIRS = {
    "pred0": [[0.2, 0.5, 0.1], [0.9, 0.3, 0.4]],
    "gt0": [[0, 1, 0], [1, 0, 0]],
    "pred1": [[0.1, 0.2, 0.05, 0.6], [0, 0.3, 0.15, 0.25]],
    "gt1": [[0, 0, 0, 1], [0, 1, 0, 0]],
    "pred2": [[0.50, 0.25, 0.70, 0.30], [0.40, 0.60, 0.20, 0.80]],
    "gt2": [[0.55, 0.20, 0.65, 0.35], [0.45, 0.50, 0.25, 0.70]],
    "pred3": [[0.40, 0.60], [0.55, 0.45]],
    "gt3": [[0.5, 0.5], [0.5, 0.5]],
    "pred4": [[0.52, 0.22, 0.66, 0.31], [0.47, 0.52, 0.22, 0.78]],
    "gt4": [[0.55, 0.20, 0.65, 0.35], [0.45, 0.50, 0.25, 0.70]],
}
COUNTS = {"H1": 2, "I1_4": 4, "I1_5": 5}


def pairs(count: int) -> list[Tensor]:
    return [wide(PAIRS[f"{what}{i}"]) for i in range(count) for what in ("pred", "gt")]


def each_pair(bottoms: Sequence[Tensor]) -> list[Tensor]:
    """The loss of each pair by itself."""
    alone = range(0, len(bottoms), 2)
    return [make("AdaptiveWeightEucLoss")(*bottoms[i : i + 2]) for i in alone]


def undetached_gradient(prediction: Tensor, truth: Tensor) -> Tensor:
    """Of D·Σd²/Σ|d|, the same loss, where the weight takes part in the derivative."""
    p = prediction.clone().requires_grad_()
    d = p - truth
    (gradient,) = torch.autograd.grad(d.shape[1] * d.square().sum() / d.abs().sum(), p)
    return gradient


class TestAdaptiveWeightEucLoss:
    @holds("A/{case}", case=COUNTS)
    def test_loss_weights_and_gradients(self, case: str) -> Any:
        bottoms = [b.requires_grad_(i % 2 == 0) for i, b in enumerate(pairs(COUNTS[case]))]
        layer = make("AdaptiveWeightEucLoss")
        loss = layer(*bottoms)
        return {
            "absmean": 1 / layer.weights,
            "weights": layer.weights,
            "per_pair": each_pair(bottoms),
            "loss": loss,
            "grads": torch.autograd.grad(loss, bottoms[::2]),
        }

    @holds("A/euler")
    def test_gradient_is_of_degree_0(self) -> Any:
        prediction, truth = pairs(1)
        loss, gradient = losses_and_gradient("AdaptiveWeightEucLoss", (prediction, truth))
        d = prediction - truth
        true = (undetached_gradient(prediction, truth) * d).sum()
        return {"code": (gradient * d).sum(), "true": true, "loss_pair0": loss}

    @holds("A/pair0_true_grad_if_weight_not_detached")
    def test_what_the_gradient_would_be_without_detaching(self) -> Any:
        return undetached_gradient(*pairs(1))

    @holds("A/perfect_pair1")
    def test_caffe_had_nan_at_a_perfect_pair(self) -> Any:
        """Its formula, 1/a_i of each pair and then Σd², with one residual of 0."""
        residuals = [wide(PAIRS["pred0"]) - wide(PAIRS["gt0"]), torch.zeros(2, 4).double()]
        weights = torch.stack([1 / d.abs().mean() for d in residuals])
        squares = torch.stack([d.square().sum() for d in residuals])
        return {"weights": weights, "loss": (weights * squares).sum() / 2}

    def test_a_perfect_pair_counts_nothing(self) -> None:
        pred, truth, _, other = pairs(2)
        layer = make("AdaptiveWeightEucLoss")
        near(layer(pred, truth, other, other), example("A/H1/per_pair/0"))
        near(layer.weights, [example("A/perfect_pair1/weights/0"), 0.0])

    @holds(
        "A/H1_pair0_residual_x10_loss",
        "A/H1_pair0_residual_x10_per_pair",
        "A/H1_pair0_residual_x10_grad_same",
    )
    def test_residual_of_a_pair_ten_times_as_large(self) -> Any:
        pred, truth, *other = pairs(2)
        bottoms = [truth + 10 * (pred - truth), truth, *other]
        loss, gradient = losses_and_gradient("AdaptiveWeightEucLoss", bottoms)
        near(gradient, example("A/H1/grads/0"))
        return loss, each_pair(bottoms), True

    @holds("A/flattened_2x4")
    def test_flattened(self) -> Any:
        layer = make("AdaptiveWeightEucLoss")
        loss = layer(torch.arange(8).double().reshape(2, 4) * 0.1, torch.zeros(2, 4).double())
        return {"loss": loss, "weights": layer.weights}

    @holds("A/unflattened_2x2x2")
    def test_legacy_read_of_what_is_not_flattened(self) -> Any:
        prediction = (torch.arange(8).double().reshape(2, 2, 2) * 0.1).requires_grad_()
        layer = make("AdaptiveWeightEucLoss", legacy_read=True)
        loss = layer(prediction, torch.zeros(2, 2, 2).double())
        (gradient,) = torch.autograd.grad(loss, prediction)
        return {"loss": loss, "weights": layer.weights, "grads": gradient}


@holds("B")
def test_the_manual_ratio() -> Any:
    first, gradient_0 = losses_and_gradient("EuclideanLoss", pairs(2)[:2])
    second, gradient_1 = losses_and_gradient("EuclideanLoss", pairs(2)[2:])
    return {
        "loss_2dhm": first,
        "loss_3dhm": second,
        "total_1_03": first + 0.3 * second,
        "total_d2_2": first + 0.1 * second,
        "total_d1": first + second,
        "mse_mean0": 2 * first / 3,
        "grad0": gradient_0,
        "grad1_times_03": 0.3 * gradient_1,
    }


LOGITS, TARGET = wide(example("C/logits")), wide(example("C/target"))
SIDES = {"neg": "BACKGROUND", "pos": "TARGET", "both": "BOTH"}


class TestAnchorLoss:
    @holds("C/{side}_g{gamma}", side=SIDES, gamma=[0.5, 1.0, 2.0])
    def test_variants(self, side: str, gamma: float) -> Any:
        bottoms, anchor = (LOGITS, TARGET), SIDES[side]
        loss, gradient = losses_and_gradient("AnchorLoss", bottoms, gamma=gamma, anchor=anchor)
        return {"loss": loss, "grad": gradient}

    @holds("C/neg_g0.5_delta0")
    def test_without_margin(self) -> Any:
        loss, gradient = losses_and_gradient("AnchorLoss", (LOGITS, TARGET), margin=0.0)
        return {"loss": loss, "grad": gradient}

    @holds("C/bce_sum_mean", anchor=SIDES.values())
    def test_gamma_0_is_the_binary_cross_entropy(self, anchor: str) -> Any:
        bottoms = (LOGITS, TARGET)
        loss, gradient = losses_and_gradient("AnchorLoss", bottoms, gamma=0.0, anchor=anchor)
        return {"loss": loss, "grad": gradient}

    @holds("C/static_q0.5_g0.5")
    def test_static_anchor(self) -> Any:
        return make("AnchorLoss", static_anchor=0.5)(LOGITS, TARGET)

    @holds("C/focal_equiv_sum_g2")
    def test_static_anchor_1_is_the_focal_loss(self) -> Any:
        layer = make("AnchorLoss", gamma=2.0, anchor="BOTH", static_anchor=1.0)
        return 2 * layer(LOGITS, TARGET)

    @holds("C/ce_warmup", "C/official_warmup_default_epoch0", "C/neg_g0.5/loss")
    def test_warm_up_is_the_softmax_cross_entropy(self) -> Any:
        layer = make("AnchorLoss", warm_up=2)
        return [layer(LOGITS, TARGET) for _ in range(3)]

    def test_warm_up_is_for_training(self) -> None:
        near(make("AnchorLoss", warm_up=2).eval()(LOGITS, TARGET), example("C/neg_g0.5/loss"))

    @holds("C/aux")
    def test_scores_terms_and_anchors(self) -> Any:
        """Of the background variant: the target's own modulator is 1."""
        q, label = LOGITS.sigmoid(), TARGET.long()[:, None]
        own = torch.arange(4) == label
        target_anchor, background_anchor = make("AnchorLoss")._anchors(q, label, own)
        scores = torch.stack([LOGITS.flatten(), -LOGITS.flatten()])
        entropy = torch.nn.functional.softplus(scores)[own.flatten().long(), torch.arange(8)]
        modulator = (1 + q - background_anchor) ** 0.5
        whole = torch.where(own, 1, modulator) * entropy.reshape(2, 4)
        near(make("AnchorLoss")(LOGITS, TARGET), (whole.sum() / 2).tolist())
        return {
            "q": q,
            "bce": entropy.reshape(2, 4),
            "m_neg": modulator,
            "m_pos": (1 + q - target_anchor) ** 0.0,
            "qs_pos": background_anchor,
            "qs_neg": target_anchor,
        }


class TestAnchorPoseLoss:
    off = torch.arange(5).double() - 2
    peak = torch.exp(-(off[:, None] ** 2 + off**2) / 2)
    near_centre = (off.abs()[:, None] <= 1) & (off.abs() <= 1)
    heatmap = peak * near_centre
    bottoms = wide([[example("C/pose/logits")]]), heatmap[None, None]

    @holds("C/pose/delta{margin}", margin=[0.0, 0.05])
    def test_loss_and_gradient(self, margin: float) -> Any:
        bottoms, q = self.bottoms, self.bottoms[0].sigmoid()
        loss, gradient = losses_and_gradient(
            "AnchorPoseLoss", bottoms, gamma=2.0, margin=margin, normalization="NONE"
        )
        return {
            "qstar": q[bottoms[1] > 0.5].max() - margin,
            "sum": loss,
            "mean": make("AnchorPoseLoss", margin=margin, normalization="FULL")(*bottoms),
            "grad_row0": gradient[0, 0, 0],
            "grad_center": gradient[0, 0, 2, 2],
        }

    @holds("C/pose/bce_sum")
    def test_gamma_0_is_the_cross_entropy(self) -> Any:
        return make("AnchorPoseLoss", gamma=0.0)(*self.bottoms)

    @holds(
        "C/pose/n_true_negative",
        "C/pose/n_gt_half",
        "C/pose/target_edge",
        "C/pose/target_corner",
    )
    def test_the_target(self) -> Any:
        heat = self.heatmap
        counts = [(heat == 0).sum().double(), (heat > 0.5).sum().double()]
        return [*counts, heat[1, 2], heat[1, 1]]


X, Y = wide(example("D/x")), wide(example("D/y"))


def each(type_name: str, **arguments: Any) -> Tensor:
    """The layer's loss of each place by itself."""
    return torch.stack(
        [
            make(type_name, normalization="NONE", **arguments)(x, y)
            for x, y in zip(X[:, None], Y[:, None], strict=True)
        ]
    )


class TestBinaryLosses:
    @holds("D/bce", "D/bce_mean", "D/bce_sum", "D/caffe_sigmoid_ce_batch_size_norm")
    def test_cross_entropy(self) -> Any:
        kinds = ("FULL", "NONE")
        whole = [make("SigmoidCrossEntropyLoss", normalization=kind)(X, Y) for kind in kinds]
        square = make("SigmoidCrossEntropyLoss")(X.view(2, 2), Y.view(2, 2))
        return [each("SigmoidCrossEntropyLoss"), *whole, square]

    @holds("D/bce_extreme_y0/{place}", place=[0, 1])
    def test_cross_entropy_of_extreme_scores(self, place: int) -> Any:
        return make("SigmoidCrossEntropyLoss")(wide([(800.0, -800.0)[place]]), wide([0.0]))

    @holds("D/focal", "D/focal_noalpha", "D/focal_sum", "D/focal_grad")
    def test_focal(self) -> Any:
        whole = losses_and_gradient("SigmoidFocalLoss", (X, Y), normalization="NONE")
        return [each("SigmoidFocalLoss"), each("SigmoidFocalLoss", alpha=-1.0), *whole]

    @holds("D/focal_sum_over_npos")
    def test_focal_over_the_positives(self) -> Any:
        by_two = make("SigmoidFocalLoss")(X, Y, wide([2.0]))
        near(2 * by_two, example("D/focal_sum_over_npos"))
        return make("SigmoidFocalLoss")(X, Y)

    @holds("D/retinanet_bias_pi0.01")
    def test_bias_of_retinanet(self) -> Any:
        """The score whose focal loss is that of probability 0.01."""
        bias = wide([-math.log((1 - 0.01) / 0.01)])
        near(make("SigmoidFocalLoss")(bias, wide([1.0])), 0.25 * 0.99**2 * -math.log(0.01))
        return bias[0]


class TestHardExamples:
    @holds("D/ohem/mean_kept", "D/ohem/idx", "D/ohem/mean_all")
    def test_ohem(self) -> Any:
        losses, keep = wide(example("D/ohem/losses")), example("D/ohem/keep")
        loss, gradient = losses_and_gradient("OHEMLoss", (losses,), keep=keep)
        whole = make("OHEMLoss", fraction=1.0)(losses)
        return loss, gradient.nonzero().flatten().double(), whole

    @holds("D/ohkm/loss", "D/ohkm/top2_idx", "D/ohkm/all_mean", "D/ohkm_topk_equals_K")
    def test_ohkm(self) -> Any:
        """Of maps of one pixel each, with those squared errors."""
        maps = wide(example("D/ohkm/per_kp")).sqrt()[..., None, None]
        bottoms = (maps, torch.zeros_like(maps), wide(example("D/ohkm/valid")))
        loss, gradient = losses_and_gradient("OHKMLoss", bottoms, topk=2)
        chosen = gradient.flatten(1).nonzero()[:, 1].reshape(2, 2).sort().values
        whole = make("OHKMLoss", topk=4)(*bottoms)
        valid = bottoms[0].square().flatten(1) * bottoms[2]
        return loss, chosen.double(), valid.mean(), whole


def copied_awing(y: float, d: float) -> float:
    """The log branch of elliottzheng/AdaptiveWingLoss, divided by ω where ε belongs."""
    return 14 * math.log(1 + (d / 14) ** (2.1 - y))


class TestWing:
    @holds("E/wing", "E/wing_grad", "E/wing_C")
    def test_values_and_slopes(self) -> Any:
        errors = wide(example("E/wing_x"))
        found = [make("WingLoss")(d[None], wide([0.0])) for d in errors]
        # right beside 0 the slope is that of the positive side
        slopes = torch.where(errors == 0, 1e-12, errors)[None].requires_grad_()
        (gradient,) = torch.autograd.grad(
            make("WingLoss")(slopes, torch.zeros_like(slopes)), slopes
        )
        return found, gradient[0], 100 - make("WingLoss")(wide([100.0]), wide([0.0]))

    @holds("E/awing_table/{row}", row=range(len(example("E/awing_table"))), sign=[-1, 1])
    def test_adaptive(self, row: int, sign: int) -> Any:
        y, d = example(f"E/awing_table/{row}")[:2]
        bottoms = (wide([y]) + sign * wide([d]), wide([y]))
        if d == 0.4999999999:  # y + d may round to the other side of the bend
            bottoms = (bottoms[0], bottoms[0] - sign * d)
        loss, gradient = losses_and_gradient("AdaptiveWingLoss", bottoms)
        return [y, d, loss, sign * gradient[0]]

    @holds("E/awing_AC/{y}", y=["0.0", "0.5", "1.0"])
    def test_the_line_beyond_the_bend(self, y: str) -> Any:
        far = (wide([float(y) + 3]), wide([float(y)]))
        loss, gradient = losses_and_gradient("AdaptiveWingLoss", far)
        return gradient[0], 3 * gradient[0] - loss

    @holds("E/awing_pred1_y0", "E/correct_y1_d0.3")
    def test_adaptive_by_itself(self) -> Any:
        layer = make("AdaptiveWingLoss")
        return layer(wide([1.0]), wide([0.0])), layer(wide([0.7]), wide([1.0]))

    @holds("E/buggy_elliottzheng_y1_d0.3", "E/buggy_jump_at_theta_y1")
    def test_a_much_copied_code_jumps_where_this_does_not(self) -> Any:
        layer = make("AdaptiveWingLoss")
        at_bend = [layer(wide([1 - d]), wide([1.0])) for d in (0.5 - 1e-12, 0.5)]
        assert abs(at_bend[0] - at_bend[1]) < 1e-9
        return copied_awing(1, 0.3), [copied_awing(1, 0.5), at_bend[1].item()]

    @holds(
        "E/weighted/mask0",
        "E/weighted/mask_count",
        "E/weighted/awing_mean",
        "E/weighted/weighted_mean",
    )
    def test_weighted_by_the_loss_map(self) -> Any:
        k, r, c = torch.meshgrid(*(torch.arange(n) for n in (2, 5, 5)), indexing="ij")
        y, x = (wide(centre)[:, None, None] for centre in ([2, 1], [2, 3]))
        target = torch.exp(-((r - y) ** 2 + (c - x) ** 2) / (2 * 0.75**2))
        target = (target * ((r - y).abs() <= 2) * ((c - x).abs() <= 2))[None]
        pred = ((7 * r + 3 * c + 5 * k) % 11).double()[None] / 10
        weights = make("WeightedLossMap", weight=example("E/weighted/W"))(target)
        mask = (weights[0] - 1) / 10
        layer = make("AdaptiveWingLoss")
        return mask[0], mask.sum((1, 2)), layer(pred, target), layer(pred, target, weights)

    @holds("E/coord")
    def test_coordinates(self) -> Any:
        found = make("AddCoords", with_r=True)(torch.zeros(1, 2, 3, 4).double())[0]
        near(found[2], [example("E/coord/xx_row")] * 3)
        near(found[3].T, [example("E/coord/yy_col")] * 4)
        return {"xx_row": found[2, 0], "yy_col": found[3, :, 0], "rr": found[4]}


VOLUME = wide(example("M/volume_logits_zyx"))[None, None]
CONVENTIONS = {
    "index_xyz": "INDEX",
    "sun_norm_xyz": "SUN",
    "wan_IntegralVector_0_1_xyz": "WAN",
    "dsnt_xyz": "DSNT",
}


class TestIntegralRegression:
    @holds("M/{key}", key=CONVENTIONS)
    def test_places(self, key: str) -> Any:
        volume = make("SoftArgmax", convention=CONVENTIONS[key])(VOLUME)[0, 0]
        maps = make("SoftArgmax", convention=CONVENTIONS[key], depth=2)(VOLUME[:, 0])[0, 0]
        assert torch.equal(volume, maps)
        return volume

    @holds("M/marg_x", "M/marg_y", "M/marg_z")
    def test_marginals(self) -> Any:
        h = make("SoftArgmax", tops=2)(VOLUME)[1][0, 0]
        return [h.sum(axes) for axes in ((0, 1), (0, 2), (1, 2))]

    @holds("M/d_x_d_logits_true", "M/sum_true")
    def test_gradient_is_the_whole_jacobians(self) -> Any:
        x = VOLUME.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(make("SoftArgmax")(x)[0, 0, 0], x)
        return gradient[0, 0], gradient.sum()

    @holds("M/d_x_d_logits_wan_diag_only", "M/sum_diag", "M/cosine_true_vs_diag")
    def test_legacy_gradient_has_the_diagonal_only(self) -> Any:
        bins = torch.arange(3).double().expand(2, 2, 3).reshape(1, 1, 12)
        x = VOLUME.reshape(1, 1, 12).clone().requires_grad_()
        place = (cube_softmax(x, "legacy", stable=False) * (bins + 0.5) / 3).sum()
        (gradient,) = torch.autograd.grad(place, x)
        true = wide(example("M/d_x_d_logits_true")).flatten()
        cosine = torch.cosine_similarity(gradient.flatten(), true, dim=0)
        return gradient.reshape(2, 2, 3), gradient.sum(), cosine

    @holds("M/wan_numcoord/forward_xy", "M/wan_numcoord/code_grad")
    def test_legacy_gradient_goes_to_the_first_map(self) -> Any:
        maps = wide(example("M/wan_numcoord/heatmaps"))[None].requires_grad_()
        places = make("DeepHumanModelNumericalCoordinateRegression")(maps)
        top_diff = wide(example("M/wan_numcoord/top_diff")).reshape(1, 4)
        (gradient,) = torch.autograd.grad(places, maps, top_diff)
        return places.reshape(2, 2), gradient[0]

    @holds("M/wan_numcoord/forward_xy", "M/wan_numcoord/true_grad")
    def test_integral_of_normalised_maps(self) -> Any:
        maps = wide(example("M/wan_numcoord/heatmaps"))[None].requires_grad_()
        places = make("SoftArgmax", convention="INDEX", normalize="NONE")(maps)[0] / 2
        (gradient,) = torch.autograd.grad(places, maps, wide(example("M/wan_numcoord/top_diff")))
        return places, gradient[0]


class TestDSNT:
    heatmap = wide(example("M/dsnt/heatmap_logits")).softmax(0).reshape(1, 1, 3, 3)
    target = wide([[[0.1, -0.2]]])

    @holds("M/dsnt/{key}", key={"js": "JS", "kl": "KL", "var": "VARIANCE"})
    def test_parts(self, key: str) -> Any:
        kind = {"js": "JS", "kl": "KL", "var": "VARIANCE"}[key]
        plain = make("DSNTLoss", regularization="NONE")(self.heatmap, self.target)
        return make("DSNTLoss", regularization=kind)(self.heatmap, self.target) - plain

    @holds("M/dsnt/euclid", "M/dsnt/total_lambda1", "M/dsnt/coords")
    def test_total(self) -> Any:
        plain = make("DSNTLoss", regularization="NONE")(self.heatmap, self.target)
        loss, places = make("DSNTLoss", tops=2)(self.heatmap, self.target)
        near(make("DSNT")(self.heatmap)[0, 0], example("M/dsnt/coords"))
        return plain, loss, places[0, 0]

    @holds("M/dsnt/gauss")
    def test_the_gaussian(self) -> Any:
        """The map whose divergence from the layer's own Gaussian is 0."""
        centres = wide([-2 / 3, 0, 2 / 3])
        x, y = self.target[0, 0]
        square = (centres - x)[None] ** 2 + (centres - y)[:, None] ** 2
        gauss = torch.exp(-square / (2 * (2 / 3) ** 2))
        gauss = gauss / gauss.sum()
        near(make("JSDivergenceLoss")(self.heatmap, gauss[None, None]), example("M/dsnt/js"))
        return gauss


class TestJensenShannon:
    @holds("M/wan_js/true_js", "M/wan_js/wan", "M/wan_js/grad_P")
    def test_true_and_legacy(self) -> Any:
        p, q = (wide(example(f"M/wan_js/{name}")).reshape(1, 1, 1, 4) for name in "PQ")
        loss, gradient = losses_and_gradient("JSRegularizationLoss", (p, q))
        return make("JSDivergenceLoss")(p, q), loss, gradient.flatten()

    @holds("M/wan_js_disjoint")
    def test_maps_that_do_not_overlap(self) -> Any:
        p, q = (wide([values]).reshape(1, 1, 1, 4) for values in ([1, 0, 0, 0], [0, 0.4, 0.6, 0]))
        return {"wan": make("JSRegularizationLoss")(p, q), "true": make("JSDivergenceLoss")(p, q)}


class TestSmoothL1:
    @holds("M/smoothl1_sigma{sigma}/f", "M/smoothl1_sigma{sigma}/grad", sigma=[1.0, 3.0])
    def test_curve(self, sigma: float) -> Any:
        x = wide(example(f"M/smoothl1_sigma{sigma}/x"))
        found = [make("SmoothL1Loss", sigma=sigma)(d[None], wide([0.0])) for d in x]
        bottoms = (x[None], torch.zeros_like(x)[None])
        return found, losses_and_gradient("SmoothL1Loss", bottoms, sigma=sigma)[1][0]

    @holds("M/smoothl1_layer/loss", "M/smoothl1_layer/grad")
    def test_two_weights(self) -> Any:
        names = ("pred", "target", "w_in", "w_out")
        bottoms = [wide(example(f"M/smoothl1_layer/{name}")) for name in names]
        return losses_and_gradient("SmoothL1Loss", bottoms, sigma=3.0)


class TestMPJPE:
    pred, truth = wide(example("M/mpjpe/pred")), wide(example("M/mpjpe/gt"))

    @holds("M/mpjpe/loss", "M/mpjpe/true_grad", "M/mpjpe/per_joint")
    def test_loss_and_gradient(self) -> Any:
        found = [
            [make("MPJPELoss")(p[None, None], t[None, None]) for p, t in zip(*pose, strict=True)]
            for pose in zip(self.pred, self.truth, strict=True)
        ]
        return *losses_and_gradient("MPJPELoss", (self.pred, self.truth)), found

    @holds("M/mpjpe/loss", "M/mpjpe/wan_backward")
    def test_legacy_backward(self) -> Any:
        flat = (self.pred.flatten(1), self.truth.flatten(1))
        loss, gradient = losses_and_gradient("Joint3DSquareRootLoss", flat, joint_num=2)
        return loss, gradient.reshape(2, 2, 3)


CHANGES = {"tmse": "T_MSE", "tv_l1": "TV_L1", "tv_l2sq": "TV_L2", "kl_consecutive": "KL"}


class TestJointRegressionAndClassification:
    logits, labels = wide(example("N/logits")), wide(example("N/k"))
    value, wanted = wide(example("N/y_hat")), wide(example("N/y"))
    one_hot = torch.nn.functional.one_hot(labels.long(), 3).double()

    @holds("N/{key}", key=CHANGES)
    def test_change(self, key: str) -> Any:
        return make("TemporalConsistencyLoss", form=CHANGES[key])(self.logits)

    @holds("N/tmse_grad")
    def test_gradient_of_t_mse(self) -> Any:
        return losses_and_gradient("TemporalConsistencyLoss", (self.logits,))[1]

    @holds("N/edge_aware_tv")
    def test_edge_aware(self) -> Any:
        layer = make("TemporalConsistencyLoss", form="TV_L1", edge_aware=True)
        return layer(self.logits, self.labels)

    @holds("N/total_mse_ce_015tmse", "N/mse", "N/ce", "N/tmse")
    def test_total_and_parts(self) -> Any:
        layer = make("JointRegressionClassificationLoss", tops=4)
        return layer(self.value, self.wanted, self.logits, self.labels)

    @holds("N/argmax", "N/n_switches_pred", "N/n_switches_true", "N/tv_of_target")
    def test_switches(self) -> Any:
        found = self.logits.argmax(1)
        switches = [(series.diff() != 0).sum().double() for series in (found, self.labels)]
        certain = (self.one_hot * 1e3).requires_grad_()
        return [found.double(), *switches, make("TemporalConsistencyLoss", form="TV_L1")(certain)]

    @holds("N/bce_mean")
    def test_binary_cross_entropy_for_contrast(self) -> Any:
        return make("SigmoidCrossEntropyLoss", normalization="FULL")(self.logits, self.one_hot)
