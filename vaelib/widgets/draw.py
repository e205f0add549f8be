"""Draw and reconstruct: encoder and decoder on an image of the reader's own hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from numpy.typing import ArrayLike, NDArray

from vaelib.config import ConfigError, pick
from vaelib.evaluation import active_units, kl_per_dim
from vaelib.likelihoods import Gaussian
from vaelib.models import VAE
from vaelib.priors import StandardNormal
from vaelib.runs import Run
from vaelib.widgets.base import Explorer, as_bytes, examples, likelihood_spec, module, run_data, title
from vaelib.widgets.network import decoder_layers, encoder_layers, pack

__all__ = ["Draw", "draw"]

HELP = (
    "Draw with mouse, finger or keys, or take a stored image. The encoder says where in latent space it sees it, and \
how sure it is; the decoder draws what the encoder understood."
)


class Draw(Explorer):
    """See `draw`."""

    _esm = module("draw")
    encoder = traitlets.Bytes().tag(sync=True)
    decoder = traitlets.Bytes().tag(sync=True)
    images = traitlets.Bytes().tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    mean = traitlets.List(traitlets.CFloat()).tag(sync=True)
    sigma = traitlets.List(traitlets.CFloat()).tag(sync=True)
    reconstruction = traitlets.CFloat(allow_none=True, default_value=None).tag(sync=True)
    kl = traitlets.CFloat(allow_none=True, default_value=None).tag(sync=True)

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The image that the encoder sees, (H, W) in [0, 1]; set it to show another."""
        return np.frombuffer(self.image, np.uint8).reshape(self.spec["shape"]).astype(np.float32) / 255

    @pixels.setter
    def pixels(self, values: ArrayLike) -> None:
        x = np.asarray(values, dtype=np.float32)
        if x.size != math.prod(self.spec["shape"]) or not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"pixels must be an image of {tuple(self.spec['shape'])} in [0, 1], not {x.shape}")
        self.image = as_bytes(torch.from_numpy(x))


def draw(run: Run, images: Sequence[int] | None = None) -> Draw:
    """A pad to draw on. The page encodes the drawing, shows q(z|x), decodes draws from it and states the ELBO's terms.

    A drawing is scaled to 20 of 28 pixels and centred by its mass, as MNIST's digits were. Those at the indices
    `images` of the data set can be taken instead. In Python: `pixels` is the image, to read or to set; `mean`, `sigma`
    (one for each latent), `reconstruction` (nats, from 8 draws of z) and `kl` (nats) are what the page found.

    The page's weights have 8 bits. On the book's models of MNIST its means and sigmas differ from torch's by less than
    0.1, its KL by less than 0.5 nats and its reconstruction term, with the same noise, by less than 1 nat;
    of Frey Faces, where sigma is small and the term a thousand nats, by up to 5 nats.

    Raises:
        ConfigError: a likelihood other than Bernoulli or Gaussian, a prior other than the standard normal, or an index
            that the data set does not have.
    """
    model = run.model
    if not isinstance(model.prior, StandardNormal):
        raise ConfigError(f"draw states the KL to a standard normal prior, not to a {type(model.prior).__name__}")
    prepared = run_data(run)
    shown = examples(prepared, images)
    test = torch.from_numpy(prepared.test)
    encoder, encoder_bytes = pack(encoder_layers(model))
    decoder, decoder_bytes = pack(decoder_layers(model, heads=model.likelihood.heads))
    spec = {
        "title": f"Draw for a model of {title(prepared)}",
        "help": HELP,
        "shape": prepared.data.shape,
        "likelihood": {**likelihood_spec(model), **_width(model)},
        "encoder": encoder,
        "decoder": decoder,
        "order": kl_per_dim(model, test).argsort(descending=True).tolist(),
        "active": active_units(model, test).tolist(),
        "names": shown.names,
    }
    first = shown.pixels[: model.pixels]
    return Draw(spec=spec, encoder=encoder_bytes, decoder=decoder_bytes, images=shown.pixels, image=first)


def _width(model: VAE) -> dict[str, Any]:
    """log sigma^2 of a Gaussian pixel: one number, or None where the decoder's second head says it."""
    likelihood = model.likelihood
    pick("likelihood of an image to draw", model.config.likelihood.name, ("bernoulli", "gaussian"))
    if not isinstance(likelihood, Gaussian):
        return {}
    floor = 2 * math.log(model.config.likelihood.sigma_floor)
    per_pixel = likelihood.heads == 2
    log_variance = None if per_pixel else 2 * math.log(likelihood.sigma(torch.zeros(1)).item())
    return {"logVariance": log_variance, "logStart": likelihood.log_variance.item(), "logFloor": floor}
