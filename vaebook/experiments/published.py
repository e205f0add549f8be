"""Figures that others published, with their protocol, and what it takes to measure ours by the same."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.evaluation import log_likelihood
from vaelib.models import LatentVariableModel

__all__ = ["PUBLISHED", "Published", "log_likelihood_of_all"]


class Published(NamedTuple):
    """A figure, in nats or bits per dimension, lower is better; `source` is a citation in MyST."""

    data: str
    protocol: str
    model: str
    figure: float
    source: str


IWAE = "MNIST, 60,000/10,000, binarised anew in each batch; −log p(x) of the test images, 5,000 samples (nats)"
GREY = "MNIST, 60,000/10,000, grey pixels as Bernoulli targets; −ELBO of the test images (nats)"
BITS = "Frey Faces, random split 1565/200/200, 256 grey levels; −ELBO (bits per dimension)"
LEVELS = "Frey Faces, random split 1565/200/200, 256 grey levels; −log p(x) (bits per dimension)"

PUBLISHED = {
    "dynamic": Published("mnist", IWAE, "VAE, tanh 2 × 200, 50 latents", 86.76, "{cite:t}`burda2016`"),
    "5 draws": Published("mnist", IWAE, "the same, 5 draws in training", 85.54, "{cite:t}`burda2016`"),
    "50 draws": Published("mnist", IWAE, "the same, 50 draws in training", 84.78, "{cite:t}`burda2016`"),
    "one level": Published("mnist", IWAE, "VAE, gated 2 × 300, 40 latents", 84.45, "{cite:t}`norouzi2020`"),
    "two levels": Published("mnist", IWAE, "two levels, gated 2 × 300, 40 + 40", 82.39, "{cite:t}`norouzi2020`"),
    "grey": Published(
        "mnist", GREY, "VAE, 512-256, 20 latents, of unstated length", 99.37, "a public planar-flow repository"
    ),
    "planar": Published("mnist", GREY, "the same, 20 planar steps", 98.23, "a public planar-flow repository"),
    "bound": Published("frey", BITS, "VAE without flow", 4.53, "{cite:t}`vandenberg2018`"),
    "bound, best": Published("frey", BITS, "VAE with FFJORD", 4.39, "{cite:t}`grathwohl2019`"),
    "nll": Published("frey", LEVELS, "MLP VAE, N(0, I)", 4.64, "{cite:t}`tomczak2018`"),
    "nll, best": Published("frey", LEVELS, "MLP VAE, VampPrior", 4.54, "{cite:t}`tomczak2018`"),
}


def log_likelihood_of_all(
    model: LatentVariableModel, x: Tensor, samples: int = 5000, few: int = 100, images: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """The mean log p(x) over x (N, D) that `samples` draws would give, in nats, its standard error, and the
    median of the images' effective draws: where these are few the error is too small.

    All images get `few` draws; what `samples` draws add is measured on `images` of them, drawn at random (a difference
    estimator; Cochran 1977, chapter 7). The difference varies far less over images than log p(x) does. The error is
    that of this step: it is 0, but for Monte Carlo noise, where `images` is N.

    Raises:
        ValueError: fewer than two images.
    """
    generator = torch.Generator().manual_seed(seed)
    if min(images, len(x)) < 2:
        raise ValueError(f"images={images} of {len(x)}: an error needs at least 2")
    some = torch.randperm(len(x), generator=generator)[:images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few effective samples: the last figure says how few
        rough = log_likelihood(model, x, few, generator, progress=False).value.double()
        fine = log_likelihood(model, x[some], samples, generator, progress=False)
    added = fine.value.double() - rough[some]
    error = ((1 - len(some) / len(x)) * added.var() / len(some)).sqrt()
    return (rough.mean() + added.mean()).item(), error.item(), fine.effective_samples.median().item()
