"""Manifold pad: a plane of two latents to drag a point over."""

import math

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from vaebook.explorers.base import LatentExplorer, card
from vaebook.explorers.network import decoder_spec
from vaelib.config import ConfigError
from vaelib.evaluation import encode
from vaelib.plots import CLASS_COLOURS, INK
from vaelib.runs import Run, data_of

__all__ = ["ManifoldPad", "manifold_pad"]

POINTS = 1500
SMALLEST, LARGEST = 3.5, 6.0  # half the width of the plane, in standard deviations of the prior


class ManifoldPad(LatentExplorer):
    """See `manifold_pad`."""

    points = traitlets.Bytes().tag(sync=True)
    inches = 4.2

    def draw_on(self, figure: Figure) -> None:
        plane, picture = figure.subplots(1, 2, width_ratios=(1.6, 1))
        limit, groups, members = (self.spec[name] for name in ("limit", "groups", "members"))
        points = np.frombuffer(self.points, "<f4").reshape(-1, 2)
        for number, group in enumerate(groups):
            own = points[np.equal(members, number)]
            plane.plot(*own.T, "o", markersize=1.6, color=group["colour"], alpha=0.6, label=group["name"])
        for radius in (1, 2, 3):
            plane.add_patch(Circle((0, 0), radius, fill=False, color=INK, linestyle="--", linewidth=0.7))
        plane.plot(*self.z, "o", markersize=11, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2)
        plane.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
        if len(groups) > 1:
            plane.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, handlelength=1)
        self.draw_decoded(picture)


def manifold_pad(run: Run) -> ManifoldPad:
    """A plane of two latents: drag a point, and the decoder's picture of it follows. `z` is the point, [z1, z2].

    Behind it lie the posterior means of up to 1500 training images, coloured by class.

    Raises:
        ConfigError: the run does not have two latents.
    """
    latents = run.config.model.latent_dim
    if latents != 2:
        raise ConfigError(f"manifold_pad needs a run with latent_dim=2, this one has {latents}: use latent_sliders")
    prepared = data_of(run)
    chosen = np.linspace(0, len(prepared.train) - 1, min(POINTS, len(prepared.train))).astype(int)
    means = encode(run.model, torch.from_numpy(prepared.train[chosen]))[0].numpy()
    labels = np.zeros(len(prepared.data), int) if prepared.data.labels is None else prepared.data.labels
    classes, members = np.unique(labels[prepared.split.train[chosen]], return_inverse=True)
    decoder, weights = decoder_spec(run.model)
    rows = math.ceil(len(classes) / 5) if len(classes) > 1 else 0
    spec = {
        **card("plane", prepared, {"fives": rows}),
        **decoder,
        "limit": float(np.clip(np.ceil(2 * np.abs(means).max()) / 2, SMALLEST, LARGEST)),
        "groups": [{"name": str(c), "colour": CLASS_COLOURS[i % 10]} for i, c in enumerate(classes)],
        "members": members.tolist(),
    }
    return ManifoldPad(run=run, spec=spec, weights=weights, points=means.astype("<f4").tobytes(), z=[0.0, 0.0])
