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

from vaelib.evaluation import active_units, kl_per_dim, posterior, squared_error
from vaelib.linear import eigenvalues
from vaelib.models import VAE
from vaelib.objectives import beta_at, reparameterise
from vaelib.runs import RunConfig

__all__ = ["Evidence", "collect", "directions_in_use", "expected_error"]

ENOUGH = 10_000  # training images looked at
NO_REACTION = 0.01  # of a hidden unit: the slope of its activation, averaged over images, and the range of its output
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Figures of one model; errors are |x - E[x|z]|^2 summed over pixels, KL in nats per image.

    `directions` counts those in which the posterior means vary (variance > 0.01), however they lie to the axes of z.
    `worth` is how many of the latents linear theory would keep at this sigma and beta; `worth_fair` the same at
    beta = 1 and, where sigma is free, at the sigma of the model's own errors. `sigma` is that of a pixel, averaged as a
    likelihood does (harmonic mean of the variances); None for Bernoulli pixels. `error_sigma` is the root of the mean
    squared error of a pixel, the noise of z included: what sigma should be. `silent` holds the share of the hidden
    units of a layer that no longer react. From the history: `last_fifth`, the share of the bound's gain that came in
    the last fifth of the epochs; `fell`, by how many nats the held-out bound fell after `best_epoch`, and `gain`, by
    how many it had risen.
    """

    images: int
    pixels: int
    kl_per_dim: Array
    active: NDArray[np.bool_]
    directions: int
    worth: int
    worth_fair: int
    train_error: float
    error: float
    average_image_error: float
    sigma: float | None
    error_sigma: float
    beta: float
    silent: dict[str, float]
    epochs: int = 0
    last_fifth: float | None = None
    best_epoch: int | None = None
    fell: float = 0.0
    gain: float = 0.0

    @property
    def kl(self) -> float:
        return float(self.kl_per_dim.sum())


def directions_in_use(model: VAE, x: Tensor, threshold: float = 0.01) -> int:
    """In how many directions of z the posterior means vary by more than `threshold`, whatever the axes: x (N, D).

    `evaluation.active_units` counts axes: it takes one direction that lies askew to several of them for several.
    """
    return int((eigenvalues(posterior(model, x)[0].numpy()) > threshold).sum())


def collect(
    model: VAE, train: Tensor, held_out: Tensor, history: pd.DataFrame | None, config: RunConfig | None
) -> Evidence:
    """All the figures; `held_out` judges, `train` says what there was to learn."""
    images = len(train)
    train = train[torch.linspace(0, len(train) - 1, min(len(train), ENOUGH)).long()]
    noise, errors = _noise(model, train), expected_error(model, train)
    beta = _final_beta(history, config)
    fair = noise if model.config.likelihood.name == "bernoulli" else torch.full_like(noise, errors / train.shape[1])
    latents = model.config.latent_dim
    return Evidence(
        images=images,
        pixels=train.shape[1],
        kl_per_dim=kl_per_dim(model, held_out).double().numpy(),
        active=active_units(model, held_out).numpy(),
        directions=directions_in_use(model, held_out),
        worth=min(latents, _worth(train, noise, beta)),
        worth_fair=min(latents, _worth(train, fair, 1.0)),
        train_error=squared_error(model, train).mean().item(),
        error=squared_error(model, held_out).mean().item(),
        average_image_error=(held_out - train.mean(0)).square().sum(-1).mean().item(),
        sigma=None if model.config.likelihood.name == "bernoulli" else float((1 / noise).mean() ** -0.5),
        error_sigma=math.sqrt(errors / train.shape[1]),
        beta=beta,
        silent=_silent(model, train[:1000]),
        **_progress(history),
    )


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


def _worth(x: Tensor, noise: Tensor, beta: float) -> int:
    """How many directions of x / noise^(1/2) vary by more than beta: those at which a collapsed model is unstable."""
    scale = torch.where(noise > 0, noise, math.inf).rsqrt()
    return int((eigenvalues((x * scale).numpy()) > beta).sum())


def _final_beta(history: pd.DataFrame | None, config: RunConfig | None) -> float:
    if config is None or config.objective.bound != "elbo":
        return 1.0
    return beta_at(len(history) if history is not None else config.training.epochs, config.objective)


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


def _progress(history: pd.DataFrame | None) -> dict[str, Any]:
    """How the bound moved: what the last fifth of the epochs brought, and whether it fell on held-out data."""
    if history is None or "train_elbo" not in history or len(history) < 2:
        return {}
    bound = history["train_elbo"].to_numpy()
    fifth = max(1, round(len(bound) / 5))
    total = bound[-1] - bound[0]
    facts = {"epochs": len(bound), "last_fifth": float((bound[-1] - bound[-1 - fifth]) / total) if total > 0 else 0.0}
    watched = next((c for c in ("validation_elbo", "test_elbo") if c in history), None)
    if watched:
        held_out = history[watched].to_numpy()
        best = int(held_out.argmax())
        gain = float(held_out[best] - held_out[0])
        facts |= {"best_epoch": best + 1, "fell": float(held_out[best] - held_out[-1]), "gain": gain}
    return facts
