"""Flow matching on the codes of finished runs, beside the other repairs of their prior; kept in the run store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from vaebook.experiments.sampling import Memo, _flow, _mixture, judge, remembered, repaired
from vaelib.config import pick
from vaelib.evaluation import aggregate_posterior, encode
from vaelib.models import VAE
from vaelib.objectives import elbo
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import with_prior
from vaelib.runs import Run, data_of
from vaelib.transport import FlowMatching, FlowMatchingFit, fit_flow_matching

__all__ = ["OTHERS", "Worth", "transport_of", "with_transport", "worth"]

OTHERS = ("none", "flow", "mixture")
"""The prior that the model was trained with, and two repairs of `vaebook.experiments.sampling`: a spline flow, and an
average of `FITS` mixtures of `COMPONENTS`."""

COMPONENTS, FITS = 40, 20

DRAWN = 10_000  # pictures in which tongues are counted
DRAWS = 20  # of z for each test image


@remembered(version=1)
def _transport(run: Run, seed: int, epochs: Sequence[int]) -> Memo:
    data = data_of(run)
    train, held_out = torch.from_numpy(data.train), torch.from_numpy(data.validation)
    posterior = DiagonalGaussian(*encode(run.model, train))
    codes = aggregate_posterior(run.model, held_out, 1, seed)
    found = fit_flow_matching(posterior, codes, epochs, seed=seed, progress=False)
    tensors = {f"{n}/{key}": value for n, one in found.snapshots.items() for key, value in one.state_dict().items()}
    return Memo({"scores": found.scores, "seconds": found.seconds}, tensors)


def transport_of(run: Run, epochs: Sequence[int], seed: int = 0) -> FlowMatchingFit:
    """Flow matching on codes of the run's training images, judged on codes of its validation images.

    Raises:
        ConfigError: see `fit_flow_matching`.
    """
    found = _transport(run, seed, list(epochs))
    scores = {int(n): score for n, score in found.figures["scores"].items()}
    snapshots = {n: FlowMatching(run.config.model.latent_dim).eval() for n in scores}
    for n, prior in snapshots.items():
        states = {key: value for key, value in found.tensors.items() if key.startswith(f"{n}/")}
        prior.load_state_dict({key.partition("/")[2]: value for key, value in states.items()})
    best = max(scores, key=lambda n: scores[n])
    return FlowMatchingFit(snapshots[best], best, scores, snapshots, found.figures["seconds"])


def with_transport(run: Run, prior: str | int, epochs: Sequence[int], seed: int = 0) -> VAE:
    """The run's model with one of `OTHERS` as its prior; or, a number, with flow matching after so many of `epochs`."""
    if isinstance(prior, str):
        chosen = pick("prior", prior, OTHERS)
        return repaired(run, COMPONENTS if chosen == "mixture" else chosen, seed, FITS)
    return with_prior(run.model, transport_of(run, epochs, seed).snapshots[prior])


class Worth(NamedTuple):
    """What a prior makes of a model of a film: `bound`, -ELBO of a test image in nats, whose p(x|z) counts grey levels;
    and what the model draws (see `sampling.Judgement`). From one prior to another the bound changes by the log-density
    of the test images' codes alone.
    """

    bound: float
    tongue: float
    coverage: float
    coverage_on_tongue: float
    density: float
    copying: float


@remembered(version=1, reads=(_mixture, _flow, _transport))
def _worth(run: Run, seed: int, prior: str | int, epochs: Sequence[int]) -> Memo:
    data, model = data_of(run), with_transport(run, prior, epochs, seed)
    judged = judge(model.sample(DRAWN, torch.Generator().manual_seed(seed)), data)._asdict()
    x, generator = torch.from_numpy(data.test), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        terms = elbo(model.discretised(), x, samples=DRAWS, kl="monte-carlo", generator=generator)
    figures = {"bound": -terms.elbo.double().mean().item()}
    return Memo(figures | {name: judged[name] for name in Worth._fields if name in judged})


def worth(run: Run, prior: str | int, epochs: Sequence[int], seed: int = 0) -> Worth:
    """What the run's model is worth `with_transport`.

    Raises:
        ConfigError: an unknown prior; a film in which nobody has looked for tongues; a likelihood that is no
            probability of grey levels.
    """
    return Worth(**_worth(run, seed, prior, list(epochs)).figures)
