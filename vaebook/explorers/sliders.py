"""Latent sliders: one for each latent, however many there are."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vaebook.explorers.base import LatentExplorer, as_bytes, card, examples, packed, training_images
from vaebook.explorers.network import decoder_spec
from vaelib.evaluation import active_units, encode, kl_per_dim
from vaelib.runs import Run, data_of

__all__ = ["LatentSliders", "latent_sliders"]

REMEMBERED = 250  # training images that come along


class LatentSliders(LatentExplorer):
    """See `latent_sliders`."""

    images, thumbnails = packed(), packed()

    def draw_on(self, figure: Figure) -> None:
        picture, sliders = figure.subplots(1, 2, width_ratios=(1, 1.7))
        shown = [j for j in self.spec["order"] if self.spec["active"][j]]
        limit, beside = self.spec["limit"], sliders.get_yaxis_transform()
        sliders.plot([self.z[j] for j in shown], range(len(shown)), "o", markersize=6)
        for row, j in enumerate(shown):
            sliders.text(1.01, row, f"{self.spec['kl'][j]:.2f} nats", transform=beside, va="center", fontsize=8)
        sliders.set_yticks(range(len(shown)), [f"$z_{{{j + 1}}}$" for j in shown])
        sliders.set(xlim=(-limit, limit), ylim=(len(shown), -1))
        self.draw_decoded(picture)


def latent_sliders(run: Run, images: Sequence[int] | None = None) -> LatentSliders:
    """A slider for each latent, sorted by its KL over the test images; inactive ones are folded away. `z` is the point.

    A walk leads along the straight line between the posterior means of two images: those at the indices `images` of
    the data set can be chosen (by default a test image of each class, or ten frames). Beside the decoded picture stands
    the most similar of 250 training images, with its distance (see `manifold_pad`).

    Raises:
        ConfigError: an index that the data set does not have.
    """
    prepared = data_of(run)
    x, names = examples(prepared, images)
    test, codes = torch.from_numpy(prepared.test), encode(run.model, x)[0]
    kl, active = kl_per_dim(run.model, test), active_units(run.model, test)
    decoder, weights = decoder_spec(run.model)
    count = min(REMEMBERED, len(prepared.train))
    memory, remembered = training_images(prepared, np.linspace(0, len(prepared.train) - 1, count).astype(int))
    height = {"fives": math.ceil(len(names) / 5), "tens": math.ceil(len(names) / 10)}
    height |= {"rows": int(active.sum()), "idle": int(not active.all())}
    spec = {
        **card("sliders", prepared, height, count=len(kl)),
        **decoder,
        "kl": kl.tolist(),
        "order": kl.argsort(descending=True).tolist(),
        "active": active.tolist(),
        "limit": max(3, math.ceil(codes.abs().max().item())),
        "codes": codes.tolist(),
        "names": names,
        "memory": memory,
    }
    stored = {"weights": weights, "images": as_bytes(x), "thumbnails": remembered}
    return LatentSliders(run=run, spec=spec, z=codes[0].tolist(), **stored)
