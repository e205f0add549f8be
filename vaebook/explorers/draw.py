"""Draw and reconstruct: encoder and decoder on an image of the reader's own hand."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaebook.explorers.base import Explorer, as_bytes, card, examples, packed
from vaebook.explorers.network import decoder_spec, encoder_layers, pack
from vaelib.config import ConfigError, pick
from vaelib.data import Prepared
from vaelib.evaluation import active_units, kl_per_dim
from vaelib.plots import image_grid
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import StandardNormal
from vaelib.runs import Run, data_of

__all__ = ["Draw", "draw", "network_spec"]

DRAWS = 6  # pictures of the posterior


class Draw(Explorer):
    """See `draw`."""

    encoder, decoder, images = packed(), packed(), packed()
    image = traitlets.Bytes().tag(sync=True)  # goes both ways
    mean, sigma = (traitlets.List(traitlets.CFloat()).tag(sync=True) for _ in range(2))
    reconstruction, kl = (traitlets.CFloat(None, allow_none=True).tag(sync=True) for _ in range(2))

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The image that the encoder sees, of the data's shape, in [0, 1]; set it to show another."""
        return np.frombuffer(self.image, np.uint8).reshape(self.spec["shape"]).astype(np.float32) / 255

    @pixels.setter
    def pixels(self, values: ArrayLike) -> None:
        x = np.asarray(values, dtype=np.float32)
        if x.size != math.prod(self.spec["shape"]) or not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"pixels must be an image of {tuple(self.spec['shape'])} in [0, 1], not {x.shape}")
        self.image = as_bytes(torch.from_numpy(x))

    @torch.no_grad()
    def draw_on(self, figure: Figure) -> None:
        above, below = figure.subplots(2, 1)
        model, x, order = self.run.model, torch.from_numpy(self.pixels.reshape(1, -1)), self.spec["order"]
        q = DiagonalGaussian(*model.encode(x))
        z = torch.cat([q.mean, q.sample(DRAWS, torch.Generator().manual_seed(0))[:, 0]])
        pictures = torch.cat([x, model.mean_image(z)])
        image_grid(pictures, self.spec["shape"], 2 + DRAWS, above).set_title("image, reconstruction, six draws")
        below.axhspan(-1, 1, alpha=0.12, color="gray")
        below.errorbar(range(len(order)), q.mean[0, order], torch.exp(0.5 * q.log_var[0, order]), fmt="o")
        below.set_xticks(range(len(order)), [f"$z_{{{j + 1}}}$" for j in order], fontsize=8)


def draw(run: Run, images: Sequence[int] | None = None) -> Draw:
    """A pad to draw on. The page encodes the drawing, shows q(z|x), decodes draws from it and states the ELBO's terms.

    A drawing is scaled to 20 of 28 pixels and centred by its mass, as MNIST's digits were. The images at the indices
    `images` of the data set can be taken instead. In Python: `pixels` is the image, to read or to set; `mean`, `sigma`
    (one for each latent), `reconstruction` (nats, from 8 draws of z) and `kl` (nats) are what the page found.

    On the book's models of MNIST the page's means and sigmas differ from torch's by less than 0.1, its KL by less than
    0.5 nats and its reconstruction term, with the same noise, by less than 1 nat; of Frey Faces, where sigma is small
    and the term a thousand nats, by up to 5 nats.

    Raises:
        ConfigError: a likelihood other than Bernoulli or Gaussian, a prior other than the standard normal, or an index
            that the data set does not have.
    """
    spec, stored = network_spec(run, data_of(run), images, "draw")
    return Draw(run=run, spec=spec, **stored)


def network_spec(
    run: Run, prepared: Prepared, images: Sequence[int] | None, kind: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The spec of an explorer that carries encoder, decoder and images, and these as bytes. Raises what `draw` does."""
    model = run.model
    pick("likelihood of an image to draw", model.config.likelihood.name, ("bernoulli", "gaussian"))
    if type(model.prior) is not StandardNormal:
        raise ConfigError(f"draw states the KL to a standard normal prior, not to a {type(model.prior).__name__}")
    x, names = examples(prepared, images)
    test = torch.from_numpy(prepared.test)
    encoder, encoder_bytes = pack(encoder_layers(model))
    decoder, decoder_bytes = decoder_spec(model, model.likelihood.heads)
    spec = {
        **card(kind, prepared, {"fives": math.ceil(len(names) / 5), "tens": math.ceil(len(names) / 10)}),
        **decoder,
        "encoder": encoder,
        "order": kl_per_dim(model, test).argsort(descending=True).tolist(),
        "active": active_units(model, test).tolist(),
        "names": names,
    }
    stored = {"images": as_bytes(x), "image": as_bytes(x[0]), "encoder": encoder_bytes, "decoder": decoder_bytes}
    return spec, stored
