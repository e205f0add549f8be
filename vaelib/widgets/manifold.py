"""Manifold pad: a plane of two latents to drag a point over."""

from __future__ import annotations

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray

from vaelib.config import ConfigError
from vaelib.data import Prepared
from vaelib.evaluation import posterior
from vaelib.plots import CLASS_COLOURS, COLOURS
from vaelib.runs import Run
from vaelib.widgets.base import LatentExplorer, likelihood_spec, module, run_data, title
from vaelib.widgets.network import decoder_layers, pack

__all__ = ["ManifoldPad", "manifold_pad"]

POINTS = 1500
SMALLEST, LARGEST = 3.5, 6.0  # half the width of the plane, in standard deviations of the prior

HELP = "Drag over the plane: the decoder draws the image at that point. Coloured dots are the codes of images (their \
posterior means), dashed circles hold 1, 2 and 3 standard deviations of the prior."


class ManifoldPad(LatentExplorer):
    """See `manifold_pad`."""

    _esm = module("manifold")
    points = traitlets.Bytes().tag(sync=True)


def manifold_pad(run: Run) -> ManifoldPad:
    """A plane of two latents: drag a point, and the decoder's picture of it follows. `z` is the point, [z1, z2].

    Behind it lie the posterior means of up to 1500 training images, coloured by class. The page decodes with weights
    of 8 bits: on the book's models pixels, on a scale from 0 to 1, differ from torch's by less than 0.003 on average
    and by less than 0.1 anywhere.

    Raises:
        ConfigError: the run does not have two latents.
    """
    latents = run.config.model.latent_dim
    if latents != 2:
        raise ConfigError(f"manifold_pad needs a run with latent_dim=2, this one has {latents}: use latent_sliders")
    prepared = run_data(run)
    chosen = np.linspace(0, len(prepared.train) - 1, min(POINTS, len(prepared.train))).astype(int)
    means = posterior(run.model, torch.from_numpy(prepared.train[chosen]))[0].numpy()
    groups, members = _groups(prepared, prepared.split.train[chosen])
    layers, weights = pack(decoder_layers(run.model))
    spec = {
        "title": f"A latent plane of {title(prepared)}",
        "help": HELP,
        "shape": prepared.data.shape,
        "likelihood": likelihood_spec(run.model),
        "decoder": layers,
        "limit": float(np.clip(np.ceil(2 * np.abs(means).max()) / 2, SMALLEST, LARGEST)),
        "groups": groups,
        "members": members,
    }
    return ManifoldPad(spec=spec, weights=weights, points=means.astype("<f4").tobytes(), z=[0.0, 0.0])


def _groups(prepared: Prepared, indices: NDArray[np.int64]) -> tuple[list[dict[str, str]], list[int]]:
    """The classes of the images, with their colours, and the class that each image belongs to."""
    labels = prepared.data.labels
    if labels is None:
        return [{"name": "images", "colour": COLOURS["teal"]}], [0] * len(indices)
    classes, members = np.unique(labels[indices], return_inverse=True)
    colours = [CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(len(classes))]
    return [{"name": str(c), "colour": colour} for c, colour in zip(classes, colours, strict=True)], members.tolist()
