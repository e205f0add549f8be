"""Priors learned by transport: a velocity field that carries noise to codes.

A straight line joins noise u_0 ~ N(0, I) and a code u_1: u_t = (1 - t) u_0 + t u_1. A network v(u, t) learns the mean
velocity of all lines that pass through u at time t ("flow matching", Lipman et al. 2023; "rectified flow", Liu et al.
2023). Whoever starts at noise and follows du/dt = v(u, t) from t = 0 to t = 1 arrives at a new code.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib.config import ConfigError
from vaelib.posteriors import DiagonalGaussian, gaussian_log_prob, normal, reparameterise
from vaelib.priors import CODES_AT_ONCE, Prior
from vaelib.training import TrainingConfig, fit

__all__ = ["FlowMatching", "FlowMatchingFit", "Velocity", "VelocityField", "fit_flow_matching"]
__all__ += ["flow_matching_loss", "heun"]

TRAINING = TrainingConfig(learning_rate=1e-3, batch_size=128, device="cpu")
FREQUENCIES = 8  # of the time: cos and sin of pi t, 2 pi t, ...

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(u (B, Z), t () or (B, 1)) -> du/dt (B, Z)."""


class VelocityField(nn.Module):
    """v(u, t) by three linear layers, two of them `width` wide: u (B, Z), t () or (B, 1) -> (B, Z).

    The time comes into both hidden layers as a shift, so the Jacobian is W_3 diag(b') W_2 diag(a') W_1, with a' and b'
    the slopes of the activations, and its trace is b'^T (W_2 * (W_1 W_3)^T) a': one product for an exact divergence.
    """

    def __init__(self, latent_dim: int, width: int = 256) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(latent_dim, width), nn.Linear(width, width)
        self.last = nn.Linear(width, latent_dim)
        self.time = nn.Linear(2 * FREQUENCIES, 2 * width, bias=False)

    def _shifts(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angles = math.pi * t * torch.arange(1, FREQUENCIES + 1, dtype=t.dtype, device=t.device)
        first, second = self.time(torch.cat([angles.cos(), angles.sin()], -1)).chunk(2, -1)
        return first, second

    def forward(self, u: Tensor, t: Tensor) -> Tensor:
        first, second = self._shifts(t)
        return self.last(F.silu(self.second(F.silu(self.first(u) + first)) + second))

    def with_divergence(self, u: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """v, (B, Z), and sum_j dv_j/du_j, (B,), which is exact."""
        first, second = self._shifts(t)
        a, slope_a = _silu(self.first(u) + first)
        b, slope_b = _silu(self.second(a) + second)
        inner = self.second.weight * (self.first.weight @ self.last.weight).T  # (W, W)
        return self.last(b), (slope_b * F.linear(slope_a, inner)).sum(-1)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative."""
    s = torch.sigmoid(a)
    value = a * s
    return value, s + value * (1 - s)


def flow_matching_loss(velocity: Velocity, u: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """|v(u_t, t) - (u_1 - u_0)|^2 at one noise u_0 and one time t for each code u_1 = u: (B, Z) -> (B,).

    Lipman et al. 2023, with sigma_min = 0; Liu et al. 2023. The time is logit-normal, half-way
    more often than near the ends (Esser et al. 2024). The loss at the best v is not zero: lines cross.
    """
    noise = normal(u.shape, u, generator)
    t = torch.sigmoid(normal((len(u), 1), u, generator))
    return (velocity((1 - t) * noise + t * u, t) - (u - noise)).square().sum(-1)


def heun(velocity: Velocity, u: Tensor, steps: int, start: float = 0.0, end: float = 1.0) -> list[Tensor]:
    """Follows du/dt = v(u, t) from `start` to `end`, which may be the earlier time: the places after 0, 1, ... steps.

    Heun's method: a step with the mean of the velocities at its two ends. Its error falls with the square of a step.
    """
    path, h = [u], (end - start) / steps
    for k in range(steps):
        t = torch.tensor(start + k * h, dtype=u.dtype, device=u.device)
        here = velocity(path[-1], t)
        there = velocity(path[-1] + h * here, t + h)
        path.append(path[-1] + h / 2 * (here + there))
    return path


class FlowMatching(Prior):
    """p(z) of codes that noise becomes when it follows a velocity field: z = mean + scale * u(1), du/dt = v(u, t).

    `mean` and `scale`, (Z,), standardise the codes: the field works on u. `log_prob` is the exact density of that flow
    but for the solver's error, of which `solver_error` gives an idea: with other `steps` it is another number.

    Raises:
        ConfigError: latent_dim, width or steps below 1.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int, width: int = 256, steps: int = 30) -> None:
        super().__init__()
        for name, value in {"latent_dim": latent_dim, "width": width, "steps": steps}.items():
            if value < 1:
                raise ConfigError(f"{name}={value}: expected 1 or more")
        self.latent_dim, self.steps = latent_dim, steps
        self.field = VelocityField(latent_dim, width)
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("scale", torch.ones(latent_dim))

    def standardised(self, z: Tensor) -> Tensor:
        """u = (z - mean) / scale: (..., Z) -> (..., Z).

        Raises:
            ValueError: codes of another size.
        """
        if z.shape[-1:] != (self.latent_dim,):
            raise ValueError(f"z has shape {tuple(z.shape)}: expected (..., {self.latent_dim})")
        return (z - self.mean) / self.scale

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), nats: (..., Z) -> (...). Chen et al. 2018.

        log p(u(1)) = log N(u(0); 0, I) - the divergence of v, integrated over the path from t = 0 to t = 1.
        """
        return self._log_prob(z, self.steps)

    def solver_error(self, z: Tensor) -> Tensor:
        """By how much twice as many steps change log p(z), nats: (..., Z) -> (...). The error is about 4/3 of that."""
        return self._log_prob(z, 2 * self.steps) - self.log_prob(z)

    def _log_prob(self, z: Tensor, steps: int) -> Tensor:
        def velocity(state: Tensor, t: Tensor) -> Tensor:
            v, divergence = self.field.with_divergence(state[:, :-1], t)
            return torch.cat([v, divergence[:, None]], 1)

        parts = []
        for u in self.standardised(z).reshape(-1, self.latent_dim).split(CODES_AT_ONCE):
            state = heun(velocity, F.pad(u, (0, 1)), steps, 1.0, 0.0)[-1]  # the path backwards, and the integral
            noise, integral = state[:, :-1], state[:, -1]
            parts.append(gaussian_log_prob(noise, torch.zeros_like(noise), torch.zeros_like(noise)) + integral)
        return torch.cat(parts).reshape(z.shape[:-1]) - self.scale.log().sum()

    @torch.no_grad()
    def paths(self, noise: Tensor) -> Tensor:
        """Where noise (n, Z) is on its way to codes, as codes are scaled: (steps + 1, n, Z)."""
        return self.mean + self.scale * torch.stack(heun(self.field, noise, self.steps))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        noise = normal((n, self.latent_dim), self.mean, generator)
        return torch.cat([self.paths(part)[-1] for part in noise.split(CODES_AT_ONCE)])


class FlowMatchingFit(NamedTuple):
    """The prior that held-out codes like best and its `epochs`; of each number of epochs asked for the mean held-out
    log-density in nats (`scores`) and the prior (`snapshots`); and the seconds that the whole training took.
    """

    prior: FlowMatching
    epochs: int
    scores: dict[int, float]
    snapshots: dict[int, FlowMatching]
    seconds: float


def fit_flow_matching(
    posterior: DiagonalGaussian,
    held_out: Tensor,
    epochs: Sequence[int] = (300, 1000),
    *,
    width: int = 256,
    steps: int = 30,
    decay: float = 0.999,
    training: TrainingConfig = TRAINING,
    seed: int = 0,
    progress: bool | None = None,
) -> FlowMatchingFit:
    """Flow matching on codes drawn anew from q(z|x) of N images in each epoch, judged on held-out codes (M, Z).

    One training of max(`epochs`) passes, with a constant step, leaves a prior at each number of epochs asked for: that
    number is a dial between codes that are smeared and codes that are learned by heart. A prior does not have the last
    weights, but an average that each step moves towards them by 1 - `decay`, more at the start. `training` has all
    other settings.

    Raises:
        ConfigError: no number of epochs or one below 1, a decay outside [0, 1), a schedule that depends on the end, no
            held-out codes.
        ValueError: held-out codes of another size.
    """
    if not epochs or min(epochs) < 1:
        raise ConfigError(f"epochs={tuple(epochs)}: expected one number or more, from 1 on")
    if not 0 <= decay < 1:
        raise ConfigError(f"decay={decay}: expected a number from 0 up to but not including 1, such as 0.999")
    if training.schedule != "constant":
        raise ConfigError(f"schedule={training.schedule!r} depends on the last epoch: expected 'constant'")
    if not len(held_out):
        raise ConfigError("no held-out codes: expected one or more, to judge by")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = FlowMatching(posterior.mean.shape[1], width, steps)
    variances = posterior.mean.var(0, correction=0) + posterior.log_var.exp().mean(0)
    prior.mean, prior.scale = posterior.mean.mean(0).detach(), variances.sqrt().detach()
    prior.standardised(held_out)  # refuses those of another size before any work
    average, snapshots, step = copy.deepcopy(prior).requires_grad_(False), dict[int, FlowMatching](), 0

    def loss(q: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        nonlocal step
        _follow(average, prior, min(decay, (1 + step) / (10 + step)))
        step += 1
        mean, log_var = q.chunk(2, dim=1)
        z = reparameterise(mean, log_var, 1, generator).squeeze(0)
        return {"loss": flow_matching_loss(prior.field, prior.standardised(z), generator)}

    def keep(row: dict[str, float]) -> None:
        if row["epoch"] in epochs:
            snapshots[int(row["epoch"])] = copy.deepcopy(average).eval()

    codes = torch.cat([posterior.mean, posterior.log_var], dim=1).detach()
    history = fit(prior, loss, codes, training.replace(epochs=max(epochs)), seed=seed, progress=progress, on_epoch=keep)
    with torch.no_grad():
        scores = {n: one.log_prob(held_out).double().mean().item() for n, one in snapshots.items()}
    best = max(scores, key=lambda n: scores[n])
    return FlowMatchingFit(snapshots[best], best, scores, snapshots, history.attrs["seconds"])


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
