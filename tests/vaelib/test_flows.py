"""Flows as posterior and as prior, all the way: trained, stored, loaded, judged, swept, and from the command line."""

import pytest
import torch

from vaelib.config import grid
from vaelib.data import DataConfig, prepare
from vaelib.evaluation import log_likelihood, summary
from vaelib.models import ObjectiveConfig, UnsupportedError, VAEConfig
from vaelib.posteriors import IAFConfig, PlanarConfig
from vaelib.priors import FlowConfig
from vaelib.runs import RunConfig, Store, train
from vaelib.sweeps import sweep
from vaelib.training import TrainingConfig

pytestmark = pytest.mark.usefixtures("store")

PARTS = {
    "planar": {"posterior": PlanarConfig(steps=3)},
    "iaf": {"posterior": IAFConfig()},
    "spline": {"prior": FlowConfig(transforms=2)},
    "coupling": {"prior": FlowConfig(flow="coupling", transforms=4)},
    "both": {"posterior": PlanarConfig(steps=3), "prior": FlowConfig(flow="coupling", transforms=4)},
}


def config(epochs=3, **parts):
    return RunConfig(
        data=DataConfig(name="digits"),
        model=VAEConfig(latent_dim=3, hidden=(16,), **parts),
        objective=ObjectiveConfig(kl="monte-carlo"),
        training=TrainingConfig(epochs=epochs, device="cpu"),
    )


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
def test_it_is_trained_stored_loaded_and_judged(parts):
    run = train(config(**parts))
    assert run.history["validation_elbo"].iloc[-1] > run.history["validation_elbo"].iloc[0]
    again, x = Store().load(run.path.name), torch.from_numpy(prepare(DataConfig(name="digits")).test)
    assert again.config == run.config and again.metrics == run.metrics
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    figures = summary(again.model, x)
    assert figures == pytest.approx(run.metrics["test"])
    assert {"elbo", "reconstruction", "kl", "squared_error", "active_units"} == set(figures)
    estimate = log_likelihood(again.model, x, 100, torch.Generator().manual_seed(0), progress=False)
    assert estimate.mean()[0] > figures["elbo"] - 0.5
    drawn = [one.model.sample(4, torch.Generator().manual_seed(0)) for one in (run, again)]
    assert torch.equal(*drawn) and drawn[0].shape == (4, 64)


def test_a_killed_training_with_flows_goes_on_to_the_same_bits(monkeypatch):
    wanted = config(**PARTS["both"])
    saved = train(wanted, checkpoint_seconds=0).model.state_dict()
    monkeypatch.setattr("vaelib.runs.Store.holds", lambda *_, **__: False)
    monkeypatch.setattr("vaelib.runs.Store.write", lambda *_: None)
    again = train(wanted, checkpoint_seconds=1e9).model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in saved.items())


def test_posteriors_and_priors_are_swept_and_differ():
    axes = {"model.posterior.name": ["gaussian", "planar", "iaf"]}
    result = sweep(grid(config(epochs=1), **axes), jobs=1)
    assert result.failures == {} and len({run.path.name for run in result.runs}) == 3
    assert list(result.table()["model.posterior.name"]) == ["gaussian", "planar", "iaf"]
    assert [run.model.flow is None for run in result.runs] == [True, False, False]


def test_what_needs_a_gaussian_posterior_says_that_there_is_none():
    from vaelib.evaluation import aggregate_posterior

    run, x = train(config(epochs=1, **PARTS["planar"])), torch.from_numpy(prepare(DataConfig(name="digits")).test)
    with pytest.raises(UnsupportedError, match="as posterior='planar' is no Gaussian"):
        aggregate_posterior(run.model, x)


SMALL = "--data.name digits --model.latent_dim 2 --training.epochs 1 --training.device cpu"


def test_the_command_line_trains_shows_evaluates_and_sweeps_it(vaelib):
    flows = "--model.posterior.name planar --model.posterior.steps 2 --objective.kl monte-carlo"
    flows += " --model.prior.name flow --model.prior.flow coupling"
    status, out, err = vaelib(f"train {SMALL} {flows}")
    assert status == 0 and "digits-z2-" in out and "−ELBO (nats)" in out, err
    (name,) = Store().names()
    model = Store().load(name).config.model
    assert model.posterior == PlanarConfig(steps=2) and model.prior == FlowConfig(flow="coupling")
    status, out, _ = vaelib(f"runs show {name}")
    assert status == 0 and "model.posterior.name           planar" in out
    status, out, _ = vaelib(f"evaluate {name} --samples 40 --images 5")
    assert status == 0 and "log p(x) of 5 test images, 40 samples" in out
    status, _, err = vaelib(f"sweep {SMALL} --objective.kl monte-carlo --grid model.posterior.name=planar,iaf --jobs 1")
    assert status == 0 and err == "runs: 2 finished, 0 failed\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--model.posterior.name planar", "the KL of posterior='planar' has no closed form: use kl='monte-carlo'"),
        ("--model.posterior.name planer", "did you mean 'planar'?"),
        ("--model.prior.name flow --model.prior.flow coupled", "did you mean 'coupling'?"),
        ("--model.posterior.name iaf --model.latent_dim 1", "an autoregressive flow needs latent_dim=2 or more"),
        ("--model.posterior.name planar --model.prior.name vamp", "prior='vamp' is a mixture of Gaussian posteriors"),
    ],
)
def test_the_command_line_refuses_in_one_line(vaelib, flags, said):
    status, _, err = vaelib(f"train --data.name digits {flags}")
    assert status in (1, 2) and said in err and len(err.splitlines()) == 1
    assert Store().names() == []
