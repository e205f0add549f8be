"""Manifold pad: a plane of two latents to drag a point over."""

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from vaebook.explorers.base import LatentExplorer, card, packed, training_images
from vaebook.explorers.network import decoder_spec
from vaelib.config import ConfigError
from vaelib.data import Prepared
from vaelib.evaluation import encode
from vaelib.plots import CLASS_COLOURS, INK
from vaelib.runs import Run, data_of

__all__ = ["ManifoldPad", "draw_plane", "manifold_pad", "plane_spec"]

POINTS = 1500
EVERY = 6  # of these points brings its image along
SMALLEST, LARGEST = 3.5, 6.0  # half the width of the plane, in standard deviations of the prior


class ManifoldPad(LatentExplorer):
    """See `manifold_pad`."""

    points, thumbnails = packed(), packed()
    inches = 4.2

    def draw_on(self, figure: Figure) -> None:
        plane, picture = figure.subplots(1, 2, width_ratios=(1.6, 1))
        draw_plane(plane, self.spec, self.points)
        plane.plot(*self.z, "o", markersize=11, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2)
        self.draw_decoded(picture)


def draw_plane(ax: Axes, spec: dict[str, Any], points: bytes) -> None:
    """Draws the codes of a `plane_spec`, coloured by class, and the prior's circles."""
    limit, groups, members = (spec[name] for name in ("limit", "groups", "members"))
    at = np.frombuffer(points, "<f4").reshape(-1, 2)
    for number, group in enumerate(groups):
        own = at[np.equal(members, number)]
        ax.plot(*own.T, "o", markersize=1.6, color=group["colour"], alpha=0.6, label=group["name"])
    for radius in (1, 2, 3):
        ax.add_patch(Circle((0, 0), radius, fill=False, color=INK, linestyle="--", linewidth=0.7))
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    if len(groups) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, handlelength=1)


def manifold_pad(run: Run) -> ManifoldPad:
    """A plane of two latents: drag a point, and the decoder's picture of it follows. `z` is the point, [z1, z2].

    Behind it lie the posterior means of up to 1500 training images, coloured by class. Each sixth of them brings its
    image along: to be shown in its place, and to tell which of them a decoded picture is most like. The distance of two
    images is the root of the mean squared difference of their pixels, which lie in [0, 1]; the page states beside it
    what a test image has: the median distance to the nearest of the same few.

    Raises:
        ConfigError: the run does not have two latents.
    """
    prepared = data_of(run)
    plane, points, chosen = plane_spec(run, prepared)
    memory, images = training_images(prepared, chosen[::EVERY])
    decoder, weights = decoder_spec(run.model)
    height, width = prepared.data.shape[:2]
    rows = math.ceil(len(plane["groups"]) / 5) if len(plane["groups"]) > 1 else 0
    spec = {
        **card("plane", prepared, {"fives": rows, "tall": height / width}, few=len(memory["names"])),
        **decoder,
        **plane,
        "every": EVERY,
        "memory": memory,
    }
    stored = {"weights": weights, "points": points, "thumbnails": images}
    return ManifoldPad(run=run, spec=spec, z=[0.0, 0.0], **stored)


def plane_spec(run: Run, prepared: Prepared) -> tuple[dict[str, Any], bytes, np.ndarray]:
    """What a page needs to draw the codes of training images: classes and the plane's size; codes; which images.

    Raises:
        ConfigError: the run does not have two latents.
    """
    latents = run.config.model.latent_dim
    if latents != 2:
        raise ConfigError(f"a plane needs a run with latent_dim=2, this one has {latents}: use latent_sliders")
    chosen = np.linspace(0, len(prepared.train) - 1, min(POINTS, len(prepared.train))).astype(int)
    means = encode(run.model, torch.from_numpy(prepared.train[chosen]))[0].numpy()
    labels = np.zeros(len(prepared.data), int) if prepared.data.labels is None else prepared.data.labels
    classes, members = np.unique(labels[prepared.split.train[chosen]], return_inverse=True)
    spec = {
        "limit": float(np.clip(np.ceil(2 * np.abs(means).max()) / 2, SMALLEST, LARGEST)),
        "groups": [{"name": str(c), "colour": CLASS_COLOURS[i % 10]} for i, c in enumerate(classes)],
        "members": members.tolist(),
    }
    return spec, means.astype("<f4").tobytes(), chosen
