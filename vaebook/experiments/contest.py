"""One judge for all families: what a sampler of faces is worth beside the film, and two cheats that it must beat.

Every family is judged by the same pictures: so many samples, drawn by one function. What a family is does not matter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from vaebook.experiments.pictures import Proportion, nearest, proportion
from vaebook.experiments.sampling import judge
from vaebook.experiments.tongue import IN, stretches, tongue, tongue_detector, tongues
from vaelib.data import ImageData, Prepared

__all__ = ["Row", "Sampler", "Witnesses", "contest_row", "contest_table", "corrected", "episodes", "jittered_frames"]
__all__ += ["components_mixture", "witnesses"]

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
    """How many pictures (M, D) show the tongue of each run of tongue frames: that of the nearest frame."""
    shown = tongue(film) != IN
    pictures = np.asarray(pictures)
    found = pictures[tongues(pictures, film)]
    if not len(found):
        return (0,) * len(stretches(shown))
    frames = np.flatnonzero(shown)
    at = frames[nearest(found, film.matrix(frames)).row]
    return tuple(int(((first <= at) & (at <= last)).sum()) for first, last in stretches(shown))


class Row(NamedTuple):
    """A family's place: shares go from 0 to 1; see `Judgement` for the figures that both have.

    `tongue` is the share of samples that show it with its 95 % interval, `corrected` what it would be by witnesses who
    never err. `episodes` counts samples of each run of tongue frames, and `runs_covered` those runs that have any.
    """

    name: str
    tongue: Proportion
    corrected: float
    witnesses: Witnesses
    episodes: tuple[int, ...]
    runs_covered: int
    coverage: float
    coverage_on_tongue: float
    density: float
    copying: float
    ms_a_sample: float
    seconds_to_train: float


def contest_row(
    name: str,
    sample: Sampler,
    prepared: Prepared,
    seconds_to_train: float,
    *,
    reconstructions: ArrayLike | None = None,
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
    start = time.perf_counter()
    pictures = np.asarray(sample(drawn, torch.Generator().manual_seed(seed)))
    seconds = time.perf_counter() - start
    if pictures.shape != (drawn, film.matrix().shape[1]) or not np.isfinite(pictures).all():
        raise ValueError(f"{name} drew {pictures.shape}: expected finite pictures {(drawn, film.matrix().shape[1])}")
    said, judged_by, counts = tongues(pictures, film), witnesses(film, reconstructions), episodes(pictures, film)
    judged = judge(pictures, prepared)
    return Row(
        name=name,
        tongue=proportion(said),
        corrected=corrected(judged.tongue, judged_by),
        witnesses=judged_by,
        episodes=counts,
        runs_covered=sum(count > 0 for count in counts),
        coverage=judged.coverage,
        coverage_on_tongue=judged.coverage_on_tongue,
        density=judged.density,
        copying=judged.copying,
        ms_a_sample=1000 * seconds / drawn,
        seconds_to_train=seconds_to_train,
    )


def contest_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line for each row, in their order."""
    lines = {
        row.name: {
            "train (s)": f"{row.seconds_to_train:.0f}",
            "tongue out (%)": "{:.1f} ({:.1f} to {:.1f})".format(*(100 * share for share in row.tongue)),
            "corrected (%)": f"{100 * row.corrected:.1f}",
            "of each run": " / ".join(map(str, row.episodes)),
            "coverage": f"{row.coverage:.2f}",
            "of tongue frames": f"{row.coverage_on_tongue:.2f}",
            "density": f"{row.density:.2f}",
            "copying": f"{row.copying:.2f}",
            "a sample (ms)": f"{row.ms_a_sample:.2f}",
        }
        for row in rows
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def jittered_frames(prepared: Prepared, sigma: float = 0.02) -> Sampler:
    """A cheat: a training frame drawn at random, with Gaussian noise of `sigma` on each pixel."""
    train = prepared.train

    def sample(n: int, generator: torch.Generator) -> NDArray[np.float32]:
        frames = train[torch.randint(len(train), (n,), generator=generator).numpy()]
        noise = sigma * torch.randn(frames.shape, generator=generator).numpy()
        return (frames + noise).clip(0, 1).astype(np.float32)

    return sample


def components_mixture(
    prepared: Prepared, dimensions: int = 20, components: int = 40, *, narrowest: float = 0.05, seed: int = 0
) -> Sampler:
    """Another, without a network: a mixture of Gaussians on the training frames' first principal components.

    `narrowest` is the least standard deviation in any direction, in the units of the pixels.
    """
    train = prepared.train.astype(np.float64)  # in single precision EM loses the narrow directions
    pca = PCA(dimensions, random_state=seed).fit(train)
    mixture = GaussianMixture(components, reg_covar=narrowest**2, random_state=seed)
    with threadpool_limits(1):
        mixture.fit(pca.transform(train))

    def sample(n: int, generator: torch.Generator) -> NDArray[np.float32]:
        mixture.random_state = int(torch.randint(2**31 - 1, (), generator=generator))
        codes = mixture.sample(n)[0][torch.randperm(n, generator=generator).numpy()]  # they come sorted by component
        return pca.inverse_transform(codes).clip(0, 1).astype(np.float32)

    return sample
