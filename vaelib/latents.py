"""What a latent space looks like: its picture in the plane, how far classes stand apart, and what a latent is for.

Codes are the posterior means of `vaelib.evaluation.posterior`, as rows (N, Z).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vaelib.config import pick
from vaelib.models import VAE
from vaelib.priors import StandardNormal

__all__ = ["Separation", "embed", "keep_latents", "separation"]

FOLDS = 5


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
    from sklearn.metrics import silhouette_score
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    rows, classes = _rows(points), np.asarray(labels)
    if classes.shape != (len(rows),):
        raise ValueError(f"labels must be ({len(rows)},), one for each point, not {classes.shape}")
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
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    pick("method", method, ("pca", "tsne"))
    rows = _rows(points)
    if rows.shape[1] < 2:
        raise ValueError(f"points {rows.shape} have one dimension: a plane picture needs two or more")
    if method == "pca":
        return np.asarray(PCA(2, svd_solver="full").fit_transform(rows))
    if len(rows) <= perplexity:
        raise ValueError(f"{len(rows)} points are too few for perplexity={perplexity:g}: it must be below their number")
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
    for head in ("mean", "log_var"):
        for part in ("weight", "bias"):
            weights[f"encoder.{head}.{part}"] = weights[f"encoder.{head}.{part}"][mask]
    first = _first_layer(model.decoder)
    weights[first] = weights[first][:, mask]
    small.load_state_dict(weights)
    return small.eval()


def _first_layer(decoder: nn.Module) -> str:
    """The name of the weights that z meets first."""
    return "decoder." + next(name for name, weight in decoder.named_parameters() if weight.dim() == 2)


def _rows(points: ArrayLike) -> NDArray[np.float64]:
    if isinstance(points, Tensor):
        points = points.detach().cpu().numpy()
    rows = np.asarray(points, dtype=float)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(f"points must be (N, Z) finite numbers, with something in them, not {rows.shape}")
    return rows
