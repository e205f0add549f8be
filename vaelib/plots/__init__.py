"""The book's figures: functions that take arrays and an `ax`, draw, and return the `ax`.

None of them trains, loads or samples. An `ax` of None makes a new figure, whose size is then chosen so that every pixel
of an image becomes a whole number of pixels on the page. Bad shapes raise a ValueError of one line.
"""

from vaelib.plots.curves import loss_curves, scatter_latents, spectrum, spread
from vaelib.plots.effects import cell_map, main_effects
from vaelib.plots.images import canvas, image_grid, latent_grid, manifold_grid, reconstructions
from vaelib.plots.style import CLASS_COLOURS, COLOURS, DATA_COLOURS, INK, PAPER, use_style
from vaelib.plots.sweeps import against_latents, kl_profile, named_rows, size_colours

__all__ = [
    "CLASS_COLOURS",
    "COLOURS",
    "DATA_COLOURS",
    "INK",
    "PAPER",
    "against_latents",
    "canvas",
    "cell_map",
    "image_grid",
    "kl_profile",
    "latent_grid",
    "loss_curves",
    "main_effects",
    "manifold_grid",
    "named_rows",
    "reconstructions",
    "scatter_latents",
    "size_colours",
    "spectrum",
    "spread",
    "use_style",
]
