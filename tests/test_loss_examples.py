"""Losses against worked examples in float64, computed apart from this project."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from layer_case import make
from torch import Tensor

from caffe_layers.integral._cube_softmax import cube_softmax
from caffe_layers.layer import as_tuple

FILE = Path(__file__).parent / "golden" / "loss_examples.json"
EXAMPLES: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["results"]
ADAPTIVE, EUCLIDEAN, ANCHOR, FOCAL, WING, POSE, JOINT = (EXAMPLES[k] for k in "ABCDEMN")
POSE_CASE = ANCHOR["pose"]


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def near(found: Tensor | float, wanted: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(found), wide(wanted), rtol=1e-9, atol=1e-9)


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


def pairs(count: int) -> list[Tensor]:
    return [wide(PAIRS[f"{what}{i}"]) for i in range(count) for what in ("pred", "gt")]


class TestAdaptiveWeightEucLoss:
    @pytest.mark.parametrize(("case", "count"), [("H1", 2), ("I1_4", 4), ("I1_5", 5)])
    def test_loss_weights_and_gradients(self, case: str, count: int) -> None:
        bottoms = [b.requires_grad_(i % 2 == 0) for i, b in enumerate(pairs(count))]
        layer = make("AdaptiveWeightEucLoss")
        loss = layer(*bottoms)
        near(loss.detach(), ADAPTIVE[case]["loss"])
        near(layer.weights, ADAPTIVE[case]["weights"])
        gradients = torch.autograd.grad(loss, bottoms[::2])
        for found, wanted in zip(gradients, ADAPTIVE[case]["grads"], strict=True):
            near(found, wanted)

    def test_each_pair_by_itself(self) -> None:
        found = [make("AdaptiveWeightEucLoss")(*pairs(5)[i : i + 2]) for i in range(0, 10, 2)]
        near(torch.stack(found), ADAPTIVE["I1_5"]["per_pair"])

    @pytest.mark.parametrize("case", ["H1", "I1_4", "I1_5"])
    def test_mean_errors(self, case: str) -> None:
        near(1 / wide(ADAPTIVE[case]["weights"]), ADAPTIVE[case]["absmean"])

    def test_gradient_is_of_degree_0(self) -> None:
        bottoms = pairs(1)
        loss, gradient = losses_and_gradient("AdaptiveWeightEucLoss", bottoms)
        along = (gradient * (bottoms[0] - bottoms[1])).sum()
        near(along, ADAPTIVE["euler"]["code"])
        near(along, 2 * ADAPTIVE["euler"]["loss_pair0"])
        near(loss, ADAPTIVE["euler"]["true"])

    def test_a_perfect_pair_counts_nothing_where_caffe_had_nan(self) -> None:
        pred, truth, _, other = pairs(2)
        layer = make("AdaptiveWeightEucLoss")
        near(layer(pred, truth, other, other), ADAPTIVE["H1"]["per_pair"][0])
        near(layer.weights[0], ADAPTIVE["perfect_pair1"]["weights"][0])
        assert math.isinf(ADAPTIVE["perfect_pair1"]["weights"][1])
        assert float(layer.weights[1]) == 0

    def test_residual_of_a_pair_ten_times_as_large(self) -> None:
        pred, truth, *other = pairs(2)
        bottoms = [truth + 10 * (pred - truth), truth, *other]
        loss, gradient = losses_and_gradient("AdaptiveWeightEucLoss", bottoms)
        near(loss, ADAPTIVE["H1_pair0_residual_x10_loss"])
        near(gradient, ADAPTIVE["H1"]["grads"][0])

    def test_flattened(self) -> None:
        bottoms = [torch.arange(8).double().reshape(2, 4) * 0.1, torch.zeros(2, 4).double()]
        near(make("AdaptiveWeightEucLoss")(*bottoms), ADAPTIVE["flattened_2x4"]["loss"])

    def test_legacy_read_of_what_is_not_flattened(self) -> None:
        bottoms = [torch.arange(8).double().reshape(2, 2, 2) * 0.1, torch.zeros(2, 2, 2).double()]
        loss, gradient = losses_and_gradient("AdaptiveWeightEucLoss", bottoms, legacy_read=True)
        near(loss, ADAPTIVE["unflattened_2x2x2"]["loss"])
        near(gradient, ADAPTIVE["unflattened_2x2x2"]["grads"])


class TestEuclideanLoss:
    def test_the_manual_ratio(self) -> None:
        first, gradient_0 = losses_and_gradient("EuclideanLoss", pairs(2)[:2])
        second, gradient_1 = losses_and_gradient("EuclideanLoss", pairs(2)[2:])
        near(first, EUCLIDEAN["loss_2dhm"])
        near(second, EUCLIDEAN["loss_3dhm"])
        near(first + 0.3 * second, EUCLIDEAN["total_1_03"])
        near(first + 0.1 * second, EUCLIDEAN["total_d2_2"])
        near(first + second, EUCLIDEAN["total_d1"])
        near(2 * first / 3, EUCLIDEAN["mse_mean0"])
        near(gradient_0, EUCLIDEAN["grad0"])
        near(0.3 * gradient_1, EUCLIDEAN["grad1_times_03"])


LOGITS, TARGET = wide(ANCHOR["logits"]), wide(ANCHOR["target"])
SIDES = {"neg": "BACKGROUND", "pos": "TARGET", "both": "BOTH"}


class TestAnchorLoss:
    @pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
    @pytest.mark.parametrize("side", SIDES)
    def test_variants(self, side: str, gamma: float) -> None:
        wanted = ANCHOR[f"{side}_g{gamma}"]
        loss, gradient = losses_and_gradient(
            "AnchorLoss", (LOGITS, TARGET), gamma=gamma, anchor=SIDES[side]
        )
        near(loss, wanted["loss"])
        near(gradient, wanted["grad"])

    def test_without_margin(self) -> None:
        loss, gradient = losses_and_gradient("AnchorLoss", (LOGITS, TARGET), margin=0.0)
        near(loss, ANCHOR["neg_g0.5_delta0"]["loss"])
        near(gradient, ANCHOR["neg_g0.5_delta0"]["grad"])

    @pytest.mark.parametrize("anchor", SIDES.values())
    def test_gamma_0_is_the_binary_cross_entropy(self, anchor: str) -> None:
        loss, gradient = losses_and_gradient(
            "AnchorLoss", (LOGITS, TARGET), gamma=0.0, anchor=anchor
        )
        near(loss, ANCHOR["bce_sum_mean"]["loss"])
        near(gradient, ANCHOR["bce_sum_mean"]["grad"])

    def test_static_anchor(self) -> None:
        loss = make("AnchorLoss", static_anchor=0.5)(LOGITS, TARGET)
        near(loss, ANCHOR["static_q0.5_g0.5"])

    def test_static_anchor_1_is_the_focal_loss(self) -> None:
        layer = make("AnchorLoss", gamma=2.0, anchor="BOTH", static_anchor=1.0)
        near(2 * layer(LOGITS, TARGET), ANCHOR["focal_equiv_sum_g2"])

    def test_warm_up_is_the_softmax_cross_entropy(self) -> None:
        layer = make("AnchorLoss", warm_up=2)
        found = [layer(LOGITS, TARGET) for _ in range(3)]
        after = ANCHOR["neg_g0.5"]["loss"]
        near(torch.stack(found), [ANCHOR["ce_warmup"], ANCHOR["ce_warmup"], after])
        near(make("AnchorLoss", warm_up=2).eval()(LOGITS, TARGET), after)
        near(found[0], ANCHOR["official_warmup_default_epoch0"])

    def test_scores_terms_and_anchors(self) -> None:
        aux, q = ANCHOR["aux"], LOGITS.sigmoid()
        near(q, aux["q"])
        own = wide(aux["qs_pos"])  # the margin is taken off already
        background = (torch.arange(4) != TARGET[:, None]).double()
        near((1 + q - own) ** 0.5, aux["m_neg"])
        loss = (background * wide(aux["m_neg"]) + 1 - background) * wide(aux["bce"])
        near(make("AnchorLoss")(LOGITS, TARGET), (loss.sum() / 2).tolist())


class TestAnchorPoseLoss:
    @pytest.fixture
    def bottoms(self) -> tuple[Tensor, Tensor]:
        near_centre = [[abs(r - 2) <= 1 and abs(c - 2) <= 1 for c in range(5)] for r in range(5)]
        peak = [
            [math.exp(-((r - 2) ** 2 + (c - 2) ** 2) / 2) * near_centre[r][c] for c in range(5)]
            for r in range(5)
        ]
        return wide([[POSE_CASE["logits"]]]), wide([[peak]])

    @pytest.mark.parametrize("margin", [0.0, 0.05])
    def test_loss_and_gradient(self, bottoms: tuple[Tensor, Tensor], margin: float) -> None:
        wanted = POSE_CASE[f"delta{margin}"]
        loss, gradient = losses_and_gradient(
            "AnchorPoseLoss", bottoms, gamma=2.0, margin=margin, normalization="NONE"
        )
        near(loss, wanted["sum"])
        near(gradient[0, 0, 0], wanted["grad_row0"])
        near(gradient[0, 0, 2, 2], wanted["grad_center"])
        mean = make("AnchorPoseLoss", margin=margin, normalization="FULL")(*bottoms)
        near(mean, wanted["mean"])

    def test_gamma_0_is_the_cross_entropy(self, bottoms: tuple[Tensor, Tensor]) -> None:
        near(make("AnchorPoseLoss", gamma=0.0)(*bottoms), POSE_CASE["bce_sum"])

    def test_true_negatives(self, bottoms: tuple[Tensor, Tensor]) -> None:
        heatmap = bottoms[1]
        assert int((heatmap == 0).sum()) == POSE_CASE["n_true_negative"]
        assert int((heatmap > 0.5).sum()) == POSE_CASE["n_gt_half"]


X, Y = wide(FOCAL["x"]), wide(FOCAL["y"])


def each(type_name: str, **arguments: Any) -> Tensor:
    """The layer's loss of each place by itself."""
    return torch.stack(
        [
            make(type_name, normalization="NONE", **arguments)(x, y)
            for x, y in zip(X[:, None], Y[:, None], strict=True)
        ]
    )


class TestBinaryLosses:
    def test_cross_entropy(self) -> None:
        near(each("SigmoidCrossEntropyLoss"), FOCAL["bce"])
        near(make("SigmoidCrossEntropyLoss", normalization="FULL")(X, Y), FOCAL["bce_mean"])
        near(make("SigmoidCrossEntropyLoss", normalization="NONE")(X, Y), FOCAL["bce_sum"])
        square = make("SigmoidCrossEntropyLoss")(X.view(2, 2), Y.view(2, 2))
        near(square, FOCAL["caffe_sigmoid_ce_batch_size_norm"])

    @pytest.mark.parametrize("place", [0, 1])
    def test_cross_entropy_of_extreme_scores(self, place: int) -> None:
        loss = make("SigmoidCrossEntropyLoss")(wide([(800.0, -800.0)[place]]), wide([0.0]))
        near(loss, FOCAL["bce_extreme_y0"][place])

    def test_focal(self) -> None:
        near(each("SigmoidFocalLoss"), FOCAL["focal"])
        near(each("SigmoidFocalLoss", alpha=-1.0), FOCAL["focal_noalpha"])
        loss, gradient = losses_and_gradient("SigmoidFocalLoss", (X, Y), normalization="NONE")
        near(loss, FOCAL["focal_sum"])
        near(gradient, FOCAL["focal_grad"])

    def test_focal_over_the_positives(self) -> None:
        near(make("SigmoidFocalLoss")(X, Y), FOCAL["focal_sum_over_npos"])
        by_two = make("SigmoidFocalLoss")(X, Y, wide([2.0]))
        near(by_two, FOCAL["focal_sum_over_npos"] / 2)

    def test_bias_of_retinanet(self) -> None:
        near(wide(0.01 / 0.99).log(), FOCAL["retinanet_bias_pi0.01"])


class TestHardExamples:
    def test_ohem(self) -> None:
        case = FOCAL["ohem"]
        loss, gradient = losses_and_gradient("OHEMLoss", (wide(case["losses"]),), keep=case["keep"])
        near(loss, case["mean_kept"])
        assert gradient.nonzero().flatten().tolist() == case["idx"]
        near(make("OHEMLoss", fraction=1.0)(wide(case["losses"])), case["mean_all"])

    @pytest.fixture
    def maps(self) -> Tensor:
        """Of one pixel each, with those squared errors."""
        return wide(FOCAL["ohkm"]["per_kp"]).sqrt()[..., None, None]

    def test_ohkm(self, maps: Tensor) -> None:
        case = FOCAL["ohkm"]
        bottoms = (maps, torch.zeros_like(maps), wide(case["valid"]))
        loss, gradient = losses_and_gradient("OHKMLoss", bottoms, topk=2)
        near(loss, case["loss"])
        chosen = gradient.flatten(1).nonzero()[:, 1].reshape(2, 2)
        near(chosen.double().sort().values, sorted(map(sorted, case["top2_idx"]), reverse=True))

    def test_ohkm_of_all(self, maps: Tensor) -> None:
        valid = wide(FOCAL["ohkm"]["valid"])
        loss = make("OHKMLoss", topk=4)(maps, torch.zeros_like(maps), valid)
        near(loss, FOCAL["ohkm_topk_equals_K"])


AWING_TABLE = WING["awing_table"]


class TestWing:
    def test_values_and_slopes(self) -> None:
        errors = wide(WING["wing_x"])
        found = [make("WingLoss")(d[None], wide([0.0])) for d in errors]
        near(torch.stack(found), WING["wing"])
        # right beside 0 the slope is that of the positive side
        slopes = torch.where(errors == 0, 1e-12, errors)[None].requires_grad_()
        (gradient,) = torch.autograd.grad(
            make("WingLoss")(slopes, torch.zeros_like(slopes)), slopes
        )
        near(gradient[0], WING["wing_grad"])

    def test_the_constant(self) -> None:
        near(100 - make("WingLoss")(wide([100.0]), wide([0.0])), WING["wing_C"])

    @pytest.mark.parametrize(("y", "d", "value", "slope"), AWING_TABLE)
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_adaptive(self, y: float, d: float, value: float, slope: float, sign: int) -> None:
        bottoms = (wide([y]) + sign * wide([d]), wide([y]))
        if d == 0.4999999999:  # y + d may round to the other side of the bend
            bottoms = (bottoms[0], bottoms[0] - sign * d)
        loss, gradient = losses_and_gradient("AdaptiveWingLoss", bottoms)
        near(loss, value)
        near(gradient[0], sign * slope)

    @pytest.mark.parametrize("y", ["0.0", "0.5", "1.0"])
    def test_the_line_beyond_the_bend(self, y: str) -> None:
        slope, offset = WING["awing_AC"][y]
        loss, gradient = losses_and_gradient(
            "AdaptiveWingLoss", (wide([float(y) + 3]), wide([float(y)]))
        )
        near(gradient[0], slope)
        near(3 * gradient[0] - loss, offset)

    def test_prediction_1_where_0_is_wanted(self) -> None:
        near(make("AdaptiveWingLoss")(wide([1.0]), wide([0.0])), WING["awing_pred1_y0"])

    def test_the_correct_value_where_a_much_copied_code_is_wrong(self) -> None:
        loss = make("AdaptiveWingLoss")(wide([0.7]), wide([1.0]))
        near(loss, WING["correct_y1_d0.3"])
        assert abs(float(loss) - WING["buggy_elliottzheng_y1_d0.3"]) > 3

    def test_weighted_by_the_loss_map(self) -> None:
        centres = ((2, 2), (1, 3))
        target = wide(
            [
                [
                    [
                        math.exp(-((r - y) ** 2 + (c - x) ** 2) / (2 * 0.75**2))
                        * (abs(r - y) <= 2 and abs(c - x) <= 2)
                        for c in range(5)
                    ]
                    for r in range(5)
                ]
                for y, x in centres
            ]
        )[None]
        k, r, c = torch.meshgrid(*(torch.arange(n) for n in (2, 5, 5)), indexing="ij")
        pred = ((7 * r + 3 * c + 5 * k) % 11).double()[None] / 10
        case = WING["weighted"]
        weights = make("WeightedLossMap", weight=case["W"])(target)
        near((weights[0, 0] - 1) / 10, case["mask0"])
        assert ((weights - 1) / 10).sum((0, 2, 3)).tolist() == case["mask_count"]
        near(make("AdaptiveWingLoss")(pred, target), case["awing_mean"])
        near(make("AdaptiveWingLoss")(pred, target, weights), case["weighted_mean"])


VOLUME = wide(POSE["volume_logits_zyx"])[None, None]


class TestIntegralRegression:
    @pytest.mark.parametrize(
        ("convention", "key"),
        [
            ("INDEX", "index_xyz"),
            ("SUN", "sun_norm_xyz"),
            ("WAN", "wan_IntegralVector_0_1_xyz"),
            ("DSNT", "dsnt_xyz"),
        ],
    )
    def test_places(self, convention: str, key: str) -> None:
        near(make("SoftArgmax", convention=convention)(VOLUME)[0, 0], POSE[key])
        depth = make("SoftArgmax", convention=convention, depth=2)
        near(depth(VOLUME[:, 0])[0, 0], POSE[key])

    def test_marginals(self) -> None:
        h = make("SoftArgmax", tops=2)(VOLUME)[1][0, 0]
        near(h.sum((0, 1)), POSE["marg_x"])
        near(h.sum((0, 2)), POSE["marg_y"])
        near(h.sum((1, 2)), POSE["marg_z"])

    def test_gradient_is_the_whole_jacobians(self) -> None:
        x = VOLUME.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(make("SoftArgmax")(x)[0, 0, 0], x)
        near(gradient[0, 0], POSE["d_x_d_logits_true"])
        near(gradient.sum(), POSE["sum_true"])

    def test_legacy_gradient_has_the_diagonal_only(self) -> None:
        bins = torch.arange(3).double().expand(2, 2, 3).reshape(1, 1, 12)
        x = VOLUME.reshape(1, 1, 12).clone().requires_grad_()
        place = (cube_softmax(x, "legacy", stable=False) * (bins + 0.5) / 3).sum()
        (gradient,) = torch.autograd.grad(place, x)
        near(gradient.reshape(2, 2, 3), POSE["d_x_d_logits_wan_diag_only"])
        near(gradient.sum(), POSE["sum_diag"])
        true = wide(POSE["d_x_d_logits_true"]).flatten()
        cosine = torch.cosine_similarity(gradient.flatten(), true, dim=0)
        near(cosine, POSE["cosine_true_vs_diag"])

    def test_legacy_gradient_goes_to_the_first_map(self) -> None:
        case = POSE["wan_numcoord"]
        maps = wide(case["heatmaps"])[None].requires_grad_()
        places = make("DeepHumanModelNumericalCoordinateRegression")(maps)
        near(places.detach().reshape(2, 2), case["forward_xy"])
        (gradient,) = torch.autograd.grad(places, maps, wide(case["top_diff"]).reshape(1, 4))
        near(gradient[0], case["code_grad"])

    def test_integral_of_normalised_maps(self) -> None:
        case = POSE["wan_numcoord"]
        maps = wide(case["heatmaps"])[None].requires_grad_()
        places = make("SoftArgmax", convention="INDEX", normalize="NONE")(maps) / 2
        near(places[0].detach(), case["forward_xy"])
        (gradient,) = torch.autograd.grad(places[0], maps, wide(case["top_diff"]))
        near(gradient[0], case["true_grad"])


class TestDSNT:
    case = POSE["dsnt"]

    @property
    def heatmap(self) -> Tensor:
        return wide(self.case["heatmap_logits"]).softmax(0).reshape(1, 1, 3, 3)

    target = torch.tensor([[[0.1, -0.2]]], dtype=torch.float64)

    def test_places(self) -> None:
        near(make("DSNT")(self.heatmap)[0, 0], self.case["coords"])

    @pytest.mark.parametrize(
        ("regularization", "key"), [("JS", "js"), ("KL", "kl"), ("VARIANCE", "var")]
    )
    def test_parts(self, regularization: str, key: str) -> None:
        plain = make("DSNTLoss", regularization="NONE")(self.heatmap, self.target)
        near(plain, self.case["euclid"])
        whole = make("DSNTLoss", regularization=regularization)(self.heatmap, self.target)
        near(whole - plain, self.case[key])

    def test_total(self) -> None:
        loss, places = make("DSNTLoss", tops=2)(self.heatmap, self.target)
        near(loss, self.case["total_lambda1"])
        near(places[0, 0], self.case["coords"])

    def test_divergence_from_the_gaussian(self) -> None:
        gauss = wide(self.case["gauss"])[None, None]
        near(make("JSDivergenceLoss")(self.heatmap, gauss), self.case["js"])


class TestJensenShannon:
    def test_true_and_legacy(self) -> None:
        case = POSE["wan_js"]
        p, q = (wide(case[name]).reshape(1, 1, 1, 4) for name in "PQ")
        near(make("JSDivergenceLoss")(p, q), case["true_js"])
        loss, gradient = losses_and_gradient("JSRegularizationLoss", (p, q))
        near(loss, case["wan"])
        near(gradient.flatten(), case["grad_P"])

    def test_maps_that_do_not_overlap(self) -> None:
        case = POSE["wan_js_disjoint"]
        p, q = (wide([values]).reshape(1, 1, 1, 4) for values in ([1, 0, 0, 0], [0, 0.4, 0.6, 0]))
        near(make("JSDivergenceLoss")(p, q), case["true"])
        near(make("JSRegularizationLoss")(p, q), case["wan"])


class TestSmoothL1:
    @pytest.mark.parametrize("sigma", [1.0, 3.0])
    def test_curve(self, sigma: float) -> None:
        case = POSE[f"smoothl1_sigma{sigma}"]
        x = wide(case["x"])
        found = [make("SmoothL1Loss", sigma=sigma)(d[None], wide([0.0])) for d in x]
        near(torch.stack(found), case["f"])
        _, gradient = losses_and_gradient(
            "SmoothL1Loss", (x[None], torch.zeros_like(x)[None]), sigma=sigma
        )
        near(gradient[0], case["grad"])

    def test_two_weights(self) -> None:
        case = POSE["smoothl1_layer"]
        bottoms = [wide(case[name]) for name in ("pred", "target", "w_in", "w_out")]
        loss, gradient = losses_and_gradient("SmoothL1Loss", bottoms, sigma=3.0)
        near(loss, case["loss"])
        near(gradient, case["grad"])


class TestMPJPE:
    case = POSE["mpjpe"]
    pred, truth = wide(case["pred"]), wide(case["gt"])

    def test_loss_and_gradient(self) -> None:
        loss, gradient = losses_and_gradient("MPJPELoss", (self.pred, self.truth))
        near(loss, self.case["loss"])
        near(gradient, self.case["true_grad"])

    def test_each_joint(self) -> None:
        found = [
            [make("MPJPELoss")(p[None, None], t[None, None]) for p, t in zip(*pose, strict=True)]
            for pose in zip(self.pred, self.truth, strict=True)
        ]
        near(torch.tensor(found), self.case["per_joint"])

    def test_legacy_backward(self) -> None:
        flat = (self.pred.flatten(1), self.truth.flatten(1))
        loss, gradient = losses_and_gradient("Joint3DSquareRootLoss", flat, joint_num=2)
        near(loss, self.case["loss"])
        near(gradient.reshape(2, 2, 3), self.case["wan_backward"])


class TestJointRegressionAndClassification:
    logits, labels = wide(JOINT["logits"]), wide(JOINT["k"])
    value, wanted = wide(JOINT["y_hat"]), wide(JOINT["y"])

    @pytest.mark.parametrize(
        ("form", "key"),
        [("T_MSE", "tmse"), ("TV_L1", "tv_l1"), ("TV_L2", "tv_l2sq"), ("KL", "kl_consecutive")],
    )
    def test_change(self, form: str, key: str) -> None:
        near(make("TemporalConsistencyLoss", form=form)(self.logits), JOINT[key])

    def test_gradient_of_t_mse(self) -> None:
        _, gradient = losses_and_gradient("TemporalConsistencyLoss", (self.logits,))
        near(gradient, JOINT["tmse_grad"])

    def test_edge_aware(self) -> None:
        layer = make("TemporalConsistencyLoss", form="TV_L1", edge_aware=True)
        near(layer(self.logits, self.labels), JOINT["edge_aware_tv"])

    def test_total_and_parts(self) -> None:
        layer = make("JointRegressionClassificationLoss", tops=4)
        found = layer(self.value, self.wanted, self.logits, self.labels)
        keys = ("total_mse_ce_015tmse", "mse", "ce", "tmse")
        near(torch.stack(found), [JOINT[key] for key in keys])

    def test_switches(self) -> None:
        found = self.logits.argmax(1)
        near(found.double(), JOINT["argmax"])
        assert int((found.diff() != 0).sum()) == JOINT["n_switches_pred"]
        assert int((self.labels.diff() != 0).sum()) == JOINT["n_switches_true"]
        one_hot = torch.nn.functional.one_hot(self.labels.long(), 3).double()
        certain = (one_hot * 1e3).requires_grad_()
        layer = make("TemporalConsistencyLoss", form="TV_L1")
        near(layer(certain).detach(), JOINT["tv_of_target"])

    def test_binary_cross_entropy_for_contrast(self) -> None:
        one_hot = torch.nn.functional.one_hot(self.labels.long(), 3).double()
        layer = make("SigmoidCrossEntropyLoss", normalization="FULL")
        near(layer(self.logits, one_hot), JOINT["bce_mean"])


class TestCoordinates:
    def test_channels(self) -> None:
        case = WING["coord"]
        found = make("AddCoords", with_r=True)(torch.zeros(1, 2, 3, 4).double())[0]
        near(found[2], [case["xx_row"]] * 3)
        near(found[3].T, [case["yy_col"]] * 4)
        near(found[4], case["rr"])
