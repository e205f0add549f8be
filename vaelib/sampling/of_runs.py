"""Finished runs: their priors repaired, what they draw judged; each once, remembered in the run store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vaelib.config import pick
from vaelib.data import prepare
from vaelib.engine import each
from vaelib.evaluation import BATCH, Estimate, discretised, log_likelihood
from vaelib.models import VAE
from vaelib.objectives import bits_per_dim, elbo
from vaelib.priors import Flow, Mixture, MixtureFit, Tempered
from vaelib.refinement import refined
from vaelib.runs import Run, load, store_directory
from vaelib.sampling.judge import Judgement, judge
from vaelib.sampling.memory import Finding, is_remembered, remembered
from vaelib.sampling.repair import fit_prior, mixture_of, with_prior
from vaelib.sweep import at_work
from vaelib.training import TrainingConfig

__all__ = ["REPAIRS", "Bits", "bits", "bits_all", "fit_seconds", "judged", "judged_all", "mixture_for", "repaired"]

REPAIRS = ("none", "narrow", "wide", "mixture", "flow")
"""The prior that the model was trained with; N(0, I) at temperatures 0.7 and 1.5; a mixture and a flow fitted to the
codes of its training images, with its validation images to choose by."""

TEMPERATURES = {"narrow": 0.7, "wide": 1.5}
FLOW = TrainingConfig(epochs=100, batch_size=128, learning_rate=2e-3, schedule="cosine", patience=30, device="cpu")
COMPONENTS, FITS = (20, 40, 80), 20
DRAWN = 20_000  # pictures in which tongues are counted


def repaired(run: Run, repair: str | int = "mixture", seed: int = 0) -> VAE:
    """The run's model with one of `REPAIRS` as its prior; a number is that of the components of a mixture.

    Raises:
        ConfigError: an unknown repair; names the nearest. ValueError: the run's data have no validation images.
    """
    if isinstance(repair, int):
        return with_prior(run.model, mixture_for(run, (repair,), seed=seed).prior)
    pick("repair", repair, REPAIRS)
    if repair == "none":
        return run.model
    if repair in TEMPERATURES:
        return with_prior(run.model, Tempered(run.config.model.latent_dim, TEMPERATURES[repair]))
    if repair == "mixture":
        return with_prior(run.model, mixture_for(run, seed=seed).prior)
    flow = Flow(run.config.model.latent_dim)
    flow.load_state_dict(dict(remembered(_flow, run, seed).tensors))
    return with_prior(run.model, flow)


def mixture_for(run: Run, components: Sequence[int] = COMPONENTS, fits: int = FITS, seed: int = 0) -> MixtureFit:
    """The mixture fitted to the codes of the run's training images, as `mixture_of` does, of a size that suits its
    validation images.
    """
    found = remembered(_mixture, run, seed, list(components), fits)
    scores = {int(k): score for k, score in found.figures["scores"].items()}
    return MixtureFit(Mixture.restored(found.tensors), found.figures["components"], scores)


def fit_seconds(run: Run, repair: str, seed: int = 0) -> float:
    """How long it took to fit that prior, "mixture" or "flow", on the machine and the cores that did.

    Raises:
        ConfigError: a repair that is not fitted.
    """
    pick("fitted repair", repair, ("mixture", "flow"))
    found = (
        remembered(_flow, run, seed) if repair == "flow" else remembered(_mixture, run, seed, list(COMPONENTS), FITS)
    )
    return float(found.figures["seconds"])


def judged(run: Run, repair: str | int = "none", seed: int = 0) -> Judgement:
    """Judges what the run draws when `repaired`: means of p(x|z). "reconstructions" judges those of all frames.

    Raises:
        ConfigError: an unknown repair, or a film in which nobody has looked for tongues.
    """
    if isinstance(repair, str):
        pick("repair", repair, (*REPAIRS, "reconstructions"))
    return Judgement(**remembered(_judge, run, seed, repair).figures)


def judged_all(pairs: Sequence[tuple[Run, str | int]]) -> list[Judgement]:
    """`judged` for each (run, repair); the cores share what nobody has judged before, with one thread each."""
    _share(_judge, [(run, 0, repair) for run, repair in pairs])
    return [judged(run, repair) for run, repair in pairs]


class Bits(NamedTuple):
    """Bits per dimension that held-out images cost: the bound -ELBO, and -log p(x) with its Monte Carlo error."""

    bound: float
    nll: float
    error: float


def bits(run: Run, repair: str = "none", samples: int = 1000, refine: int = 0, seed: int = 0) -> Bits:
    """Bits per dimension of the test images, with one of `REPAIRS` as the prior; a Gaussian is discretised first.

    `samples` draws of z estimate log p(x) of each image, a tenth of them the bound; q(z|x) is the encoder's, or with
    `refine` that many steps better than it (`vaelib.refinement.refined`).

    Raises:
        ConfigError: an unknown repair. ValueError: the likelihood is no probability of grey levels.
    """
    pick("repair", repair, REPAIRS)
    return Bits(**remembered(_bits, run, seed, repair, samples, refine).figures)


def bits_all(cases: Sequence[tuple[Run, str, int]], samples: int = 1000) -> list[Bits]:
    """`bits` for each (run, repair, refine); the cores share what nobody has asked before, with one thread each."""
    _share(_bits, [(run, 0, repair, samples, refine) for run, repair, refine in cases])
    return [bits(run, repair, samples, refine) for run, repair, refine in cases]


def _bits(run: Run, seed: int, repair: str, samples: int, refine: int) -> Finding:
    model = repaired(run, repair, seed)
    if not model.config.likelihood.name.startswith("discretised"):
        model = discretised(model)
    x = torch.from_numpy(prepare(run.config.data).test)
    per_dim = partial(bits_per_dim, dims=x.shape[1], density=False)
    generator = torch.Generator().manual_seed(seed)
    bounds, values, errors = [], [], []
    for batch in x.split(BATCH):
        judge_of = refined(model, batch, refine, seed=seed) if refine else model
        with torch.no_grad():
            terms = elbo(judge_of, batch, samples=max(1, samples // 10), kl="monte-carlo", generator=generator)
        value, error = log_likelihood(judge_of, batch, samples, generator, progress=False)
        bounds.append(terms.elbo)
        values.append(value)
        errors.append(error)
    mean, spread = Estimate(torch.cat(values), torch.cat(errors)).mean()
    bound = torch.cat(bounds).double().mean().item()
    found = Bits(float(per_dim(bound)), float(per_dim(mean)), -float(per_dim(spread)))
    return Finding(found._asdict())


def _judge(run: Run, seed: int, repair: str | int) -> Finding:
    prepared = prepare(run.config.data)
    if repair == "reconstructions":
        pictures = run.model.reconstruct(torch.from_numpy(prepared.data.matrix()))
    else:
        pictures = repaired(run, repair, seed).sample(DRAWN, torch.Generator().manual_seed(seed))
    return Finding(judge(pictures, prepared)._asdict())


def _mixture(run: Run, seed: int, components: Sequence[int], fits: int) -> Finding:
    start = time.perf_counter()
    fit = mixture_of(run.model, *_seen(run), seed, components=components, fits=fits)
    figures = {"components": fit.components, "scores": fit.scores, "seconds": time.perf_counter() - start}
    return Finding(figures, fit.prior.state_dict())


def _flow(run: Run, seed: int) -> Finding:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = Flow(run.config.model.latent_dim)
    start = time.perf_counter()
    state = fit_prior(prior, run.model, *_seen(run), FLOW, seed).state_dict()
    return Finding({"seconds": time.perf_counter() - start}, state)


def _share(find: Callable[..., Finding], cases: Sequence[tuple[Any, ...]]) -> None:
    """Has the cores find what is not remembered of ``find(run, *rest)``, for each case (run, *rest)."""
    new = [(str(run.path), rest) for run, *rest in cases if not is_remembered(find, run, *rest)]
    made = dict(each(_Inquiry(str(store_directory().absolute()), find), new if len(new) > 1 else []))
    for error in (made[index] for index in sorted(made) if isinstance(made[index], Exception)):
        raise error


@dataclass(frozen=True)
class _Inquiry:
    """Finds out something about one run of `store`, so that it is remembered there."""

    store: str
    find: Callable[..., Finding]

    def __call__(self, case: tuple[str, Sequence[Any]]) -> None:
        path, rest = case
        with at_work(self.store):
            remembered(self.find, load(Path(path)), *rest, wait=False)


def _seen(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    prepared = prepare(run.config.data)
    if not len(prepared.validation):
        raise ValueError(f"this split of {prepared.data.name} has no validation images to choose a prior by")
    return torch.from_numpy(prepared.train), torch.from_numpy(prepared.validation)
