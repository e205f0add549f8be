"""How far the prior is from where the codes of real images lie."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.evaluation import posterior
from vaelib.models import VAE
from vaelib.priors import gaussian_log_prob, reparameterise

__all__ = ["Mismatch", "mismatch"]


class Mismatch(NamedTuple):
    """The average KL of the ELBO, in nats, split in two: kl = information + marginal_kl.

    `information` is what a code tells about which image it came from, at most log N. `marginal_kl` is the divergence of
    the aggregate posterior from the prior: what remains to be won by a better prior alone.
    """

    kl: float
    information: float
    marginal_kl: float


@torch.no_grad()
def mismatch(model: VAE, x: Tensor, seed: int = 0) -> Mismatch:
    """Splits the KL term over images x (N, D), with one draw of z for each. Hoffman & Johnson 2016, equation 7.

    The aggregate posterior q(z) = 1/N sum_n q(z|x_n) is that of these very images.
    """
    mean, log_var = posterior(model, x)
    z = reparameterise(mean, log_var, 1, torch.Generator().manual_seed(seed)).squeeze(0)
    log_q = torch.cat(
        [torch.logsumexp(gaussian_log_prob(part[:, None], mean, log_var), 1) for part in z.split(128)]
    ) - math.log(len(x))
    log_p, log_own = model.prior.log_prob(z), gaussian_log_prob(z, mean, log_var)
    return Mismatch(*(value.double().mean().item() for value in (log_own - log_p, log_own - log_q, log_q - log_p)))
