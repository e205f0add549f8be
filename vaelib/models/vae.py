"""The VAE of Kingma & Welling 2013: mirrored multi-layer perceptrons and a diagonal Gaussian posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from vaelib import objectives
from vaelib.config import ConfigError
from vaelib.likelihoods import Likelihood, LikelihoodConfig, make_likelihood
from vaelib.models.base import Autoencoder, ModelConfig, Objective, binarised, mlp, must_fit
from vaelib.objectives import Loss
from vaelib.posteriors import DiagonalGaussian, FlowPosterior, GaussianConfig, PosteriorConfig, make_flow
from vaelib.priors import Prior, PriorConfig, StandardNormalConfig, VampConfig, make_prior

__all__ = ["VAE", "Decoder", "Encoder", "ObjectiveConfig", "VAEConfig"]


class VAEConfig(ModelConfig):
    """The networks' shape. `hidden` lists the encoder's layers; the decoder mirrors them.

    `init` "normal" draws all weights and biases from N(0, init_std^2), as Kingma & Welling did (their N(0, 0.01) has
    variance 0.01, read like every other N in their paper); "framework" is torch's own. `output_bias` "average" lets the
    decoder start at the average training image. "identity" as activation makes a linear VAE, the one whose evidence is
    known exactly.
    """

    family: Literal["vae"] = "vae"
    latent_dim: PositiveInt = 20
    hidden: tuple[PositiveInt, ...] = (500, 500)
    activation: Literal["tanh", "relu", "silu", "identity"] = "tanh"
    init: Literal["framework", "normal"] = "framework"
    init_std: float = Field(default=0.1, gt=0)
    output_bias: Literal["init", "average"] = "init"
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: PriorConfig = StandardNormalConfig()
    posterior: PosteriorConfig = GaussianConfig()

    @model_validator(mode="after")
    def _check(self) -> VAEConfig:
        if isinstance(self.prior, VampConfig) and not isinstance(self.posterior, GaussianConfig):
            raise ConfigError(
                f"prior='vamp' is a mixture of Gaussian posteriors, and posterior={self.posterior.name!r} is none: "
                "use posterior='gaussian' or another prior"
            )
        return self


class ObjectiveConfig(Objective):
    """Which bound is maximised, and how.

    "aevb" climbs the bound in encoder and decoder at once (Kingma & Welling 2013); "wake-sleep" teaches the encoder on
    the decoder's own dreams instead (see `objectives.dream`).

    `samples` is L, the draws of z per image (K for the importance-weighted bound). `estimator` is how the gradient
    reaches the encoder, see `objectives.importance_weighted_bound`: "stl" is biased for that bound with K > 1, "dreg"
    is not. `beta` weighs the KL term and grows linearly from 0 over the first `warmup_epochs`; `free_bits` is the KL in
    nats that each dimension has for nothing.
    """

    algorithm: Literal["aevb", "wake-sleep"] = "aevb"
    bound: Literal["elbo", "importance-weighted"] = "elbo"
    samples: PositiveInt = 1
    kl: objectives.KL = "analytic"
    estimator: objectives.Estimator = "plain"
    beta: float = Field(default=1.0, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)
    free_bits: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ObjectiveConfig:
        weighed = self.beta != 1 or self.warmup_epochs or self.free_bits
        if self.free_bits and self.kl != "analytic":
            raise ConfigError(f"free_bits={self.free_bits} counts nats per dimension: it needs kl='analytic'")
        if self.bound != "elbo" and weighed:
            raise ConfigError(
                "the importance-weighted bound has no KL term: leave beta, warmup_epochs and free_bits alone"
            )
        if self.algorithm == "wake-sleep" and self.estimator != "plain":
            raise ConfigError(f"wake-sleep has no estimator={self.estimator!r}: its encoder learns from dreams alone")
        if self.estimator == "dreg" and self.bound == "elbo":
            raise ConfigError("estimator='dreg' needs bound='importance-weighted': for the ELBO there is 'stl'")
        if self.estimator == "stl" and self.bound == "elbo" and self.kl == "analytic":
            raise ConfigError("estimator='stl' is one of the sampled log q(z|x): with it, set kl='monte-carlo'")
        if self.algorithm == "wake-sleep" and (self.bound != "elbo" or weighed):
            raise ConfigError(
                "wake-sleep has no weighed KL and no other bound: leave bound, beta, warmup_epochs and free_bits alone"
            )
        return self

    @property
    def settled_epochs(self) -> int:
        return math.ceil(self.warmup_epochs)


class Encoder(nn.Module):
    """q(z|x) = N(mean(x), diag e^log_var(x)): (B, D) -> mean (B, Z), log_var (B, Z)."""

    def __init__(self, pixels: int, config: VAEConfig) -> None:
        super().__init__()
        self.body, width = mlp(pixels, config.hidden, config.activation)
        self.mean = nn.Linear(width, config.latent_dim)
        self.log_var = nn.Linear(width, config.latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    """The parameters of p(x|z), before the likelihood reads them: (..., Z) -> (..., heads * D)."""

    def __init__(self, outputs: int, config: VAEConfig) -> None:
        super().__init__()
        self.body, width = mlp(config.latent_dim, config.hidden[::-1], config.activation)
        self.outputs = nn.Linear(width, outputs)

    def forward(self, z: Tensor) -> Tensor:
        return self.outputs(self.body(z))


class VAE(Autoencoder):
    """p(z) p(x|z) with its approximate posterior q(z|x). A `prior` or `likelihood` may be passed, not only set."""

    family, Settings, Objective = "vae", VAEConfig, ObjectiveConfig
    config: VAEConfig

    def __init__(
        self,
        config: VAEConfig,
        image_shape: Sequence[int],
        *,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__(config, image_shape)
        self.likelihood = likelihood or make_likelihood(config.likelihood)
        outputs = self.likelihood.heads * self.pixels
        must_fit(
            f"{self.pixels:,} pixels, hidden={config.hidden} and latent_dim={config.latent_dim}",
            (self.pixels, *config.hidden, 2 * config.latent_dim),
            (config.latent_dim, *config.hidden[::-1], outputs),
        )
        self.encoder, self.decoder = Encoder(self.pixels, config), Decoder(outputs, config)
        self.prior = prior or make_prior(config.prior, config.latent_dim, self.pixels, self.encoder)
        self.flow = make_flow(config.posterior, config.latent_dim, self.encoder.mean.in_features)
        if config.init == "normal":
            for parameter in [*self.encoder.parameters(), *self.decoder.parameters()]:
                nn.init.normal_(parameter, std=config.init_std)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """With output_bias "average", the decoder draws the average of x where its hidden units are 0."""
        if self.config.output_bias == "average":
            self.decoder.outputs.bias[: self.pixels] = self.likelihood.outputs_for(x.mean(0))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x): (B, D) -> (B, Z), (B, Z).

        Raises:
            UnsupportedError: the posterior is no Gaussian.
        """
        if self.flow is not None:
            self._cannot(f"mean and log-variance of q(z|x), as posterior={self.config.posterior.name!r} is no Gaussian")
        self.must_be_images(x)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        if z.shape[-1] != self.config.latent_dim:
            raise ValueError(f"z has shape {tuple(z.shape)}: expected (..., {self.config.latent_dim})")
        return super().decode(z)

    def posterior(self, x: Tensor) -> DiagonalGaussian | FlowPosterior:
        if self.flow is None:
            return DiagonalGaussian(*self.encode(x))
        self.must_be_images(x)
        h = self.encoder.body(x)
        base = DiagonalGaussian(self.encoder.mean(h), self.encoder.log_var(h))
        return FlowPosterior(base, partial(self.flow, h))

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        q = self.posterior(x)
        kl: objectives.KL = "monte-carlo" if q.kl(self.prior) is None else "analytic"
        return objectives.elbo(self, x, kl=kl, generator=generator, posterior=q)._asdict()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z] at the images' `codes`: (B, D) -> (B, D)."""
        return self.mean_image(self.codes(x))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The posterior's means; of a flow, where it takes the mean of its Gaussian: (B, D) -> (B, Z)."""
        return self.posterior(x).centre

    def losses(self, objective: ObjectiveConfig, *, binarise: bool = False) -> list[tuple[list[nn.Parameter], Loss]]:
        """One pair; for wake-sleep two: the generative model learns awake, the encoder asleep.

        "elbo", "reconstruction" and "kl" are those of the true bound, whatever beta and free bits make of "loss".

        Raises:
            ConfigError: the objective asks a flow posterior for what it cannot give.
        """
        self._must_suit(objective)
        terms_of = partial(objectives.elbo, self, samples=objective.samples, kl=objective.kl)

        def bounds(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            q = self.posterior(x)
            if objective.bound == "importance-weighted":
                bound = objectives.importance_weighted_bound(
                    self, x, objective.samples, generator, estimator=objective.estimator, posterior=q
                )
                return {"loss": -bound, "elbo": bound}
            drawn = objectives.Pathwise(q) if objective.estimator == "stl" else q
            terms = terms_of(x, generator=generator, posterior=drawn)
            penalty = terms.kl
            if objective.free_bits:
                penalty = objectives.free_bits_kl(objectives.analytic_kl(self, q), objective.free_bits)
            beta = objectives.beta_at(epoch, objective.beta, objective.warmup_epochs)
            return {"loss": beta * penalty - terms.reconstruction, **terms._asdict()}

        def wake(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            terms = terms_of(x, generator=generator, posterior=DiagonalGaussian(*self.encode(x)).detach())
            dreams.append(objectives.dream(self, len(x), generator))  # of the decoder before it takes its step
            return {"loss": -terms.elbo, **terms._asdict()}

        def asleep(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            z, dreamt = dreams.pop()
            return {"loss": -self.posterior(dreamt).log_prob(z)}

        if objective.algorithm == "aevb":
            return [(list(self.parameters()), bounds)]
        dreams: list[tuple[Tensor, Tensor]] = []
        encoder = list(self.encoder.parameters())
        generative = [weight for weight in self.parameters() if all(weight is not own for own in encoder)]
        return [(generative, wake), (encoder, asleep)]

    def _must_suit(self, objective: ObjectiveConfig) -> None:
        name = self.config.posterior.name
        if self.flow is not None and objective.algorithm == "wake-sleep":
            raise ConfigError(
                f"wake-sleep asks q(z|x) for the density of dreams, and posterior={name!r} cannot tell it"
            )
        if self.flow is not None and objective.estimator != "plain":
            raise ConfigError(
                f"estimator={objective.estimator!r} asks q(z|x) for the density of given draws, and posterior={name!r} "
                "cannot tell it: use estimator='plain'"
            )
        if self.flow is not None and objective.bound == "elbo" and objective.kl == "analytic":
            raise ConfigError(f"the KL of posterior={name!r} has no closed form: use kl='monte-carlo'")
