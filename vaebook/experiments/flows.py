"""Flows beside a Gaussian: models of one size, and how probable they find images that they have not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch

from vaebook.experiments.sampling import Memo, remembered
from vaelib.data import binarise
from vaelib.evaluation import log_likelihood
from vaelib.models import VAEConfig, new_model
from vaelib.runs import Run, data_of

__all__ = ["HeldOut", "held_out", "weights", "widened"]


def weights(config: VAEConfig, shape: Sequence[int]) -> int:
    """How many numbers a model of images of that shape learns."""
    return sum(parameter.numel() for parameter in new_model(config, shape).parameters())


def widened(config: VAEConfig, shape: Sequence[int], target: int) -> VAEConfig:
    """`config` with all hidden layers of one width, the largest with which it has no more than `target` weights.

    Raises:
        ValueError: layers of one unit are too many already.
    """

    def of_width(width: int) -> VAEConfig:
        return config.replace(hidden=(width,) * len(config.hidden))

    fits, too_wide = 0, 1
    while weights(of_width(too_wide), shape) <= target:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        fits, too_wide = (middle, too_wide) if weights(of_width(middle), shape) <= target else (fits, middle)
    if not fits:
        raise ValueError(f"{target} weights are too few: with one hidden unit there are {weights(of_width(1), shape)}")
    return of_width(fits)


class HeldOut(NamedTuple):
    """Means over held-out images in nats: -log p(x), estimated with its Monte Carlo error, and the bound -ELBO.

    The estimate is a bound, too, and too high where the median of `effective_samples` over images is small.
    """

    nll: float
    error: float
    bound: float
    effective_samples: float


@remembered(version=1)
def _held_out(run: Run, images: int, draws: int, seed: int) -> Memo:
    x = data_of(run).test[:images]
    pixels = torch.from_numpy(binarise(x, seed) if run.config.data.pixels == "dynamic" else x)
    generator = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few effective draws: `HeldOut` says how many
        estimate = log_likelihood(run.model, pixels, draws, generator, progress=False)
    with torch.no_grad():
        bound = torch.cat([run.model.log_weights(part, 10, generator).mean(0) for part in pixels.split(200)])
    value, error = estimate.mean()
    effective = estimate.effective_samples.median().item()
    return Memo(HeldOut(-value, error, -bound.mean().item(), effective)._asdict())


def held_out(runs: Sequence[Run], images: int = 1000, draws: int = 200, seed: int = 0) -> list[HeldOut]:
    """That of each run, on the first so many of its test images; dynamic pixels are binarised once, by `seed`."""
    return [HeldOut(**memo.figures) for memo in _held_out.of_all([(run, images, draws, seed) for run in runs])]
