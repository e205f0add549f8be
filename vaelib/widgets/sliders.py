"""Latent sliders: one for each latent, however many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import traitlets

from vaelib.evaluation import active_units, kl_per_dim, posterior
from vaelib.runs import Run
from vaelib.widgets.base import LatentExplorer, examples, likelihood_spec, module, run_data, title
from vaelib.widgets.network import decoder_layers, pack

__all__ = ["LatentSliders", "latent_sliders"]

HELP = "Each slider moves one latent; the decoder's picture follows. The most informative come first, with the nats \
that they carry about an image on average. Below, walk along a straight line between the codes of two images."


class LatentSliders(LatentExplorer):
    """See `latent_sliders`."""

    _esm = module("sliders")
    images = traitlets.Bytes().tag(sync=True)


def latent_sliders(run: Run, images: Sequence[int] | None = None) -> LatentSliders:
    """A slider for each latent, sorted by its KL over the test images; inactive ones are folded away. `z` is the point.

    A walk leads along the straight line between the posterior means of two images: those at the indices `images` of
    the data set can be chosen (by default a test image of each class, or ten frames).

    The page decodes with weights of 8 bits: on the book's models pixels, on a scale from 0 to 1, differ from torch's by
    less than 0.003 on average and by less than 0.1 anywhere.

    Raises:
        ConfigError: an index that the data set does not have.
    """
    prepared = run_data(run)
    shown = examples(prepared, images)
    test = torch.from_numpy(prepared.test)
    kl = kl_per_dim(run.model, test)
    codes = posterior(run.model, shown.x)[0]
    layers, weights = pack(decoder_layers(run.model))
    spec = {
        "title": f"{len(kl)} latents of {title(prepared)}",
        "help": HELP,
        "shape": prepared.data.shape,
        "likelihood": likelihood_spec(run.model),
        "decoder": layers,
        "kl": kl.tolist(),
        "order": kl.argsort(descending=True).tolist(),
        "active": active_units(run.model, test).tolist(),
        "limit": max(3, math.ceil(codes.abs().max().item())),
        "codes": codes.tolist(),
        "names": shown.names,
    }
    return LatentSliders(spec=spec, weights=weights, images=shown.pixels, z=codes[0].tolist())
