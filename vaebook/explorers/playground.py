"""Playground: a small VAE that the page itself trains, on images that it carries."""

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from vaebook.explorers.base import SCRIPTS, Explorer
from vaebook.figures import spectrum
from vaelib.config import ConfigError
from vaelib.data import load
from vaelib.evaluation import encode, kl_per_dim
from vaelib.likelihoods import LikelihoodConfig
from vaelib.linear import eigenvalues, predict
from vaelib.models import VAE, ObjectiveConfig, VAEConfig, new_model
from vaelib.plots import CLASS_COLOURS, image_grid, scatter_latents
from vaelib.training import TrainingConfig, fit

__all__ = ["Playground", "playground"]

IMAGES, PIXELS = 512, 200  # that a page carries, and that each has at most
HIDDEN, BATCH, EPOCHS = (64,), 32, 50  # of the still picture's model; the first two are those of js/trainer.mjs
SHOWN = 10  # images in a row

HELP = """Press Run: a small network learns {count} images of {height}×{width} pixels here, in your browser. It \
maximises reconstruction − β KL. Turn σ up and its latents die; turn it down and they wake."""
STILL = """What a small VAE has learned after 800 steps, with σ = {sigma:g} and β = {beta:g}: the plane of its two \
most used latents, the variances of the data with the price βσ² of a latent, the KL of each latent beside that of the \
best linear VAE, and images, their reconstructions and samples."""


class Playground(Explorer):
    """See `playground`."""

    _esm = (SCRIPTS / "playground.js").read_text(encoding="utf-8")  # made by js/bundle.sh
    _css = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in ("explorers.css", "playground.css"))
    images = traitlets.Bytes().tag(sync=True)
    sigma = traitlets.CFloat(min=0.05, max=2).tag(sync=True)
    beta = traitlets.CFloat(min=0.1, max=10).tag(sync=True)
    step_size = traitlets.CFloat(min=3e-4, max=0.032).tag(sync=True)
    latents = traitlets.CInt(min=1, max=8).tag(sync=True)
    seed = traitlets.CInt(min=0, max=999).tag(sync=True)
    inches = 5.2

    def draw_on(self, figure: Figure) -> None:
        """Trains the same model here, as the page cannot."""
        shape, members = self.spec["shape"], np.array(self.spec["members"])
        x = torch.from_numpy(np.frombuffer(self.images, np.uint8).reshape(len(members), -1) / np.float32(255))
        likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=self.sigma)
        config = VAEConfig(latent_dim=self.latents, hidden=HIDDEN, output_bias="average", likelihood=likelihood)
        model = new_model(config, shape, self.seed)
        assert isinstance(model, VAE)
        model.start(x)
        settings = TrainingConfig(learning_rate=self.step_size, batch_size=BATCH, epochs=EPOCHS, device="cpu")
        fit(model, model.losses(ObjectiveConfig(beta=self.beta)), x, settings, seed=self.seed, progress=False)

        kl, (means, _) = kl_per_dim(model, x), encode(model, x)
        used = kl.argsort(descending=True)[:2].sort().values.tolist()
        axes = figure.subplot_mosaic(
            [["plane", "spectrum"], ["plane", "kl"], ["sheet", "sheet"]], width_ratios=(1.1, 1)
        )
        plane = torch.stack([means[:, used[0]], means[:, used[-1]]], 1)
        scatter_latents(plane, members if len(self.spec["groups"]) > 1 else None, axes["plane"])
        axes["plane"].set(xlabel=f"$z_{1 + used[0]}$", ylabel=f"$z_{1 + used[-1]}$", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
        values = self.spec["eigenvalues"]
        spectrum(values[:16], axes["spectrum"], levels={"βσ²": self.beta * self.sigma**2})
        theory = predict(values, self.latents, self.sigma, self.beta).kl_per_dim
        places = np.arange(1, 1 + self.latents)
        axes["kl"].bar(places, np.sort(kl.numpy())[::-1], 0.6)
        axes["kl"].hlines(theory, places - 0.45, places + 0.45, color=CLASS_COLOURS[1], label="best linear VAE")
        top = 1.4 * max(theory.max(), kl.max().item())
        axes["kl"].set(xlabel="latent, the most used first", ylabel="KL (nats)", xticks=places, ylim=(0, top))
        axes["kl"].legend(loc="upper right")
        chosen = x[self.spec["examples"]]
        samples = model.sample(2 * len(chosen), torch.Generator().manual_seed(self.seed)).chunk(2)
        rows = torch.cat([chosen, samples[0], model.reconstruct(chosen), samples[1]])
        image_grid(rows.clamp(0, 1), shape, 2 * len(chosen), axes["sheet"])
        axes["sheet"].set_title("images above their reconstructions, and samples from the prior")


def playground(
    data: str = "digits",
    *,
    latents: int = 4,
    sigma: float = 0.3,
    beta: float = 1.0,
    step_size: float = 0.003,
    seed: int = 0,
) -> Playground:
    """A small VAE that learns on the page: D-64-Z and back, tanh, a Gaussian decoder with a fixed sigma, Adam.

    The page carries 512 images of a data set (in blocks of pixels, where they are large) and trains on them itself:
    there is no model behind it. The arguments are where its controls begin; each is a trait, to read or to set. All
    live: the latent plane, reconstructions, samples, both terms of the bound in nats (the reconstruction is a
    log-likelihood, the KL a positive cost, their difference the ELBO), the KL of each latent, and the number of
    directions in use beside that of the best linear VAE: those along which the data vary by more than beta sigma^2
    (`vaelib.linear`).

    A setting beyond the range of its control is refused by its trait.

    Raises:
        ConfigError: images of more than one channel, or too large and of sides that no block divides.
    """
    found = load(data)
    chosen = np.random.default_rng(0).permutation(len(found))[:IMAGES]
    images = _small(found.images[chosen])
    labels = np.zeros(len(found), int) if found.labels is None else found.labels
    classes, firsts, members = np.unique(labels[chosen], return_index=True, return_inverse=True)
    examples = firsts[:SHOWN] if len(classes) > 1 else np.arange(SHOWN)
    height, width = images.shape[1:]
    spec = {
        "kind": "playground",
        "title": "Train a VAE in this page",
        "help": HELP.format(count=len(images), height=height, width=width),
        "still": STILL.format(sigma=sigma, beta=beta),
        "layout": "",
        "shape": (height, width),
        "eigenvalues": eigenvalues(images.reshape(len(images), -1) / 255).tolist(),
        "groups": [{"name": str(c), "colour": CLASS_COLOURS[i % 10]} for i, c in enumerate(classes)],
        "members": members.tolist(),
        "examples": examples.tolist(),
    }
    settings = {"latents": latents, "sigma": sigma, "beta": beta, "step_size": step_size, "seed": seed}
    return Playground(spec=spec, images=images.tobytes(), **settings)


def _small(images: np.ndarray) -> np.ndarray:
    """Grey images (N, H, W), averaged over the smallest square blocks that leave few enough pixels."""
    if images.ndim != 3:
        raise ConfigError(f"the playground trains on grey images, (N, H, W), not on {images.shape}")
    count, height, width = images.shape
    for side in range(1, min(height, width) + 1):
        if height % side == 0 and width % side == 0 and height * width // side**2 <= PIXELS:
            blocks = images.reshape(count, height // side, side, width // side, side)
            return np.rint(blocks.mean((2, 4))).astype(np.uint8)
    raise ConfigError(f"images of {height}x{width} cannot be averaged in square blocks to {PIXELS} pixels or fewer")
