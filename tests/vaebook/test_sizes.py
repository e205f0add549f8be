"""A sweep over sizes: which runs it asks for, and figures of histories and pictures that were planted."""

from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import permutation_test, spearmanr

from vaebook.experiments.findings import difference
from vaebook.experiments.recipes import GIVEN, RECIPES, digits_recipe
from vaebook.experiments.sizes import (
    appearance_table,
    by_size,
    compared,
    error_left,
    holm,
    looks,
    overfitting,
    planned,
    rank_correlations,
    share_in_order,
    three_kinds,
    to_converge,
    untrained_bound,
)
from vaelib.config import amended
from vaelib.data import DataConfig, prepare
from vaelib.models import VAE, VAEConfig
from vaelib.runs import RunConfig, train

DIGITS = DataConfig(name="digits")


def run(values=(), model=None, batch=10, **metrics):
    history = pd.DataFrame({"epoch": range(1, len(values) + 1), "test_elbo": values})
    history["samples_seen"] = history["epoch"] * 100
    config = SimpleNamespace(seed=0, training=SimpleNamespace(batch_size=batch))
    return SimpleNamespace(history=history, metrics={"test": metrics}, config=config, model=model)


def test_a_plan_has_every_recipe_at_every_size_with_all_its_seeds():
    plan = planned(digits_recipe, DIGITS, [2, 5], epochs=3)
    assert list(plan) == [(recipe, size) for recipe in RECIPES for size in (2, 5)]
    assert all(len(configs) == 1 for configs in plan.values())
    for (_, size), (config,) in plan.items():
        assert config.model.latent_dim == size and config.training.epochs == 3
    plan = planned(digits_recipe, DIGITS, [2, 5], epochs=3, seeds=2, recipes=["modern"])
    assert {key: [c.seed for c in configs] for key, configs in plan.items()} == {
        ("modern", 2): [0, 1],
        ("modern", 5): [0, 1],
    }


def test_by_size_takes_the_figures_of_one_recipe():
    runs = {("modern", 2): [run(elbo=-3.0), run(elbo=-4.0)], ("modern", 5): [run(elbo=-1.0)], ("report", 2): []}
    assert by_size(runs, "modern", "elbo", sign=-1) == {2: [3.0, 4.0], 5: [1.0]}


def test_compared_is_one_difference_for_each_recipe():
    losses = {"report": {2: [5.0], 20: [1.0, 2.0, 3.0]}, "kingma-welling": {2: [1.0], 20: [1.0]}}
    losses["modern"] = {2: [3.0, 5.0], 20: [3.0, 5.0]}
    found = compared("2", "loss", losses.get, 20, 2, "below", -0.5, "nats")
    assert [one.given for one in found] == list(GIVEN.values()) and [one.effect for one in found] == [-3, 0, 0]
    assert found[0] == difference("2", "loss, 20 − 2 latents", [1, 2, 3], [5], "below", -0.5, "nats", "report's recipe")
    assert [one.answer for one in found] == ["open"] * 3


def test_guessing_leaves_all_of_the_error():
    parts = prepare(DIGITS)
    guess = run(squared_error=np.square(parts.test - parts.train.mean(axis=0)).sum(axis=1).mean())
    guess.config.data = DIGITS
    assert error_left(guess) == pytest.approx(1)


def test_overfitting_is_the_lead_on_training_images():
    made = run(elbo=-3.0)
    made.metrics["train"] = {"elbo": -1.0}
    assert overfitting({("modern", 2): [made, made]}, "modern") == {2: [2.0, 2.0]}


def test_looks_picks_a_recipe_and_a_kind_from_a_table():
    columns = ["recipe", "latents", "seed", "kind", "edges"]
    rows = [("m", 5, 0, "samples", 0.5), ("m", 2, 0, "samples", 0.3), ("m", 2, 1, "samples", 0.4)]
    rows += [("m", 2, 0, "codes", 0.9), ("r", 2, 0, "samples", 0.1)]
    edges = looks(pd.DataFrame(rows, columns=columns), "edges")
    assert edges("m", "samples") == {2: [0.3, 0.4], 5: [0.5]} and edges("m", "codes") == {2: [0.9]}
    assert edges("r", "codes") == {}


def test_share_in_order_counts_epochs_and_neighbouring_sizes():
    runs = {("m", 2): [run([0, 0])], ("m", 5): [run([1, 1]), run([-3, 5])], ("m", 9): [run([2, 2])]}
    # the means of size 5 are -1 and 3: against 2 below, then above; against 9 below, then above
    assert share_in_order(runs, "m", "test_elbo", 2, 9) == 0.5
    assert share_in_order(runs, "m", "test_elbo", 5, 9) == 0.5
    with pytest.raises(ValueError, match="'m' has 1 sizes from 2 to 4: an order needs two or more"):
        share_in_order(runs, "m", "test_elbo", 2, 4)


def test_convergence_is_counted_from_the_untrained_model_in_epochs_images_and_steps():
    made = run([0.0, 50.0, 94.0, 96.0, 100.0, 90.0])
    assert to_converge(made, untrained=0.0) == (4, 400, 40.0)
    assert to_converge(made, untrained=-100.0) == (3, 300, 30.0)  # 190 of 200 nats make 95 %: 90 and more
    assert to_converge(made, untrained=-10_000.0) == (1, 100, 10.0)  # the first epoch made nearly all of it
    assert to_converge(run([0.0, 50.0, 100.0], batch=50), untrained=0.0, share=0.5) == (2, 200, 4.0)


@pytest.mark.parametrize("output_bias", ["init", "average"])
def test_the_untrained_bound_is_that_of_a_run_which_does_not_move(tmp_path, monkeypatch, output_bias):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    still = {"training.learning_rate": 1e-12, "training.epochs": 1, "training.device": "cpu", "model.hidden": (8,)}
    config = amended(RunConfig(data=DIGITS, seed=3), still | {"model.output_bias": output_bias})
    bound = untrained_bound(config)
    assert bound == pytest.approx(train(config, progress=False).metrics["test"]["elbo"], abs=1e-3)
    assert abs(bound - untrained_bound(config.replace(seed=4))) > 0.01


def test_a_rank_correlation_counts_all_orders():
    (found,), chance = rank_correlations([([1, 2, 3, 4], [10, 20, 30, 90])])
    assert (found, chance) == pytest.approx((1, 2 / 24))  # 1 and -1 of 24 orders
    values, others = np.random.default_rng(0).random((2, 7))
    (found,), chance = rank_correlations([(values, others)])
    exact = permutation_test(
        (values,), lambda x: spearmanr(x, others)[0], permutation_type="pairings", n_resamples=np.inf
    )
    assert (found, chance) == pytest.approx((spearmanr(values, others)[0], exact.pvalue))


def test_several_rank_correlations_have_one_chance():
    pairs = [([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [1, 3, 2]), ([5, 4, 4], [1, 2, 3])]
    found, chance = rank_correlations(pairs)
    assert found == pytest.approx([1, 0.5, spearmanr(*pairs[2])[0]])
    every = [[spearmanr(a, order)[0] for order in permutations(b)] for a, b in pairs]
    sums = np.abs([sum(three) for three in product(*every)])
    assert chance == pytest.approx((sums >= abs(sum(found)) - 1e-9).mean())


@pytest.mark.parametrize(
    ("values", "others", "message"),
    [
        ([1, 2, 3], [1, 2], "3 and 2 values: expected as many of both, from 3 to 8"),
        (range(9), range(9), "9 and 9 values"),
        ([1, 2, 3], [4, 4, 4], "all alike"),
    ],
)
def test_what_has_no_order_has_no_correlation(values, others, message):
    with pytest.raises(ValueError, match=message):
        rank_correlations([(values, others)])


def test_holm_raises_chances_and_keeps_their_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x 0.01, 2 x 0.03, and no less than that
    assert holm([0.9, 0.5]) == [1.0, 1.0] and holm([0.02]) == [0.02]


@pytest.fixture
def constant():
    """A model that draws the same picture whatever the code."""
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=2, hidden=(4,)), (4, 4))
    model.decoder.outputs.weight.data.zero_()
    model.decoder.outputs.bias.data.copy_(torch.linspace(-2, 2, 16))
    return model


def test_three_kinds_of_pictures_differ_in_their_codes_only(constant):
    x = torch.rand(30, 16, generator=torch.Generator().manual_seed(0))
    made = three_kinds(constant, x)
    assert set(made) == {"samples", "reconstructions", "codes"}
    for pictures in made.values():
        torch.testing.assert_close(pictures, torch.linspace(-2, 2, 16).sigmoid().expand(30, 16))
    lively = VAE(VAEConfig(latent_dim=2, hidden=(4,)), (4, 4))
    torch.testing.assert_close(three_kinds(lively, x)["reconstructions"], lively.reconstruct(x))
    assert not torch.equal(three_kinds(lively, x)["codes"], three_kinds(lively, x, seed=1)["codes"])


class Undecided:
    def predict_proba(self, x):
        return np.tile([0.5, 0.5, 0.0], (len(x), 1))


def test_the_table_says_that_real_pictures_are_like_themselves(monkeypatch, constant):
    x = torch.rand(40, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("vaebook.experiments.sizes.three_kinds", lambda model, x: {"real": x, "faint": 0.5 * x})
    table = appearance_table({("modern", 2): [run(model=constant)]}, x, (4, 4), Undecided()).set_index("kind")
    measured = table.loc["real", ["variety", "edges", "coverage"]]
    np.testing.assert_allclose(measured.astype(float), 1)
    assert table.loc["faint", "variety"] == pytest.approx(0.25) and table.loc["faint", "edges"] == pytest.approx(1)
    assert table.loc["real", "legibility"] == 0.5
    assert list(table["latents"]) == [2, 2] and list(table["recipe"]) == ["modern"] * 2


def test_the_coded_images_may_be_others_than_those_to_be_covered(monkeypatch, constant):
    x, others = torch.rand(2, 40, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("vaebook.experiments.sizes.three_kinds", lambda model, x: {"reconstructions": x})
    runs = {("modern", 2): [run(model=constant)]}
    far = appearance_table(runs, x, (4, 4), coded=others + 9).iloc[0]  # no real image has one of these near
    assert far["coverage"] == 0 and far["variety"] == pytest.approx(float(others.var(0).sum() / x.var(0).sum()))
    pd.testing.assert_frame_equal(appearance_table(runs, x, (4, 4), coded=x), appearance_table(runs, x, (4, 4)))
