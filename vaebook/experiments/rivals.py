"""Why is the tongue missing from samples? For each rival explanation, what a test of it needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import kneighbors_graph
from torch import Tensor

from vaebook.experiments.sampling import Memo, remembered, restored
from vaebook.experiments.tongue import IN, OUT, stretches, tongue
from vaelib.config import ConfigError
from vaelib.data import ImageData
from vaelib.evaluation import aggregate_posterior
from vaelib.models import VAE, new_model
from vaelib.priors import Mixture, fit_mixture
from vaelib.runs import Run, data_of
from vaelib.training import fit

__all__ = ["Bridge", "Lesson", "bridge", "cost_of_missing", "lesson", "unevenness"]

COMPONENTS, FITS = 40, 3


def cost_of_missing(share: float, drawn: float) -> float:
    """What a model loses, in nats a frame, that shows in `drawn` of its samples what the film shows in `share`.

    The divergence of the two coins, which is all that such a fault must cost: the rest can be perfect.
    """
    return float(share * np.log(share / drawn) + (1 - share) * np.log((1 - share) / (1 - drawn)))


class Lesson(NamedTuple):
    """A model trained on other frames, and a mixture fitted to the codes of these."""

    model: VAE
    mixture: Mixture


@remembered(version=1)
def _lesson(run: Run, times: int, without: int | None) -> Memo:
    data = data_of(run)
    train, held_out = (_chosen(data.data, part, without) for part in data.split[:2])
    shows = train[(tongue(data.data) != IN)[train]]
    x = torch.from_numpy(data.data.matrix(np.concatenate([train, *[shows] * (times - 1)])))
    model = run.model
    if times > 1 or without is not None:
        model = new_model(run.config.model, data.data.shape, run.config.seed)
        model.start(x)
        losses = model.losses(run.config.objective)
        fit(model, losses, x, run.config.training, seed=run.config.seed, progress=False)
    codes = aggregate_posterior(model, x, 2)
    others = aggregate_posterior(model, torch.from_numpy(data.data.matrix(held_out)), 1)
    mixture = fit_mixture(codes, others, (min(COMPONENTS, len(codes) // 20),), fits=FITS).prior
    states = {"model": model.cpu().state_dict(), "mixture": mixture.state_dict()}
    return Memo({}, {f"{part}/{name}": value for part, state in states.items() for name, value in state.items()})


def _chosen(film: ImageData, indices: NDArray[np.int64], without: int | None) -> NDArray[np.int64]:
    """Those frames but for the episode of tongue frames with that number."""
    if without is None:
        return indices
    first, last = stretches(tongue(film) != IN)[without]
    return indices[(indices < first) | (indices > last)]


def lesson(run: Run, *, times: int = 1, without: int | None = None) -> Lesson:
    """The run's model if it had seen each tongue frame so many `times` in each pass, or not one of an episode.

    With neither it is the run's own model. Trained once, and kept in the run store.

    Raises:
        ConfigError: times below 1, or no episode with that number.
    """
    episodes = len(stretches(tongue(data_of(run).data) != IN))
    if times < 1 or not (without is None or 0 <= without < episodes):
        wanted = f"expected 1 or more, and an episode from 0 to {episodes - 1}"
        raise ConfigError(f"times={times}, without={without}: {wanted}")
    found: dict[str, dict[str, Tensor]] = {"model": {}, "mixture": {}}
    for name, value in _lesson(run, times, without).tensors.items():
        part, _, key = name.partition("/")
        found[part][key] = value
    model = new_model(run.config.model, data_of(run).data.shape)
    model.load_state_dict(found["model"])
    assert isinstance(model, VAE)
    return Lesson(model.eval(), restored(found["mixture"]))


@torch.no_grad()
def unevenness(model: VAE, start: Tensor, end: Tensor, steps: int = 40) -> NDArray[np.float64]:
    """The longest of `steps` over their mean on straight lines between codes (N, Z), in decoded pictures: (N,).

    1: the picture changes evenly. Near `steps`: it changes in one step, as a torn map would.
    """
    places = torch.linspace(0, 1, steps + 1)[:, None, None]
    pictures = model.mean_image(torch.lerp(start, end, places))  # (steps + 1, N, D)
    lengths = (pictures[1:] - pictures[:-1]).norm(dim=-1).double()
    return np.asarray(lengths.max(0).values / lengths.mean(0))


class Bridge(NamedTuple):
    """How tongue frames hang together with the others, by pixels.

    `parts` is the number of connected parts of the graph that joins each frame to its nearest others, `parts_without`
    that without the frames in transition. Distances are squared: of the shortest way over a gap from a frame
    that shows the tongue to one that does not, for each episode (`gaps`), and the median from a frame to
    the frame after it (`step`).
    """

    parts: int
    parts_without: int
    gaps: tuple[float, ...]
    step: float


def bridge(film: ImageData, neighbours: int = 5) -> Bridge:
    """Whether tongues are an island. A gap is crossed from a frame of label OUT to one of label IN, in one jump."""
    x, labels = film.matrix(), tongue(film)
    squared = np.square(pairwise_distances(x.astype(np.float64)))
    episodes = stretches(labels != IN)
    outs = [np.flatnonzero(labels[first : last + 1] == OUT) + first for first, last in episodes]

    def parts(rows: NDArray[np.float32]) -> int:
        return int(connected_components(kneighbors_graph(rows, neighbours), directed=False)[0])

    return Bridge(
        parts=parts(x),
        parts_without=parts(x[(labels == IN) | (labels == OUT)]),
        gaps=tuple(float(squared[np.ix_(out, labels == IN)].min()) for out in outs if len(out)),
        step=float(np.median(np.square(np.diff(x, axis=0)).sum(1))),
    )
