"""One judge for all families: what a sampler of faces is worth beside the film, and two cheats that it must beat.

Digits have a judge of their own, `vaebook.experiments.digits_judge`; what their models need stands at the end.

Every family is judged by the same pictures: so many samples, drawn by one function. What a family is does not matter.
The film's own share of tongues is a known number. Its tongue frames are three episodes, no sample of independent draws,
so the share has no interval here: families are compared by ratios, and by the spread over seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import mannwhitneyu
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from vaebook.experiments.digits_judge import DigitsJudgement, judge_digits
from vaebook.experiments.pictures import nearest
from vaebook.experiments.sampling import Memo, judge, mixture_seconds, remembered, repaired, restored
from vaebook.experiments.tongue import IN, stretches, tongue, tongue_detector, tongues
from vaebook.experiments.transport import COMPONENTS, transport_of
from vaebook.tables import mean_and_range
from vaelib.data import ImageData, Prepared
from vaelib.evaluation import BATCH, aggregate_posterior, encode, summary
from vaelib.models import VAE, LatentVariableModel, UnsupportedError, new_model
from vaelib.models.code_priors import AutoregressiveCodes
from vaelib.objectives import bits_per_dim
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import fit_mixture, with_prior
from vaelib.runs import Run, RunConfig, data_of
from vaelib.training import TrainingConfig, fit
from vaelib.transport import FlowMatching, fit_flow_matching

__all__ = ["ComponentsMixture", "DigitsRow", "JitteredFrames", "Row", "Sampler", "Witnesses", "bits_of", "code_priors"]
__all__ += ["components_mixture", "contest_row", "contest_table", "copying_apart", "corrected", "digits_row"]
__all__ += ["episodes", "jittered_frames", "mixed", "model_row", "moved", "spelled", "training_seconds", "witnesses"]

GAP = 50  # frames: what lies so far apart in the film is another moment
LEAST = 0.25  # of its share of the film: with less of its tongues among the samples, a run is not covered
SPELLING = TrainingConfig(epochs=600, patience=10, device="cpu")

Sampler = Callable[[int, torch.Generator], ArrayLike]
"""(n, generator) -> n pictures (n, D)."""


class Witnesses(NamedTuple):
    """How often `tongues` is right: of pictures that show one (`sensitivity`) and of pictures that do not."""

    sensitivity: float
    specificity: float


def witnesses(film: ImageData, pictures: ArrayLike | None = None) -> Witnesses:
    """How well tongues are told on a family's own reconstructions of all frames, (N, D), in the film's order.

    Without pictures, how well the detector alone did on frames that it had not seen (see `TongueDetector`).

    Raises:
        ValueError: another number of pictures than the film has frames.
        ConfigError: nobody has said which images of this set show a tongue.
    """
    if pictures is None:
        found = tongue_detector(film)
        hidden = found.frames - found.shown
        return Witnesses(1 - found.missed / found.shown, 1 - found.false_alarms / hidden)
    if len(np.asarray(pictures)) != len(film):
        raise ValueError(f"{len(np.asarray(pictures))} reconstructions: expected one for each of {len(film)} frames")
    said, out = tongues(pictures, film), tongue(film) != IN
    return Witnesses(float(said[out].mean()), float(1 - said[~out].mean()))


def corrected(share: float, judged_by: Witnesses) -> float:
    """The share that witnesses who err like that would report as `share`, from 0 to 1. Rogan & Gladen 1978.

    Not a number where the witnesses are no better than chance: those of a decoder that draws no tongue when asked to.
    """
    gain = judged_by.sensitivity + judged_by.specificity - 1
    if gain <= 0:
        return math.nan
    return float(np.clip((share + judged_by.specificity - 1) / gain, 0, 1))


def episodes(pictures: ArrayLike, film: ImageData) -> tuple[int, ...]:
    """How many pictures (M, D) show the tongue of each episode of the film: that of the nearest frame."""
    shown = tongue(film) != IN
    pictures = np.asarray(pictures)
    found = pictures[tongues(pictures, film)]
    if not len(found):
        return (0,) * len(stretches(shown))
    frames = np.flatnonzero(shown)
    at = frames[nearest(found, film.matrix(frames)).row]
    return tuple(int(((first <= at) & (at <= last)).sum()) for first, last in stretches(shown))


def copying_apart(samples: ArrayLike, frames: ArrayLike, at: ArrayLike, gap: int = GAP) -> float:
    """The chance that a sample is nearer to the frames than these are to one another across time; ties count half.

    Frames (M, D) stand at the places `at`, (M,), of the film. Of each, the nearest that is `gap` frames away or more
    tells how near two moments come: held-out frames of a random split have neighbours among the frames that were seen,
    and are no yardstick. One half: as new as another moment of the film; near one: copies. Samples (N, D).

    Raises:
        ValueError: a frame has no other so far away.
    """
    at, frames = np.asarray(at), np.asarray(frames, dtype=np.float64)
    squared = np.square(pairwise_distances(frames))
    squared[np.abs(at[:, None] - at) < gap] = np.inf
    moments = squared.min(1)
    if not np.isfinite(moments).all():
        raise ValueError(f"gap={gap}: a frame has no other so far away in a film of {len(frames)} frames")
    own = nearest(samples, frames).squared_distance
    return float(mannwhitneyu(moments, own).statistic / (len(own) * len(moments)))


class Row(NamedTuple):
    """A family's place, by one training: shares go from 0 to 1; see `Judgement` for the figures that both have.

    `tongue` is the share of samples that show it, `corrected` what it would be by witnesses who never err. `episodes`
    counts samples of each episode of tongue frames; `episodes_covered` those that have a quarter of their share in
    the film, or more. `bits_per_dim` is the bound on test frames, nan for what has no likelihood.
    """

    name: str
    tongue: float
    corrected: float
    witnesses: Witnesses
    episodes: tuple[int, ...]
    episodes_covered: int
    coverage: float
    coverage_on_tongue: float
    density: float
    copying: float
    copying_apart: float
    bits_per_dim: float
    ms_a_sample: float
    seconds_to_train: float


def contest_row(
    name: str,
    sample: Sampler,
    prepared: Prepared,
    seconds_to_train: float,
    *,
    reconstructions: ArrayLike | None = None,
    bits_per_dim: float = math.nan,
    drawn: int = 10_000,
    seed: int = 0,
) -> Row:
    """Judges `drawn` samples. `reconstructions` of all frames, (N, D), tell how well tongues are told in its pictures.

    Raises:
        ValueError: fewer samples than frames, pictures of another size, or not finite.
        ConfigError: nobody has said which images of this set show a tongue.
    """
    film = prepared.data
    if drawn < len(film):
        raise ValueError(f"drawn={drawn}: expected at least {len(film)}, as many as the film has frames")
    start = time.process_time()  # of one core, however busy the machine is
    pictures = np.asarray(sample(drawn, torch.Generator().manual_seed(seed)))
    seconds = time.process_time() - start
    if pictures.shape != (drawn, film.matrix().shape[1]) or not np.isfinite(pictures).all():
        raise ValueError(f"{name} drew {pictures.shape}: expected finite pictures {(drawn, film.matrix().shape[1])}")
    judged_by, counts, judged = witnesses(film, reconstructions), episodes(pictures, film), judge(pictures, prepared)
    lengths = [last - first + 1 for first, last in stretches(tongue(film) != IN)]
    seen = np.concatenate([prepared.split.train, prepared.split.validation])
    return Row(
        name=name,
        tongue=judged.tongue,
        corrected=corrected(judged.tongue, judged_by),
        witnesses=judged_by,
        episodes=counts,
        episodes_covered=sum(n >= LEAST * drawn * m / len(film) for n, m in zip(counts, lengths, strict=True)),
        coverage=judged.coverage,
        coverage_on_tongue=judged.coverage_on_tongue,
        density=judged.density,
        copying=judged.copying,
        copying_apart=copying_apart(pictures[: len(film)], film.matrix(seen), seen),
        bits_per_dim=bits_per_dim,
        ms_a_sample=1000 * seconds / drawn,
        seconds_to_train=seconds_to_train,
    )


def model_row(name: str, model: LatentVariableModel, prepared: Prepared, seconds: float, drawn: int = 10_000) -> Row:
    """The `contest_row` of a model: it draws, and where it can it reconstructs all frames and has a bound."""
    frames, found = torch.from_numpy(prepared.data.matrix()), None
    with suppress(UnsupportedError):
        found = model.reconstruct(frames).numpy()
    bits = summary(model, torch.from_numpy(prepared.test)).get("bits_per_dim", math.nan)
    return contest_row(name, model.sample, prepared, seconds, reconstructions=found, bits_per_dim=bits, drawn=drawn)


def contest_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line for all rows of one name, in their order: the mean, and the range over seeds."""
    groups = {row.name: [one for one in rows if one.name == row.name] for row in rows}
    return pd.DataFrame.from_dict({name: _line(group) for name, group in groups.items()}, orient="index")


def _line(group: Sequence[Row]) -> dict[str, object]:
    def of(figure: str, digits: int = 2, scale: float = 1) -> str:
        values = [scale * getattr(row, figure) for row in group]
        return mean_and_range(values, digits) if np.isfinite(values).all() else "none"

    return {
        "seeds": len(group),
        "corrected tongues (%)": of("corrected", 1, 100),
        "episodes covered": ", ".join(str(row.episodes_covered) for row in group),
        "coverage": of("coverage"),
        "of tongue frames": of("coverage_on_tongue"),
        "density": of("density"),
        "copying": of("copying"),
        "across time": of("copying_apart"),
        "bits/dim": of("bits_per_dim"),
        "train (s)": f"{np.mean([row.seconds_to_train for row in group]):.0f}",
        "a sample (ms)": f"{np.mean([row.ms_a_sample for row in group]):.2f}",
    }


def training_seconds(config: RunConfig, prepared: Prepared, epochs: int = 3, images: int | None = None) -> float:
    """What a training would take of one core's time, from its first few epochs: a store cannot say how busy it was.

    With `images`, passes over that many stand for passes over all.
    """
    model, x = new_model(config.model, prepared.data.shape, config.seed), torch.from_numpy(prepared.train[:images])
    model.start(x)
    binary = config.data.pixels == "dynamic"
    losses, length = model.losses(config.objective, binarise=binary), config.training
    fit(model, losses, x, length.replace(epochs=1), progress=False)  # whoever comes first wakes torch
    epochs = min(epochs, length.epochs)
    start = time.process_time()
    fit(model, losses, x, length.replace(epochs=epochs), progress=False)
    passes = config.training.epochs * len(prepared.train) / len(x)
    return (time.process_time() - start) * passes / epochs


def mixed(run: Run, components: int = COMPONENTS) -> tuple[VAE, float]:
    """A run's VAE with so many Gaussians on its codes as prior, see `mixture_of`; and the seconds that took."""
    return repaired(run, components), mixture_seconds(run, [components])


def moved(run: Run, epochs: int) -> tuple[VAE, float]:
    """A run's VAE with flow matching on its codes as prior, after so many epochs; and the seconds that took."""
    found = transport_of(run, [epochs])
    return with_prior(run.model, found.prior), found.seconds


@remembered(version=2)
def _spelled(run: Run, epochs: int, dropout: float) -> Memo:
    data, seed = data_of(run), run.config.seed
    with torch.no_grad():
        noise = torch.Generator().manual_seed(seed)
        parts = [torch.from_numpy(x).split(BATCH) for x in (data.train, data.validation) if len(x)]
        words, *rest = (torch.cat([run.model.indices(batch, noise) for batch in part]) for part in parts)
    if not rest:
        words, *rest = words.split([len(words) - len(words) // 10, len(words) // 10])
    length, held_out = SPELLING.replace(epochs=epochs), {"validation": rest[0].float()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from this generator, not from that of `fit`
        prior = AutoregressiveCodes(run.model.prior.entries, dropout=dropout)
        prior.start(words)
        start = time.process_time()
        fit(prior, prior.loss, words.float(), length, seed=seed, held_out=held_out, progress=False)
        seconds = time.process_time() - start
    return Memo({"seconds": seconds}, prior.state_dict())


def spelled(run: Run, epochs: int = SPELLING.epochs, dropout: float = 0.5) -> tuple[LatentVariableModel, float]:
    """A run of discrete codes with an autoregressive prior on its words; and the seconds that took.

    The prior stops where held-out words have been no likelier for ten epochs, after `epochs` at the latest. These are
    words of validation images, or where a split has none of the last tenth of the training images.
    """
    found = _spelled(run, epochs, dropout)
    prior = AutoregressiveCodes(run.model.prior.entries, dropout=dropout)
    prior.load_state_dict(dict(found.tensors))
    return with_prior(run.model, prior), float(found.figures["seconds"])


class JitteredFrames:
    """A cheat: a training frame drawn at random, with Gaussian noise of `sigma` on each pixel."""

    def __init__(self, train: NDArray[np.float32], sigma: float) -> None:
        self.train, self.sigma = train, sigma

    def __call__(self, n: int, generator: torch.Generator) -> NDArray[np.float32]:
        frames = self.train[torch.randint(len(self.train), (n,), generator=generator).numpy()]
        noise = self.sigma * torch.randn(frames.shape, generator=generator).numpy()
        return (frames + noise).clip(0, 1).astype(np.float32)

    def log_prob(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The log-density of pictures (N, D) under a Gaussian about each training frame, nats: (N,)."""
        squared = np.square(pairwise_distances(x.astype(np.float64), self.train.astype(np.float64)))
        constant = math.log(len(self.train)) + x.shape[1] * math.log(self.sigma * math.sqrt(2 * math.pi))
        return np.asarray(logsumexp(-squared / (2 * self.sigma**2), axis=1) - constant)


def jittered_frames(prepared: Prepared, sigma: float = 0.02) -> JitteredFrames:
    """`JitteredFrames` of the training frames."""
    return JitteredFrames(prepared.train, sigma)


class ComponentsMixture:
    """Another: Gaussians on principal components, and noise of one `sigma` in all other directions (PPCA's).

    What it draws has no such noise, as samples of a VAE have none of their decoder's.
    """

    def __init__(self, pca: PCA, mixture: GaussianMixture, sigma: float) -> None:
        self.pca, self.mixture, self.sigma = pca, mixture, sigma

    def __call__(self, n: int, generator: torch.Generator) -> NDArray[np.float32]:
        self.mixture.random_state = int(torch.randint(2**31 - 1, (), generator=generator))
        codes = self.mixture.sample(n)[0][torch.randperm(n, generator=generator).numpy()]  # sorted by component
        return self.pca.inverse_transform(codes).clip(0, 1).astype(np.float32)

    def log_prob(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The log-density of pictures (N, D), nats: (N,)."""
        codes = self.pca.transform(x.astype(np.float64))
        rest = np.square(x - self.pca.inverse_transform(codes)).sum(1)
        noise = (x.shape[1] - codes.shape[1]) * math.log(self.sigma * math.sqrt(2 * math.pi))
        return np.asarray(self.mixture.score_samples(codes) - rest / (2 * self.sigma**2) - noise)


def components_mixture(
    prepared: Prepared, dimensions: int = 20, components: int = 40, *, narrowest: float = 0.05, seed: int = 0
) -> ComponentsMixture:
    """`ComponentsMixture` of the training frames; sigma is that of what the components leave of them.

    `narrowest` is the least standard deviation in any direction, in the units of the pixels.
    """
    train = prepared.train.astype(np.float64)  # in single precision EM loses the narrow directions
    pca = PCA(dimensions, random_state=seed).fit(train)
    mixture = GaussianMixture(components, reg_covar=narrowest**2, random_state=seed)
    codes = pca.transform(train)
    with threadpool_limits(1):
        mixture.fit(codes)
    rest = np.square(train - pca.inverse_transform(codes)).sum() / len(train)
    return ComponentsMixture(pca, mixture, float(np.sqrt(rest / (train.shape[1] - dimensions))))


def bits_of(cheat: JitteredFrames | ComponentsMixture, prepared: Prepared) -> float:
    """Bits per dimension of test images by the cheat's density: exact, no bound."""
    test = prepared.test
    return float(bits_per_dim(float(cheat.log_prob(test).mean()), test.shape[1], density=True))


class DigitsRow(NamedTuple):
    """A training's place on digits: what the judge says of its samples, -ELBO of test images in nats (nan: it has
    none), milliseconds for a sample and seconds to train."""

    judgement: DigitsJudgement
    nats: float
    ms_a_sample: float
    seconds_to_train: float


def digits_row(model: LatentVariableModel, prepared: Prepared, seconds: float, seed: int = 0) -> DigitsRow:
    """Judges as many samples as there are test images. The bound takes all of these, with one draw of the code each."""
    start = time.process_time()
    pictures = model.sample(len(prepared.test), torch.Generator().manual_seed(seed))
    ms = 1000 * (time.process_time() - start) / len(pictures)
    nats = -summary(model, torch.from_numpy(prepared.test)).get("elbo", math.nan)
    return DigitsRow(judge_digits(pictures, prepared), nats, ms, seconds)


@remembered(version=1)
def _code_priors(run: Run, images: int, components: int, epochs: int) -> Memo:
    seed, learn = run.config.seed, torch.from_numpy(data_of(run).train[:images])
    start = time.process_time()
    codes = aggregate_posterior(run.model, learn, 1, seed)
    mixture = fit_mixture(codes, codes[:0], (components,), seed=seed).prior
    between = time.process_time()
    kept = len(learn) * 9 // 10  # flow matching is judged by the rest
    posterior = DiagonalGaussian(*encode(run.model, learn[:kept]))
    moved = fit_flow_matching(posterior, codes[kept:], (epochs,), seed=seed, progress=False).prior
    states = {"mixture": mixture.state_dict(), "flow": moved.state_dict()}
    tensors = {f"{part}/{name}": value for part, state in states.items() for name, value in state.items()}
    return Memo({"mixture": between - start, "flow": time.process_time() - between}, tensors)


def code_priors(run: Run, images: int, components: int, epochs: int) -> dict[str, tuple[VAE, float]]:
    """A run's VAE with a "mixture" of so many Gaussians, and with "flow" matching of so many epochs, on the codes of
    its first training images; and the seconds that each fit took. For splits without validation images."""
    found = _code_priors(run, images, components, epochs)
    states: dict[str, dict[str, torch.Tensor]] = {"mixture": {}, "flow": {}}
    for name, value in found.tensors.items():
        part, _, key = name.partition("/")
        states[part][key] = value
    flow = FlowMatching(run.config.model.latent_dim).eval()
    flow.load_state_dict(states["flow"])
    priors = {"mixture": restored(states["mixture"]), "flow": flow}
    return {name: (with_prior(run.model, prior), found.figures[name]) for name, prior in priors.items()}
