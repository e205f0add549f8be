"""One judge for whatever draws digits: a classifier of our own reads pictures, and its features are compared.

Pixels say little of how like two digits are. The last hidden layer of a network that can read digits says more: there
the pictures of a model are compared with test images, which neither the model nor the classifier has learned from.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vaebook.experiments.pictures import coverage
from vaebook.tables import mean_and_range
from vaelib.data import DataError, Prepared
from vaelib.models.base import mlp
from vaelib.runs import Store
from vaelib.training import TrainingConfig, fit

__all__ = ["DigitsJudgement", "Reader", "digits_floor", "digits_table", "frechet_distance", "judge_digits"]
__all__ += ["kernel_distance", "reader_of"]

Rows = NDArray[np.float64]

VERSION = 1  # of the reader: raise it when it is trained in another way
WIDTHS = (400, 128)  # of its hidden layers; the last gives the features
LEAST_EPOCHS, LEAST_STEPS = 8, 2000  # it learns for so long, at least
BLOCK = 1000  # pictures in a block of `kernel_distance`
NEIGHBOURS = 3000  # pictures that density and coverage look at, at most


class Reader(nn.Module):
    """A classifier of digits: (B, D) -> logits (B, classes). `accuracy` is its share of test images read rightly.

    `scale` is the root mean square of the features of training images: divided by it, features suit a kernel.
    """

    accuracy: Tensor
    scale: Tensor

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.body, width = mlp(pixels, WIDTHS, "relu")
        self.logits = nn.Linear(width, classes)
        self.register_buffer("accuracy", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.body(x))

    @torch.no_grad()
    def read(self, x: Tensor) -> tuple[Rows, NDArray[np.int64]]:
        """Features and classes of pictures: (N, D) -> (N, 128), (N,)."""
        features = torch.cat([self.body(part) for part in x.split(BLOCK)])
        return (features / self.scale).double().numpy(), self.logits(features).argmax(-1).numpy()


def reader_of(prepared: Prepared, seed: int = 0) -> Reader:
    """The classifier that learned from the training images; trained once, and kept in the run store.

    Raises:
        DataError: the images have no labels.
    """
    labels = prepared.data.labels
    if labels is None:
        raise DataError(f"the data set {prepared.data.name!r} has no labels: nobody can learn to read it")
    x, y = prepared.train, labels[prepared.split.train]
    reader = Reader(x.shape[1], int(labels.max()) + 1)
    digest = hashlib.sha256(np.ascontiguousarray(x).data)
    digest.update(repr((VERSION, seed, y.tolist())).encode())
    store, path = Store(), Store().folder / ".memo" / f"digits-reader-{digest.hexdigest()[:16]}"
    if not store.holds(path):
        with store.exclusive(path):
            if not store.holds(path, set_aside=True):
                reader = _trained(torch.from_numpy(x), torch.from_numpy(y), reader, seed)
                right = reader.read(torch.from_numpy(prepared.test))[1] == labels[prepared.split.test]
                reader.accuracy.fill_(right.mean())
                store.write(path, {"reader.safetensors": safetensors.torch.save(reader.state_dict())})
    reader.load_state_dict(safetensors.torch.load(store.read(path)["reader.safetensors"]))
    return reader.eval()


def _trained(x: Tensor, y: Tensor, reader: Reader, seed: int) -> Reader:
    """Learns from images x (N, D) and classes y (N,). A fifth of the pixels is hidden in each step, as in dropout."""

    def loss(rows: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        image, label = rows[:, :-1], rows[:, -1].long()  # `fit` takes rows of numbers
        seen = torch.rand(image.shape, generator=generator) < 0.8
        return {"loss": cross_entropy(reader(image * seen / 0.8), label, reduction="none")}

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in reader.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    epochs = max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / math.ceil(len(x) / 128)))
    config = TrainingConfig(epochs=epochs, learning_rate=2e-3, schedule="cosine", device="cpu")
    fit(reader, loss, torch.cat([x, y[:, None].to(x)], dim=1), config, seed=seed, progress=False)
    reader.scale.fill_(np.sqrt(np.square(reader.read(x)[0]).mean()))
    return reader


class DigitsJudgement(NamedTuple):
    """What pictures are worth beside test images, in the features of a `Reader`; less is better but for the last two.

    `kid` comes with its standard error over blocks. `classes` holds the share of the pictures that are read as each
    digit, `class_gap` is its total variation from the shares of the test images: the share of pictures that would have
    to be another digit. Density and coverage (Naeem et al. 2020) are means over test images.
    """

    frechet: float
    kid: float
    kid_error: float
    class_gap: float
    density: float
    coverage: float
    classes: tuple[float, ...]


TITLES = {"frechet": "Fréchet", "kid": "KID", "class_gap": "class gap", "density": "density", "coverage": "coverage"}
DIGITS = {"frechet": 2, "kid": 3, "class_gap": 3, "density": 2, "coverage": 2}


def judge_digits(pictures: ArrayLike, prepared: Prepared, seed: int = 0) -> DigitsJudgement:
    """Judges pictures (M, D) of any model beside the test images.

    The Fréchet distance of finite samples is too large by an amount that shrinks with M: compare sets of one size, and
    take as many as there are test images.

    Raises:
        DataError: the data have no labels. ValueError: fewer than two pictures, or no such rows of pixels.
    """
    rows = torch.from_numpy(np.asarray(pictures, dtype=np.float32))
    if rows.dim() != 2 or rows.shape[1] != prepared.test.shape[1] or len(rows) < 2:
        raise ValueError(f"pictures are {tuple(rows.shape)}: expected (M, {prepared.test.shape[1]}), two or more")
    reader, order = reader_of(prepared), np.random.default_rng(seed).permutation(len(prepared.test))
    made, found = reader.read(rows)
    real, true = reader.read(torch.from_numpy(prepared.test[order]))  # the order of a file is not that of chance
    count = reader.logits.out_features
    shares, expected = (np.bincount(classes, minlength=count) / len(classes) for classes in (found, true))
    kid, error = kernel_distance(made, real)
    covered = coverage(real[:NEIGHBOURS], made[:NEIGHBOURS])
    return DigitsJudgement(
        frechet=frechet_distance(made, real),
        kid=kid,
        kid_error=error,
        class_gap=float(np.abs(shares - expected).sum() / 2),
        density=float(covered.density.mean()),
        coverage=float(covered.covered.mean()),
        classes=tuple(shares.tolist()),
    )


def digits_floor(prepared: Prepared, seed: int = 0) -> DigitsJudgement:
    """What the judge says of training images, as many as there are test images: no model can hope for better."""
    chosen = np.random.default_rng(seed).permutation(len(prepared.train))[: len(prepared.test)]
    return judge_digits(prepared.train[chosen], prepared, seed)


def digits_table(groups: Mapping[str, Sequence[DigitsJudgement]]) -> pd.DataFrame:
    """One row for each group of judgements, with the mean and the range in brackets."""
    rows = {}
    for name, group in groups.items():
        cells = {TITLES[key]: mean_and_range([getattr(one, key) for one in group], DIGITS[key]) for key in TITLES}
        rows[name] = cells | {"seeds": len(group)}
    return pd.DataFrame.from_dict(rows, orient="index")


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)) of the Gaussians N(m, S), N(n, T) that fit a (N, F) and b (M, F).

    Heusel et al. 2017, section 3, who take the features of a network for photographs.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    s, t = np.cov(a, rowvar=False).reshape(a.shape[1], -1), np.cov(b, rowvar=False).reshape(b.shape[1], -1)
    values, vectors = np.linalg.eigh(s)
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(min=0)).sum()  # tr (S T)^(1/2)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s) + np.trace(t) - 2 * between)


def kernel_distance(a: ArrayLike, b: ArrayLike, block: int = BLOCK) -> tuple[float, float]:
    """The squared maximum mean discrepancy of rows a (N, F) and b (M, F), without bias, and its standard error.

    The kernel is (x.y / F + 1)^3; the mean is taken over blocks of so many rows of both, at most. It is near 0, on
    either side, for samples of one distribution. "KID", Binkowski et al. 2018, section 4. The rows' order must be that
    of chance. The error is nan where there is but one block.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    count = max(1, min(len(a), len(b)) // block)
    pairs = zip(np.array_split(a, count), np.array_split(b, count), strict=True)
    values = np.array([_unbiased(x, y) for x, y in pairs])
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan


def _unbiased(x: Rows, y: Rows) -> float:
    def mean_kernel(p: Rows, q: Rows, same: bool) -> float:
        kernel = (p @ q.T / p.shape[1] + 1) ** 3
        own = np.trace(kernel) if same else 0.0  # a row beside itself says nothing of two draws
        return float((kernel.sum() - own) / (len(p) * (len(q) - same)))

    return mean_kernel(x, x, True) + mean_kernel(y, y, True) - 2 * mean_kernel(x, y, False)
