"""A sweep over the number of latents: its runs, what can be read off them, and what their latent spaces look like.

Codes are the posterior means of `vaelib.evaluation.encode`, as rows (N, Z).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import permutations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from vaebook.experiments.findings import Finding, Side, difference
from vaebook.experiments.pictures import coverage, edge_energy, variety
from vaebook.experiments.recipes import GIVEN, RECIPES, metric, seeds_of
from vaelib.config import pick
from vaelib.data import DataConfig, prepare
from vaelib.evaluation import active_units, summary
from vaelib.models import VAE, new_model
from vaelib.objectives import elbo
from vaelib.priors import StandardNormal
from vaelib.runs import Run, RunConfig

__all__ = [
    *("Convergence", "Separation", "appearance_table", "by_size", "compared", "embed", "error_left", "holm"),
    *("keep_latents", "looks", "overfitting", "planned", "rank_correlations", "separation", "share_in_order"),
    *("three_kinds", "to_converge", "untrained_bound", "without_idle"),
]

Sweep = Mapping[tuple[str, int], Sequence[Run]]
"""(recipe, number of latents) -> the runs of that pair, one for each seed."""

RELATIVE = ("variety", "edges")  # to real pictures
FOLDS = 5
MOST_RANKED = 8  # all orders of so many are looked at


class Convergence(NamedTuple):
    """When a run had come so far: passes over the data, images seen, steps of the optimiser."""

    epochs: int
    images: int
    steps: float


def planned(
    recipe_of: Callable[..., RunConfig],
    data: DataConfig,
    sizes: Sequence[int],
    *,
    epochs: int | None,
    seeds: int = 1,
    recipes: Collection[str] = RECIPES,
) -> dict[tuple[str, int], list[RunConfig]]:
    """What `train_groups` shall train: every one of `recipes` at every size, by (recipe, size).

    `recipe_of` is `digits_recipe` or `faces_recipe`.
    """
    return {
        (name, size): seeds_of(recipe_of(name, data, latent_dim=size, epochs=epochs), seeds)
        for name in recipes
        for size in sizes
    }


def by_size(runs: Sweep, recipe: str, figure: str, part: str = "test", sign: int = 1) -> dict[int, list[float]]:
    """Number of latents -> that figure of its runs, times `sign`: ``by_size(runs, "modern", "elbo", sign=-1)``."""
    return {
        size: [sign * value for value in metric(group, figure, part)]
        for (name, size), group in runs.items()
        if name == recipe
    }


def share_in_order(runs: Sweep, recipe: str, column: str, low: int, high: int) -> float:
    """Over all epochs and all pairs of neighbouring sizes in `low`..`high`: how often the larger has the larger value.

    `column` is one of the history, such as "test_kl"; seeds are averaged first.

    Raises:
        ValueError: fewer than two sizes.
    """
    sizes = sorted(size for name, size in runs if name == recipe and low <= size <= high)
    if len(sizes) < 2:
        raise ValueError(f"{recipe!r} has {len(sizes)} sizes from {low} to {high}: an order needs two or more")
    values = [np.mean([run.history[column] for run in runs[recipe, size]], axis=0) for size in sizes]
    return float((np.diff(values, axis=0) > 0).mean())


def untrained_bound(config: RunConfig) -> float:
    """The test bound of a run's model before its first step, in nats per image: where its training began."""
    prepared = prepare(config.data)
    model = new_model(config.model, prepared.data.shape, config.seed)
    model.start(torch.from_numpy(prepared.train))
    return summary(model, torch.from_numpy(prepared.test))["elbo"]


def to_converge(run: Run, untrained: float, share: float = 0.95) -> Convergence:
    """When the test bound had made `share` of all that the run gains on that of the `untrained` model, in whole epochs.

    What it gains is counted up to its best epoch.
    """
    bound = run.history["test_elbo"]
    row = run.history[bound >= untrained + share * (bound.max() - untrained)].iloc[0]
    seen = row["samples_seen"]
    return Convergence(int(row["epoch"]), int(seen), seen / run.config.training.batch_size)


def error_left(run: Run) -> float:
    """The squared error on test images as a share of that of guessing, which answers the average training image."""
    prepared = prepare(run.config.data)
    guessing = np.square(prepared.test - prepared.train.mean(axis=0)).sum(axis=1).mean()
    return run.metrics["test"]["squared_error"] / float(guessing)


def rank_correlations(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], float]:
    """Spearman's correlation of each pair, and the chance that their mean is as far from 0, or farther, by luck.

    Luck is each pair's second part in any order, independently of the others: exact, over all orders.

    Raises:
        ValueError: lengths that differ, fewer than three values, more than `MOST_RANKED`, or values that are all alike.
    """
    found: list[float] = []
    sums: NDArray[Any] = np.zeros(1)
    shares: NDArray[Any] = np.ones(1)
    for values, others in pairs:
        if len(values) != len(others) or not 3 <= len(values) <= MOST_RANKED:
            sizes = f"{len(values)} and {len(others)} values"
            raise ValueError(f"{sizes}: expected as many of both, from 3 to {MOST_RANKED}")
        ranks = np.stack([rankdata(values), rankdata(others)])
        ranks = ranks - ranks.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(ranks, axis=1)
        if not lengths.all():
            raise ValueError("the values are all alike: they have no order")
        found.append(float(ranks[0] @ ranks[1] / lengths.prod()))
        every = np.array(list(permutations(ranks[1]))) @ ranks[0] / lengths.prod()
        steps, counts = np.unique(every.round(9), return_counts=True)
        sums, which = np.unique(np.add.outer(sums, steps).round(9), return_inverse=True)
        shares = np.bincount(which.ravel(), np.outer(shares, counts / counts.sum()).ravel())
    return found, float(shares[np.abs(sums) >= abs(sum(found)) - 1e-6].sum())


def holm(chances: Sequence[float]) -> list[float]:
    """Chances of several tests, raised so that they may be judged together (Holm 1979)."""
    order = np.argsort(chances)
    raised = np.asarray(chances, float)[order] * np.arange(len(chances), 0, -1)
    together = np.empty(len(chances))
    together[order] = np.maximum.accumulate(raised).clip(max=1.0)
    return together.tolist()


def compared(
    claim: str,
    test: str,
    values: Callable[[str], Mapping[int, Sequence[float]]],
    many: int,
    few: int,
    side: Side,
    border: float = 0.0,
    unit: str = "",
) -> list[Finding]:
    """By each recipe, a figure of `many` latents minus that of `few`; `values(recipe)` holds one for each seed."""
    test = f"{test}, {many} − {few} latents"
    pairs = {given: (values(recipe)[many], values(recipe)[few]) for recipe, given in GIVEN.items()}
    return [difference(claim, test, *pair, side, border, unit, given) for given, pair in pairs.items()]


def overfitting(runs: Sweep, recipe: str) -> dict[int, list[float]]:
    """Number of latents -> how much better the bound is on training images than on test images, nats, for each seed."""
    train, test = (by_size(runs, recipe, "elbo", part) for part in ("train", "test"))
    return {size: [a - b for a, b in zip(train[size], test[size], strict=True)] for size in test}


@torch.no_grad()
def three_kinds(model: VAE, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Pictures E[x|z], as many of each kind as there are in x (N, D), by where z is from:

    "samples" the prior, "reconstructions" the mean of q(z|x), "codes" a draw from it.
    """
    mean, log_var = model.encode(x)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(mean.shape, generator=generator)
    return {
        "samples": model.sample(len(x), generator),
        "reconstructions": model.mean_image(mean),
        "codes": model.mean_image(mean + (log_var / 2).exp() * noise),
    }


def appearance_table(
    runs: Sweep, x: Tensor, shape: tuple[int, ...], reader: Any = None, coded: Tensor | None = None
) -> pd.DataFrame:
    """How varied and how sharp the `three_kinds` of pictures are, a row for each run and kind; x (N, D) are real.

    "reconstructions" and "codes" are of the images `coded` (M, D), and there are M samples; None: of x itself. But then
    an image may be covered by its own reconstruction, so that coverage asks no more than that this lies near.

    Columns "variety" and "edges" are relative to x, "coverage" is that of x. A `reader`, a fitted classifier with
    `predict_proba`, adds "legibility", its mean confidence.
    """
    real, rows = x.numpy(), []
    ours = _appearance(real, shape)
    for (recipe, size), group in runs.items():
        for run in group:
            for kind, made in three_kinds(run.model, x if coded is None else coded).items():
                theirs = _appearance(made.numpy(), shape)
                row = {name: theirs[name] / ours[name] for name in RELATIVE}
                row["coverage"] = coverage(real, made.numpy()).covered.mean()
                if reader is not None:
                    row["legibility"] = reader.predict_proba(made.numpy()).max(axis=1).mean()
                rows.append({"recipe": recipe, "latents": size, "seed": run.config.seed, "kind": kind, **row})
    return pd.DataFrame(rows)


def looks(table: pd.DataFrame, measure: str) -> Callable[[str, str], dict[int, list[float]]]:
    """Of an `appearance_table`: (recipe, kind of picture) -> number of latents -> that measure, for each seed."""

    def values(recipe: str, kind: str) -> dict[int, list[float]]:
        rows = table[(table["recipe"] == recipe) & (table["kind"] == kind)]
        return {int(size): list(group) for size, group in rows.groupby("latents")[measure]}

    return values


class Separation(NamedTuple):
    """How well classes stand apart: the share of points whose nearest neighbours know their class, and the silhouette.

    `accuracy` is that of a vote of the k nearest neighbours, cross-validated. `silhouette` is the mean over points of
    (b - a) / max(a, b), with a the mean distance to the own class and b that to the nearest other one (Rousseeuw 1987):
    1 for small classes far apart, 0 for classes that touch, below 0 where points are nearer to another class.
    """

    accuracy: float
    silhouette: float


def separation(points: ArrayLike, labels: ArrayLike, neighbours: int = 10) -> Separation:
    """Measures `labels` (N,) in a space of `points` (N, Z), by Euclidean distance.

    Raises:
        ValueError: shapes that do not fit, fewer than two classes, or a class with fewer points than there are folds.
    """
    rows, classes = _finite_rows(points), np.asarray(labels)
    names, sizes = np.unique(classes, return_counts=True)
    if len(names) < 2 or sizes.min() < FOLDS:
        raise ValueError(f"classes have {sizes.tolist()} points: separation needs two or more of {FOLDS} or more each")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    votes = cross_val_score(KNeighborsClassifier(neighbours), rows, classes, cv=folds)
    return Separation(float(votes.mean()), float(silhouette_score(rows, classes)))


def embed(
    points: ArrayLike, method: Literal["pca", "tsne"] = "tsne", *, perplexity: float = 30.0, seed: int = 0
) -> NDArray[np.float64]:
    """A plane picture of points (N, Z) -> (N, 2): their first two principal components, or t-SNE.

    t-SNE starts from the principal components, so that its coarse layout is not left to chance (Kobak & Berens 2019);
    `perplexity` is about how many neighbours of each point it tries to keep near (van der Maaten & Hinton 2008).
    Points in the plane already are returned as their principal components by "pca".

    Raises:
        ConfigError: unknown method. ValueError: points that are not (N, 2 or more), or too few for the perplexity.
    """
    pick("method", method, ("pca", "tsne"))
    rows = _finite_rows(points)
    if method == "pca":
        return np.asarray(PCA(2, svd_solver="full").fit_transform(rows))
    return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows), float)


def keep_latents(model: VAE, keep: Any) -> VAE:
    """A smaller model, with the latents in `keep` (Z,) bool alone: the others are 0 in the decoder and cost no KL.

    It is a model in its own right, so that whatever judges one judges it too. Only for the prior N(0, I), whose
    dimensions are independent.

    Raises:
        ValueError: a mask of the wrong length, or one that keeps nothing; another prior.
    """
    size = model.config.latent_dim
    mask = torch.as_tensor(keep, dtype=torch.bool)
    if mask.shape != (size,) or not mask.any():
        raise ValueError(f"keep must be a mask of {size} latents with one or more True, not {mask.tolist()}")
    if type(model.prior) is not StandardNormal:
        raise ValueError(f"latents cannot be dropped from the prior {type(model.prior).__name__}: only from N(0, I)")
    small = VAE(model.config.replace(latent_dim=int(mask.sum())), model.image_shape)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for name in ("mean.weight", "mean.bias", "log_var.weight", "log_var.bias"):
        weights[f"encoder.{name}"] = weights[f"encoder.{name}"][mask]
    first = next(name for name, weight in model.decoder.named_parameters() if weight.dim() == 2)  # it meets z
    weights[f"decoder.{first}"] = weights[f"decoder.{first}"][:, mask]
    small.load_state_dict(weights)
    return small.eval()


@torch.no_grad()
def without_idle(model: VAE, x: Tensor, draws: int = 5) -> tuple[int, float, float]:
    """How many latents are active, and what the bound on x (N, D) gains without the others: its mean and its error.

    Both are not a number where no latent is idle, or all are.
    """
    keep = active_units(model, x)
    if keep.all() or not keep.any():
        return int(keep.sum()), float("nan"), float("nan")
    bounds = []
    for judged in (keep_latents(model, keep), model):
        generator = torch.Generator().manual_seed(0)
        parts = [elbo(judged, batch, samples=draws, generator=generator).elbo for batch in x.split(500)]
        bounds.append(torch.cat(parts))
    gain = bounds[0] - bounds[1]
    return int(keep.sum()), gain.mean().item(), gain.std().item() / len(gain) ** 0.5


def _appearance(pictures: NDArray[Any], shape: tuple[int, ...]) -> dict[str, float]:
    return {"variety": variety(pictures), "edges": edge_energy(pictures, shape).mean()}


def _finite_rows(points: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(points, dtype=float)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(f"points must be (N, Z) finite numbers, with something in them, not {rows.shape}")
    return rows
