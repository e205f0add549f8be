"""The claims that the scorecard judges, in their sense, and figures that others published, with their protocol."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from vaebook.experiments.scorecard import Claim

__all__ = ["KINGMA_WELLING", "PUBLISHED", "PUBLISHED_MODELS", "REPORT", "Published", "PublishedModel"]


def _claims_of(text: str) -> dict[str, Claim]:
    """By their number: the claims of a text, out of claims.csv."""
    with open(Path(__file__).with_name("claims.csv"), newline="", encoding="utf-8") as file:
        return {row.pop("number"): Claim(**row) for row in csv.DictReader(file) if row.pop("text") == text}


REPORT = _claims_of("report")
"""Those of the report by subject, under the numbers that the book gives them."""
KINGMA_WELLING = _claims_of("kingma-welling")
"""Those of Kingma and Welling 2013, section 5 with its figures."""


class Published(NamedTuple):
    """A figure, in nats or bits per dimension, lower is better; `source` is a citation in MyST."""

    data: str
    protocol: str
    model: str
    figure: float
    source: str


IWAE = "MNIST, 60,000/10,000, binarised anew in each batch; −log p(x) of the test images, 5,000 samples (nats)"
GREY = "MNIST, 60,000/10,000, grey pixels as Bernoulli targets; −ELBO of the test images (nats)"
BITS = "Frey Faces, random split 1565/200/200, 256 grey levels; −ELBO (bits per dimension)"
LEVELS = "Frey Faces, random split 1565/200/200, 256 grey levels; −log p(x) (bits per dimension)"

PUBLISHED = {
    "dynamic": Published("mnist", IWAE, "VAE, tanh 2 × 200, 50 latents", 86.76, "{cite:t}`burda2016`"),
    "grey": Published("mnist", GREY, "VAE, 512-256, 20 latents, 10 epochs", 99.37, "a public planar-flow repository"),
    "bound": Published("frey", BITS, "VAE without flow", 4.53, "{cite:t}`vandenberg2018`"),
    "bound, best": Published("frey", BITS, "VAE with FFJORD", 4.39, "{cite:t}`grathwohl2019`"),
    "nll": Published("frey", LEVELS, "MLP VAE, N(0, I)", 4.64, "{cite:t}`tomczak2018`"),
    "nll, best": Published("frey", LEVELS, "MLP VAE, VampPrior", 4.54, "{cite:t}`tomczak2018`"),
}


class PublishedModel(NamedTuple):
    """What a published model of Frey Faces does: of 1,965 samples from N(0, I) the share that shows a tongue, by their
    nearest frame, and their coverage; the squared error of frames held out at random, by a split of its authors."""

    tongues: float
    coverage: float
    squared_error: float


PUBLISHED_MODELS = {
    2: PublishedModel(0.021, 0.42, 2.51),
    5: PublishedModel(0.013, 0.46, 1.51),
    10: PublishedModel(0.004, 0.15, 1.00),
    20: PublishedModel(0.005, 0.08, 0.86),
}
"""Latents -> figures of the weights that a widely used public re-implementation of the VAE publishes."""
