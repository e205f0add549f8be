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
# (chapter-data)=
# # Data: two sets of pictures
#
# Everything in this book is learned from two sets of small grey pictures: handwritten digits, and the frames of a film of
# one man's face. Before any model we look at them, because four facts about these pictures decide what the models of the
# later chapters can and cannot do:
#
# 1. Digits are nearly black and white, faces are grey all over. That decides how a model should score a pixel.
# 2. A model of grey digits pays a price that no model can avoid. That decides which loss to expect.
# 3. The frames of a film are not independent pictures. That decides how to split it, and how far to trust a good
#    result.
# 4. The man puts out his tongue in a few frames only. Later chapters ask why models do not draw that.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can say what a pixel is to a model, which loss is a good one, and how to split a film.
# - **You need** arrays in Python, and the words mean and variance. No model is trained here.
# - **Time.** Half an hour to read.
# :::
#
# The chapter runs on other pictures too: `papermill chapters/01_data.ipynb mine.ipynb -p dataset digits`.

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
examples: int = 6  # pictures of each class
seed: int = 0  # of binarisation and of the random split
splits: int = 10  # random splits to measure the leak on; seeds from seed on

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
import pandas as pd
from IPython.display import Markdown

from vaebook import figures, page
from vaelib import plots
from vaelib.data import load

page.parameters(globals(), at_least={"examples": 1, "seed": 0, "splits": 1})
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()


def rows_named(ax, names, height):
    """Writes a name beside each row of a grid of pictures."""
    ax.set_yticks(
        [i * (height + 1) + height / 2 for i in range(len(names))], list(names)
    )


# %% tags=["remove-input"]
digit_set, face_set = page.load(dataset, grey=True), page.load(faces, grey=True)
titles = {"mnist": "MNIST", "frey": "Frey Faces"}
digits_title = titles.get(digit_set.name, digit_set.name)
faces_title = titles.get(face_set.name, face_set.name)
page.banner(digit_set, face_set)

# %% [markdown]
# ## What is a picture, to a computer?
#
# A table of numbers. A grey picture has one number per *pixel*, and a set of pictures is a stack of such tables, an array.

# %%
images, film = load(dataset), load(faces)
pd.DataFrame(
    {
        "pictures": [len(images), len(film)],
        "height x width": [f"{h} x {w}" for h, w, *_ in (images.shape, film.shape)],
        "type of a pixel": [images.images.dtype, film.images.dtype],
        "megabytes": [round(d.images.nbytes / 1e6, 1) for d in (images, film)],
    },
    index=[images.name, film.name],
)

# %% [markdown]
# MNIST {cite:p}`lecun1998` holds digits that high-school students and clerks of the census wrote by hand. Frey Faces
# {cite:p}`roweis2000` is a film of Brendan Frey, frame by frame in order. The type `uint8` is a whole number from 0 (black)
# to 255 (white). Here are some pixels from the middle of the first digit, as numbers:

# %%
middle = images.shape[0] // 2
images.images[0, middle - 4 : middle + 4, middle - 4 : middle + 4]

# %% [markdown]
# Models want two things changed. A picture becomes one long row, because our networks take vectors: row after row of
# pixels, $D$ = height x width of them. And grey levels go from 0 to 1 instead of 0 to 255, so that they can be compared
# with the outputs of a *sigmoid*, a function whose values lie between 0 and 1:

# %%
parts = images.split("60000/10000" if dataset == "mnist" else None, seed)
x, x_test = (
    images.matrix(parts.train),
    images.matrix(parts.test),
)  # (N, D), / 255
frames = film.matrix()
print(
    f"{len(x)} rows of {x.shape[1]} pixels, {x.dtype}, from {x.min()} to {x.max()}"
)

# %% [markdown]
# `split` hands out the rows of the training and of the test pictures. MNIST comes with its own, 60,000 and 10,000. How to
# split a film is a question of its own, [further down](data-split).
#
# ## What do the digits look like?

# %% mystnb={"figure": {"name": "fig-data-classes", "caption": "The first few digits of each class, with the number of pictures of that class above. People write one digit in several ways: look for a 7 with and without a bar, and a 2 with and without a loop. The classes are about equally frequent."}, "image": {"alt": "A grid of handwritten digits, white on black: ten columns for the classes 0 to 9, six examples in each. Above each column stands its class and how many pictures it has, between six and eight thousand."}} tags=["hide-input"]
labels = np.zeros(len(images), int) if images.labels is None else images.labels
classes, counts = np.unique(labels, return_counts=True)
shown = min(examples, counts.min())
rows = np.stack(
    [np.flatnonzero(labels == c)[:shown] for c in classes], axis=1
)  # (examples, classes)
ax = plots.image_grid(images.images[rows.ravel()], columns=len(classes))
centres = (
    np.arange(len(classes)) * (images.shape[1] + 1) + images.shape[1] / 2 - 0.5
)
ax.set_xticks(
    centres, [f"{c}\n{n:,}" for c, n in zip(classes, counts, strict=True)]
)
ax.xaxis.tick_top()
plt.show()

# %% [markdown]
# Labels are for looking only: a variational autoencoder learns from the pictures alone, and never sees which digit it is.
#
# ## Which pixels vary?
#
# For each pixel, take its mean over all pictures and its *variance*, the mean squared distance from that mean. Both are
# pictures again.

# %%
mean, variance = x.mean(axis=0), x.var(axis=0)  # (D,)
face_mean, face_variance = frames.mean(axis=0), frames.var(axis=0)

# %% mystnb={"figure": {"name": "fig-data-moments", "caption": "The mean and the variance of each pixel over all training digits (left) and over all frames of the film (right). The mean digit is a blob that resembles no digit; the mean face is a face. Digits vary wherever strokes may pass, the film most along the outline of the head, then around the nose and the mouth, and at the eyes and brows. The colour bars differ: the digits' pixels vary several times as much."}, "image": {"alt": "Four pictures with colour bars. A blurred round blob, the mean digit; its variance, a blob that is bright almost everywhere. A slightly blurred face, the mean frame; its variance, dark except along both sides of the head and, weaker, around nose and mouth and at the eyes."}} tags=["hide-input"]
panels = [
    (f"{digits_title}: mean", mean, images, 1.0),
    ("variance", variance, images, variance.max()),
    (f"{faces_title}: mean", face_mean, film, 1.0),
    ("variance", face_variance, film, face_variance.max()),
]
widths = [data.shape[1] / data.shape[0] for _, _, data, _ in panels]
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.9), width_ratios=widths)
for ax, (title, values, data, top) in zip(axes, panels, strict=True):
    picture = ax.imshow(
        values.reshape(data.shape),
        cmap="gray" if "mean" in title else "magma",
        vmin=0,
        vmax=top,
    )
    ax.set(title=title, xticks=[], yticks=[])
    figure.colorbar(picture, ax=ax, location="bottom", shrink=0.9, aspect=14)
plt.show()

# %% [markdown]
# A mean picture is also the simplest "model" there is: whatever you are asked to draw, draw the mean. A model falls
# back to it when it has learned nothing about the single picture. You will see this face again in [the chapter on
# training](chapter-training).
#
# ## How grey are the pixels?

# %% mystnb={"figure": {"name": "fig-data-grey", "caption": "How often each grey level occurs, on a logarithmic axis. Digits have two spikes, at black and just below white. Each level in between is rare, but together they are about as many as the nearly white ones: the borders of the strokes. Faces are grey all over, with neither black nor white."}, "image": {"alt": "Share of pixels against grey level from 0 to 1. The digits' curve has a tall spike at 0, a lower one near 1 and a flat valley between. The faces' curve is a broad hill that reaches neither 0 nor 1, with a bump near 0.9."}} tags=["hide-input"]
figure, ax = plt.subplots()
pixels = (
    (digits_title, images, images.images[parts.train]),
    (faces_title, film, film.images),
)
for title, data, levels in pixels:
    frequency = np.bincount(levels.ravel(), minlength=256) / levels.size
    used = np.flatnonzero(frequency)
    ax.plot(
        used / 255,
        frequency[used],
        label=title,
        color=plots.DATA_COLOURS.get(data.name),
    )
ax.set(
    xlabel="grey level (0 black, 1 white)",
    ylabel="share of all pixels",
    yscale="log",
)
ax.legend()
plt.show()


# %% tags=["hide-input"]
def share(condition):
    return f"{np.mean(condition):.1%}"


ink = x[x > 0]
Markdown(
    f"Of all training pixels of {digits_title}, {share(x == 0)} are black (exactly 0) and {share(x == 1)} are white "
    f"(exactly 1). The other {share((x > 0) & (x < 1))} are strictly between. Most are black because most of a picture is empty. Of "
    f"the pixels with any ink, {np.mean(ink > 0.9):.0%} are nearly white (above 0.9) and "
    f"{np.mean((ink > 0.1) & (ink < 0.9)):.0%} a proper grey (0.1 to 0.9). In {faces_title} "
    f"{np.mean((film.images > 0) & (film.images < 255)):.0%} of the pixels are strictly grey; of the levels 0 to 255, the "
    f"darkest there is {film.images.min()} and the brightest {film.images.max()}."
)

# %% [markdown]
# (data-bernoulli)=
# ## Are grey pixels coin tosses?
#
# Nearly, for digits; not at all for faces. The usual model of MNIST, the report's included, treats each pixel as a *Bernoulli variable*, a coin that shows 1 (white)
# with some probability $p$ and 0 (black) otherwise. Such a coin has the mean $p$, and its variance is fixed by that:
#
# $$
# \mathrm{Var}(x) = p \, (1 - p).
# $$ (eq-coin-variance)
#
# So we can test the idea: for each pixel, compare the variance that it has with the one that a coin of the same mean would
# have. As a check we *binarise* the digits, that is, replace each grey pixel by the toss of a coin with that probability:

# %%
from vaelib.data import binarise

binary = binarise(x, seed)  # 0 or 1

# %% tags=["nbval-check-output"]
p = binary.mean(axis=0, dtype=float)
np.allclose(binary.var(axis=0, dtype=float), p * (1 - p))

# %% mystnb={"figure": {"name": "fig-data-bernoulli", "caption": "Each dot is a pixel: its mean over all pictures and its variance. The line is the variance of a coin. Binarised digits lie on it, as they must. Grey digits lie somewhat below; faces lie far below, because a pixel that is always about 0.6 is nothing like a coin that shows 1 in 60% of its tosses."}, "image": {"alt": "Three panels of variance against mean, each with the same parabola from 0 over 0.25 at mean one half back to 0. Grey digits: dots in an arc below the parabola. Binarised digits: dots exactly on it. Faces: dots near the bottom of the panel."}} tags=["hide-input"]
panels = [
    (f"{digits_title}, grey", images, mean, variance),
    (f"{digits_title}, binarised", images, p, binary.var(0, dtype=float)),
    (faces_title, film, face_mean, face_variance),
]
_, axes = plt.subplots(1, 3, figsize=(7.2, 2.8), sharey=True)
grid = np.linspace(0, 1, 200)
for ax, (title, data, means, variances) in zip(axes, panels, strict=True):
    ax.plot(
        grid, grid * (1 - grid), color=plots.INK, linewidth=1, label="$p(1-p)$"
    )
    ax.scatter(
        means,
        variances,
        s=5,
        color=plots.DATA_COLOURS.get(data.name),
        alpha=0.7,
    )
    ax.set(title=title, xlabel="mean of the pixel")
axes[0].set_ylabel("variance of the pixel")
axes[0].legend(loc="lower center")
plt.show()

# %% tags=["hide-input"]
coin, face_coin = (np.sum(m * (1 - m)) for m in (mean, face_mean))
Markdown(
    f"Added up over all pixels, {digits_title} has {variance.sum() / coin:.0%} of the variance that coins would have, and "
    f"{faces_title} has {face_variance.sum() / face_coin:.0%}. Grey pixels in [0, 1] can never lie above the line (an exercise), "
    "and only pixels that are always 0 or 1 lie on it."
)

# %% [markdown]
# So a Bernoulli model suits {term}`binarised <binarisation>` digits, is a stretch for grey ones, and is wrong for
# faces, which get a *Gaussian* model instead: a mean for each pixel and a spread around it. {cite:t}`loaiza2019` call
# the Bernoulli model of grey pixels a pervasive error. It is so usual that we use it as well, to compare our numbers
# with everybody else's. [The chapter on pixels](chapter-pixels) says what it still means.
#
# (data-floor)=
# ## What loss can no model go below?
#
# The entropy of the grey pixels, read as coins: 45.5 nats a digit on MNIST. A Bernoulli model says $y$ for a pixel, the probability of white, and pays the *cross-entropy*
#
# $$
# C(x, y) = -x \log y - (1 - x) \log (1 - y)
# $$ (eq-cross-entropy)
#
# in *nats*, the unit of natural logarithms. If $x$ is 0 or 1, saying $y = x$ costs nothing. If $x$ is grey, it is still
# best to say $y = x$, as the derivative of $C$ by $y$ is zero there. But it costs $C(x, x)$, which is not zero, and no
# other answer costs less. The sum of $C(x, x)$ over the pixels is the *floor* of a picture.

# %%
from scipy.special import entr, xlogy  # entr(x) = -x log x, and 0 at x = 0


def cross_entropy(x, y):
    return -(xlogy(x, y) + xlogy(1 - x, 1 - y)).sum(axis=-1)  # nats per picture


floor = (entr(x_test) + entr(1 - x_test)).sum(axis=-1)  # C(x, x)

# %% mystnb={"figure": {"name": "fig-data-floor", "caption": "Left: what a model pays for one pixel when it says y. The best answer is y = x, marked by dots; for a grey pixel it is not free. Right: the floors of the test pictures, each a sum over pixels when every answer is the best. No model gets below its picture's floor."}, "image": {"alt": "Left: three curves of cost in nats against y, for x = 0, 0.2 and 0.5, with minima at 0, 0.5 and 0.69 nats. Right: histogram of the lowest possible loss of the test pictures, a broad hill around its mean, which is marked by a line, and a small one near 25."}} tags=["hide-input"]
_, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
y = 1 / (1 + np.exp(-np.linspace(-14, 14, 400)))
for level in (0.0, 0.2, 0.5):
    cost = cross_entropy(np.full((400, 1), level), y[:, None])
    (line,) = left.plot(y, cost, label=f"x = {level:g}")
    least = entr(level) + entr(1 - level)
    left.plot(level, least, "o", color=line.get_color(), clip_on=False)
left.set(xlabel="the model's answer $y$", ylabel="cost of one pixel (nats)")
left.set_ylim(0, 2.5)
left.legend()
right.hist(floor, bins=60, color=plots.DATA_COLOURS.get(images.name))
label = f"mean {floor.mean():.1f}"
right.axvline(floor.mean(), color=plots.COLOURS["rose"], ls="--", label=label)
right.set(xlabel="lowest possible loss (nats)", ylabel="test pictures")
right.legend()
plt.show()

# %% [markdown]
# Two more numbers give the scale. Keep all three in mind when you watch a loss fall. A model that knows nothing says
# $y = 1/2$ for every pixel. A model that knows only the mean picture, and treats the pixels as independent coins, says
# each pixel's mean:

# %%
coins = np.clip(
    mean, 1e-4, 1 - 1e-4
)  # what was always black may yet be grey in a test
losses = {
    "knows nothing: y = 1/2": cross_entropy(x_test, np.full_like(mean, 0.5)),
    "knows each pixel's mean": cross_entropy(x_test, coins),
    "knows the picture: y = x, the floor": floor,
}
losses = {name: float(loss.mean()) for name, loss in losses.items()}
pd.DataFrame({"test loss (nats per picture)": losses}).round(1)

# %% tags=["hide-input"]
start, independent, best = losses.values()
easiest = min(classes, key=lambda c: floor[labels[parts.test] == c].mean())
easily = floor[labels[parts.test] == easiest].mean()
Markdown(
    f"So a loss starts near {start:.0f} nats. Any model worth its name ends below {independent:.0f}, and none can end below "
    f"**{best:.1f}**. A loss of, say, {best + 50:.1f} nats is 50 nats above the floor. These 50 nats are what models "
    f"compete for. The floor differs from picture to picture, from {floor.min():.1f} to {floor.max():.1f} nats. It is mostly "
    "the border of the strokes that is grey: as a rule, the more outline, the higher. The cheapest class is "
    f"{easiest} with {easily:.1f} nats on average."
)

# %% [markdown]
# ## Binarise once, or again and again?
#
# Either will do, but say which: their results must not be mixed. Many papers binarise to avoid grey pixels, in one of
# two ways:
#
# - **Static**: toss the coins once, and keep the result as the data set {cite:p}`salakhutdinov2008,larochelle2011`.
# - **Dynamic**: toss them anew each time a picture is used. A model sees each digit in ever new noise, cannot learn
#   the noise by heart, and so does better. {cite:t}`burda2016` report 86.76 nats on test digits for a model that gets
#   88.71 when training and test digits are static.

# %% mystnb={"figure": {"name": "fig-data-binarised", "caption": "Digits, three binarisations of each, and the mean of 100 binarisations, which is the grey digit again. Static binarisation stops after one row; dynamic binarisation never repeats one. The coins differ at the borders of the strokes only."}, "image": {"alt": "Five rows of the same digits: grey; three rows of black and white versions that differ in ragged edges; and their mean over 100 versions, which looks like the grey row."}} tags=["hide-input"]
some = x_test[:12]
tossed = {
    f"binarised, seed {seed + i}": binarise(some, seed + i) for i in range(3)
}
average = np.mean([binarise(some, seed + i) for i in range(100)], axis=0)
rows = {"grey": some, **tossed, "mean of 100": average}
ax = plots.image_grid(
    np.concatenate(list(rows.values())), images.shape, columns=len(some)
)
rows_named(ax, rows, images.shape[0])
plt.show()

# %% tags=["hide-input"]
binary_loss = cross_entropy(binarise(x_test, seed), coins).mean()
Markdown(
    "Binarising does not lower the floor. The cross-entropy is linear in the grey level, so a model whose answer does not depend on "
    "the tosses pays on average over them "
    f"what it pays for the grey picture. The model of means above pays {binary_loss:.1f} nats for binarised test pictures and "
    f"{independent:.1f} for grey ones. Nobody can foresee the tosses, and their own uncertainty, the *entropy* of the coins, "
    f"is the same {best:.1f} nats. (A model that sees the tosses, as an encoder does, can repeat them for nothing. But it must "
    "then pay for what its code tells of them. That is the KL, which the chapter on the model derives.)"
)

# %% [markdown]
# This book binarises only where it says so.
#
# (data-pca)=
# ## In how many directions do the pictures vary?
#
# In a few dozen, for the most part: the faces in half as many as the digits. *Principal component analysis* (PCA) finds the direction in pixel space along which the pictures vary most, then the best
# one at right angles to it, and so on. Each direction has a variance, its *eigenvalue*; all of them add up to the variance
# of all pixels. Eigenvalues are in squared grey levels, with grey from 0 to 1.


# %%
def eigenvalues(rows):
    return np.linalg.eigvalsh(np.cov(rows.T))[::-1]  # largest first


digit_values, face_values = eigenvalues(x), eigenvalues(frames)
names = [images.name, film.name]
pd.DataFrame([digit_values[:8], face_values[:8]], names, range(1, 9)).round(2)

# %% [markdown]
# Most models of faces in this book have 20 latents. So the 20th eigenvalue of the film will matter, or rather its root, the
# standard deviation along that direction:

# %%
root = np.sqrt(face_values[19])
twenty = np.floor(100 * root) / 100  # so that 20 directions lie above it
print(f"root of the 20th: {root:.3f}; below it, to two digits: {twenty}")

# %% mystnb={"figure": {"name": "fig-data-spectrum", "caption": "Left: the variance along each principal component, largest first. The dotted lines are sigma squared for a sigma of 1, and for the largest that leaves 20 directions of the faces; a linear model uses only the directions above its line. Right: the share of all variance in the first so many components. For nine tenths of their variance the faces need about half as many directions as the digits."}, "image": {"alt": "Left: eigenvalues falling on a logarithmic axis over 100 components, digits above faces; horizontal lines at 1 and at about 0.05; the faces' curve is above the first only at its start. Right: cumulative shares that rise towards 1, faces faster than digits."}} tags=["hide-input"]
_, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
for name, values in ((digits_title, digit_values), (faces_title, face_values)):
    figures.spectrum(values[:100], left, label=name)
    cumulative = np.concatenate([[0], np.cumsum(values) / values.sum()])
    right.plot(cumulative[:101], label=name)
for ax in (left, right):
    for line, data in zip(ax.lines, (images, film), strict=True):
        line.set_color(plots.DATA_COLOURS.get(data.name, line.get_color()))
for sigma in (1, twenty):
    left.axhline(sigma**2, color=plots.INK, linewidth=0.9, linestyle=":")
    left.text(104, sigma**2, f"$\\sigma = {sigma}$", va="bottom")
left.set(
    ylabel="variance (squared grey levels)",
    xlim=(-3, 140),
    ylim=(1e-3, None),
    xticks=range(0, 101, 25),
)
right.set(
    xlabel="principal components",
    ylabel="share of all variance",
    ylim=(0, 1.02),
)
right.legend(loc="lower right")
plt.show()


# %% tags=["hide-input"]
def components_for(values, share):
    return int(np.searchsorted(np.cumsum(values) / values.sum(), share) + 1)


Markdown(
    f"Nine tenths of the variance lie in {components_for(face_values, 0.9)} of {len(face_values)} directions for "
    f"{faces_title}, and in {components_for(digit_values, 0.9)} of {len(digit_values)} for {digits_title}."
)

# %% [markdown]
# Why does a book on autoencoders care? The Gaussian model of the faces has a spread, $\sigma$: how far a pixel may be from
# the model's answer. [The chapter on pixels](chapter-pixels) shows, after {cite:t}`tipping1999` and {cite:t}`lucas2019`, that a linear
# model uses a direction only if its variance exceeds $\sigma^2$. Whatever varies less is taken for noise and given up. So
# we can already count how many directions each choice of $\sigma$ leaves to such a model. The middle one is that of the
# 20th direction, from above:

# %%
sigmas = [1, 0.5, twenty, 0.1, 0.05]
kept = [
    [sum(v > sigma**2) for sigma in sigmas] for v in (digit_values, face_values)
]
pd.DataFrame(kept, names, [f"sigma = {sigma}" for sigma in sigmas])

# %% tags=["hide-input"]
Markdown(
    "Take a sigma of 1, which is what half a plain sum of squared errors amounts to. Of the "
    f"{len(face_values)} directions of {faces_title}, the number left is **{kept[1][0]}**. This foreshadows the "
    "collapse that the report met."
)

# %% [markdown]
# (data-film)=
# ## What is in the film?

# %% mystnb={"figure": {"name": "fig-data-film", "caption": "Frames of the film in order, equally spaced, row by row; numbers at the left count frames from 0. He looks serious, smiles, frowns, turns his head, shuts an eye. In three places he puts out his tongue."}, "image": {"alt": "Eight rows of fourteen small pictures of a man's face, from the first frame of the film to the last. Expressions come in stretches: serious in the first rows, smiling in the middle ones, frowning in the last."}} tags=["hide-input"]
columns = 14
chosen = np.linspace(0, len(film) - 1, 8 * columns).round().astype(int)
ax = plots.image_grid(film.images[chosen], columns=columns)
height, width = film.shape[:2]
rows_named(ax, chosen[::columns], height)
ax.set_ylabel("first frame of the row")
plt.show()

# %% [markdown]
# How much changes from one frame to the next? As a measure take the squared distance, the sum over all pixels of the
# squared difference in grey, in the same units as the eigenvalues.

# %%
step = np.square(np.diff(frames, axis=0)).sum(
    axis=1
)  # from frame t to frame t + 1
jumps = np.sort(np.argsort(step)[-10:])  # the ten largest

# %% mystnb={"figure": {"name": "fig-data-steps", "caption": "The squared distance from each frame to the next along the film. The dashed line is the median of these, the dotted line the median distance between two frames taken anywhere. The ten largest jumps are marked, and shown in the next figure."}, "image": {"alt": "A jagged line against the frame number. Most steps lie well below the dotted line, with many spikes; the ten tallest spikes are marked and exceed it."}} tags=["hide-input"]
random = np.random.default_rng(seed)
pairs = random.choice(len(frames), (2, 20_000))
anywhere = np.median(np.square(frames[pairs[0]] - frames[pairs[1]]).sum(axis=1))
_, ax = plt.subplots(figsize=(7.2, 2.8))
ax.plot(step, linewidth=0.6, color=plots.DATA_COLOURS.get(film.name))
ax.plot(jumps, step[jumps], "o", color=plots.INK, markersize=3.5)
for level, style, name in (
    (np.median(step), "--", "median step"),
    (anywhere, ":", "median of any two frames"),
):
    ax.axhline(level, color=plots.INK, linestyle=style, linewidth=1, label=name)
ax.set(
    xlabel="frame",
    ylabel="squared distance\nto the next frame",
    xlim=(0, len(frames)),
    ylim=(0, 1.3 * step.max()),
)
ax.legend(loc="upper left", ncols=2)
plt.show()

# %% mystnb={"figure": {"name": "fig-data-jumps", "caption": "The frames before (above) and after (below) the ten largest jumps, with the number of the frame before. In most pairs the expression stays and what jumps is the size or the place of the face: the window that was cut out around it has moved."}, "image": {"alt": "Two rows of ten pictures of the face. In most pairs the lower picture shows the same expression as the upper one, but larger, smaller or shifted."}} tags=["hide-input"]
ax = plots.image_grid(
    np.concatenate([film.images[jumps], film.images[jumps + 1]]),
    columns=len(jumps),
)
rows_named(ax, ["before", "after"], height)
ax.set_xticks(
    np.arange(len(jumps)) * (width + 1) + width / 2, [f"{t}" for t in jumps]
)
plt.show()

# %% tags=["hide-input"]
Markdown(
    f"The median step is {np.median(step):.2f}, where two frames from anywhere in the film are {anywhere:.2f} apart in the median. The ten "
    f"largest steps go from {step[jumps].min():.1f} to {step[jumps].max():.1f}."
)

# %% [markdown]
# Are such jumps cuts? In Frey Faces they are not: none of the pairs leads to another scene. What moved is the window
# around the face, and now and then the head or the expression. So a direct neighbour in time need not be the most
# similar frame, and often it is not, as we shall see when we split the film.
#
# (data-tongue)=
# ## Where does he put out his tongue?
#
# In three short {term}`episodes <episode>`. The report found that its models never draw the tongue, and to measure that, one must know which
# frames show it. We found no published labels, so we looked at each of the frames, enlarged, and publish ours. The
# rule:
#
# - **out**: the tongue hangs over the middle of the lower lip: a bright, round shape with its shadow below;
# - **transition**: next to such frames, the tongue fills the open mouth, grey or as a flat bright band, and the edge of the
#   lower lip still runs below it;
# - **in**: everything else, also frames in which the mouth only opens and is dark inside.

# %%
from vaebook.experiments.tongue import OUT, TRANSITION, stretches, tongue

state = tongue(film)  # (N,): 0 in, 1 transition, 2 out
labelled = {OUT: "out", TRANSITION: "transition"}
found = sorted(
    (*ends, label) for label in labelled for ends in stretches(state == label)
)
pd.DataFrame(
    [[first, last, last - first + 1] for first, last, _ in found],
    index=[labelled[label] for *_, label in found],
    columns=["first frame", "last frame", "frames"],
)


# %% mystnb={"figure": {"name": "fig-data-tongue", "caption": "All frames that are labelled, and some before and after each episode. Solid frames around the pictures: out; dashed: transition. Numbers count frames from 0. Judge for yourself, above all where solid meets dashed."}, "image": {"alt": "Rows of pictures of the face in three groups. In each the mouth is closed at first, opens, and a bright tongue appears below the upper lip, then is drawn in again. Pictures with the tongue out have a solid border, the few at the ends of each episode a dashed one."}} tags=["hide-input"]
def window(first, last, columns=12):
    """At least two more frames at each end, and full rows."""
    first = max(0, first - 2 - (-(last - first + 5) % columns) // 2)
    return first + np.arange(-(-(last + 3 - first) // columns) * columns)


episodes = stretches(state) or [(2, 9)]
near = np.concatenate([window(*ends) for ends in episodes])
near = near[near < len(film)]
ax = plots.image_grid(film.images[near], columns=12)
rose, indigo = plots.COLOURS["rose"], plots.COLOURS["indigo"]
borders = {OUT: (rose, "-"), TRANSITION: (indigo, (0, (2, 1)))}
for i in np.flatnonzero(state[near]):
    colour, style = borders[state[near[i]]]
    corner = (i % 12 * (width + 1) - 0.5, i // 12 * (height + 1) - 0.5)
    look = {"fill": False, "ec": colour, "ls": style, "lw": 1.6}
    border = plt.Rectangle(corner, width, height, **look)
    ax.add_patch(border).set_clip_on(False)
rows_named(ax, near[::12], height)
ax.set_ylabel("first frame of the row")
plt.show()

# %% tags=["hide-input"]
out, between = np.sum(state == OUT), np.sum(state == TRANSITION)
Markdown(
    f"The tongue is out in **{out}** of {len(film):,} frames, **{out / len(film):.1%}**; with the {between} frames in "
    f"transition it is {out + between}, {(out + between) / len(film):.1%}. They form {len(stretches(state))} episodes. So the film "
    f"holds {len(stretches(state))} events rather than {out} independent examples."
)

# %% [markdown]
# This is a judgement by eye. Its doubtful frames are the first and the last of each episode, where pixels this coarse do
# not tell a tongue from a lip. Where we could not decide between *out* and *in*, the label is *transition*. We advise
# to leave transitions out of whatever you measure, or to report figures with and without them.
#
# A second pair of eyes read Frey Faces again, without knowing the first reading. Both are in the library; this book uses
# the first:

# %% tags=["nbval-check-output"]
from vaebook.experiments.tongue import agreement

both = agreement()
print("read differently: frames", *both.differing)
print("in doubt: frames", *both.doubtful)
print(f"kappa: {both.kappa:.3f}")

# %% [markdown]
# The readings differ in two frames, where the third episode begins and ends, and the second reader was unsure of six.
# Cohen's *kappa* is 1 if two readers agree in everything, and 0 if they agree as often as by chance.
#
# ### Did we miss some?
#
# We can ask the pictures. Cut the mouth out of each *out* frame, and look how well it can be found in every other frame, at
# about the same place. The measure is the *correlation* of the two patches, 1 for the same picture in whatever light. A
# frame may not be compared with its own neighbours, or each episode would merely find itself.

# %%
from vaebook.experiments.pictures import best_match

top, bottom = round(0.61 * height), round(0.93 * height)  # of the mouth
left, right = round(0.25 * width), round(0.80 * width)
tongues = np.flatnonzero(state == OUT)
mouths = film.images[tongues, top:bottom, left:right]
match = best_match(film.images, mouths, corner=(top, left), reach=(2, 4))
apart = np.abs(np.arange(len(film))[:, None] - tongues) > 50  # frames
best = match.max(axis=1, where=apart, initial=-1)

# %% mystnb={"figure": {"name": "fig-data-scan", "caption": "For each frame, how much its mouth is like the mouth of an out frame of another episode. The labelled episodes stand out, and nothing else does: frames with the tongue in stay below every frame with the tongue out."}, "image": {"alt": "A grey line of correlations along the film, mostly between 0.4 and 0.75. In three places it rises above 0.85, and there the dots of labelled frames sit on it."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(7.2, 2.8))
ax.plot(best, linewidth=0.6, color="#8A8A8A")
for s, marker in ((OUT, "o"), (TRANSITION, "D")):
    ax.plot(
        np.flatnonzero(state == s),
        best[state == s],
        marker,
        color=borders[s][0],
        markersize=3,
        label=labelled[s],
    )
ax.set(
    xlabel="frame",
    ylabel="best correlation with a\ntongue of another episode",
    xlim=(0, len(film)),
    ylim=(None, 1),
)
ax.legend(loc="lower left", ncols=2)
plt.show()

# %% tags=["hide-input"]
elsewhere = np.where(state == 0, best, -1)
lowest, highest = best[tongues].min(initial=1), best[tongues].max(initial=-1)
Markdown(
    f"Frames with the tongue out reach {lowest:.2f} to {highest:.2f}. Of the frames that we call in, the most similar is "
    f"number {elsewhere.argmax()} with {elsewhere.max():.2f}; {np.sum(elsewhere >= lowest)} of them are as similar as the "
    "least similar frame that we call out."
    if len(tongues)
    else "Nobody has said which of these pictures show a tongue, so there is nothing to compare."
)

# %% [markdown]
# We found no frame that was missed. This check cannot rule one out, though: its templates are cut from tongues that
# we had found, and it may pass over one that looks different. The frames that come nearest show a mouth that opens
# before an episode, or pursed lips. One doubt remains that no measure settles: in the first two frames of the film the
# mouth is open with something bright in it, a word or the end of a grimace. Nothing goes before them, so by our rule
# they are *in*.
#
# (data-split)=
# ## How should one split a film?
#
# By time, and at random only for comparison. A model is judged on pictures that it was not trained on. For independent
# pictures any split will do. The frames of a film are not independent: if they are drawn at random, a test frame has
# training frames shortly before and after it. Then a model can do well by remembering; one says that the split *leaks*.
# How much? We measure it with the crudest model of memory: for each test frame, take the **nearest training frame**,
# and count the squared distance to it as the error.

# %%
from vaebook.experiments.pictures import nearest

random_parts, time_parts = film.split("random", seed), film.split("time")
leak = {
    "random": nearest(frames[random_parts.test], frames[random_parts.train]),
    "by time": nearest(frames[time_parts.test], frames[time_parts.train]),
}

# %% [markdown]
# The split *by time* cuts the film into three pieces instead: it trains on the first, validates on the second and tests on
# the last. {numref}`fig-data-nearest` shows what memory finds in either case, {numref}`fig-data-leak` how near that is.

# %% mystnb={"figure": {"name": "fig-data-nearest", "caption": "Test frames, equally spaced, and the nearest training frame of each. In the random split (upper two rows) most are near-copies, down to the place of the window. In the split by time (lower two rows) the nearest training frame often has another expression or another pose."}, "image": {"alt": "Four rows of twelve faces. Test frames of the random split, and their nearest training frames, which look almost the same. Test frames of the split by time, and their nearest training frames, which look less alike."}} tags=["hide-input"]
rows = {}
for name, part in (("random", random_parts), ("by time", time_parts)):
    which = np.linspace(0, len(part.test) - 1, 12).round().astype(int)
    rows[f"{name}: test"] = film.images[part.test[which]]
    rows["nearest" + " " * len(rows)] = film.images[
        part.train[leak[name].row[which]]
    ]
ax = plots.image_grid(np.concatenate(list(rows.values())), columns=12)
rows_named(ax, rows, height)
plt.show()

# %%
from vaebook.experiments.pictures import nearest_in_film

earlier = nearest(frames[time_parts.validation], frames[time_parts.train])
gaps = np.unique(
    np.geomspace(1, min(400, len(film) // 2), 10).round().astype(int)
)
reach = [np.median(nearest_in_film(frames, int(gap))) for gap in gaps]

# %% mystnb={"figure": {"name": "fig-data-leak", "caption": "Left: the share of held-out frames whose nearest training frame is at most so far away. Held-out frames of the random split have much nearer neighbours than the test part of the split by time. Between the two curves lies its validation part, which also in time lies between training and test. Right: the median distance to the nearest frame that is at least so many frames away in the film. Near-copies are not only the direct neighbours: the curve doubles over some thirty frames. It goes on rising over hundreds, as expressions change."}, "image": {"alt": "Left: three rising curves of shares against squared distance; the random split rises first, then validation by time, then test by time. Right: the median squared distance rises with the gap in frames on a logarithmic axis, slowly between 30 and 100 frames and steeply at the end."}} tags=["hide-input"]
_, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.1))
curves = {
    "random: test": leak["random"].squared_distance,
    "time: validation": earlier.squared_distance,
}
for name, distance in {
    **curves,
    "time: test": leak["by time"].squared_distance,
}.items():
    left.plot(np.sort(distance), np.linspace(0, 1, len(distance)), label=name)
left.set(
    xlabel="squared distance to the\nnearest training frame",
    ylabel="share of held-out frames",
    xlim=(0, None),
)
left.legend()
right.plot(gaps, reach, "o-", color=plots.INK)
right.set(
    xlabel="smallest gap allowed\n(frames)",
    ylabel="median squared distance",
    xscale="log",
    ylim=(0, None),
)
right.xaxis.set_major_formatter("{x:g}")
plt.show()

# %% [markdown]
# As a baseline for the later chapters, here is what this memory costs as a model, beside the mean of the training frames.
# For the random split we repeat it with several {term}`seeds <seed>`.


# %%
def memory(part):
    """Squared errors on the test part, of memory and of the mean training frame."""
    train, test = frames[part.train], frames[part.test]
    near = nearest(test, train).squared_distance
    same = np.square(test - train.mean(axis=0)).sum(axis=1)
    return {
        "nearest, median": np.median(near),
        "nearest, mean": near.mean(),
        "mean frame": same.mean(),
    }


repeats = pd.DataFrame(
    memory(film.split("random", seed + i)) for i in range(splits)
)
once = pd.Series(memory(time_parts))
spread = {f"random, {how}": repeats.agg(how) for how in ("mean", "min", "max")}
pd.DataFrame({**spread, "time": once}).T.round(2)


# %%
def away(part):
    """How many frames of film lie between a test frame and its nearest."""
    row = nearest(frames[part.test], frames[part.train]).row
    return np.abs(part.train[row] - part.test)


apart = np.stack([away(film.split("random", seed + i)) for i in range(splits)])
near, same = (apart <= 2).mean(1), (apart <= 20).mean(1)

# %% tags=["hide-input"]
Markdown(
    f"These are squared errors, summed over the {film.shape[0] * film.shape[1]} pixels of a frame. The nearest training "
    f"frame is {repeats['nearest, median'].mean():.2f} away in the median (mean of {splits} random splits) and "
    f"{once['nearest, median']:.2f} in the split by time. In the random splits it lies within 2 frames of the test frame in "
    f"{near.mean():.0%} of the cases ({near.min():.0%} to {near.max():.0%}), within 20 in {same.mean():.0%}. A model with a held-out squared error "
    f"near {repeats['nearest, mean'].mean():.1f} on a random split has shown no more than a good memory could."
)

# %% [markdown]
# Is the split by time the better test, then? Yes, but read it with care. Its test part is not only free of near-copies.
# It is also far from the training frames in time, and has a few grimaces that occur nowhere else. So its error mixes
# two things: a memory that does not help, and expressions that nobody could have learned.

# %% tags=["hide-input"]
some, many = len(gaps) // 2, 3 * len(gaps) // 4
Markdown(
    f"Two measurements tell them apart. In the validation part of the same split, just after the training frames, the median "
    f"is {np.median(earlier.squared_distance):.2f}: far less, with few near-copies either. And wherever in the film a frame is, "
    f"its nearest other frame is {reach[0]:.2f} away in the median. Without the frames less than {gaps[some]} away in the film it is "
    f"{reach[some]:.2f}, without those less than {gaps[many]} away {reach[many]:.2f}, and less than {gaps[-1]} away {reach[-1]:.2f}. So "
    "shutting out near-copies about doubles the distance. Distance in the film goes on adding to it, because the man keeps an "
    "expression for a while. The test frames are far from all training frames; most of what separates the two splits is that."
)

# %% [markdown]
# This book reports both splits, and compares models only within one. And where do the tongues go?


# %%
def tongues_in(indices):
    labels = state[indices]
    return len(indices), np.sum(labels == OUT), np.sum(labels == TRANSITION)


where = {
    f"{name}: {part}": tongues_in(indices)
    for name, split in (("random", random_parts), ("time", time_parts))
    for part, indices in split._asdict().items()
}
pd.DataFrame(where, index=["frames", "out", "transition"]).T

# %% [markdown]
# In the random split the tongues are spread over all three parts. In the split by time the last episode lies in the test
# part, except for its first frame, and in it the man frowns as well. A model that draws *that* tongue has put together
# two things that it saw apart.
#
# ## What to remember
#
# - Grey digits are not coin tosses, but are scored as if they were; the loss has a floor that no model can go below.
# - Faces vary little, and $\sigma$ decides how many of their directions a model will use.
# - A random split of a film rewards memory. The nearest training frame is the baseline to beat.
# - Tongues are rare, come in a few episodes, and their labels are ours: see `vaebook.experiments.tongue`.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-data-variance
#
# Show that a pixel with values in $[0, 1]$ and mean $p$ has a variance of at most $p(1 - p)$, and that what is missing is
# the mean of $x(1 - x)$. Check it on the digits.
# ```
#
# ````{solution} ex-data-variance
# :class: dropdown
#
# $p(1 - p) - \mathrm{Var}(x) = p - p^2 - \left(\mathrm{E}[x^2] - p^2\right) = \mathrm{E}[x] - \mathrm{E}[x^2] =
# \mathrm{E}[x(1 - x)]$. For $x$ in $[0, 1]$ this is never negative, and it is zero only if $x$ is always 0 or 1.
#
# ```python
# np.abs(mean * (1 - mean) - variance - (x * (1 - x)).mean(axis=0)).max()  # rounding only
# ```
# ````
#
# ```{exercise}
# :label: ex-data-face-floor
#
# Suppose that you used the Bernoulli model for the faces all the same. What is its floor, in nats per frame? What share of
# the loss of a model that says $y = 1/2$ everywhere is that, and what does it mean for watching such a loss fall?
# ```
#
# ````{solution} ex-data-face-floor
# :class: dropdown
#
# ```python
# face_floor = (entr(frames) + entr(1 - frames)).sum(axis=-1).mean()
# face_floor, face_floor / (frames.shape[1] * np.log(2))
# ```
#
# The second figure is the share. Most of the loss is floor, because nearly every pixel is grey. The whole difference
# between an ignorant and a perfect model is the small rest. So the loss seems to stand still while the pictures improve
# a lot.
# ````
#
# ```{exercise}
# :label: ex-data-memory
#
# Improve the memory: predict each test frame by the *mean of its $k$ nearest* training frames. (This cheats: it looks at
# the test frame to find them, as an encoder would.) Which $k$ is best in the random split, and which in the split by time?
# ```
#
# ````{solution} ex-data-memory
# :class: dropdown
#
# ```python
# def memory_of(k, part):
#     train, test = frames[part.train], frames[part.test]
#     distance = np.square(test).sum(1)[:, None] + np.square(train).sum(1) - 2 * test @ train.T
#     near = np.argsort(distance, axis=1)[:, :k]
#     return np.square(test - train[near].mean(axis=1)).sum(axis=1).mean()
#
# ks = [1, 2, 3, 5, 10, 20]
# errors = [[memory_of(k, part) for part in (random_parts, time_parts)] for k in ks]
# pd.DataFrame(errors, index=ks, columns=["random", "time"])
# ```
#
# In both splits a few frames together are better than one: their mean has less noise and lies between their poses. In the
# split by time, where no single frame fits well, it takes more of them.
# ````
#
# ```{exercise}
# :label: ex-data-eyes
#
# Label the first episode yourself, frames 400 to 449, before you look at our table again. In how many frames do you differ from
# us, and which are they?
# ```
#
# ````{solution} ex-data-eyes
# :class: dropdown
#
# ```python
# plots.image_grid(film.images[400:450], columns=10)
# plt.show()
# mine = np.zeros(50, int)  # fill in: 2 for out, 1 for transition
# np.flatnonzero(mine != state[400:450]) + 400
# ```
#
# We expect you to differ in a few frames at either end of the episode and in none in its middle. Whatever number you find, it
# measures how uncertain such labels are.
# ````
#
# ```{exercise}
# :label: ex-data-pca-tongue
#
# Would PCA draw the tongue? Find the principal components of the frames *without* a tongue, keep $k = 20$ of them, and
# compare the squared error of the tongue frames with that of the others. Then include the tongue frames.
# ```
#
# ````{solution} ex-data-pca-tongue
# :class: dropdown
#
# ```python
# def pca_error(fit, show, k=20):
#     middle = fit.mean(axis=0)
#     _, directions = np.linalg.eigh(np.cov(fit.T))  # ascending
#     kept = directions[:, -k:]
#     left_over = (show - middle) - (show - middle) @ kept @ kept.T
#     return np.square(left_over).sum(axis=1).mean()
#
# with_tongue, without = frames[state == OUT], frames[state == 0]
# pd.DataFrame({
#     "fitted without": [pca_error(without, with_tongue), pca_error(without, without)],
#     "fitted on all": [pca_error(frames, with_tongue), pca_error(frames, without)],
# }, index=["tongue out", "tongue in"])
# ```
#
# Components that were fitted without any tongue draw it far worse than they draw the rest. Three per cent of the frames are
# enough to teach PCA much of it, at hardly any cost to the others: what is rare need not be hard to *represent*. Keep that
# in mind when a model's samples lack it.
# ````
