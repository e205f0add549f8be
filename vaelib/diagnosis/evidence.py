"""What can be measured on a trained model that tells whether, and why, it does not use its latents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vaelib.diagnosis.course import course, kept_epochs
from vaelib.evaluation import active_units, posterior, squared_error
from vaelib.linear import eigenvalues
from vaelib.models import VAE
from vaelib.objectives import ObjectiveConfig, beta_at, gaussian_kl, gaussian_log_prob, reparameterise
from vaelib.training import TrainingConfig

__all__ = ["Evidence", "collect", "directions_in_use", "expected_error"]

ENOUGH = 10_000  # training images looked at
MARGIN = 1.5  # a direction that varies by so many times its price clearly pays: by 0.2 nats
NO_REACTION = 0.01  # of a hidden unit: the slope of its activation, averaged over images, and the range of its output
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Figures of one model; errors are |x - E[x|z]|^2 summed over pixels, KL in nats per image.

    `kl` is the mean KL(q(z|x) || p(z)), `kl_per_dim` its parts. Where the prior has no closed form (`closed_form` is
    False) `kl` is a Monte Carlo estimate and does not split: `kl_per_dim` is then taken to the Gaussian with the mean
    and variance that the codes have in that dimension, and only says which latents are in use.

    `directions` counts those in which the posterior means vary (variance > 0.01), however they lie to the axes of z.
    The next four say how many of the latents linear theory would keep: `worth` at the model's sigma and beta,
    `worth_at_sigma` at its sigma and beta = 1, `worth_at_beta` at its beta and the sigma of its own errors,
    `worth_fair` at that sigma and beta = 1, counting those alone that clearly pay. `linear_kl` is what the code of the
    best linear model costs at this beta, and this sigma or the fair one, whichever makes it less. `beta` is the one at
    the end of the training, taken as 1 unless `beta_known`. `sigma` is that of a pixel, averaged as a likelihood does
    (harmonic mean of the variances); None for Bernoulli pixels. `error_sigma` is the root of the mean squared error of
    a pixel, the noise of z included: what sigma should be. `silent` holds the share of the hidden units of a layer that
    no longer react.

    From the history: `epochs` until the model had its weights; `last_fifth`, the share of the gain that came with the
    last fifth of the learning (the sum of the learning rate over the epochs); `fell`, by how many nats the held-out
    loss rose after `best_epoch`, and `gain`, by how many it had fallen until then.
    """

    images: int
    pixels: int
    kl: float
    kl_per_dim: Array
    closed_form: bool
    active: NDArray[np.bool_]
    directions: int
    worth: int
    worth_at_sigma: int
    worth_at_beta: int
    worth_fair: int
    linear_kl: float
    train_error: float
    error: float
    average_image_error: float
    sigma: float | None
    error_sigma: float
    beta: float
    beta_known: bool
    silent: dict[str, float]
    epochs: int = 0
    last_fifth: float | None = None
    best_epoch: int | None = None
    fell: float = 0.0
    gain: float = 0.0

    @property
    def latents(self) -> int:
        return len(self.kl_per_dim)


def directions_in_use(model: VAE, x: Tensor, threshold: float = 0.01) -> int:
    """In how many directions of z the posterior means vary by more than `threshold`, whatever the axes: x (N, D).

    `evaluation.active_units` counts axes: it takes one direction that lies askew to several of them for several.
    """
    return int((eigenvalues(posterior(model, x)[0].numpy()) > threshold).sum())


def collect(
    model: VAE,
    train: Tensor,
    held_out: Tensor,
    history: pd.DataFrame | None = None,
    objective: ObjectiveConfig | None = None,
    training: TrainingConfig | None = None,
) -> Evidence:
    """All the figures; `held_out` judges, `train` says what there was to learn."""
    images, pixels = train.shape
    train = train[torch.linspace(0, images - 1, min(images, ENOUGH)).long()]
    noise, errors = _noise(model, train), expected_error(model, train)
    bernoulli = model.config.likelihood.name == "bernoulli"
    own = _spectrum(train, noise)
    fair = own if bernoulli else _spectrum(train, torch.full_like(noise, errors / pixels))
    beta = 1.0 if objective is None else _final_beta(history, objective, training)
    kl, kl_per_dim, closed_form = _divergence(model, held_out)

    def worth(spectrum: Array, price: float) -> int:
        return min(model.config.latent_dim, int((spectrum > price).sum()))

    return Evidence(
        images=images,
        pixels=pixels,
        kl=kl,
        kl_per_dim=kl_per_dim,
        closed_form=closed_form,
        active=active_units(model, held_out).numpy(),
        directions=directions_in_use(model, held_out),
        worth=worth(own, beta),
        worth_at_sigma=worth(own, 1.0),
        worth_at_beta=worth(fair, beta),
        worth_fair=worth(fair, MARGIN),
        linear_kl=min(_linear_kl(spectrum[: model.config.latent_dim], beta) for spectrum in (own, fair)),
        train_error=squared_error(model, train).mean().item(),
        error=squared_error(model, held_out).mean().item(),
        average_image_error=(held_out - train.mean(0)).square().sum(-1).mean().item(),
        sigma=None if bernoulli else float((1 / noise).mean() ** -0.5),
        error_sigma=math.sqrt(errors / pixels),
        beta=beta,
        beta_known=objective is not None,
        silent=_silent(model, train[:1000]),
        **course(history, objective, training),
    )


@torch.no_grad()
def _divergence(model: VAE, x: Tensor) -> tuple[float, Array, bool]:
    """KL(q(z|x) || p(z)) in nats, its mean over x (N, D); its parts (Z,); and whether it has a closed form."""
    mean, log_var = posterior(model, x)
    parts = model.prior.kl(mean, log_var)  # (N, Z)
    if parts is not None:
        per_dim = parts.double().mean(0)
        return per_dim.sum().item(), per_dim.numpy(), True
    z = reparameterise(mean, log_var, 1, torch.Generator().manual_seed(0))[0]
    log_p = torch.cat([model.prior.log_prob(part) for part in z.split(128)])
    kl = (gaussian_log_prob(z, mean, log_var) - log_p).double().mean().item()
    variance = mean.var(0) + log_var.exp().mean(0)  # of all codes together
    to_codes = gaussian_kl((mean - mean.mean(0)) / variance.sqrt(), log_var - variance.log())
    return kl, to_codes.double().mean(0).numpy(), False


@torch.no_grad()
def _noise(model: VAE, x: Tensor) -> Tensor:
    """The variance that p(x|z) gives each pixel, (D,); of Bernoulli pixels that of a model that ignores z."""
    likelihood: Any = model.likelihood
    if model.config.likelihood.name == "bernoulli":
        average = x.mean(0)
        return average * (1 - average)
    outputs = model.decode(posterior(model, x[:1000])[0])
    if model.config.likelihood.name == "gaussian":
        variance = likelihood.sigma(outputs).square()
    else:
        logistic = model.config.likelihood.name.endswith("logistic")
        variance = torch.exp(likelihood.log_var(outputs)) * (math.pi**2 / 3 if logistic else 1.0)
    return variance.expand(len(outputs), x.shape[1]).reciprocal().mean(0).reciprocal()


@torch.no_grad()
def expected_error(model: VAE, x: Tensor) -> float:
    """The mean over x (N, D) of E_q|x - E[x|z]|^2, from one draw of z per image: the error that training sees."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for batch in x.split(1000):
        z = reparameterise(*model.encode(batch), 1, generator)[0]
        errors.append((batch - model.mean_image(z)).square().sum(-1))
    return torch.cat(errors).double().mean().item()


def _spectrum(x: Tensor, noise: Tensor) -> Array:
    """Variances of x / noise^(1/2) along principal directions: a collapsed model is unstable in those above beta."""
    scale = torch.where(noise > 0, noise, math.inf).rsqrt()
    return eigenvalues((x * scale).numpy())


def _linear_kl(spectrum: Array, beta: float) -> float:
    """The KL of the best linear model whose latents take these directions, nats; see `linear.predict`."""
    return float(0.5 * np.log(np.maximum(spectrum / max(beta, 1.0), 1.0)).sum())


def _final_beta(history: pd.DataFrame | None, objective: ObjectiveConfig, training: TrainingConfig | None) -> float:
    """The weight of the KL when the model had its weights; its full one where nothing is known of the training."""
    if history is not None:
        return beta_at(kept_epochs(history, objective, training), objective)
    return beta_at(training.epochs if training else math.inf, objective)


def _silent(model: VAE, x: Tensor) -> dict[str, float]:
    """Layer -> share of its units that say the same of all images x and pass no gradient: dead ReLUs, stuck tanhs."""
    shares: dict[str, float] = {}

    def watch(name: str, activation: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            with torch.enable_grad():
                a = inputs[0].detach().requires_grad_()
                (slope,) = torch.autograd.grad(type(activation)()(a).sum(), a)
            silent = (slope.abs().mean(0) < NO_REACTION) & (outputs.std(0) < NO_REACTION)
            shares[name] = float(silent.float().mean())

        return activation.register_forward_hook(hook)

    bodies = {"encoder": model.encoder.body, "decoder": model.decoder.body}
    layers = {f"{part} layer {i + 1}": body[2 * i + 1] for part, body in bodies.items() for i in range(len(body) // 2)}
    handles = [watch(name, layer) for name, layer in layers.items()]
    try:
        model.reconstruct(x)
    finally:
        for handle in handles:
            handle.remove()
    return shares
