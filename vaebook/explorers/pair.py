"""Pair: one z in the decoders of two models, side by side."""

from collections.abc import Mapping

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from vaebook.explorers.base import LatentExplorer, card, packed
from vaebook.explorers.network import decoder_spec
from vaebook.explorers.plane import draw_plane, plane_spec
from vaelib.config import ConfigError
from vaelib.plots import CLASS_COLOURS, INK, image_grid
from vaelib.runs import Run, data_of

__all__ = ["Pair", "pair"]

EVERY = 4  # of the codes of a plane


class Pair(LatentExplorer):
    """See `pair`."""

    points = packed()
    runs = traitlets.Dict()
    latents = property(lambda self: 2)
    inches = 4.2

    def draw_on(self, figure: Figure) -> None:
        axes = figure.subplot_mosaic([["plane", "0", "1"]], width_ratios=(2, 1, 1))
        draw_plane(axes["plane"], self.spec, self.points)
        axes["plane"].legend(loc="upper right", markerscale=3, handlelength=1)
        axes["plane"].plot(*self.z, "o", markersize=11, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2)
        for i, (name, run) in enumerate(self.runs.items()):
            picture = run.model.mean_image(torch.tensor([self.z]))
            image_grid(picture, self.spec["shape"], 1, axes[str(i)]).set_title(name)


def pair(runs: Mapping[str, Run]) -> Pair:
    """One z, two models with two latents, by name: drag the point, and both decoders draw it. `z` is the point.

    It starts at that code of the first model which is the farthest from the origin.

    On the plane lie the posterior means of up to 375 training images in each model, in the model's colour. Beside each
    picture stand the model's KL and squared error on test images, and how far the picture is from the one at z = 0: the
    root of the mean squared difference of their pixels, which lie in [0, 1].

    Raises:
        ConfigError: not two runs, other data, or a run that does not have two latents.
    """
    if len(runs) != 2 or len({run.config.data for run in runs.values()}) > 1:
        raise ConfigError(f"pair needs two runs of the same data; got {len(runs)}")
    prepared = data_of(next(iter(runs.values())))
    models, weights, codes, limits = [], [], [], []
    for name, run in runs.items():
        plane, points, _ = plane_spec(run, prepared)
        decoder, content = decoder_spec(run.model)
        found = {"kl": run.metrics["test"]["kl"], "error": run.metrics["test"]["squared_error"]}
        models.append({"name": name, **decoder, **found})
        weights.append(content)
        codes.append(np.frombuffer(points, "<f4").reshape(-1, 2)[::EVERY])
        limits.append(plane["limit"])
    spec = {
        **card("pair", prepared, {}),
        "limit": max(limits),
        "groups": [{"name": name, "colour": CLASS_COLOURS[i]} for i, name in enumerate(runs)],
        "members": [i for i, own in enumerate(codes) for _ in own],
        "models": models,
    }
    farthest = max(codes[0].tolist(), key=lambda z: z[0] ** 2 + z[1] ** 2)
    stored = {"weights": b"".join(weights), "points": np.concatenate(codes).tobytes()}
    return Pair(runs=dict(runs), spec=spec, z=farthest, **stored)
