"""What finished runs draw: priors repaired, samples judged; each once, and kept beside them in the run store."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaebook.experiments.pictures import copying, coverage, nearest, variety
from vaebook.experiments.refinement import refined
from vaebook.experiments.tongue import IN, tongue, tongues
from vaebook.tables import mean_and_range
from vaelib.config import pick
from vaelib.data import Prepared
from vaelib.evaluation import BATCH, Estimate, aggregate_posterior, encode, log_likelihood
from vaelib.models import VAE
from vaelib.objectives import bits_per_dim, elbo
from vaelib.posteriors import gaussian_log_prob, reparameterise
from vaelib.priors import Flow, Mixture, MixtureFit, Prior, Tempered, fit_mixture, with_prior
from vaelib.runs import Run, Store, data_of
from vaelib.sweeps import at_work, each
from vaelib.training import TrainingConfig, fit

__all__ = [
    *("REPAIRS", "Bits", "Judgement", "Memo", "Mismatch", "Remembered", "bits_of_runs", "fit_prior"),
    *("judge", "judge_runs", "judgement_table", "mismatch", "mixture_of", "mixture_seconds", "remembered", "repaired"),
    "restored",
]

REPAIRS = ("none", "narrow", "wide", "mixture", "flow")
"""The prior that the model was trained with; N(0, I) at temperatures 0.7 and 2; a mixture and a flow fitted to the
codes of its training images, with its validation images to choose by."""

TEMPERATURES = {"narrow": 0.7, "wide": 2.0}
FLOW = TrainingConfig(epochs=100, batch_size=128, learning_rate=2e-3, schedule="cosine", patience=30, device="cpu")
COMPONENTS, FITS = (1, 2, 5, 10, 20, 40, 80, 160), 1
GAP = 30  # frames left out between parts of a film that is split by time: near-copies end about there
DRAWN = 20_000  # pictures in which tongues are counted


class Memo(NamedTuple):
    """What was found out about a run: figures that JSON can hold, and tensors."""

    figures: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = {}


class Remembered:
    """A function of a run, and of arguments that JSON can hold, whose `Memo` is made once and kept in the run store.

    It is kept under the run's name, the arguments and the versions of the function and of those that it `reads`.
    """

    def __init__(self, find: Callable[..., Memo], version: int, reads: Sequence[Remembered] = ()) -> None:
        self.find = find
        self.versions: str = "-".join([str(version), *(source.versions for source in reads)])
        update_wrapper(self, find)

    def __reduce__(self) -> str:  # a worker imports it by its name, as it does functions
        return self.find.__name__

    def path(self, run: Run, *arguments: Any) -> Path:
        """Where the memo is or will be."""
        asked = hashlib.sha256(json.dumps([self.versions, *arguments]).encode()).hexdigest()[:16]
        return Store().folder / ".memo" / f"{run.path.name}{self.find.__name__}-{asked}"

    def __call__(self, run: Run, *arguments: Any, wait: bool = True) -> Memo:
        """Raises a BusyError where another process is finding it out, with `wait` False."""
        store, path = Store(), self.path(run, *arguments)
        if not store.holds(path):
            with store.exclusive(path, wait):
                if not store.holds(path, set_aside=True):
                    figures, tensors = self.find(run, *arguments)
                    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
                    text = json.dumps(figures, indent=2).encode()
                    store.write(path, {"figures.json": text, "tensors.safetensors": safetensors.torch.save(whole)})
        files = store.read(path)
        return Memo(json.loads(files["figures.json"]), safetensors.torch.load(files["tensors.safetensors"]))

    def of_all(self, cases: Sequence[tuple[Any, ...]]) -> list[Memo]:
        """That of each case (run, *arguments); the cores share what nobody has asked before, with one thread each."""
        new = [(str(run.path), rest) for run, *rest in cases if not self.path(run, *rest).exists()]
        made = dict(each(partial(_ask, str(Store().folder.absolute()), self), new if len(new) > 1 else []))
        for error in (made[index] for index in sorted(made) if isinstance(made[index], Exception)):
            raise error
        return [self(*case) for case in cases]


def _ask(store: str, function: Remembered, case: tuple[str, Sequence[Any]]) -> None:
    path, arguments = case
    with at_work(store):
        function(Store().load(path), *arguments, wait=False)


def remembered(version: int, reads: Sequence[Remembered] = ()) -> Callable[[Callable[..., Memo]], Remembered]:
    """Decorates a function (run, *arguments) -> Memo; raise its `version` when it finds other than it did."""
    return partial(Remembered, version=version, reads=reads)


@remembered(version=3)
def _mixture(run: Run, seed: int, components: Sequence[int], fits: int) -> Memo:
    start = time.perf_counter()
    train, held_out = _seen(run)
    codes = aggregate_posterior(run.model, train, 2, seed), aggregate_posterior(run.model, held_out, 1, seed)
    found = fit_mixture(*codes, components, fits=fits, seed=seed)
    seconds = time.perf_counter() - start
    return Memo({"components": found.components, "scores": found.scores, "seconds": seconds}, found.prior.state_dict())


@remembered(version=2)
def _flow(run: Run, seed: int) -> Memo:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = Flow(run.config.model.latent_dim)
    start = time.perf_counter()
    fit_prior(prior, run.model, *_seen(run), FLOW, seed)
    return Memo({"seconds": time.perf_counter() - start}, prior.state_dict())


def _seen(run: Run) -> tuple[Tensor, Tensor]:
    """What a prior is fitted to and what chooses it: training and validation images, `GAP` apart in a split by time."""
    data = data_of(run)
    if not len(data.validation):
        raise ValueError(f"this split of {data.data.name} has no validation images to choose a prior by")
    gap = GAP if run.config.data.split == "time" and len(data.validation) > GAP + 1 else 0
    return torch.from_numpy(data.train), torch.from_numpy(data.validation[gap:])


def fit_prior(
    prior: Prior, model: VAE, train: Tensor, held_out: Tensor, config: TrainingConfig, seed: int = 0
) -> Prior:
    """Trains a prior by gradients on the codes of `train`, drawn anew in each step; the model stays as it is."""

    def loss(q: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        mean, log_var = q.chunk(2, dim=-1)
        return {"loss": -prior.log_prob(reparameterise(mean, log_var, 1, generator).squeeze(0))}

    codes, held_out_codes = (torch.cat(encode(model, x), dim=-1) for x in (train, held_out))
    fit(prior, loss, codes, config, seed=seed, held_out={"validation": held_out_codes})
    return prior


def restored(state: Mapping[str, Tensor]) -> Mixture:
    """The mixture whose `state_dict` this is, to the bit."""
    mixture = Mixture(state["log_weights"].exp(), state["means"], state["factors"])
    mixture.load_state_dict(dict(state))
    return mixture


def mixture_of(run: Run, components: Sequence[int] = COMPONENTS, fits: int = FITS, seed: int = 0) -> MixtureFit:
    """The mixture fitted to codes of the run's training images (two draws from each q(z|x), see `fit_mixture`), of a
    size that suits its validation images. A density of draws is what minimises the KL term of the ELBO.
    """
    found = _mixture(run, seed, list(components), fits)
    scores = {int(k): score for k, score in found.figures["scores"].items()}
    return MixtureFit(restored(found.tensors), found.figures["components"], scores)


def mixture_seconds(run: Run, components: Sequence[int] = COMPONENTS, fits: int = FITS, seed: int = 0) -> float:
    """How long that mixture (see `mixture_of`) took to fit."""
    return float(_mixture(run, seed, list(components), fits).figures["seconds"])


def repaired(run: Run, repair: str | int = "mixture", seed: int = 0, fits: int = FITS) -> VAE:
    """The run's model with one of `REPAIRS` as its prior; a number is that of the components of a mixture.

    `fits`: see `fit_mixture`.

    Raises:
        ConfigError: an unknown repair; names the nearest. ValueError: the run's data have no validation images.
    """
    prior: Prior
    if isinstance(repair, int) or pick("repair", repair, REPAIRS) == "mixture":
        prior = mixture_of(run, (repair,) if isinstance(repair, int) else COMPONENTS, fits, seed).prior
    elif repair == "none":
        return run.model
    elif repair in TEMPERATURES:
        prior = Tempered(run.config.model.latent_dim, TEMPERATURES[repair])
    else:
        prior = Flow(run.config.model.latent_dim)
        prior.load_state_dict(dict(_flow(run, seed).tensors))
    return with_prior(run.model, prior)


class Judgement(NamedTuple):
    """What pictures are worth beside the frames of a film; shares and chances go from 0 to 1.

    `tongue` is the share of pictures that show it (see `tongues`). "on_tongue" and "on_test" are means over the frames
    that do and over test frames. `variety` is the mean squared distance between two pictures over that between two
    frames. `distance` is the median squared distance of a picture to the nearest frame that the model or its prior has
    seen, in training or validation, `distance_to_test` that to the nearest test frame; `copying`, as explained there,
    compares with the frames that were seen.
    """

    tongue: float
    coverage: float
    coverage_on_tongue: float
    coverage_on_test: float
    density: float
    density_on_tongue: float
    variety: float
    distance: float
    distance_to_test: float
    copying: float


TITLES = {
    **{"tongue": "tongue out (%)", "coverage": "coverage", "coverage_on_tongue": "of tongue frames"},
    **{"coverage_on_test": "of held-out frames", "density": "density", "density_on_tongue": "on tongue frames"},
    **{"variety": "variety", "distance": "distance to nearest", "distance_to_test": "to nearest held-out"},
    "copying": "copying",
}


def judge(pictures: ArrayLike, prepared: Prepared) -> Judgement:
    """Judges pictures (M, D): tongues are counted in all, all else takes the first, as many as the film has frames.

    Raises:
        ConfigError: nobody has said which images of this set show a tongue.
    """
    film, test = prepared.data, prepared.split.test
    seen = np.concatenate([prepared.train, prepared.validation])
    pictures, frames, out = np.asarray(pictures), film.matrix(), tongue(film) != IN
    some = pictures[: len(film)]
    covered, density = coverage(frames, some)
    return Judgement(
        tongue=float(tongues(pictures, film).mean()),
        coverage=float(covered.mean()),
        coverage_on_tongue=float(covered[out].mean()),
        coverage_on_test=float(covered[test].mean()),
        density=float(density.mean()),
        density_on_tongue=float(density[out].mean()),
        variety=variety(some) / variety(frames),
        distance=float(np.median(nearest(some, seen).squared_distance)),
        distance_to_test=float(np.median(nearest(some, frames[test]).squared_distance)),
        copying=copying(some, seen, frames[test]),
    )


@remembered(version=2, reads=(_mixture, _flow))
def _judgement(run: Run, seed: int, repair: str | int) -> Memo:
    data = data_of(run)
    if repair == "reconstructions":
        pictures = run.model.reconstruct(torch.from_numpy(data.data.matrix()))
    else:
        pictures = repaired(run, repair, seed).sample(DRAWN, torch.Generator().manual_seed(seed))
    return Memo(judge(pictures, data)._asdict())


def judge_runs(pairs: Sequence[tuple[Run, str | int]], seed: int = 0) -> list[Judgement]:
    """Judges what each run draws when `repaired`, for pairs (run, repair): means of p(x|z).

    "reconstructions" judges those of all frames. The cores share what nobody has judged before.

    Raises:
        ConfigError: an unknown repair, or a film in which nobody has looked for tongues.
    """
    for _, repair in pairs:
        if isinstance(repair, str):
            pick("repair", repair, (*REPAIRS, "reconstructions"))
    return [Judgement(**found.figures) for found in _judgement.of_all([(run, seed, repair) for run, repair in pairs])]


def judgement_table(
    groups: Mapping[str, tuple[Sequence[Run], str | int]],
    figures: Sequence[str] = ("tongue", "coverage", "coverage_on_tongue", "density", "variety"),
) -> pd.DataFrame:
    """One row for each group, a name -> (runs, repair), with the mean over its runs and the range in brackets."""
    judgements = iter(judge_runs([(run, repair) for runs, repair in groups.values() for run in runs]))
    rows = {}
    for name, (runs, _) in groups.items():
        found = pd.DataFrame([next(judgements) for _ in runs]).assign(tongue=lambda table: 100 * table["tongue"])
        cells = {TITLES[figure]: mean_and_range(list(found[figure])) for figure in figures}
        rows[name] = cells | {"seeds": len(runs)}
    return pd.DataFrame.from_dict(rows, orient="index")


class Bits(NamedTuple):
    """Bits per dimension that held-out images cost: the bound -ELBO, and -log p(x) with its Monte Carlo error.

    The error is to be trusted where the median of `effective_samples` over images is large (see `Estimate`).
    """

    bound: float
    nll: float
    error: float
    effective_samples: float


@remembered(version=1, reads=(_mixture, _flow))
def _bits(run: Run, seed: int, repair: str, samples: int, refine: int) -> Memo:
    model = repaired(run, repair, seed).discretised()
    x, generator = torch.from_numpy(data_of(run).test), torch.Generator().manual_seed(seed)
    bounds, estimates = [], []
    for batch in x.split(BATCH):
        judge_of = refined(model, batch, refine, seed=seed) if refine else model
        with torch.no_grad():
            terms = elbo(judge_of, batch, samples=max(1, samples // 10), kl="monte-carlo", generator=generator)
        bounds.append(terms.elbo)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few effective samples: `Bits` says how many
            estimates.append(log_likelihood(judge_of, batch, samples, generator, progress=False))
    value, error, effective = (torch.cat(part) for part in list(zip(*estimates, strict=True))[:3])
    mean, spread = Estimate(value, error, effective, "").mean()
    in_nats = {"bound": torch.cat(bounds).double().mean().item(), "nll": mean, "error": -spread}
    figures = {name: float(bits_per_dim(nats, x.shape[1], density=False)) for name, nats in in_nats.items()}
    return Memo({**figures, "effective_samples": effective.median().item()})


def bits_of_runs(cases: Sequence[tuple[Run, str, int]], samples: int = 1000, seed: int = 0) -> list[Bits]:
    """Bits per dimension of the test images for each (run, repair, refine); a Gaussian is discretised first.

    `samples` draws of z estimate log p(x) of each image, a tenth of them the bound. The prior is one of `REPAIRS`;
    q(z|x) is the encoder's, or `refined` by so many steps. The cores share what nobody has asked before.

    Raises:
        ConfigError: an unknown repair, or a likelihood that is no probability of grey levels.
    """
    for _, repair, _ in cases:
        pick("repair", repair, REPAIRS)
    asked = [(run, seed, repair, samples, refine) for run, repair, refine in cases]
    return [Bits(**found.figures) for found in _bits.of_all(asked)]


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
    mean, log_var = encode(model, x)
    z = reparameterise(mean, log_var, 1, torch.Generator().manual_seed(seed)).squeeze(0)
    parts = [torch.logsumexp(gaussian_log_prob(part[:, None], mean, log_var), 1) for part in z.split(128)]
    log_q = torch.cat(parts) - math.log(len(x))
    log_p, log_own = model.prior.log_prob(z), gaussian_log_prob(z, mean, log_var)
    return Mismatch(*(value.double().mean().item() for value in (log_own - log_p, log_own - log_q, log_q - log_p)))
