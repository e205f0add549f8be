"""Machine: a whole VAE at work on one image, with the number behind each of its symbols."""

from collections.abc import Sequence

import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from vaebook.explorers.base import packed
from vaebook.explorers.draw import Draw, network_spec
from vaebook.explorers.plane import draw_plane, plane_spec
from vaelib.plots import INK, image_grid
from vaelib.runs import Run, data_of

__all__ = ["Machine", "machine"]


class Machine(Draw):
    """See `machine`."""

    points = packed()
    epsilon = traitlets.List(traitlets.CFloat()).tag(sync=True)
    z = traitlets.List(traitlets.CFloat()).tag(sync=True)

    @torch.no_grad()
    def draw_on(self, figure: Figure) -> None:
        image, plane, picture = figure.subplots(1, 3, width_ratios=(1, 1.6, 1))
        model, x = self.run.model, torch.from_numpy(self.pixels.reshape(1, -1))
        mean, log_var = model.encode(x)
        sigma = torch.exp(0.5 * log_var)
        z = mean + sigma * torch.tensor([self.epsilon])
        draw_plane(plane, self.spec, self.points)
        for width in (1, 2):
            ellipse = Ellipse(mean[0].tolist(), *(2 * width * sigma[0]).tolist(), fill=False, color=INK, linewidth=1.5)
            plane.add_patch(ellipse)
        plane.plot(*z[0].tolist(), "+", color=INK, markersize=10, markeredgewidth=1.5)
        plane.set_title("q(z|x), and a draw z from it")
        image_grid(x, self.spec["shape"], 1, image).set_title("image x")
        image_grid(model.mean_image(z), self.spec["shape"], 1, picture).set_title("picture E[x|z]")


def machine(run: Run, images: Sequence[int] | None = None) -> Machine:
    """A picture of a VAE with two latents at work: the image, q(z|x) as an ellipse on the plane, z, the picture of z.

    The image is drawn, or one of those at the indices `images` of the data set. Below the picture stands the code, line
    by line, each with its value; a line and its part of the picture light up together. In Python: `pixels` is the image
    and `epsilon` the noise (2 numbers), to read or to set; `mean`, `sigma`, `z`, `reconstruction` and `kl` (nats, both
    of this one draw) are what the page found.

    Raises:
        ConfigError: the run does not have two latents, or what `draw` raises.
    """
    prepared = data_of(run)
    plane, points, _ = plane_spec(run, prepared)
    spec, stored = network_spec(run, prepared, images, "machine")
    return Machine(run=run, spec={**spec, **plane}, points=points, epsilon=[1.0, -1.0], **stored)
