"""Models of one size, and how probable they find held-out images: against counts and sums done another way."""

import pytest
import torch

from vaebook.experiments.flows import held_out, weights, widened
from vaelib.data import DataConfig, binarise, prepare
from vaelib.models import VAEConfig
from vaelib.objectives import importance_weighted_bound
from vaelib.posteriors import IAFConfig, PlanarConfig
from vaelib.priors import FlowConfig
from vaelib.runs import RunConfig, train
from vaelib.training import TrainingConfig

SHAPE = (8, 8)


def test_weights_are_counted():
    encoder, decoder = 64 * 7 + 7 + 2 * (7 * 3 + 3), 3 * 7 + 7 + 7 * 64 + 64
    assert weights(VAEConfig(latent_dim=3, hidden=(7,)), SHAPE) == encoder + decoder
    planar = VAEConfig(latent_dim=3, hidden=(7,), posterior=PlanarConfig(steps=5))
    assert weights(planar, SHAPE) == encoder + decoder + (7 + 1) * 5 * 7


@pytest.mark.parametrize("parts", [{}, {"posterior": IAFConfig()}, {"prior": FlowConfig(flow="coupling")}])
def test_a_widened_model_is_the_largest_that_fits(parts):
    config = widened(VAEConfig(latent_dim=3, hidden=(5, 5), **parts), SHAPE, 40_000)
    one_more = config.replace(hidden=tuple(width + 1 for width in config.hidden))
    assert weights(config, SHAPE) <= 40_000 < weights(one_more, SHAPE)
    assert len(config.hidden) == 2


def test_too_few_weights_are_said():
    with pytest.raises(ValueError, match="50 weights are too few: with one hidden unit there are"):
        widened(VAEConfig(latent_dim=3, hidden=(5,)), SHAPE, 50)


@pytest.mark.parametrize("pixels", ["grey", "dynamic"])
def test_held_out_images_are_judged_as_importance_sampling_does(pixels, tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    run = train(
        RunConfig(
            data=DataConfig(name="digits", pixels=pixels),
            model=VAEConfig(latent_dim=2, hidden=(8,)),
            training=TrainingConfig(epochs=1, device="cpu"),
        )
    )
    (found,) = held_out([run], images=20, draws=2000)
    x = prepare(run.config.data).test[:20]
    x = torch.from_numpy(binarise(x, 0) if pixels == "dynamic" else x)
    with torch.no_grad():
        expected = -importance_weighted_bound(run.model, x, 2000, torch.Generator().manual_seed(1)).mean().item()
        bound = -run.model.log_weights(x, 2000, torch.Generator().manual_seed(1)).mean().item()
    assert found.nll == pytest.approx(expected, abs=0.1) and found.bound == pytest.approx(bound, abs=1)
    assert found.nll < found.bound and found.effective_samples > 30 and 0 < found.error < 0.1
    assert held_out([run], images=20, draws=2000) == [found]
