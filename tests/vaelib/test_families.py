"""A new family is one short file: two toys, one that is solved exactly and one without a likelihood, go all the way."""

import inspect
import math
import re
import sys
from typing import Literal

import cloudpickle
import pytest
import torch
from pydantic import Field, PositiveInt
from torch import nn

from vaelib.config import ConfigError, amended, grid
from vaelib.data import DataConfig, prepare
from vaelib.evaluation import log_likelihood, summary
from vaelib.models import LatentVariableModel, ModelConfig, UnsupportedError, VAEConfig, new_model, register
from vaelib.models.base import Objective
from vaelib.objectives import importance_weighted_bound
from vaelib.posteriors import DiagonalGaussian, gaussian_log_prob
from vaelib.priors import StandardNormal
from vaelib.runs import RunConfig, Store, train
from vaelib.sweeps import sweep
from vaelib.training import TrainingConfig

pytestmark = pytest.mark.usefixtures("store")


class LineConfig(ModelConfig):
    family: Literal["line"] = "line"
    sigma: float = Field(default=0.2, gt=0)


class LineObjective(Objective):
    samples: PositiveInt = 1


@register
class Line(LatentVariableModel):
    """x = b + w z + sigma epsilon with one latent z: a line through the images. Its posterior is known exactly."""

    family, Settings, Objective = "line", LineConfig, LineObjective

    def __init__(self, config, image_shape):
        super().__init__(config, image_shape)
        self.prior, self.b = StandardNormal(1), nn.Parameter(torch.full((self.pixels,), 0.5))
        self.w = nn.Parameter(0.1 * torch.randn(self.pixels))

    def posterior(self, x):
        precision = 1 + self.w.square().sum() / self.config.sigma**2
        mean = (x - self.b) @ self.w[:, None] / self.config.sigma**2 / precision
        return DiagonalGaussian(mean, -precision.log().expand_as(mean))

    def log_weights(self, x, samples, generator=None, posterior=None):
        q = posterior or self.posterior(x)
        z = q.sample(samples, generator)
        log_p_x = gaussian_log_prob(x, self.b + z * self.w, x.new_tensor(2 * math.log(self.config.sigma)))
        return log_p_x + self.prior.log_prob(z) - q.log_prob(z)

    def losses(self, objective, *, binarise=False):
        def loss(x, epoch, generator):
            bound = self.log_weights(x, objective.samples, generator).mean(0)
            return {"loss": -bound, "elbo": bound}

        return [(list(self.parameters()), loss)]

    def sample(self, n, generator=None):
        return (self.b + self.prior.sample(n, generator) * self.w).detach()

    def codes(self, x):
        return self.posterior(x).mean.detach()

    def reconstruct(self, x):
        return (self.b + self.codes(x) * self.w).detach()


class DuelConfig(ModelConfig):
    family: Literal["duel"] = "duel"
    latent_dim: PositiveInt = 2


@register
class Duel(LatentVariableModel):
    """A forger and a judge who take turns, as in a GAN."""

    family, Settings = "duel", DuelConfig

    def __init__(self, config, image_shape):
        super().__init__(config, image_shape)
        self.prior = StandardNormal(config.latent_dim)
        self.forger, self.judge = nn.Linear(config.latent_dim, self.pixels), nn.Linear(self.pixels, 1)

    def losses(self, objective, *, binarise=False):
        def judging(x, epoch, generator):  # softplus(-a) = -log sigmoid(a)
            real, forged = self.judge(x), self.judge(self.sample(len(x), generator))
            loss = nn.functional.softplus(-real) + nn.functional.softplus(forged)
            return {"loss": loss.squeeze(-1), "seen_through": (real > forged).float().squeeze(-1)}

        def forging(x, epoch, generator):
            forged = torch.sigmoid(self.forger(self.prior.sample(len(x), generator)))
            return {"loss": nn.functional.softplus(-self.judge(forged)).squeeze(-1)}

        return [(list(self.judge.parameters()), judging), (list(self.forger.parameters()), forging)]

    def sample(self, n, generator=None):
        return torch.sigmoid(self.forger(self.prior.sample(n, generator))).detach()


def config(family="line", **changes):
    training = TrainingConfig(epochs=3, learning_rate=0.01, device="cpu")
    small = RunConfig(data=DataConfig(name="digits"), model={"family": family}, training=training)
    return amended(small, changes)


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(prepare(DataConfig(name="digits")).test)


def lines_of(*parts):
    return sum(len([line for line in inspect.getsource(part).splitlines() if line.strip()]) for part in parts)


def test_a_family_is_short():
    assert lines_of(LineConfig, LineObjective, Line) <= 40
    assert lines_of(DuelConfig, Duel) <= 30


# One with a likelihood


def evidence(model, x):
    """log p(x) = log N(x; b, w w^T + sigma^2 I)."""
    variance = torch.full((model.pixels,), model.config.sigma**2)
    return torch.distributions.LowRankMultivariateNormal(model.b, model.w[:, None], variance).log_prob(x).detach()


def test_it_is_trained_stored_and_loaded_again():
    run = train(config())
    assert run.path.name.startswith("digits-line-") and run.config.objective == LineObjective()
    assert run.history["validation_elbo"].iloc[-1] > run.history["validation_elbo"].iloc[0] + 1
    again = Store().load(run.path.name)
    assert isinstance(again.model, Line) and again.config == run.config and again.metrics == run.metrics
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert train(config()).history.equals(run.history)


def test_its_settings_and_its_version_name_it(monkeypatch):
    changes = [{}, {"model.sigma": 0.3}, {"objective.samples": 2}, {"seed": 1}]
    paths = [Store().path(config(**change)) for change in changes]
    monkeypatch.setattr(Line, "version", 2)
    assert len({*paths, Store().path(config())}) == 5


def test_it_is_evaluated_like_any_other(digits):
    model = new_model(LineConfig(), (8, 8))
    figures = summary(model, digits)
    assert set(figures) == {"elbo", "squared_error", "active_units"}
    assert figures["elbo"] == pytest.approx(evidence(model, digits).mean().item(), rel=1e-4)
    estimate = log_likelihood(model, digits, 40, torch.Generator().manual_seed(0))
    torch.testing.assert_close(estimate.value, evidence(model, digits), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(estimate.effective_samples, torch.full((len(digits),), 40.0), rtol=1e-2, atol=0)
    bound = importance_weighted_bound(model, digits, 5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(bound.detach(), evidence(model, digits), rtol=1e-4, atol=1e-3)
    assert model.sample(3, torch.Generator().manual_seed(0)).shape == (3, 64)


def test_it_is_swept_beside_another_family():
    configs = grid(config(), **{"model.family": ["line", "vae"], "seed": [0, 1]})
    assert [one.model.family for one in configs] == ["line", "line", "vae", "vae"]
    assert type(configs[3].objective) is not LineObjective
    result = sweep([one.replace(training=TrainingConfig(epochs=1, device="cpu")) for one in configs], jobs=1)
    assert result.failures == {} and [run.config.model.family for run in result.runs] == ["line", "line", "vae", "vae"]
    table = result.table()
    assert list(table["model.family"]) == ["line", "line", "vae", "vae"] and table["−ELBO (nats)"].notna().all()
    assert table["KL (nats)"].isna().tolist() == [True, True, False, False]  # a line's bound is not split


@pytest.fixture
def of_a_notebook():
    """This file's classes go to other processes as those of a script or a notebook do: whole, not by their names."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.xdist_group("cluster")
def test_workers_know_a_family_that_a_notebook_defines(of_a_notebook):
    result = sweep(grid(config(**{"training.epochs": 1}), **{"model.sigma": [0.2, 0.3]}), jobs=2)
    assert result.failures == {}, result.report()
    assert [run.model.config.sigma for run in result.runs] == [0.2, 0.3]


def test_settings_of_another_family_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"unknown setting of LineConfig 'latent_dim': valid: family, sigma"):
        RunConfig(model={"family": "line", "latent_dim": 3})
    with pytest.raises(ConfigError, match=r"unknown setting 'model\.hidden'"):
        amended(config(), {"model.hidden": (8,)})
    with pytest.raises(ConfigError, match="unknown setting of LineObjective 'beta'"):
        RunConfig(model=LineConfig(), objective={"beta": 2})


def test_a_family_is_chosen_by_name_or_by_its_settings():
    assert RunConfig(model=LineConfig(sigma=0.3)).objective == LineObjective()
    changed = amended(RunConfig(), {"model.family": "line", "model.sigma": 0.3, "objective.samples": 4})
    assert changed.model == LineConfig(sigma=0.3) and changed.objective == LineObjective(samples=4)
    assert amended(changed.replace(objective=LineObjective()), {"model.family": "vae"}).model == VAEConfig()


# One without


LACKS = {
    "log_likelihood": lambda model, x: log_likelihood(model, x, 3),
    "bound": lambda model, x: importance_weighted_bound(model, x, 3),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "codes": lambda model, x: model.codes(x),
    "discretised": lambda model, x: model.discretised(),
}


@pytest.mark.parametrize("ask", LACKS.values(), ids=LACKS.keys())
def test_what_it_cannot_do_it_says_in_one_line(digits, ask):
    with pytest.raises(UnsupportedError, match=r"^a model of the family 'duel' has no [a-z ]+$"):
        ask(new_model(DuelConfig(), (8, 8)), digits)


def test_it_is_trained_and_stored_without_figures_of_a_likelihood(digits):
    run = train(config("duel"))
    assert run.metrics == {"train": {}, "validation": {}, "test": {}, "epochs": 3}
    assert {"train_loss", "train_seen_through", "test_loss"} <= set(run.history)
    again = train(config("duel"))
    assert isinstance(again.model, Duel) and again.history.equals(run.history)
    assert torch.equal(
        again.model.sample(3, torch.Generator().manual_seed(0)), run.model.sample(3, torch.Generator().manual_seed(0))
    )


def test_both_sides_learn_and_each_by_its_own_loss():
    first, last = new_model(DuelConfig(), (8, 8)), train(config("duel")).model
    for part in ("forger", "judge"):
        assert not torch.equal(getattr(first, part).weight, getattr(last, part).weight)


def test_it_is_swept_without_likelihoods():
    result = sweep(grid(config("duel"), seed=[0, 1]), jobs=1)
    assert result.failures == {} and list(result.table()) == ["seed", "epochs"]


# The command line


SMALL = "--data.name digits --training.epochs 1 --training.device cpu"


def test_the_command_line_has_its_options(vaelib):
    status, out, _ = vaelib("train --model.family line --help")
    assert status == 0 and "--model.sigma" in out and "--objective.samples" in out and "--model.hidden" not in out
    status, out, _ = vaelib("train --help")
    assert status == 0 and "--model.hidden" in out and "--model.sigma" not in out


def test_the_command_line_trains_shows_and_evaluates_it(vaelib):
    status, out, err = vaelib(f"train {SMALL} --model.family line --model.sigma 0.3 --objective.samples 2")
    assert status == 0 and "digits-line-" in out and "−ELBO (nats)" in out, err
    (name,) = Store().names()
    assert Store().load(name).config == RunConfig(
        data=DataConfig(name="digits"),
        model=LineConfig(sigma=0.3),
        objective=LineObjective(samples=2),
        training=TrainingConfig(epochs=1, device="cpu"),
    )
    assert re.search(rf"{name} +finished +digits +line ", vaelib("runs list")[1])
    status, out, _ = vaelib("runs show digits-line")
    assert status == 0 and "model.sigma                    0.3" in out and "1 epochs" in out
    status, out, _ = vaelib("evaluate digits-line --samples 40 --images 5")
    assert status == 0 and "log p(x) of 5 test images, 40 samples (40 effective)" in out


def test_the_command_line_sweeps_it(vaelib):
    status, out, err = vaelib(f"sweep {SMALL} --model.family=line --grid model.sigma=0.2,0.3 --jobs 1")
    assert status == 0 and err == "runs: 2 finished, 0 failed\n" and len(out.splitlines()) == 3
    status, out, err = vaelib(f"sweep {SMALL} --grid model.family=line,vae --jobs 1")
    assert status == 0 and err == "runs: 2 finished, 0 failed\n"


def test_the_command_line_says_what_a_family_lacks(vaelib):
    status, out, _ = vaelib(f"train {SMALL} --model.family duel")
    assert status == 0 and "digits-duel-" in out and "no figures: the family 'duel' has no likelihood" in out
    status, out, _ = vaelib("runs list")
    assert status == 0 and re.search(r"digits-duel-\w+ +finished +digits +duel ", out)
    status, out, _ = vaelib("runs show digits-duel")
    assert status == 0 and "model.latent_dim               2" in out and "no figures: the family" in out
    status, _, err = vaelib("evaluate digits-duel --samples 40")
    assert status == 1 and err.startswith("vaelib: a model of the family 'duel' has no ") and len(err.splitlines()) == 1


def test_the_command_line_forgets_one_family_at_the_next(vaelib):
    assert vaelib(f"train {SMALL} --model.family line")[0] == 0
    status, _, err = vaelib(f"train {SMALL} --model.sigma 0.3")
    assert status == 2 and "--model.sigma" in err
    status, _, err = vaelib(f"train {SMALL} --model.family lime")
    assert status == 2 and "did you mean 'line'?" in err
