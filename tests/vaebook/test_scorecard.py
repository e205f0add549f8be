"""Verdicts follow from figures: planted figures flip them."""

import math

import pytest
import torch
from scipy.stats import t, ttest_ind

from vaebook.experiments import rules
from vaebook.experiments.claims import KINGMA_WELLING, REPORT
from vaebook.experiments.collapse import share_outside
from vaebook.experiments.pictures import Proportion, sharpness
from vaebook.experiments.scorecard import (
    Claim,
    Part,
    above,
    at_least,
    at_most,
    below,
    decided,
    largest_step,
    log_likelihood_of_all,
    markdown,
    not_above,
    verdict,
)
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig

FILM = Proportion(0.037, 0.029, 0.046)
YES, NO, OPEN = Part("", True), Part("", False), Part("", None)


def answers(parts):
    return [part.holds for part in parts]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "not tested"),
        ([YES, YES], "holds"),
        ([NO, NO], "does not hold"),
        ([YES, NO], "holds in part"),
        ([OPEN, OPEN], "open"),
        ([YES, OPEN], "holds in part"),
        ([NO, OPEN], "does not hold"),
    ],
)
def test_a_verdict_follows_from_the_parts(parts, said):
    assert verdict(parts) == said


def test_a_claim_depends_on_its_condition_only_where_answers_differ():
    assert verdict([YES, NO], "the recipe") == "depends on the recipe"
    assert verdict([YES, YES], "the recipe") == "holds"
    assert verdict([NO, OPEN], "the recipe") == "does not hold"


def test_a_difference_is_seen_only_outside_its_interval():
    assert above("", [3.0, 3.1], [1.0, 1.1]).holds is True
    assert below("", [3.0, 3.1], [1.0, 1.1]).holds is False
    assert above("", [1.0, 3.0], [0.9, 2.0]).holds is None
    assert above("", [3.0, 3.1], [1.0, 1.1], margin=5).holds is False
    assert below("", [1.0, 1.1], [3.0, 3.1], margin=5).holds is False


def test_the_interval_is_students():
    """Means 2 and 5, variances 1, four degrees of freedom: 3 -+ 2.776 * sqrt(2 / 3)."""
    part = above("x", [4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert part.text == "x: 5.00 against 2.00, difference +3.00 [+0.73, +5.27]"
    assert part.seeds == 3


def test_groups_of_unlike_spread_are_compared_by_welch():
    """The standard error of the difference and its degrees of freedom, beside scipy's."""
    values, others = [4.0, 5.0, 6.5, 4.4], [1.0, 1.1, 0.9]
    low, high = ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    assert above("x", values, others).text.endswith(f"[{low:+.2f}, {high:+.2f}]")


def test_a_lone_run_is_judged_by_the_spread_of_the_others():
    """Three values of standard deviation 1: a fourth lies within 4.303 * sqrt(1 + 1 / 3) of their mean."""
    assert below("x", [0.0], [4.0, 5.0, 6.0]).text.endswith("difference −5.00 [−9.97, −0.03]")


def test_seeds_that_agree_to_the_last_bit_have_no_spread(recwarn):
    assert at_most("x", [2, 2, 2], 2).text == "x: 2.00; asked: 2 or less"
    assert above("x", [3.0, 3.0], [1.0, 1.0]).text == "x: 3.00 against 1.00, difference +2.00"
    half = t.ppf(0.975, 2) / math.sqrt(3)  # only the others vary, by 1
    part = below("x", [1.0, 1.0], [4.0, 5.0, 6.0])
    assert part.text == f"x: 1.00 against 5.00, difference −4.00 [−{4 + half:.2f}, −{4 - half:.2f}]"
    assert not recwarn.list


def test_single_runs_are_compared_as_they_are():
    assert above("", 2.0, 1.0) == Part(": 2.00 against 1.00, difference +1.00", True, 1)
    assert above("", 1.0, 1.0).holds is below("", 1.0, 1.0).holds is False
    assert above("", [2.0], [0.9, 1.0, 1.1]).seeds == 1


def test_limits_include_their_border():
    assert at_least("", 0.9, 0.9).holds is at_most("", 0.9, 0.9).holds is True
    assert at_least("", [0.5, 0.52], 0.9).holds is False
    assert at_most("", [0.5, 1.2], 0.9).holds is None


NAN = math.nan


@pytest.mark.parametrize("values", [NAN, [NAN], [1.0, NAN, 2.0]], ids=["alone", "in a list", "among others"])
def test_not_a_number_decides_no_comparison(values):
    for compare in (above, below, not_above):
        assert compare("", values, [1.0, 2.0]).holds is compare("", [1.0, 2.0], values).holds is None
        assert compare("", values, values).holds is None
    assert at_most("", values, 1.0).holds is at_least("", values, 1.0).holds is None
    assert at_most("", 1.0, NAN).holds is at_least("", 1.0, NAN).holds is None
    assert decided(True, [1.0, 2.0], 3) is True and decided(False, 1.0) is False and decided(True, values) is None


def test_not_a_number_decides_no_rule():
    lost, sizes = [NAN, 1.0], {2: [1.0, 1.1], 20: [NAN, 1.0]}
    assert answers(rules.in_order("", sizes, {2: [1.0], 20: [2.0]})) == [None]
    assert answers(rules.in_order("", {2: [2.0], 20: [1.0]}, sizes)) == [None]
    assert answers(rules.no_overfitting("", sizes)) == answers(rules.stable({"a": [1.0], "b": lost}, "")) == [None]
    assert answers(rules.persists("", {"KL": NAN})) == answers(rules.quality_and_bound({"a": NAN})) == [None]
    assert answers(rules.looks_average("", lost)) == answers(rules.reaches_rare_frames(lost, [0.5, 0.6])) == [None]
    assert answers(rules.rare("", lost, FILM)) == answers(rules.never("", lost, 20_000)) == [None]
    assert answers(rules.rare("", [1.0, NAN], FILM)) == answers(rules.never("", [0.0, NAN], 20_000)) == [None]
    assert answers(rules.woken("", lost, [9, 9])) == answers(rules.woken("", [20.0], [NAN])) == [None]
    assert answers(rules.asleep("", [0.5], [NAN])) == answers(rules.asleep("", lost, [1, 1])) == [None]
    assert answers(rules.collapsed(NAN, NAN, NAN)) == [None] * 3
    found = rules.sigmoid_crucial({"KL": {"sigma": NAN, "sigmoid": 0.9}}, {"yes": 0.8, "no": NAN})
    assert answers(found) == [None, None]
    assert rules.in_all("", {"a": NAN}, {"a": 1.0}).holds is rules.in_all("", {"a": 1.0}, {"a": NAN}).holds is None


def test_the_table_has_a_row_for_each_claim():
    claims = {"1": Claim("It | rains.", "{doc}`x`"), "2": Claim("It snows.", untested="No snow here.")}
    table = markdown(claims, {"1": [YES, Part("wet: 3", False, 5)]}).splitlines()
    assert table[2] == "| 1 | It \\| rains. | **holds in part** | ✓ <br>✗ wet: 3 | 1 to 5 | {doc}`x` |"
    assert table[3] == "| 2 | It snows. | **not tested** | No snow here. |  |  |"


@pytest.mark.parametrize("evidence", [{}, {"1": []}, {"1": [YES], "3": [YES]}])
def test_no_claim_goes_without_evidence_or_reason(evidence):
    with pytest.raises(ValueError, match=r"evidence for no claim: .*; claims without evidence or reason: "):
        markdown({"1": Claim("It rains.")}, evidence)


def test_every_claim_of_the_report_is_listed():
    assert list(REPORT) == [str(n) for n in range(1, 27)]
    assert all(claim.where or claim.untested for claim in [*REPORT.values(), *KINGMA_WELLING.values()])


def test_rules_on_the_number_of_latents_follow_the_figures():
    rising, falling = {2: [1.0, 1.1], 20: [3.0, 3.1]}, {2: [3.0, 3.1], 20: [1.0, 1.1]}
    assert answers(rules.restricts("", rising, 2, 20)) == [True]
    assert answers(rules.restricts("", falling, 2, 20)) == [False]
    assert answers(rules.blur_with_latents("", falling, 2, 20)) == [True]
    assert answers(rules.blur_with_latents("", rising, 2, 20)) == [False]
    assert answers(rules.in_order("", falling, rising)) == [True]
    assert answers(rules.in_order("", rising, rising)) == [False]
    assert answers(rules.best_at("", falling, 20, [2, 20, 50])) == [True]
    assert answers(rules.best_at("", rising, 20, [2])) == [False]
    assert answers(rules.no_overfitting("", rising)) == [False]
    assert answers(rules.no_overfitting("", falling)) == [True]
    assert answers(rules.no_overfitting("", {2: [1.0, 1.1], 20: [0.5, 4.0]})) == [None]
    (part,) = rules.no_overfitting("", {2: [1.0], 20: [1.5]})
    assert part.holds and part.text.endswith("20 latents over 2: 1.50 against 1.00, difference +0.50; asked: 1 or less")
    assert rules.in_order("", {20: [1.0]}, {20: [1.0]}) == rules.no_overfitting("", {20: [1.0]}) == []


def test_rules_on_order_and_quality_follow_the_figures():
    assert answers(rules.persists("", {"KL": 0.97, "loss": 0.5})) == [True, False]
    assert answers(rules.quality_and_bound({"a": 0.9, "b": -0.2})) == [False, True]
    assert answers(rules.sharp_and_faithful("", [0.95], [0.96], 0.97)) == [True, True]
    assert answers(rules.sharp_and_faithful("", [0.8], [0.90], 0.97)) == [False, False]
    assert answers(rules.stable({"a": [1.0], "b": [1.01]}, "")) == [True]
    assert answers(rules.stable({"a": [1.0], "b": [1.5]}, "")) == [False]
    assert answers(rules.not_comparable("", "")) == [None]


def test_rules_on_samples_follow_the_figures():
    assert answers(rules.looks_average("", [0.01, 0.02])) == [True]
    assert answers(rules.looks_average("", [0.9, 1.0])) == [False]
    assert answers(rules.rare("", [0.0, 0.01], FILM)) == [True]
    assert answers(rules.rare("", [0.0, 0.03], FILM)) == [False]
    assert rules.rare("x", [0.0], FILM)[0].text.endswith(
        "% of samples, below the interval of the film's share, 2.9 to 4.6"
    )
    assert rules.rare("x", [0.0, 0.0], FILM)[0].text.endswith("2.9 to 4.6, in every seed")
    assert answers(rules.never("", [0.0, 0.0], 20_000)) == [True]
    assert rules.never("x", [0.0, 1e-4], 20_000) == [
        Part("x: no tongue in 20,000 samples of each seed; the most is 2", False, 2)
    ]
    assert answers(rules.reaches_rare_frames([0.99, 0.98], [0.5, 0.52])) == [True]
    assert answers(rules.reaches_rare_frames([0.99, 0.98], [0.98, 0.99])) == [False]


def test_all_experiments_must_be_won():
    assert rules.in_all("x", {"a": 2, "b": 3}, {"a": 1, "b": 1}) == Part("x: in 2 of 2 experiments", True)
    assert rules.in_all("x", {"a": 2, "b": 3}, {"a": 1, "b": 3}) == Part("x: in 1 of 2 experiments", False)


def test_rules_on_collapse_follow_the_figures():
    assert answers(rules.collapsed(0.01, 0.02, 0.3)) == [True, True, True]
    assert answers(rules.collapsed(0.8, 2.0, 20.0)) == [False, False, False]
    assert answers(rules.woken("", [20.0], [12])) == [True]
    assert answers(rules.woken("", [20.0], [1])) == answers(rules.woken("", [0.5], [4])) == [False]
    assert answers(rules.asleep("", [20.0], [12])) == [False] and answers(rules.asleep("", [20.0], [1])) == [True]
    assert rules.asleep("x", [0.5], [4]) == [
        Part("x: KL 0.50 nats, 4.0 directions in use (asked: at most 0.69, or at most 1)", True)
    ]
    best = {"yes": 0.8, "no": 0.1}
    assert answers(rules.sigmoid_crucial({"KL": {"sigma": 0.1, "sigmoid": 0.9}}, best)) == [True, True]
    best = {"yes": 0.8, "no": 0.8}
    assert answers(rules.sigmoid_crucial({"KL": {"sigma": 0.9, "sigmoid": 0.1}}, best)) == [False, False]


def linear_vae():
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed")
    torch.manual_seed(0)
    return VAE(VAEConfig(latent_dim=3, hidden=(4,), activation="identity", likelihood=likelihood), (2, 2)).eval()


def test_a_linear_decoder_changes_evenly_along_a_line():
    assert largest_step(linear_vae(), walks=5, steps=10) == pytest.approx(0.1, rel=1e-4)


def test_pixels_outside_are_counted():
    model = linear_vae()
    for parameter in model.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        model.decoder.outputs.bias.copy_(torch.tensor([-1.0, 0.5, 0.2, 2.0]))
    assert share_outside(model, torch.rand(3, 4)) == 0.5


def test_sharpness_is_that_of_the_pictures_over_that_of_real_ones():
    stripes, ramp = torch.tensor([[0.0, 1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1 / 3, 2 / 3, 1.0]])
    assert sharpness(stripes, stripes, (1, 4)) == 1
    assert sharpness(ramp, stripes, (1, 4)) < 0.5


def test_a_few_images_stand_for_all():
    """Where all images get all draws there is nothing to estimate from a part."""
    model, x = linear_vae(), torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    whole, no_error = log_likelihood_of_all(model, x, 500, 20, images=200)
    part, error = log_likelihood_of_all(model, x, 500, 20, images=50)
    assert no_error == 0 < error < 0.2
    assert abs(part - whole) < 4 * error


def test_an_error_needs_two_images():
    with pytest.raises(ValueError, match="images=1 of 4: an error needs at least 2"):
        log_likelihood_of_all(linear_vae(), torch.rand(4, 4), images=1)


def test_a_margin_stands_in_the_text():
    assert above("a", [2.0], [1.0], 0.5).text.endswith("; asked: by more than 0.5")
    assert "asked" not in below("a", [-2.0], [1.0]).text and "−2.00 against 1.00" in below("a", [-2.0], [1.0]).text
