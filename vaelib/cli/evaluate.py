"""``vaelib evaluate``: what a finished run is worth."""

from __future__ import annotations

import sys

import torch

from vaelib.cli.runs import find
from vaelib.cli.train import figures
from vaelib.config import ConfigError, pick
from vaelib.data import DataError, prepare
from vaelib.evaluation import log_likelihood
from vaelib.runs import Run, load


def evaluate(run: str, *, samples: int = 5000, part: str = "test", images: int | None = None, seed: int = 0) -> None:
    """
    Parameters
    ----------
    run
        its name in the store, a part of it that no other run has, or its folder
    samples
        draws of z for each image; 0 leaves log p(x) out
    part
        of the data: train, validation or test
    images
        only so many of them, the first
    seed
        of the draws
    """
    if samples < 0 or samples == 1 or (images is not None and images < 1):
        raise ConfigError("--samples is 0 or at least 2, --images at least 1")
    finished = load(find(run))
    print(finished.path.name)
    print(figures(finished).to_string())
    if samples:
        x = _images(finished, part)[:images]
        value, error = log_likelihood(finished.model, x, samples, torch.Generator().manual_seed(seed)).mean()
        print(f"log p(x) of {len(x):,} {part} images, {samples:,} samples: {value:.3f} +- {error:.3f} nats")


def _images(run: Run, part: str) -> torch.Tensor:
    """The images of the run's own data; binarised in the training, once here.

    Raises:
        DataError: the data have changed since, or that part of them is empty.
    """
    prepared = prepare(run.config.data)
    if dict(prepared.data.sha256) != run.environment["data"]:
        raise DataError(f"the data set {run.config.data.name!r} is not the one that {run.path.name} was trained on")
    x = torch.from_numpy(getattr(prepared, pick("part", part, ("train", "validation", "test"))))
    if not len(x):
        raise DataError(f"the split of {run.path.name} has no {part} images")
    if run.config.data.pixels == "dynamic":
        print("vaelib: pixels are binarised anew in training; here each grey value is taken as it is", file=sys.stderr)
    return x
