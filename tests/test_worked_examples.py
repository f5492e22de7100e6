"""Nothing in the golden file of worked examples is left out."""

from __future__ import annotations

import importlib

import pytest
from worked_examples import EXAMPLES, HELD, example, leaves

for module in ("test_loss_examples", "test_solver_examples", "test_weighting_examples"):
    importlib.import_module(module)

GIVEN = (
    *("C/logits", "C/target", "C/pose/logits", "D/x", "D/y", "D/ohem/losses", "D/ohem/keep"),
    *("D/ohkm/per_kp", "D/ohkm/valid", "E/wing_x", "E/weighted/W"),
    *("F/losses", "G/liebel_korner_sigma/sigma", "H/grad_norms", "H/L0", "H/Lt"),
    *("I/two/g1", "I/two/g2", "I/three/J", "I/normalisation_losses"),
    *("I/cov_repo_first_sample_bug/grads", "J/kappa", "J/alpha", "J/total_gamma1_L"),
    *("K/ng_adap_step/w0", "K/ng_adap_step/eta", "L/J", "L/dwa/L_tm1", "L/dwa/L_tm2"),
    *("L/famo/losses", "L/gls/losses", "L/imtl_l/losses", "L/imtl_l/s"),
    *("M/volume_logits_zyx", "M/dsnt/heatmap_logits", "M/wan_js/P", "M/wan_js/Q"),
    *("M/smoothl1_sigma1.0/x", "M/smoothl1_sigma3.0/x", "M/smoothl1_layer/pred"),
    *("M/smoothl1_layer/target", "M/smoothl1_layer/w_in", "M/smoothl1_layer/w_out"),
    *("M/mpjpe/pred", "M/mpjpe/gt", "M/wan_numcoord/heatmaps", "M/wan_numcoord/top_diff"),
    *("N/y_hat", "N/y", "N/logits", "N/k", "O/w0", "O/grads", "O/lr/iters"),
)
"""What goes into the examples."""

SAID = {
    "E/weighted/pred_formula": "text",
    "E/weighted/target_formula": "text",
    "K/scale_invariance_note": "text; the tests of K run with gradients 1000 times as large too",
    "O/smoothed_loss": "null",
    "H/grad_w_at_closed_form_alpha1.0": "the signs of three differences that are 0 but for "
    "rounding, times the norms. L_grad, their sum, was 4e-16 there; here it is 0 and so is the "
    "slope, apart from the file's by just the norms: 2, 0.5, 1",
}
"""What is no number, or none that could come out again, and why."""


def under(leaf: str, path: str) -> bool:
    return leaf == path or leaf.startswith(f"{path}/")


def test_every_number_is_held_by_a_test() -> None:
    paths = (*HELD, *GIVEN, *SAID)
    assert [x for x in leaves(EXAMPLES) if not any(under(x, path) for path in paths)] == []


@pytest.mark.parametrize("path", [*GIVEN, *SAID])
def test_what_is_given_is_there_and_not_held_as_well(path: str) -> None:
    example(path)
    assert not any(under(path, held) or under(held, path) for held in HELD)
