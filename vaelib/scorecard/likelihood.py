"""log p(x) of many images at the price of few."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib.evaluation import log_likelihood
from vaelib.models import VAE

__all__ = ["log_likelihood_of_all"]


def log_likelihood_of_all(
    model: VAE, x: Tensor, samples: int = 5000, few: int = 100, images: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The mean log p(x) over x (N, D) that `samples` draws would give, in nats, and its standard error.

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
    rough = log_likelihood(model, x, few, generator, progress=False).value.double()
    fine = log_likelihood(model, x[some], samples, generator, progress=False).value.double()
    added = fine - rough[some]
    left = 1 - len(some) / len(x)
    return (rough.mean() + added.mean()).item(), (left * added.var() / len(some)).sqrt().item()
