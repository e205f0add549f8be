"""Figures that only the scorecard needs: sharpness beside real pictures, pixels out of range, jumps on a walk."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaelib.appearance import edge_energy
from vaelib.evaluation import posterior
from vaelib.models import VAE
from vaelib.runs import Run

__all__ = ["code_sizes", "jitter", "largest_step", "share_outside", "sharpness"]


def sharpness(made: Tensor, real: Tensor, shape: tuple[int, int]) -> float:
    """How steep the edges of pictures (N, D) are, as a share of those of real ones."""
    return float(edge_energy(made.numpy(), shape).mean() / edge_energy(real.numpy(), shape).mean())


def share_outside(model: VAE, x: Tensor) -> float:
    """Of all pixels of the reconstructions of x (N, D) those below black or above white."""
    made = model.reconstruct(x)
    return ((made < 0) | (made > 1)).float().mean().item()


def code_sizes(model: VAE, x: Tensor) -> tuple[float, float]:
    """Mean absolute value of the means and of the log-variances of q(z|x), over x (N, D) and all latents."""
    mean, log_var = posterior(model, x)
    return mean.abs().mean().item(), log_var.abs().mean().item()


def jitter(run: Run) -> float:
    """The median change of the training bound from epoch to epoch at the end of training, nats."""
    late = run.history["train_elbo"].to_numpy()[-50:]
    return float(np.median(np.abs(np.diff(late)))) if len(late) > 1 else 0.0


def largest_step(model: VAE, walks: int = 200, steps: int = 20, seed: int = 0) -> float:
    """Along straight lines between draws from the prior: the largest step of the picture, in even steps of z.

    The mean over `walks` of the largest distance between neighbouring pictures over the sum of them all: 1 / `steps` if
    pictures change evenly, 1 if they jump once.
    """
    ends = model.prior.sample(2 * walks, torch.Generator().manual_seed(seed)).view(2, walks, 1, -1)
    share = torch.linspace(0, 1, steps + 1)[:, None]
    pictures = model.mean_image(torch.lerp(ends[0], ends[1], share))  # (walks, steps + 1, D)
    moved = pictures.diff(dim=1).norm(dim=-1)
    return (moved.max(1).values / moved.sum(1).clamp(min=1e-12)).mean().item()
