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
# (chapter-collapse)=
# # Debugging collapse
#
# ```{index} ! posterior collapse
# ```
#
# A VAE can stop using its own {term}`code`. The {term}`encoder` then says the same of every picture, the {term}`KL`
# falls to zero, and the {term}`decoder` draws one average face. Why, and what ends it? The width of the decoder's
# pixels decides, their {term}`sigma`. A direction of the data is worth a {term}`latent` only if the data vary along it
# by more than $\sigma^2$. So the collapse can be foretold from the data alone. A smaller $\sigma$ ends it, or one that
# is learned from a small start. The report that we re-create credits a sigmoid, a smaller network and fewer latents
# {cite:p}`report2025`. Whether these were enough depends on its loss, which it does not give.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can recognise a {term}`collapse`, foretell it from a {term}`spectrum`, and end it. You can say what a sigmoid
#   on the decoder's mean does, and what it does not do.
# - **You need** the rule that a latent must pay for its code ([](chapter-pixels)), and the three {term}`recipes <recipe>` of
#   [](chapter-training).
# - **Time.** Thirty-five minutes to read. Training all of it takes about a quarter of an hour on two quiet cores of ours.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
latent_dim: int = 20  # dimensions of z in the report's recipe
epochs: int = 0  # of the report's recipe; 0: its own number
seeds: int = 3  # how many times a setting of the report's recipe is run
fewer_seeds: int = 1  # the same, where the text says so
small_seeds: int = 1  # the same, of the small models on the film
small_epochs: int = 40  # of these small models
keep: list[int] = [2, 4, 8, 16]  # directions that a sigma shall leave

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
import torch

from vaebook import figures, page
from vaebook.experiments.recipes import metric, train_groups
from vaebook.tables import mean_and_range
from vaelib import plots
from vaelib.config import amended
from vaelib.data import DataConfig, prepare

counts = "latent_dim seeds fewer_seeds small_seeds small_epochs keep"
least = {"epochs": 0, **dict.fromkeys(counts.split(), 1)}
page.parameters(globals(), at_least=least)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %%
images = page.load(dataset, images=140, grey=True)
film = page.load(faces, images=140, grey=True)
page.banner(images, film)

# %% [markdown]
# ## What does a collapsed model look like?
#
# It draws one average picture for all. The report describes three symptoms (section 4.2.3): "The encoder produced $\mu \approx 0$ and
# $\log \sigma^2 \approx 0$ for nearly all samples. KL divergence decreased toward zero. Reconstructions converged to a
# single averaged face." Careful: this $\sigma$ belongs to the encoder. It is the width of $q(z|x)$, one for each
# latent. Everywhere else on this page $\sigma$ is the decoder's: the width of $p(x|z)$, where black is 0 and white is
# 1.
#
# :::{admonition} $\sigma = 1$ is our assumption
# :class: warning
# The report says that its film had a Gaussian decoder. It does not say which $\sigma$ that decoder had, nor whether the
# squared error was summed or averaged. **We assume $\sigma = 1$, summed**, which is half the sum of squared errors. A section
# below tests [three other readings](collapse-losses) beside it.
# :::
#
# So we take the report's recipe with $\sigma = 1$, as {doc}`03_training` does, and beside it the same without the sigmoid.

# %%
from vaebook.experiments.recipes import faces_recipe, seeds_of

by_chance = DataConfig(name=faces, split="random")
with_z = {"latent_dim": latent_dim, "epochs": epochs or None}
report = faces_recipe("report", by_chance, **with_z)
bare = amended(report, {"model.likelihood.mean": "identity"})
both = {"with a sigmoid": report, "without": bare}
ill = train_groups({name: seeds_of(one, seeds) for name, one in both.items()})

# %%
prepared = prepare(by_chance)
train, test = map(torch.from_numpy, (prepared.train, prepared.test))  # (N, D)
average = train.mean(0)  # the average frame, (D,)
guess = (test - average).square().sum(1).mean().item()
print(f"to answer every held-out frame with the average one costs {guess:.2f}")

# %% [markdown]
# How many directions of $z$ carry anything? An *{term}`active unit`* is an axis of $z$ along which the {term}`posterior` means
# vary, with a variance over 0.01 {cite:p}`burda2016`. But one direction that lies askew makes several axes active.
# {term}`Directions in use <directions in use>` are eigenvalues of the means' covariance over the same 0.01, whatever the axes.
#
# Nor does all KL tell something. A posterior that is the same for every frame, but not the prior, costs nats and tells
# nothing. Let $r(z)$ be the Gaussian with the mean and the variance of all codes together. The KL has two parts. The
# mean of $\mathrm{KL}(q(z|x) \Vert r)$ is the most that the code can *tell* of $x$, and $\mathrm{KL}(r \Vert p)$ is
# wasted.

# %%
from vaelib.evaluation import directions_in_use, encode


def told(run):
    mean, log_var = encode(run.model, test)  # (N, Z), (N, Z)
    v = log_var.exp().mean(0) + mean.var(0, correction=0)  # of r, (Z,)
    wasted = 0.5 * (mean.mean(0).square() + v - 1 - v.log()).sum().item()
    return run.metrics["test"]["kl"] - wasted


def worth(runs):
    in_use = [directions_in_use(run.model, test) for run in runs]
    return {
        "directions": mean_and_range(in_use, 0),
        "KL (nats)": mean_and_range(metric(runs, "kl")),
        "told": mean_and_range(list(map(told, runs))),
        "squared error": mean_and_range(metric(runs, "squared_error")),
    }


pd.DataFrame({name: worth(runs) for name, runs in ill.items()}).T

# %% [markdown]
# Each figure is the mean over seeds, with the range, on held-out frames; *told* is in nats. A squared error is summed over pixels,
# with $z$ at the posterior's mean. ({doc}`03_training` says why a collapsed model costs even more than the average frame.)

# %% mystnb={"figure": {"name": "fig-collapse-symptoms", "caption": "Two of the report's three symptoms. Left and middle: the encoder's means and log-variances, of all latents, held-out frames and seeds; both pile up near 0, the values of the prior. Right: the KL during training, mean over seeds with the range as a band."}, "image": {"alt": "Two histograms with a peak at or near zero, narrower with the sigmoid than without it, and two curves of the KL in nats against epochs that end far below one nat."}} tags=["hide-input"]
COLOURS = dict(zip(ill, plots.COLOURS.values(), strict=False))
_, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
for name, runs in ill.items():
    codes = [encode(run.model, test) for run in runs]
    for ax, part in zip(axes, (0, 1), strict=False):
        values = torch.cat([code[part].flatten() for code in codes])
        look = {"histtype": "step", "density": True, "label": name}
        ax.hist(values, 60, range=(-0.3, 0.3), color=COLOURS[name], **look)
    history = [run.history["test_kl"].clip(lower=1e-3) for run in runs]
    epoch = runs[0].history["epoch"]
    plots.band(epoch, history, name, axes[2], COLOURS[name])
axes[0].set(xlabel=r"$\mu$ of $q(z|x)$", ylabel="density", yscale="log")
axes[1].set(xlabel=r"$\log \sigma^2$ of $q(z|x)$", yscale="log")
axes[2].set(xlabel="epoch", ylabel="KL (nats)", yscale="log")
axes[2].legend()
plt.show()


# %% mystnb={"figure": {"name": "fig-collapse-faces", "caption": "The third symptom. Held-out frames and what the two models make of them, seed 0: one and the same face for all of them, with the sigmoid and without it."}, "image": {"alt": "Three rows of faces: different frames above, and below them two rows in which all faces look alike."}} tags=["hide-input"]
def rebuilt(groups, frames):
    made = {n: runs[0].model.reconstruct(frames) for n, runs in groups.items()}
    return {"data": frames} | made


frames = test[:: max(1, len(test) // 14)][:14]
figures.named_rows(rebuilt(ill, frames), film.shape)
plt.show()

# %% [markdown]
# The sigmoid is in place in one of the two, and that one has collapsed as well. At this $\sigma$ a missing sigmoid
# cannot be the cause.
#
# ## Could we have known before training?
#
# Yes, from the data's covariance. {doc}`pixels` derives what the best *linear* VAE does, after {cite:t}`tipping1999` and
# {cite:t}`lucas2019`. Along a principal direction the data have variance $\lambda_j$, the eigenvalue. A latent that codes this
# direction saves squared error and costs KL. With a KL of weight $\beta$ it pays only if
#
# $$
# \lambda_j > \beta \sigma^2.
# $$ (eq-collapse-price)
#
# Its KL is then $\tfrac{1}{2} \log (\lambda_j / \beta \sigma^2)$ {term}`nats <nat>`. At the optimum all other latents are
# switched off. The right-hand side is the *price* of a latent. Neither the encoder, nor the number of latents, nor a sigmoid is
# in it. With four eigenvalues, three latents and $\sigma = 0.6$, the price is 0.36:

# %% tags=["nbval-check-output"]
from vaelib.linear import eigenvalues, predict

example = predict([4.0, 1.0, 0.25, 0.04], latent_dim=3, sigma=0.6)
print(example.active, "active; KL", example.kl_per_dim.round(3), "nats")

# %%
spectrum = eigenvalues(prepared.train)
theory = predict(spectrum, latent_dim, sigma=1.0)
print("the film's eigenvalues:", *spectrum[:6].round(2), "...")
print("at sigma = 1:", theory.active, "active; KL", round(theory.kl, 3), "nats")

# %% [markdown]
# One direction of the film pays, and only a little. Our trained models have not found even that one. Does the rule hold
# for other values of $\sigma$, and for other data? We choose some that should leave 2, 4, 8 and 16 directions, and
# $\sigma = 1$. At each we train a network with one hidden layer of tanh units, 20 latents and no sigmoid, on the film
# and on the digits. (The report gave its digits Bernoulli pixels. We ask what squared error would do to them.)

# %%
split = "60000/10000" if dataset == "mnist" else None
sets = {faces: by_chance, dataset: DataConfig(name=dataset, split=split)}
parts = {name: prepare(data) for name, data in sets.items()}
spectra = {name: eigenvalues(part.train) for name, part in parts.items()}


def sigmas_for(values):
    """Each leaves as many directions as `keep` says, but for the last."""
    between = [(values[k - 1] * values[k]) ** 0.25 for k in keep]
    return sorted({round(float(sigma), 3) for sigma in between} | {1.0})


# %%
from vaebook.experiments.collapse import sigma_run, train_cells

passes = {faces: 3 * small_epochs, dataset: max(1, small_epochs // 10)}
swept = train_cells(
    {
        (name, sigma): sigma_run(sets[name], sigma, passes[name])
        for name, values in spectra.items()
        for sigma in sigmas_for(values)
    }
)

# %%
rows = []
for (name, sigma), run in swept.items():
    x = torch.from_numpy(parts[name].test)
    found = run.metrics["test"]["kl"], directions_in_use(run.model, x)
    linear = predict(spectra[name], 20, sigma)
    rows.append((name, sigma, linear.kl, linear.active, *found))
columns = ["data", "sigma", "KL, theory", "in use, theory", "KL", "in use"]
points = pd.DataFrame(rows, columns=columns).set_index(["data", "sigma"])
points.round(2)

# %% [markdown]
# From here on we call a code {term}`awake` if its KL is above one bit, 0.69 nats, and asleep if not. (This border and
# the others of this page were fixed before the runs with other losses were made.) By theory the largest $\sigma$ at
# which it is awake is:

# %%
from vaebook.experiments.collapse import BIT, largest_awake

for name, values in spectra.items():
    print(f"{name}: {largest_awake(values):.2f}")

# %% mystnb={"figure": {"name": "fig-collapse-sigma", "caption": "What the code costs, left, and how many directions it uses, right, against the decoder's sigma, for two data sets. Lines: the linear theory. Marks: trained networks with tanh units, one seed each, on held-out images; they follow the lines, and fall below them at small sigma. Dotted: sigma = 1. Dashed: one bit, from which on we call a code awake."}, "image": {"alt": "Two panels. Left: two curves of KL that fall with sigma on logarithmic axes, with marks on or near them; the film's reaches one bit at a sigma near 0.75, the digits' near 1.6. Right: two falling staircases, with marks on or below them."}} tags=["hide-input"]
widths = np.geomspace(0.25, 2, 200)
_, axes = plt.subplots(1, 2, figsize=(7.2, 3), layout="constrained")
for (name, values), mark in zip(spectra.items(), "os", strict=False):
    linear = [predict(values, 20, width) for width in widths]
    seen, colour = points.loc[name], plots.DATA_COLOURS.get(name)
    costs, counts = zip(*((one.kl, one.active) for one in linear), strict=True)
    pairs = zip(axes, (costs, counts), ("KL", "in use"), strict=True)
    for ax, foretold, column in pairs:
        ax.plot(widths, foretold, color=colour, linewidth=1, label=name)
        look = {"color": colour, "fillstyle": "none", "markersize": 5}
        ax.plot(seen.index, seen[column], mark, **look)
for ax, label in zip(axes, ("KL (nats)", "directions in use"), strict=True):
    ax.axvline(1, color=plots.INK, linestyle=":", linewidth=0.8)
    ax.set(xscale="log", xlabel=r"$\sigma$ of the decoder", ylabel=label)
    ax.set_xticks([0.25, 0.5, 1, 2], ["0.25", "0.5", "1", "2"])
    ax.minorticks_off()
axes[0].axhline(BIT, color=plots.INK, linestyle="--", linewidth=0.8)
axes[0].set(yscale="log", ylim=(0.02, 20))
axes[1].set_yticks(range(0, 21, 5))
axes[1].legend()
plt.show()

# %% [markdown]
# The networks' KL lies near the curve of the theory, but for the film's at the smallest $\sigma$, and they use no more
# directions than it allows. Where it allows many they use fewer. A turning head is one number, but it moves the pixels
# along a curve that takes a linear model several directions. (These networks also trained for a short time.) So the
# theory is a good guide to *whether* a latent pays. At $\sigma = 1$ the digits' code is awake and the film's is asleep.
#
# ## Can I watch a model collapse, and wake?
#
# Yes: the card below trains a small VAE in your browser, on 512 digits of 8 by 8 pixels. Press *Run*. Then turn sigma
# up to 2: within a few hundred steps the KL falls to zero. Turn it down to 0.1 and the latents are used again, without
# a fresh start.

# %%
from vaebook import explorers

explorers.playground()

# %% [markdown]
# ```{exercise}
# :label: ex-collapse-playground
#
# Give the model 8 latents. Before you move sigma through 0.4, 0.5, 0.7 and 0.9, say how many directions it will use at each.
# The chart of the data's variances has the line at $\beta\sigma^2$. What does a beta of 4 do to the answers?
# ```
#
# ```{solution} ex-collapse-playground
# :class: dropdown
#
# Count the dots above the line: the count falls as sigma grows, and the model follows it within a few hundred steps.
# Only the product $\beta\sigma^2$ decides, so a beta of 4 does what a doubled sigma does: look at 0.8 for the answer at 0.4.
# ```
#
# Six models of the film, each trained in full at a sigma of its own, stand on a dial that you can turn.
#
# ```{explorer} explore-dial
# ```
#
# (collapse-losses)=
# ## Which loss did the report minimise?
#
# We do not know, and the price of a latent depends on it. Write $S$ for the squared error of a frame, summed over its $D$
# pixels. A Gaussian decoder minimises $S / 2\sigma^2 + \mathrm{KL}$ {eq}`eq-balance`. So each common way to write a squared error
# is a $\sigma$ in disguise:
#
# - half the sum, $S / 2 + \mathrm{KL}$, has $\sigma^2 = 1$: the assumption of this book;
# - the sum, $S + \mathrm{KL}$, has $\sigma^2 = 1/2$;
# - the mean over pixels, $S / D + \mathrm{KL}$, has $\sigma^2 = D / 2$.
#
# A fourth reading is cross-entropy. The report's section 3.3 names it for its Bernoulli decoder, and it needs a
# sigmoid. So whoever adds a sigmoid may have changed the loss, too. Near a pixel $x$ the cross-entropy of an answer $y$
# grows as $\frac{(x - y)^2}{2 y (1 - y)}$. It thus acts like a Gaussian with $\sigma^2 = y (1 - y)$, which is at most
# $1/4$: the lowest price of the four. For a forecast we take the average frame as $y$, and divide each pixel by its own
# $\sigma$:

# %%
D = train.shape[1]
sigmas = {
    "half the sum of squares": 1.0,
    "the sum of squares": 0.5**0.5,
    "their mean over pixels": (D / 2) ** 0.5,
}
scaled = train / (average * (1 - average)).clamp(min=0.01).sqrt()
foretold = {n: predict(spectrum, latent_dim, s) for n, s in sigmas.items()}
foretold["cross-entropy"] = predict(eigenvalues(scaled), latent_dim, 1.0)
rows = {n: (one.active, one.kl) for n, one in foretold.items()}
columns = ["directions", "KL (nats)"]
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(2)

# %% [markdown]
# These are the directions that pay, and their nats. Now we train. Each loss gets the report's recipe at its full
# length, and then the report's three remedies: a sigmoid, a smaller network and fewer latents. How much smaller, the
# report does not say. We take one layer of 50 units and five latents. (Without remedies the last two losses have one
# seed.)

# %%
width = "model.likelihood.sigma_value"
losses = {name: {width: sigma} for name, sigma in sigmas.items()}
losses["cross-entropy"] = {"model.likelihood.name": "bernoulli"}
cure = {"model.hidden": (50,), "model.latent_dim": 5}  # beside the sigmoid


def trained(more, often):
    configs = {n: amended(report, one | more) for n, one in losses.items()}
    return train_groups({n: seeds_of(configs[n], often[n]) for n in losses})


def table(groups):
    return pd.DataFrame({name: worth(runs) for name, runs in groups.items()}).T


often = dict.fromkeys(losses, seeds)
cured = trained(cure, often)
often |= {n: fewer_seeds for n in ("their mean over pixels", "cross-entropy")}
plain = trained({}, often)
titles = ("the recipe, with its sigmoid", "all three remedies")
pd.concat([table(plain), table(cured)], keys=titles)

# %% [markdown]
# By the KL, the loss decides. With half the sum of squares and with the mean over pixels it stays below our bit. With
# cross-entropy it is above it before any remedy. With the sum of squares it is below before and above after, in the
# mean over seeds. There the report's account, that "KL terms stabilized at non-zero values", fits best. But see what is
# *told*: with the sum of squares little more after the remedies than before, with cross-entropy no more. Most of the KL
# that they add is wasted. Which loss the report had, we cannot know.
#
# ## What wakes the code?
#
# Whatever lowers the price. We treat a small model that trains in seconds: one hidden layer of 200 units, the modern
# recipe's Adam, $\sigma = 1$, no sigmoid, one seed. To the report's remedies we add those of the literature:
#
# - **KL {term}`warm-up`** {cite:p}`bowman2016`: $\beta$ grows from 0 to 1 over the first half of the training.
# - **{term}`free bits`** {cite:p}`kingma2016`: the first half nat of each latent's KL costs nothing.
# - **{term}`beta` = 0.01** {cite:p}`higgins2017`: by {eq}`eq-collapse-price` the same as $\sigma = 0.1$ for the optimum.
# - **sigma learned** from 0.3 on, and **sigma optimal**, the closed form {eq}`eq-optimal-sigma` {cite:p}`rybkin2021`.
# - **Bernoulli pixels**: cross-entropy, as above.

# %%
from vaebook.experiments.collapse import REMEDIES, cures, small

start = small("modern", by_chance, small_epochs)
at_one = {"model.likelihood.sigma": "fixed", width: 1.0}
patient = amended(start, at_one | {"model.likelihood.mean": "identity"})
treated = train_cells(cures(patient, small_seeds))
tried = range(small_seeds)
remedies = {name: [treated[name, s] for s in tried] for name in REMEDIES}
table(remedies)

# %% mystnb={"figure": {"name": "fig-collapse-remedies", "caption": "Held-out frames as the treated models rebuild them, seed 0. Down to the KL warm-up each row repeats nearly one face. Below it faces follow the data, least with free bits and best with the optimal sigma."}, "image": {"alt": "Rows of faces, one for each remedy. The rows of the untreated model, the sigmoid, less capacity, fewer latents, these three and the KL warm-up repeat nearly one face. With free bits the face changes a little; the other rows follow the data's first row, the optimal sigma most closely."}} tags=["hide-input"]
figures.named_rows(rebuilt(remedies, frames), film.shape)
plt.show()

# %% [markdown]
# With none of the report's three remedies does this code tell anything to speak of, nor with all three: none of them is
# in {eq}`eq-collapse-price`. (With *less capacity* the KL passes our bit, but nearly all of it is wasted.) A warm-up is
# not in it either: at its end the price is the old one. Free bits raise the KL to about what is free, and a third of it
# is told. A small $\beta$, a learned or an optimal $\sigma$ and cross-entropy lower the price, and wake the code.
#
# ## Is it sigma, the sigmoid, the size or the latents?
#
# It is sigma. One change at a time can mislead, as a remedy may work only beside another. So here is the *full
# factorial*: every combination of $\sigma$ and the report's three remedies, on the same model.

# %%
from vaebook.experiments.collapse import every_combination, explained, results

FACTORS = {
    "sigma": {"1": {}, "optimal": {"model.likelihood.sigma": "optimal"}},
    "sigmoid": {"no": {}, "yes": {"model.likelihood.mean": "sigmoid"}},
    "units": {"200": {}, "50": {"model.hidden": (50,)}},
    "latents": {"20": {}, "5": {"model.latent_dim": 5}},
}
factorial = train_cells(every_combination(patient, FACTORS, small_seeds))
grid = results(factorial, [*FACTORS, "seed"])
grid["share explained"] = 1 - grid["squared error"] / guess
grid["log KL"] = np.log10(grid["KL"].clip(lower=1e-3))

# %% mystnb={"figure": {"name": "fig-collapse-effects", "caption": "How much of the squared error is explained: 0 is the average face, 1 a perfect copy. Every run is a dot; the line joins the means of the two levels of one factor over all others. Only sigma makes a large difference."}, "image": {"alt": "Four panels with dots and a line of means: the line rises steeply with sigma, and stays nearly level for the sigmoid, the number of units and the number of latents."}} tags=["hide-input"]
size = {"figsize": (7.2, 3), "layout": "constrained"}
_, axes = plt.subplots(1, 4, sharey=True, **size)
figures.main_effects(grid, list(FACTORS), "share explained", axes)
plt.show()

# %% [markdown]
# How much does each factor explain? In a full factorial the variance over all runs splits into parts. Each factor has one, and
# each pair beyond that; *higher interactions* are three or more factors together, and the rest is chance between seeds.

# %%
responses = ["log KL", "directions", "share explained"]
shares = {name: explained(grid, list(FACTORS), name) for name in responses}
print(len(grid), "runs")
pd.DataFrame(shares).map("{:.1%}".format)

# %% [markdown]
# $\sigma$ explains most of the KL and nearly all of the error. The number of latents matters for the directions, as
# five latents cannot use more than five. The sigmoid and the size explain little by themselves. (With one run of each
# combination, the last row is zero.)
#
# What does an idle code look like from inside? Here are two models that differ in $\sigma$ alone, with two latents and 50
# units each, trained three times as long. Drag the point: the same $z$ goes to both decoders.

# %%
tiny = {"model.latent_dim": 2, "model.hidden": (50,)}
tiny |= {"training.epochs": 3 * small_epochs}
sigmas_of = {"σ = 0.3": {width: 0.3}, "σ = 1": {}}
cells = {n: amended(patient, tiny | one) for n, one in sigmas_of.items()}
two_models = train_cells(cells)
explorers.pair(two_models)

# %%
table({name: [run] for name, run in two_models.items()})

# %% [markdown]
# One answers, the other hardly does. At $\sigma = 0.3$ the face turns and changes its expression where the codes are. Far from all
# codes it falls apart: nobody taught the decoder what to draw there. At $\sigma = 1$ the codes lie on a short line, the one direction
# that the theory lets pay. It is worth as little as foretold, and along it the decoder draws nearly the same face. Wherever you drag,
# its picture changes far less than the other's.
#
# ## Is this film more prone to collapse?
#
# Yes, but the number of latents is not why. The report says so, "because a large latent dimension is unnecessary to represent such a homogeneous dataset". Two things can be
# tested. First, the largest $\sigma$ at which the code is awake, for the film and for the digits. To get a spread of the theory's
# value, we ask five disjoint fifths of each training set:


# %%
def of_fifths(x):
    order = np.random.default_rng(0).permutation(len(x))
    return [largest_awake(eigenvalues(x[i])) for i in np.array_split(order, 5)]


in_theory = {name: of_fifths(part.train) for name, part in parts.items()}
for name, values in in_theory.items():
    print(f"{name}: {mean_and_range(values)}")

# %% [markdown]
# For the networks of {numref}`fig-collapse-sigma`, one seed each, we read off where the KL crosses one bit, on straight lines:

# %%
in_runs = {}
for name in sets:
    of_set = points.loc[name].sort_values("KL")
    in_runs[name] = [np.interp(BIT, of_set["KL"], of_set.index).item()]
for name, values in in_runs.items():
    print(f"{name}: {mean_and_range(values)}")

# %% [markdown]
# So the film is the more vulnerable one: its code falls asleep at less than half the $\sigma$ of the digits'. The second test is
# about the *because*. If superfluous latents made the film collapse, two latents should not (one seed):

# %%
two = amended(report, {"model.latent_dim": 2})
few = train_groups({"2 latents": seeds_of(two, fewer_seeds)})
table(few | {f"{latent_dim} latents": ill["with a sigmoid"]})

# %% [markdown]
# With two latents the code is as much asleep. What makes the film vulnerable is its small variance. One may call that
# homogeneous: its pictures differ less from one another. The total variance of both, in squared grey levels:

# %%
for name, values in spectra.items():
    print(f"{name}: {values.sum():.1f}")

# %% [markdown]
# ## What does the sigmoid do, then?
#
# It lowers the error. How? Here is the report's recipe with it and without, at $\sigma = 1$ and with $\sigma$ learned from 0.3 on:

# %%
change = REMEDIES["sigma learned"]
configs = {name: amended(one, change) for name, one in both.items()}
often = {"with a sigmoid": seeds, "without": fewer_seeds}
learned = train_groups({n: seeds_of(configs[n], often[n]) for n in configs})
table(learned)

# %%
from vaebook.experiments.pictures import sharpness
from vaelib.evaluation import expected_error


def offset(run):
    miss = run.model.reconstruct(test).mean(0) - test.mean(0)
    return miss.square().sum().item()


def sharp(run):
    return sharpness(run.model.reconstruct(test), test, film.shape)


def drawn_outside(run):
    drawn = run.model.sample(1000, torch.Generator().manual_seed(1))
    return ((drawn < 0) | (drawn > 1)).float().mean().item()


# %%
from vaebook.experiments.collapse import gradient_signal


def halves(runs):
    drawn = [expected_error(run.model, test) for run in runs]
    signal = [gradient_signal(run.config, train, film.shape) for run in runs]
    return {
        "squared error": mean_and_range(metric(runs, "squared_error")),
        "of it, offset": mean_and_range(list(map(offset, runs))),
        "squared error, z drawn": mean_and_range(drawn),
        "sharpness": mean_and_range(list(map(sharp, runs))),
        "outside, samples": mean_and_range(list(map(drawn_outside, runs))),
        "signal / noise at start": mean_and_range(signal),
    }


kinds = {"sigma = 1": ill, "sigma learned": learned}
columns = {(k, n): halves(g[n]) for k, g in kinds.items() for n in both}
pd.DataFrame(columns)

# %% [markdown]
# *Offset* is the part of the squared error that one fixed picture makes: that by which the average reconstruction misses the
# average frame. *Sharpness* is the steepness of edges for a picture's contrast, as a share of the data's. *Outside* is the share
# of the pixels of samples that are blacker than black or whiter than white. *Signal / noise* compares the mean gradient of all
# weights at the first step with its scatter over batches.
#
# At $\sigma = 1$ the sigmoid lowers the error by a third, and all of that is offset. Where $z$ is drawn, as in training, the
# two models are much closer. (The report does not say which it shows.) The one face comes nearer to the frames, but no sharper.
# With a learned $\sigma$ (without the sigmoid: one seed) it lowers the error by more than a quarter, wherever $z$ is. Edges get a
# little sharper, and the code tells twice as much. Without it, a fifth of the pixels of samples are out of range. And of the
# report's "poor gradient signals" something is seen: at the first step the gradient stands out more clearly with the sigmoid.

# %% mystnb={"figure": {"name": "fig-collapse-radius", "caption": "How far the picture that a collapsed decoder draws lies from the average frame, in squared error, against the distance of z from the origin; sigma = 1, mean over 200 directions, bands over seeds. Grey: where 95 % of the draws of z lie in training. Reconstructions are decoded near 0."}, "image": {"alt": "Two curves against distance from the origin. With the sigmoid it is low everywhere; without it it is high at the origin, lowest at about 4.2, inside the grey band, and rises again from there."}} tags=["hide-input"]
from scipy.stats import chi

radii = np.linspace(0, 1.6 * latent_dim**0.5, 30)
rays = torch.randn(200, latent_dim, generator=torch.Generator().manual_seed(0))
rays = rays / rays.norm(dim=1, keepdim=True)


def distance(run):
    made = [run.model.mean_image(float(r) * rays) for r in radii]
    return [(m - average).square().sum(1).mean().item() for m in made]


_, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name, runs in ill.items():
    plots.band(radii, list(map(distance, runs)), name, ax, COLOURS[name])
ax.axvspan(*chi(latent_dim).interval(0.95), color=plots.INK, alpha=0.1)
ax.set(xlabel=r"$|z|$", ylabel="squared distance", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# Why is the origin so wrong? A collapsed posterior is the {term}`prior`. Its draws of $z$ in 20 dimensions lie at a
# distance of about $\sqrt{20}$, so in training the decoder hardly ever met the origin. Without the sigmoid its picture
# still depends on $z$: it is nearly right where $z$ was drawn, and wrong at the centre.
#
# And a $\sigma$ for each pixel? The report observed "increased blur when learning pixel variances" (section 3.2). Three small
# models with a sigmoid differ in who says $\sigma$:

# %%
kind = "model.likelihood.sigma"
ways = {"one, learned": "shared", "per pixel": "per-pixel"}
configs = {name: amended(start, {kind: way}) for name, way in ways.items()}
groups = {name: seeds_of(one, small_seeds) for name, one in configs.items()}
best = [key for key in factorial if key[:4] == ("optimal", "yes", "200", "20")]
optimal = {"one, optimal": [factorial[key] for key in best]}
pixelwise = optimal | train_groups(groups)

# %%
bits = {n: metric(runs, "bits_per_dim") for n, runs in pixelwise.items()}
bits = pd.Series({n: mean_and_range(values) for n, values in bits.items()})
table(pixelwise).assign(**{"−ELBO (bits/dim)": bits})

# %% [markdown]
# Beside the one optimal $\sigma$, a $\sigma$ for each pixel has the better bound and the worse error. By {eq}`eq-gaussian` the squared
# error of a pixel is divided by $2 \sigma_i^2$. Where a pixel is hard to predict the decoder states a large $\sigma_i$, and then
# errors there hardly cost anything. The one learned $\sigma$ is beaten by both. Adam moves that single number by a small step at a
# time, and in so few epochs it has not arrived. (One seed each.)
#
# ## What ails my model?
#
# All the above in one call. `diagnose` examines a finished run, `diagnose_model` any model and images.

# %%
from vaelib.diagnosis import diagnose

diagnose(ill["without"][0], "the report's recipe, no sigmoid")

# %% [markdown]
# *Worth a latent* are the directions that linear theory would keep at the model's own $\sigma$ and $\beta$, and at fair ones.
#
# ## What did we find?
#
# These sentences of the report can now be judged, by a bit of KL and a tenth of the error of the average frame. (What
# is *told* was measured later, and is no test.)

# %%
from vaebook.experiments.findings import difference, mean_of, save


def without_the_sigmoid(groups, given):
    pair = groups["without"], groups["with a sigmoid"]
    kl, error = ([metric(g, n) for g in pair] for n in ("kl", "squared_error"))
    less, more = (f"{n}, without the sigmoid − with" for n in ("KL", "error"))
    return [
        difference("12b", less, *kl, "below", -BIT, "nats", given),
        difference("12", more, *error, "above", 0.1 * guess, given=given),
    ]


# %%
found = without_the_sigmoid(ill, "sigma = 1")
found += without_the_sigmoid(learned, "sigma learned")
for loss, runs in cured.items():
    kl, test_of = metric(runs, "kl"), "KL after the three remedies"
    found.append(mean_of("13", test_of, kl, "above", BIT, "nats", loss))

# %%
for how, awake in {"theory": in_theory, "runs": in_runs}.items():
    pair = awake[faces], awake[dataset]
    name = "largest sigma awake, film − digits"
    found.append(difference("14", name, *pair, "below", given=f"by {how}"))
name = f"KL of 2 latents − {latent_dim}"
pair = [metric(g, "kl") for g in (few["2 latents"], ill["with a sigmoid"])]
found.append(difference("14b", name, *pair, "above", BIT, "nats"))
save("05_collapse", [images, film], found)

# %% [markdown]
# - **Claims 12 and 12b, the sigmoid "was crucial"**: for the error, yes. For the KL, no: without the sigmoid it is not
#   smaller. Where $\sigma$ is learned the code tells half as much without it, and is awake all the same. At
#   $\sigma = 1$ it is asleep with the sigmoid, too.
# - **Claim 13, "this was resolved"** by three remedies: by the KL, that depends on the loss, which the report does not give.
#   What the code tells hardly grows with any of the four.
# - **Claims 14 and 14b, the film "is more vulnerable ... because"** it needs few latents: more vulnerable, yes, but not because of that.
#
# ## What to remember
#
# - A latent pays only if the data vary along its direction by more than $\beta\sigma^2$. Look at the spectrum before you train.
# - "Plain" squared error has chosen $\sigma$ for you. Its mean over pixels has chosen one at which no direction here
#   pays.
# - Have $\sigma$ learned, from a start and with a step that let it arrive, or set it to its closed form.
# - A sigmoid keeps pixels in their range and lowers the error. It does not end a collapse.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-collapse-beta
#
# You want five latents, no more, at a fixed $\sigma = 0.1$. Which $\beta$ do you choose? Check it on a linear VAE.
# ```
#
# ```{solution-start} ex-collapse-beta
# :class: dropdown
# ```
#
# One with which the price $\beta \sigma^2$ lies between the fifth and the sixth eigenvalue:

# %%
from vaebook.experiments.linear import train_linear

beta = (spectrum[4] * spectrum[5]) ** 0.5 / 0.1**2
five = train_linear(spectrum, latent_dim, sigma=0.1, beta=beta)
print(f"beta = {beta:.0f}:", five.directions(spectrum), "directions")

# %% [markdown]
# ```{solution-end}
# ```
