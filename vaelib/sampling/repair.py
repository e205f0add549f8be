"""A better p(z) for a model that is trained already: "ex-post" density estimation (Ghosh et al. 2020, section 4)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from vaelib.evaluation import posterior
from vaelib.models import VAE
from vaelib.priors import MixtureFit, Prior, fit_mixture, reparameterise
from vaelib.training import TrainingConfig, fit

__all__ = ["fit_prior", "latents", "mixture_of", "with_prior"]


def with_prior(model: VAE, prior: Prior) -> VAE:
    """A copy of the model that has `prior` as its p(z). Its `config` still names the prior that it was trained with.

    Raises:
        ValueError: the prior has another number of dimensions.
    """
    if prior.latent_dim != model.config.latent_dim:
        raise ValueError(
            f"a prior over {prior.latent_dim} dimensions does not fit a model that has {model.config.latent_dim}"
        )
    twin = copy.deepcopy(model)
    twin.prior = prior
    return twin.eval()


def latents(model: VAE, x: Tensor, draws: int = 1, seed: int = 0) -> Tensor:
    """Draws from q(z|x), a few for each image: draws of the aggregate posterior. (N, D) -> (draws * N, Z)."""
    return reparameterise(*posterior(model, x), draws, torch.Generator().manual_seed(seed)).flatten(0, 1)


def mixture_of(model: VAE, train: Tensor, held_out: Tensor, seed: int = 0, **settings: Any) -> MixtureFit:
    """The mixture of Gaussians that fits the codes of `train` (N, D), of a size that suits those of `held_out` best.

    Codes are draws from q(z|x): a density of these is what minimises the KL term of the ELBO. The `settings` are those
    of `fit_mixture`.
    """
    return fit_mixture(latents(model, train, 2, seed), latents(model, held_out, 1, seed), seed=seed, **settings)


def fit_prior(
    prior: Prior, model: VAE, train: Tensor, held_out: Tensor, config: TrainingConfig, seed: int = 0
) -> Prior:
    """Trains a prior by gradients on the codes of `train`, drawn anew in each step; the model stays as it is."""

    def loss(q: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        mean, log_var = q.chunk(2, dim=-1)
        z = reparameterise(mean, log_var, 1, generator).squeeze(0)
        return {"loss": -prior.log_prob(z)}

    codes, held_out_codes = (torch.cat(posterior(model, x), dim=-1) for x in (train, held_out))
    fit(prior, loss, codes, config, seed=seed, held_out={"validation": held_out_codes})
    return prior
