"""Flow matching on a run's codes: found once, read back to the bit, and judged beside the other priors."""

import pytest
import torch

from vaebook.experiments import transport
from vaebook.experiments.recipes import faces_recipe
from vaebook.experiments.sampling import judge, repaired
from vaebook.experiments.transport import transport_of, with_transport, worth
from vaelib.config import ConfigError
from vaelib.data import DataConfig, prepare
from vaelib.evaluation import aggregate_posterior
from vaelib.objectives import elbo
from vaelib.runs import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A hasty run on the toy film, in a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        config = faces_recipe("modern", DataConfig(name="toyfaces", split="random"), latent_dim=3, epochs=8)
        yield train(config.replace(model=config.model.replace(hidden=(60,))), progress=False)


def test_a_transport_is_found_once_and_read_back(run, monkeypatch):
    first = transport_of(run, (1, 60))
    with monkeypatch.context() as patch:
        patch.setattr(transport, "fit_flow_matching", None)  # so that a second fit would fail
        again = transport_of(run, (1, 60))
    assert again.scores == first.scores and again.seconds == first.seconds > 0
    assert first.epochs == 60 and first.scores[60] > first.scores[1]
    z = first.prior.sample(10, torch.Generator().manual_seed(0))
    assert torch.equal(again.prior.sample(10, torch.Generator().manual_seed(0)), z)


def test_the_fit_is_of_the_codes_of_this_run(run):
    model = with_transport(run, 60, (1, 60))
    codes = aggregate_posterior(run.model, torch.from_numpy(prepare(run.config.data).train))
    z = model.prior.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), codes.mean(0), rtol=0, atol=0.15)
    torch.testing.assert_close(z.std(0), codes.std(0), rtol=0.15, atol=0)
    with torch.no_grad():
        assert model.prior.log_prob(codes).mean() > run.model.prior.log_prob(codes).mean()


def test_a_worth_is_the_bound_of_that_prior_and_what_it_draws(run, monkeypatch):
    monkeypatch.setattr(transport, "DRAWN", 500)
    found = worth(run, 60, (1, 60))
    model, data = with_transport(run, 60, (1, 60)), prepare(run.config.data)
    judged = judge(model.sample(500, torch.Generator().manual_seed(0)), data)
    assert found[1:] == tuple(getattr(judged, name) for name in found._fields[1:])
    x = torch.from_numpy(data.test)
    with torch.no_grad():
        bound = -elbo(
            model.discretised(), x, samples=20, kl="monte-carlo", generator=torch.Generator().manual_seed(0)
        ).elbo
    assert found.bound == pytest.approx(bound.mean().item(), abs=1e-3)
    assert found.bound < worth(run, "none", (1, 60)).bound - 0.1


def test_the_other_priors_are_those_of_the_book(run):
    assert with_transport(run, "none", ()) is run.model
    mixture = with_transport(run, "mixture", ()).prior
    assert len(mixture.log_weights) == 40 * 20
    assert torch.equal(mixture.means, repaired(run, 40, fits=20).prior.means)
    with pytest.raises(ConfigError, match="unknown prior 'mixtures': did you mean 'mixture'"):
        worth(run, "mixtures", (1,))


def test_the_versions_of_what_is_kept():
    assert transport._transport.versions == "1" and transport._worth.versions == "1-3-2-1"
