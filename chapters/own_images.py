# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# (chapter-own-images)=
# # Use your own images
#
# A folder of pictures goes in; out come a trained model, a verdict on its health, new pictures, and sliders to explore
# what it has learned. All of it happens on this page, and the page takes any folder:
#
# ```bash
# papermill chapters/own_images.ipynb mine.ipynb -p dataset path/to/folder
# ```
#
# Open `mine.ipynb` afterwards: it is this page about your images. Nothing leaves your machine.

# %% tags=["parameters"]
dataset: str = "boats"  # "boats", a folder of images, an .npy or .npz
latent_dim: int = 10  # dimensions of z
epochs: int = 200  # passes over the data
seed: int = 0  # of the weights, the batches and the noise
size: str = "as they are"  # or resized and cut, such as "64x64"
colour: str = "auto"  # "auto": as the pictures are; "grey"; "rgb"

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown

import vaelib as vae
from vaebook import page
from vaelib import plots
from vaelib.data import cache_dir

page.parameters(
    globals(),
    at_least={"latent_dim": 1, "epochs": 1},
    choices={"colour": ("auto", "grey", "rgb")},
)
plots.use_style()

# %% [markdown]
# ## What may the pictures be?
#
# - **A folder of image files** of any kind that Pillow reads (`.png`, `.jpg`, `.tif` and many more). Sub-folders name
#   the classes of the pictures in them. Or one file: an `.npy` or `.npz` array of shape (N, H, W) or (N, H, W, 3),
#   which may hold `labels` too. A `.csv`, `.amat` or `.mat` with an image in each row will do as well, and so will an
#   IDX file or a stack of pages or frames.
# - **One size, or yours.** Nothing is cropped or stretched behind your back: pictures of mixed sizes stop the page with a line
#   that names two of them. Set `size` to "64x64", say, and each is resized to cover that and cut about its centre.
# - **Colour or grey.** Colours stay. Set `colour` to "grey" to look at the brightness alone.
# - **Many.** Twenty pictures show that it runs; a few thousand begin to look like something.
#
# If you have none at hand, the page draws some: 2,000 sailing boats of 24 by 32 pixels, in colour. They are neither square
# nor digits nor faces, which is the point. Five numbers make each picture: the hour of the day, the height of the sea, and the
# place, the size and the hue of the sail. A camera adds a little noise.

# %%
from colorsys import hsv_to_rgb

from PIL import Image, ImageDraw

SCALE = 4  # drawn so many times larger, then made small: soft edges
W, H = 32 * SCALE, 24 * SCALE


def shade(hue, saturation, value):
    return tuple(int(255 * c) for c in hsv_to_rgb(hue, saturation, value))


# %%
def sea_and_sky(hour, swell):
    light = 0.45 + 0.55 * hour
    evening, noon = shade(0.06, 0.5, light), shade(0.56, 0.45, light)
    sky = np.array(evening) + hour * (np.array(noon) - evening)
    picture = Image.new("RGB", (W, H), tuple(sky.astype(int)))
    level = H * (0.62 + swell / 8)
    draw = ImageDraw.Draw(picture)
    at = W * 0.2, H * (0.45 - 0.3 * hour)
    draw.circle(at, H / 10, fill=shade(0.13, 0.6, 1))
    draw.rectangle((0, level, W, H), fill=shade(0.58, 0.7, 0.6 * light))
    return picture, draw, level, light


# %%
def boat(random):
    hour, swell, place, near, hue = random.random(5)
    picture, draw, level, light = sea_and_sky(hour, swell)
    x, size = W * (0.35 + 0.3 * place), H * (0.18 + 0.1 * near)
    sail = [(0, -2.6), (0, -0.3), (1.3, -0.3)]
    hull = [(-1, -0.2), (1.3, -0.2), (0.8, 0.3), (-0.6, 0.3)]
    colours = shade(hue, 0.8, light), shade(0.07, 0.7, 0.5 * light)
    for shape, colour in zip((sail, hull), colours, strict=True):
        corners = [(x + size * a, level + size * b) for a, b in shape]
        draw.polygon(corners, colour)
    small = picture.resize((32, 24), Image.Resampling.BOX)
    return np.asarray(small) + random.normal(0, 2, (24, 32, 3))


# %%
def draw_boats(folder, count=2000):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = boat(random).round().clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    return str(folder)


# %%
if dataset == "boats":
    dataset = draw_boats(cache_dir() / "boats")

# %% tags=["remove-input"]
try:
    settings = {"name": dataset, "colour": colour}
    settings |= {} if size == "as they are" else {"size": size}
    data = vae.DataConfig(**settings)
except vae.ConfigError as error:
    raise page.ParameterError(str(error)) from None
images = page.load(data, images=20)
page.banner(images)

# %% tags=["hide-input"]
parts = images.split(None, 0)
train, held_back, test = (len(part) for part in parts)
height, width = images.shape[:2]
Markdown(
    f"There are **{len(images)} images** of {height} by {width} pixels: {train} to"
    f" learn from, {held_back} for validation, {test} for testing."
)

# %% mystnb={"figure": {"name": "fig-own-images", "caption": "Some of the images, as the model will see them: each channel of a pixel between 0 (black) and 1 (white)."}, "image": {"alt": "A grid of small images from the data set."}} tags=["hide-input"]
shown = np.linspace(0, len(images) - 1, 48).astype(int)
_, ax = plt.subplots(figsize=(7.2, 7.2 * 4 * (height + 1) / (12 * (width + 1))))
plots.image_grid(images.matrix(shown), images.shape, columns=12, ax=ax)
plt.show()

# %% [markdown]
# ## How do I train a model of them?
#
# With a few lines. A *recipe* has all the settings that the mathematics leaves open; {ref}`chapter-training` compares them.

# %%
from vaebook.experiments.recipes import faces_recipe

# %%
recipe = faces_recipe(
    "modern", data, latent_dim=latent_dim, seed=seed, epochs=epochs
)
run = vae.train(recipe)

# %% [markdown]
# The finished run lies in the {term}`run store`. The same lines bring it back at once the next time, and after an
# interruption they go on where they stopped. Other settings train another run beside it.
#
# `faces_recipe` is for pictures with real greys: its decoder is a Gaussian around each pixel, whose width sigma is learned.
# If yours are all but black and white, as scanned writing is, take `digits_recipe`, whose decoder is a Bernoulli.

# %% mystnb={"figure": {"name": "fig-own-loss", "caption": "The bound (ELBO) and its two terms during training: on the images learned from (dashed) and on the test images (solid). Where dashed and solid part, the model has begun to learn its images by heart; where the solid one turns down, more training does harm."}, "image": {"alt": "Three panels against epochs: ELBO, reconstruction term and KL, each for training and test images."}} tags=["hide-input"]
plots.loss_curves(run.history)
plt.show()

# %% [markdown]
# ## Is it healthy?

# %%
from vaelib.diagnosis import diagnose

diagnose(run)

# %% [markdown]
# The first line is the verdict; below it stand the measurements, and under them what is likely to be wrong and what to
# try, if anything.
#
# For the boats of the published page: no latent is idle, and the error on images held out is hardly larger than in training. So the
# model has learned boats, and not just these. "10 directions pay" says that all ten latents are worth their price ({doc}`pixels`). The
# advice is about sigma, which had not finished falling after 200 epochs. A longer training was not tried. With your
# own pictures, try what the verdict says, and bring more of them.
#
# ## Does it know its pictures?

# %% mystnb={"figure": {"name": "fig-own-reconstructions", "caption": "Test images, which the model has never seen (above), and what it makes of their codes (below)."}, "image": {"alt": "A row of test images and, below each, its reconstruction: sky, sun, sea, hull and sail come back, with soft edges."}} tags=["hide-input"]
x = torch.from_numpy(images.matrix(parts.test[:: max(1, test // 12)][:12]))
pairs = torch.cat([x, run.model.reconstruct(x)])
_, ax = plt.subplots(figsize=(7.2, 7.2 * 2 * (height + 1) / (12 * (width + 1))))
plots.image_grid(pairs.numpy(), images.shape, columns=len(x), ax=ax)
plt.show()

# %% [markdown]
# ## What new pictures does it draw?
#
# Draw codes, decode them. Where from is the question: the prior $\mathcal{N}(0, I)$ asks for codes that no picture has. So fit a
# mixture of Gaussians to the codes of your pictures, and draw from that. {doc}`06_sampling` says why, and {doc}`15_contest` what
# else was tried.

# %%
from vaelib.evaluation import aggregate_posterior

prepared = vae.prepare(data)
learned, held_out = (
    aggregate_posterior(run.model, torch.from_numpy(x))
    for x in (prepared.train, prepared.validation)
)
sizes = [k for k in (1, 2, 5, 10, 20, 40, 80) if 10 * k <= len(learned)]
fitted = vae.fit_mixture(learned, held_out, sizes)
mended = vae.with_prior(run.model, fitted.prior)
print(f"The mixture has {fitted.components} components.")

# %% mystnb={"figure": {"name": "fig-own-samples", "caption": "New images, decoded means without the decoder's noise. Upper half: codes from the prior N(0, I). Lower half: codes from the mixture."}, "image": {"alt": "A grid of images drawn by the model. In the upper half many are blends of several; in the lower half most are one clear picture."}} tags=["hide-input"]
start = torch.Generator().manual_seed
both = [m.sample(24, start(seed)) for m in (run.model, mended)]
made = torch.cat(both)
_, ax = plt.subplots(figsize=(7.2, 7.2 * 4 * (height + 1) / (12 * (width + 1))))
plots.image_grid(made.numpy(), images.shape, columns=12, ax=ax)
plt.show()

# %% [markdown]
# ## What has it learned to change?
#
# One slider for each latent, those that carry most first. They work on the published page too: the decoder runs in your
# browser.

# %%
from vaebook import explorers

explorers.latent_sliders(run)

# %% [markdown]
# ## What next?
#
# - **Blurred?** A mean over all that a code leaves open is blurred by nature. More pictures and a wider model help; see
#   {ref}`chapter-training` for what to expect of which recipe.
# - **All alike?** Then the latents have collapsed. The verdict above names the likely cause.
# - **Other settings?** Every line of the parameters above can be set from the command line:
#   `papermill ... -p latent_dim 5 -p epochs 2000`. Without a notebook, on many settings at once:
#   `vaebook sweep --recipe modern --data.name path/to/folder --model.likelihood.name gaussian --grid model.latent_dim=5,20`
#   (for a folder it starts from `digits_recipe`; what you name goes on top).
