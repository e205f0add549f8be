"""Models made ill on purpose, each in one way, must be told apart; healthy ones must be called healthy."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from vaelib.config import ConfigError
from vaelib.data import DataConfig, DataError, prepare
from vaelib.diagnosis import Cause, Diagnosis, _sigma_remedy, diagnose, diagnose_model, kind_of_collapse, likely_causes
from vaelib.evaluation import directions_in_use, kl_per_dim
from vaelib.evidence import Evidence, Past, _course, collect
from vaelib.likelihoods import Gaussian, LikelihoodConfig
from vaelib.models import VAE, LatentVariableModel, ObjectiveConfig, VAEConfig, new_model
from vaelib.objectives import elbo
from vaelib.priors import FlowConfig, StandardNormalConfig, Tempered, VampConfig, with_prior
from vaelib.runs import RunConfig, train
from vaelib.training import TrainingConfig, fit

FACES = {"name": "gaussian", "sigma": "optimal", "sigma_value": 0.3}
DIGITS = {"name": "bernoulli"}
PRIORS = {"standard-normal": StandardNormalConfig(), "vamp": VampConfig(pseudo_inputs=20), "flow": FlowConfig()}
EVIDENCE = Evidence(  # of a sound model with a fixed sigma
    images=1000,
    pixels=100,
    kl=8.0,
    kl_per_dim=np.full(4, 2.0),
    closed_form=True,
    active=np.ones(4, dtype=bool),
    directions=4,
    worth=4,
    worth_at_sigma=4,
    worth_at_beta=4,
    worth_fair=4,
    linear_kl=10.0,
    train_error=1.0,
    error=1.0,
    average_image_error=10.0,
    sigma=0.1,
    error_sigma=0.1,
    beta=1.0,
    beta_known=True,
    silent={},
)


@pytest.fixture(scope="module")
def data():
    return {name: prepare(DataConfig(name=name)) for name in ("toyfaces", "digits")}


def config(
    likelihood=FACES, *, latent_dim=4, hidden=(64,), prior="standard-normal", objective=None, training=None, **model
):
    settings = {"epochs": 30, "learning_rate": 3e-3, "batch_size": 50, "schedule": "cosine", "device": "cpu"}
    return RunConfig(
        data=DataConfig(name="digits" if likelihood is DIGITS else "toyfaces"),
        model=VAEConfig(
            latent_dim=latent_dim,
            hidden=hidden,
            likelihood=LikelihoodConfig(**likelihood),
            prior=PRIORS[prior],
            **model,
        ),
        objective=ObjectiveConfig(**(objective or {})),
        training=TrainingConfig(**{**settings, **(training or {})}),
    )


def trained(data, config, images=None, spoil=None):
    """A model of `config`, which `spoil` may change first, its images, all or the first so many, and its history."""
    prepared = data[config.data.name]
    train, test = torch.from_numpy(prepared.train)[:images], torch.from_numpy(prepared.test)
    model = new_model(config.model, prepared.data.shape)
    if spoil:
        spoil(model)
    settled = config.objective.settled_epochs
    losses = model.losses(config.objective)
    history = fit(model, losses, train, config.training, held_out={"test": test}, settled=settled, progress=False)
    return model, train, test, history


def names(diagnosis):
    return [cause.name for cause in diagnosis.causes]


def examined(data, config, images=None, spoil=None):
    return diagnose_model(*trained(data, config, images, spoil), config)


@pytest.mark.parametrize("likelihood", [FACES, DIGITS], ids=["gaussian", "bernoulli"])
def test_healthy_models_are_called_healthy(data, likelihood):
    found = examined(data, config(likelihood))
    assert found.healthy and found.collapse == "none" and found.causes == (), found
    assert found.verdict.startswith("healthy: the code of an image costs")


def gaussian(sigma, value=0.1, name="gaussian"):
    return {"name": name, "sigma": sigma, "sigma_value": value}


def brief(likelihood=DIGITS, *, training=None, **others):
    """The settings of a training of a second or two."""
    training = {"batch_size": 100, **(training or {})}
    return config(likelihood, latent_dim=2, hidden=(32,), training=training, **others)


OTHER_KINDS = {
    "shared": {"likelihood": gaussian("shared")},
    "per-pixel": {"likelihood": gaussian("per-pixel", 0.3)},
    "fixed": {"likelihood": gaussian("fixed")},
    "logistic": {"likelihood": gaussian("shared", 0.05, "discretised-logistic")},
    "silu": {"activation": "silu"},
    "relu": {"activation": "relu"},
    "warm-up": {"objective": {"warmup_epochs": 10}},
    "patience": {"training": {"patience": 10}},
    "patience after a warm-up": {"training": {"patience": 5}, "objective": {"warmup_epochs": 10}},
    "importance-weighted": {"objective": {"bound": "importance-weighted", "samples": 3}},
    "vamp": {"likelihood": gaussian("shared"), "prior": "vamp", "objective": {"kl": "monte-carlo"}},
}


@pytest.mark.parametrize("settings", OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_healthy_models_of_other_kinds(data, settings):
    model, train, test, history = trained(data, brief(**settings))
    found = diagnose_model(model, train, test, history, brief(**settings))
    assert found.healthy and found.evidence.beta_known, found
    alone = diagnose_model(model, train)
    assert alone.healthy and "unknown, taken as 1" in str(alone), alone


def test_a_sigma_too_large_for_the_spectrum_is_named(data):
    found = examined(
        data, config({"name": "gaussian", "sigma": "fixed", "sigma_value": 1.0}, latent_dim=10, training={"epochs": 15})
    )
    assert names(found)[0] == "variance" and found.collapse in ("whole", "partial"), found
    assert found.evidence.worth < 4 and found.evidence.worth_fair == 10
    assert "sigma is 1 where the errors are" in str(found) and "try: sigma='optimal', or sigma='shared'" in str(found)


def test_part_of_the_latents_may_collapse(data):
    found = examined(data, config({"name": "gaussian", "sigma": "fixed", "sigma_value": 0.5}, latent_dim=10))
    assert (found.collapse, names(found)[0]) == ("partial", "variance"), found
    assert 0 < found.evidence.directions <= found.evidence.worth < 10
    assert "latent directions are in use" in found.verdict


@pytest.mark.parametrize("likelihood", [FACES, DIGITS], ids=["gaussian", "bernoulli"])
def test_a_mean_over_pixels_is_named(data, likelihood):
    pixels = 64 if likelihood is DIGITS else 560
    found = examined(data, config(likelihood, objective={"beta": pixels}, training={"epochs": 10}))
    assert (found.collapse, names(found)[0]) == ("whole", "scale"), found
    assert f"weighs as much as {pixels} nats of reconstruction" in found.causes[0].evidence


def test_a_sigma_beyond_the_range_of_a_pixel_is_a_matter_of_scale(data):
    mean_over_pixels = {"name": "gaussian", "sigma": "fixed", "sigma_value": math.sqrt(560 / 2)}
    found = examined(data, config(mean_over_pixels, training={"epochs": 5}))
    assert (found.collapse, names(found)[0]) == ("whole", "scale"), found
    assert "wider than the whole range of a pixel" in found.causes[0].evidence


def test_a_heavy_kl_is_named(data):
    found = examined(
        data,
        config(
            {**FACES, "sigma": "fixed", "sigma_value": 0.1},
            latent_dim=10,
            objective={"beta": 50},
            training={"epochs": 15},
        ),
    )
    assert names(found)[0] == "KL weight" and found.collapse == "partial", found
    assert found.causes[0].remedy.startswith("beta=1")


def test_a_learned_sigma_that_got_nowhere_is_the_optimisers(data):
    slow = {"optimiser": "adagrad", "learning_rate": 1e-3, "schedule": "constant", "epochs": 20}
    found = examined(data, config({"name": "gaussian", "sigma": "shared", "sigma_value": 1.0}, training=slow))
    assert (found.collapse, names(found)[0]) == ("partial", "optimiser"), found
    assert "sigma is learned, but stands at 0.9" in found.causes[0].evidence
    assert "(now 0.001 with adagrad)" in found.causes[0].remedy


def test_a_sigma_off_after_a_training_that_was_all_but_over_gets_advice_on_sigma(data):
    prepared = data["toyfaces"]
    slow = config(gaussian("shared", 0.3), training={"schedule": "constant"}, output_bias="average")
    history = pd.DataFrame({"train_loss": [100.0, 10.0, 2.0, 1.0, 0.0]})
    model = VAE(slow.model, (28, 20))
    model.start(torch.from_numpy(prepared.train))
    nn.init.zeros_(model.decoder.outputs.weight)
    model.likelihood.log_variance.data.fill_(0.0)
    found = diagnose_model(model, prepared.train[:200], None, history, slow)
    (remedy,) = [cause.remedy for cause in found.causes if cause.name == "optimiser"]
    assert 0 < found.evidence.last_fifth <= 0.02
    assert remedy.endswith("more epochs; sigma='optimal', or a start at sigma_value=0.1"), found


ADVICE = {
    "fixed": (gaussian("fixed", 0.3), "sigma='optimal', or sigma='shared' from sigma_value=0.1 on"),
    "shared": (gaussian("shared", 0.3), "sigma='optimal', or a start at sigma_value=0.1"),
    "per-pixel": (gaussian("per-pixel", 0.3), "sigma='optimal', or a start at sigma_value=0.1"),
    "levels": (gaussian("fixed", 0.3, "discretised-gaussian"), "sigma='shared' from sigma_value=0.1 on"),
    "logistic": (gaussian("shared", 0.3, "discretised-logistic"), "a start at sigma_value=0.06"),
}


@pytest.mark.parametrize(("likelihood", "advice"), ADVICE.values(), ids=ADVICE)
def test_a_remedy_for_sigma_fits_the_likelihood(likelihood, advice):
    assert _sigma_remedy(replace(EVIDENCE, error_sigma=0.1), LikelihoodConfig(**likelihood)) == advice


def test_a_slow_optimiser_under_a_cosine_is_named(data):
    found = examined(data, config(latent_dim=2, hidden=(32,), training={"learning_rate": 1e-5, "epochs": 10}))
    assert "optimiser" in names(found) and found.evidence.last_fifth > 0.15, found
    assert "the later half of the epochs, as the rate fell, still brought" in str(found)


def test_a_training_that_stopped_early_is_the_optimisers(data):
    found = examined(data, config(DIGITS, training={"epochs": 3, "learning_rate": 5e-4, "schedule": "constant"}))
    assert names(found) == ["optimiser"], found
    assert "the last fifth of the epochs still brought" in found.causes[0].evidence


def test_dead_units_are_named(data):
    def spoil(model):
        nn.init.constant_(model.encoder.body[0].bias, -100.0)

    found = examined(data, config(activation="relu", training={"epochs": 5}), spoil=spoil)
    assert (found.collapse, names(found)[0]) == ("whole", "dead units"), found
    assert "100% of encoder layer 1" in found.causes[0].evidence


def test_saturated_units_are_dead_too(data):
    def spoil(model):
        nn.init.constant_(model.encoder.body[0].bias, 50.0)

    found = examined(data, config(training={"epochs": 5}), spoil=spoil)
    assert (found.collapse, names(found)[0]) == ("whole", "dead units"), found
    assert found.verdict == "collapsed: the code is the same for all images"


def test_a_warm_up_longer_than_the_training_is_named(data):
    found = examined(data, config(objective={"warmup_epochs": 33}, training={"epochs": 10}))
    assert "schedule" in names(found) and found.collapse == "none", found
    assert "beta ended at 0.3 of 1" in str(found)


def test_too_little_data_is_named(data):
    found = examined(data, config(hidden=(200,), latent_dim=10, training={"epochs": 150}), images=60)
    assert names(found) == ["data"] and found.collapse == "none", found
    assert "times that on the training images" in str(found) and "its 60 images by heart" in str(found)
    assert found.verdict == "no collapse, but there is something to improve: data"


def test_patience_is_judged_by_the_weights_it_brought_back():
    loss = np.array([9.0, 1.0, 5.0, 4.0, 3.0, 3.5, 8.0])  # a warm-up of two epochs, then the best at the fifth
    history = pd.DataFrame({"train_loss": -np.arange(7.0), "validation_loss": loss})
    kept = history.assign(kept=np.arange(7) == 4)
    objective = ObjectiveConfig(warmup_epochs=2)
    facts = _course(Past(kept, objective, TrainingConfig(patience=2)))
    assert facts["epochs"] == facts["best_epoch"] == 5
    assert facts["fell"] == 0 and facts["last_fifth"] == 0  # patience ran out
    assert _course(Past(kept, objective, TrainingConfig(patience=5)))["last_fifth"] > 0
    last = _course(Past(history.assign(kept=np.arange(7) == 6), objective, TrainingConfig()))
    assert last["epochs"] == 7 and last["fell"] == 5
    assert _course(Past(history, objective, TrainingConfig())) == last  # a history of one's own may not say it


def test_the_course_is_that_of_what_was_maximised():
    """Under a heavy KL the bound may fall while the objective rises."""
    history = pd.DataFrame({"train_loss": [10.0, 5, 4, 4, 4], "train_elbo": [0.0, 1, 2, 3, 4]})
    assert _course(Past(history, ObjectiveConfig(beta=4)))["last_fifth"] == 0
    assert _course(Past(history))["last_fifth"] == 0.25
    history = history.assign(train_reconstruction=[0.0, 2, 4, 4, 4], train_kl=[1.0, 1, 1, 1, 0])
    assert _course(Past(history, ObjectiveConfig(beta=4, warmup_epochs=2)))["last_fifth"] == 0.5


def test_a_beta_that_is_unknown_may_explain_idle_latents(data):
    heavy = config(gaussian("fixed"), latent_dim=20, objective={"beta": 50}, training={"epochs": 15})
    model, train, test, _ = trained(data, heavy)
    found = diagnose_model(model, train, test)
    assert (found.collapse, names(found)) == ("partial", ["unknown"]), found
    assert found.causes[0].evidence.startswith("beta is unknown: were it 1, by linear theory 20 directions pay")
    assert "objective=ObjectiveConfig(beta=...)" in found.causes[0].remedy
    told = diagnose_model(model, train, test, objective=heavy.objective)
    assert (told.collapse, names(told)) == ("partial", ["KL weight"]), told


BOTH = {"sigma": 0.5, "beta": 3.0, "worth": 2}
JUDGED = {
    "sound": ({}, []),
    "sigma": ({**BOTH, "worth_at_sigma": 3}, ["variance"]),
    "each": ({**BOTH, "worth_at_sigma": 3, "worth_at_beta": 3}, ["KL weight", "variance"]),
    "together": (BOTH, ["KL weight"]),
    "wide": ({"sigma": 16.0, "beta": 3.0, "worth": 0, "worth_at_sigma": 0}, ["scale"]),
    "wide but harmless": ({"sigma": 16.0}, []),  # all latents pay all the same
    "heavy but harmless": ({"beta": 200.0}, []),
    "heavy": ({"beta": 200.0, "worth": 2, "worth_at_beta": 2}, ["scale"]),
    "idle": ({"kl": 2.0, "directions": 2}, ["unknown"]),
    "empty": ({"kl": 0.1}, ["unknown"]),
}


@pytest.mark.parametrize(("changes", "causes"), JUDGED.values(), ids=JUDGED)
def test_sigma_and_beta_are_judged_apart_and_every_collapse_has_a_cause(changes, causes):
    e = replace(EVIDENCE, **{"directions": changes.get("worth", 4), **changes})
    found = likely_causes(e, LikelihoodConfig(**gaussian("fixed")), Past())
    assert [cause.name for cause in found] == causes
    assert (kind_of_collapse(e, found) == "none") == (not causes)


def test_a_report_claims_no_more_than_it_knows():
    e = replace(EVIDENCE, kl=0.1)
    (unknown,) = likely_causes(e, LikelihoodConfig(**gaussian("fixed")), Past())
    assert "falling" not in unknown.evidence and "4 directions pay and a code costs" in unknown.evidence
    (unknown,) = likely_causes(replace(e, last_fifth=0.0), LikelihoodConfig(**gaussian("fixed")), Past())
    assert "the loss had all but stopped falling" in unknown.evidence
    flat = Diagnosis("flat", "whole", (unknown,), replace(e, kl_per_dim=np.array([0.01, 0.0, 0.0, 0.0])))
    assert "0.01 0.00 0.00 0.00 nats  ▁▁▁▁\n" in str(flat)
    assert repr(flat) == str(flat) and "Evidence(" not in repr(flat)
    assert flat.verdict == "collapsed: the code of an image costs 0.10 nats, less than one bit"


def test_an_unexplained_collapse_is_called_that(data):
    def forget(model):
        for head in (model.encoder.mean, model.encoder.log_var):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    prepared = data["toyfaces"]
    model = VAE(config().model, (28, 20))
    forget(model)
    model.likelihood.log_variance.fill_(math.log(0.01))
    found = diagnose_model(model, prepared.train, prepared.test)
    assert (found.collapse, names(found)) == ("whole", ["unknown"]), found


def test_a_direction_askew_to_the_axes_counts_once():
    model = VAE(VAEConfig(latent_dim=3, hidden=(), likelihood=LikelihoodConfig(**FACES)), (4,))
    nn.init.zeros_(model.encoder.mean.weight)
    model.encoder.mean.weight.data[:, 0] = 1.0
    x = torch.rand(100, 4, generator=torch.Generator().manual_seed(0))
    assert directions_in_use(model, x) == 1


def test_a_run_of_the_store_is_examined_on_its_own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    quick = config(DIGITS, training={"epochs": 2})
    for pixels in ("grey", "dynamic"):
        run = train(quick.replace(data=DataConfig(name="digits", pixels=pixels)), progress=False)
        found = diagnose(run)
        assert found.name == "digits, z = 4" and found.evidence.epochs == 2
        assert len(found.evidence.kl_per_dim) == 4
    shown = found._repr_markdown_()
    assert shown.startswith(f"**{found.name}: {found.verdict}**") and "| KL by dimension |" in shown
    assert "| sigma |" not in shown  # Bernoulli pixels have none


@pytest.mark.parametrize("prior", ["vamp", "flow"])
def test_the_kl_is_that_to_the_prior_of_the_model(prior):
    torch.manual_seed(0)
    settings = {"vamp": VampConfig(pseudo_inputs=5), "flow": FlowConfig()}
    model = VAE(VAEConfig(latent_dim=2, hidden=(), prior=settings[prior]), (4,))
    x = torch.rand(500, 4, generator=torch.Generator().manual_seed(0))
    evidence = collect(model, x, x, Past())
    known = elbo(model, x, samples=100, kl="monte-carlo", generator=torch.Generator().manual_seed(1)).kl.mean().item()
    assert evidence.kl == pytest.approx(known, abs=0.05) and not evidence.closed_form
    assert evidence.kl != pytest.approx(kl_per_dim(model, x).sum().item(), abs=0.05)


def test_a_tempered_prior_is_used_in_closed_form():
    model = with_prior(VAE(VAEConfig(latent_dim=2, hidden=()), (4,)), Tempered(2, 0.5))
    x = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    evidence = collect(model, x, x, Past())
    assert evidence.kl == pytest.approx(model.prior.kl(*model.encode(x)).sum(1).mean().item(), rel=1e-5)
    assert evidence.kl == pytest.approx(evidence.kl_per_dim.sum()) and evidence.closed_form


def test_the_model_is_left_as_it_is():
    """A copy on the CPU, in single precision, is examined."""
    model = VAE(VAEConfig(latent_dim=2, hidden=(4,)), (4,)).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagnose_model(model, torch.rand(20, 4, generator=torch.Generator().manual_seed(0)).double())
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("pixel", [255.0, -0.1, math.nan], ids=["bright", "dark", "none"])
def test_pixels_out_of_range_are_refused(pixel):
    model = VAE(VAEConfig(latent_dim=2, hidden=(4,)), (4,))
    with pytest.raises(ValueError, match=r"train: pixels must lie in \[0, 1\]"):
        diagnose_model(model, torch.full((5, 4), pixel))


def test_images_of_another_shape_are_refused():
    model = VAE(VAEConfig(latent_dim=2, hidden=(4,)), (4,))
    with pytest.raises(
        ValueError, match=r"train is torch.float32 \(5, 3\): expected floats \(images, 4\), two or more"
    ):
        diagnose_model(model, torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"held_out is torch.float32 \(1, 4\)"):
        diagnose_model(model, torch.zeros(5, 4), torch.zeros(1, 4))


def test_images_that_are_all_the_same_are_named(data):
    """They used to be put down to the optimiser, with a larger step as advice."""
    images = torch.from_numpy(data["digits"].train[:1]).expand(200, -1).clone()
    model = new_model(brief().model, (8, 8))
    slow = brief(training={"epochs": 3, "learning_rate": 1e-4, "schedule": "constant"})
    history = fit(model, model.losses(slow.objective), images, slow.training, progress=False)
    found = diagnose_model(model, images, None, history, slow)
    assert found.evidence.last_fifth > 0.02 and found.evidence.identical
    (cause,) = found.causes
    assert cause.name == "data" and "all 200 training images are the same" in cause.evidence
    assert "learning_rate" not in str(found)


def test_a_run_is_not_judged_by_other_images(tmp_path, monkeypatch):
    """A data file that was replaced since the training must not pass for the one that the run learned from."""
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    file, draw = tmp_path / "mine.npy", np.random.default_rng(0)
    np.save(file, draw.integers(0, 256, (60, 6, 6), dtype=np.uint8))
    quick = brief(training={"epochs": 1}).replace(data=DataConfig(name=str(file)))
    run = train(quick, progress=False)
    assert diagnose(run).name == "mine, z = 2"
    np.save(file, draw.integers(0, 256, (60, 6, 6), dtype=np.uint8))
    with pytest.raises(DataError, match=r"not the one that mine-z2-.* was trained on"):
        diagnose(run)


def test_a_handful_of_images_is_enough(tmp_path, monkeypatch):
    """One test image cannot judge: the training images do."""
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    np.save(tmp_path / "few.npy", np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8))
    run = train(brief(training={"epochs": 1}).replace(data=DataConfig(name=str(tmp_path / "few.npy"))), progress=False)
    assert diagnose(run).evidence.error == diagnose(run).evidence.train_error


NAMES = {
    "html": ("x <img src=y onerror=alert(1)>", "x &lt;img src=y onerror=alert\\(1\\)&gt;"),
    "markdown": ("[a](javascript:b) **c** `d` $e$ f|g", r"\[a\]\(javascript:b\) \*\*c\*\* \`d\` \$e\$ f\|g"),
    "entity": ("a &lt;b&gt;", "a &amp;lt;b&amp;gt;"),
    "lines": ("a\n\n# b", "a # b"),
    "plain": ("my-faces_2, z = 4", r"my-faces\_2, z = 4"),
}


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES)
def test_a_name_can_do_nothing_on_a_page(name, shown):
    sound = Diagnosis(name, "none", (), EVIDENCE)
    assert sound._repr_markdown_().startswith(f"**{shown}: healthy: ")
    assert repr(sound).startswith(f"{name}: healthy: ")


def test_settings_are_code_on_a_page_and_plain_as_text():
    advice = "objective=ObjectiveConfig(beta=...), init='framework' or a smaller init_std, beta=1; more images"
    found = Diagnosis("film", "partial", (Cause("data", "sigma is 1", advice),), EVIDENCE)
    coded = "`objective=ObjectiveConfig(beta=...)`, `init='framework'` or a smaller `init_std`, `beta=1`; more images"
    assert found._repr_markdown_().endswith(f"1. **data**: sigma is 1. *Try:* {coded}.")
    assert repr(found).endswith(f"try: {advice}")


def test_other_families_are_refused_in_one_line():
    class Other(LatentVariableModel):
        family = "toy"

        def losses(self, objective, *, binarise=False):
            return []

        def sample(self, n, generator=None):
            return torch.zeros(n, 4)

    toy = Other(VAEConfig(), (4,))
    with pytest.raises(ConfigError, match="a model of the family 'toy': diagnosis examines a VAE, with a Gaussian q"):
        diagnose_model(toy, torch.rand(5, 4))


def test_a_likelihood_that_was_passed_is_the_one_that_is_judged():
    wide = Gaussian(LikelihoodConfig(**gaussian("fixed", 0.9)))
    model = VAE(VAEConfig(latent_dim=2, hidden=()), (4,), likelihood=wide)
    x = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    assert diagnose_model(model, x).evidence.sigma == pytest.approx(0.9)
