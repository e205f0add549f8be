"""The works that every contender does: a network, its data and how it is trained."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaelib.data import DATA_DIR_VARIABLE, DataConfig, DataError, cache_dir, prepare

__all__ = ["CONTENDERS", "WORKS", "Work", "images"]

CONTENDERS = {"vaelib": "with_vaelib", "pythae": "with_pythae", "plain": "plain", "limit": "limit"}
"""Who does the works -> the module, of which a measurement imports one alone."""

QUICK_IMAGES, QUICK_LAPS = 300, 2
FILES = {"mnist": "train-images-idx3-ubyte", "frey": "frey_rawface.mat"}


@dataclass(frozen=True)
class Work:
    """A VAE of mirrored layers and its training on `count` images.

    `epochs` is the length of the run that is asked for; `laps` of them are timed, after the first.
    """

    dataset: Literal["mnist", "frey"]
    split: str
    count: int
    pixels: int
    hidden: tuple[int, ...]
    activation: Literal["relu", "tanh", "silu"]
    likelihood: Literal["bernoulli", "gaussian"]
    optimiser: Literal["adam", "adagrad"]
    schedule: Literal["constant", "cosine"]
    batch_size: int
    epochs: int
    laps: int
    latent_dim: int = 20
    learning_rate: float = 1e-3

    def encoder(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer; the last two are the posterior's mean and log-variance."""
        widths = (self.pixels, *self.hidden)
        return [*pairwise(widths), *[(widths[-1], self.latent_dim)] * 2]

    def decoder(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        widths = (self.latent_dim, *self.hidden[::-1], self.pixels)
        return list(pairwise(widths))


MNIST: dict[str, Any] = {
    "dataset": "mnist",
    "split": "60000/10000",
    "count": 60000,
    "pixels": 784,
    "likelihood": "bernoulli",
}
WORKS = {
    "small": Work(
        **MNIST,
        hidden=(400,),
        activation="relu",
        optimiser="adam",
        schedule="constant",
        batch_size=128,
        epochs=30,
        laps=7,
    ),
    "large": Work(  # the report's own recipe
        **MNIST,
        hidden=(500, 500),
        activation="tanh",
        optimiser="adagrad",
        schedule="constant",
        batch_size=128,
        epochs=30,
        laps=7,
    ),
    "frey": Work(  # today's recipe for faces
        dataset="frey",
        split="random",
        count=1565,
        pixels=560,
        likelihood="gaussian",
        hidden=(500,),
        activation="silu",
        optimiser="adam",
        schedule="cosine",
        batch_size=64,
        epochs=500,
        laps=60,
    ),
}


def images(work: Work, quick: bool) -> tuple[NDArray[np.float32], str]:
    """Pixels in [0, 1], (N, D), and what they are: "real" if the data set is here (nothing is downloaded) or "random".

    `quick` takes a few random ones.
    """
    if not quick and _is_here(work.dataset):
        try:
            return prepare(DataConfig(name=work.dataset, split=work.split)).train, "real"
        except DataError:
            pass
    count = QUICK_IMAGES if quick else work.count
    return np.random.default_rng(0).random((count, work.pixels), dtype=np.float32), "random"


def _is_here(dataset: str) -> bool:
    """Whether asking for the data set would find it; else it would be downloaded."""
    own = os.environ.get(DATA_DIR_VARIABLE)
    folders = [cache_dir() / dataset, *([Path(own).expanduser()] if own else [])]
    return any(path for folder in folders for path in folder.glob(f"**/{FILES[dataset]}*"))
