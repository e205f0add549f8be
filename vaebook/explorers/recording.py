"""Recording: a training to scrub through, from the untrained model on."""

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vaebook.explorers.base import Explorer, as_bytes, card, packed
from vaelib.config import ConfigError
from vaelib.data import Prepared
from vaelib.models import VAE
from vaelib.objectives import elbo
from vaelib.plots import COLOURS, INK, image_grid

__all__ = ["Camera", "Recording", "moments", "recording"]

COLUMNS, ROWS = 8, 3  # of pictures: test images, their reconstructions, samples
JUDGED = 1000  # test images of which the bound is the mean
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8)


def moments(last: int) -> list[int]:
    """Round numbers of steps from 0 to `last`, more of them early, when more happens."""
    decades = 10.0 ** np.arange(1 + len(str(last)))
    steps = {int(number * decade) for decade in decades for number in ROUND if number * decade < last}
    return sorted(steps | {0, last})


class Camera:
    """Takes pictures of a model while it learns: at each `take` reconstructions of the first eight test images, samples
    from the first eight rows of z (n, Z), and the bound and its terms, nats, as means over a thousand test images.

    It draws from a generator of its own, the same at each moment: a training that it watches goes on as without it.
    """

    def __init__(self, prepared: Prepared, z: Tensor) -> None:
        self.prepared, self.x, self.z = prepared, torch.from_numpy(prepared.test[:JUDGED]), z[:COLUMNS]
        self.moments: list[dict[str, float]] = []
        self.pictures: list[Tensor] = []

    @torch.no_grad()
    def take(self, model: VAE, step: int) -> None:
        """Adds the model's present state, after so many steps."""
        terms = elbo(model, self.x, generator=torch.Generator().manual_seed(0))
        self.moments.append({"step": step, **{name: term.mean().item() for name, term in terms._asdict().items()}})
        self.pictures += [model.reconstruct(self.x[:COLUMNS]), model.mean_image(self.z)]


class Recording(Explorer):
    """See `recording`."""

    originals, pictures = packed(), packed()
    index = traitlets.Int(0).tag(sync=True)
    last = property(lambda self: len(self.spec["moments"]) - 1)

    @property
    def step(self) -> int:
        """After how many steps the moment is that it shows."""
        return int(self.spec["moments"][self.index]["step"])

    def draw_on(self, figure: Figure) -> None:
        moment = self.spec["moments"][self.index]
        axes = figure.subplot_mosaic([["bound", "sheet"], ["kl", "sheet"]], height_ratios=(1.6, 1))
        steps = [one["step"] for one in self.spec["moments"]]
        for place, name, colour in (
            ("bound", "reconstruction", "rose"),
            ("bound", "elbo", "indigo"),
            ("kl", "kl", "rose"),
        ):
            label = {"elbo": "ELBO", "kl": "KL"}.get(name, name)
            axes[place].plot(steps, [one[name] for one in self.spec["moments"]], color=COLOURS[colour], label=label)
            axes[place].plot(moment["step"], moment[name], "o", color=COLOURS[colour])
        for name, level in self.spec["levels"].items():
            axes["bound"].axhline(level, color=INK, linestyle="--", linewidth=0.8, label=name)
        for place in ("bound", "kl"):
            axes[place].axvline(moment["step"], color=INK, linewidth=0.8)
            axes[place].set_xscale("symlog", linthresh=1)
            axes[place].set_xlim(0, steps[-1])
        axes["bound"].set(ylabel="nats")
        axes["bound"].legend(loc="lower right", frameon=True, framealpha=1, edgecolor="none")
        axes["kl"].set(xlabel="steps", ylabel="KL (nats)")
        stored = np.frombuffer(self.pictures, np.uint8).reshape(len(steps), -1)[self.index]
        images = np.concatenate([np.frombuffer(self.originals, np.uint8), stored]).reshape(ROWS * COLUMNS, -1)
        image_grid(images, self.spec["shape"], COLUMNS, axes["sheet"]).set_title(f"after {moment['step']:,} steps")


def recording(camera: Camera, levels: dict[str, float] | None = None) -> Recording:
    """The moments that a camera took, on a slider and to play. `index` is the moment shown, `step` its number of steps.

    Each shows test images, their reconstructions, samples from the same z, and the ELBO, the reconstruction term and
    the KL, with a mark on the curves. All of it is stored, the pictures in 256 grey levels: the page computes nothing.
    `levels` are bounds, nats, to draw as lines, by name.

    Raises:
        ConfigError: fewer than two moments.
    """
    if len(camera.moments) < 2:
        raise ConfigError(f"a recording needs two moments or more; the camera took {len(camera.moments)}")
    prepared = camera.prepared
    height, width = prepared.data.shape[:2]
    ratio = round((ROWS * (height + 1) + 2) / (COLUMNS * (width + 1) - 1), 3)
    spec: dict[str, Any] = {
        **card("recording", prepared, {"sheet": ratio}, count=f"{len(camera.x):,}"),
        "sheet": {"columns": COLUMNS, "rows": ROWS},
        "moments": camera.moments,
        "levels": levels or {},
    }
    stored = {"originals": as_bytes(camera.x[:COLUMNS]), "pictures": as_bytes(torch.cat(camera.pictures))}
    return Recording(spec=spec, index=len(camera.moments) // 2, **stored)
