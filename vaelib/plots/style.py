"""Colours with names, and the one style of every figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

__all__ = ["CLASS_COLOURS", "COLOURS", "DATA_COLOURS", "INK", "PAPER", "STYLE_FILE", "use_style"]

STYLE_FILE = Path(__file__).parent.parent / "vaelib.mplstyle"

PAPER = "#FBFAF6"
INK = "#2B2B2B"

COLOURS = {
    "indigo": "#332288",
    "rose": "#CC6677",
    "teal": "#44AA99",
    "olive": "#999933",
    "wine": "#882255",
    "cyan": "#88CCEE",
    "green": "#117733",
    "purple": "#AA4499",
}
"""Paul Tol's "muted" scheme in the order of the style's colour cycle; safe for colour-blind readers."""

DATA_COLOURS = {
    "mnist": COLOURS["indigo"],
    "frey": COLOURS["rose"],
    "digits": COLOURS["teal"],
    "toyfaces": COLOURS["olive"],
}
"""One colour for each data set, the same in every chapter."""

CLASS_COLOURS = (*COLOURS.values(), "#DDCC77", "#555555")
"""Ten colours for ten classes."""


def use_style() -> None:
    """Makes every figure from here on look like the book's (`vaelib/vaelib.mplstyle`)."""
    plt.style.use(STYLE_FILE)
