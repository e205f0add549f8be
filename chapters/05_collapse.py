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
# "The encoder produced $\mu \approx 0$ and $\log \sigma^2 \approx 0$ for nearly all samples. KL divergence decreased toward
# zero. Reconstructions converged to a single averaged face." So the report that we re-create describes its *posterior
# collapse* {cite:p}`report2025`. It blames a decoder without a sigmoid, and says that a sigmoid, a smaller network and
# fewer latents cured it.
#
# Careful: this $\sigma$ belongs to the encoder. It is the width of $q(z|x)$, and there is one for each latent.
# Elsewhere in this chapter a plain $\sigma$ is that of the decoder: the width of $p(x|z)$. Its unit is the whole
# range of grey, from black at 0 to white at 1.
#
# This chapter makes the model ill in the same way, and predicts the illness from the data alone. Then it changes one
# thing at a time, and all of them together, to find out which of them cures. At its end stands a tool that examines
# *your* model. The report turns out to be right in a part of its explanation, and this page shows which.

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
latent_dim: int = 20  # dimensions of z in the report's recipe
epochs: int = 0  # of the report's recipe; 0: its own number
seeds: int = 5  # how many times the report's recipe and the cures are run
grid_epochs: int = 24  # of the runs of the grid
remedy_epochs: int = 40  # of the other small experiments
grid_latents: list[int] = [2, 5, 10, 20]  # dimensions of z in the grid
grid_seeds: int = 2  # how many times each cell of the grid is run
keep: list[int] = [1, 2, 4, 8, 16, 20]  # directions that a sigma shall leave

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
from IPython.display import Markdown

from vaebook import figures, page
from vaebook.experiments.recipes import (
    faces_recipe,
    metric,
    seeds_of,
    train_groups,
)
from vaebook.tables import final_table, mean_and_range
from vaelib import plots
from vaelib.config import amended
from vaelib.data import DataConfig, prepare

counts_from_one = "latent_dim seeds remedy_epochs keep "
counts_from_one += "grid_epochs grid_latents grid_seeds"
smallest = {"epochs": 0, **dict.fromkeys(counts_from_one.split(), 1)}
page.parameters(globals(), at_least=smallest)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
images = page.load(dataset, images=140, grey=True)
film = page.load(faces, images=140, grey=True)
page.banner(images, film)

# %% [markdown]
# ## What does a collapsed model look like?
#
# We take the report's recipe to the letter ({doc}`03_training` trained it already) and, beside it, the same without the
# sigmoid on the decoder's mean. Both use half the sum of squared errors, which is a Gaussian likelihood with $\sigma = 1$
# (the decoder's).

# %%
by_chance = DataConfig(name=faces, split="random")
report = faces_recipe(
    "report", by_chance, latent_dim=latent_dim, epochs=epochs or None
)
bare = amended(report, {"model.likelihood.mean": "identity"})
ill = train_groups(
    {
        "with a sigmoid": seeds_of(report, seeds),
        "without": seeds_of(bare, seeds),
    }
)
final_table(ill)

# %% tags=["hide-input"]
from vaelib.evaluation import encode

prepared = prepare(by_chance)
train, test = map(torch.from_numpy, (prepared.train, prepared.test))
COLOURS = dict(zip(ill, plots.COLOURS.values(), strict=False))
RANGE = (-0.3, 0.3)  # of the histograms


def symptoms(ill):
    _, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
    for name, runs in ill.items():
        codes = [encode(run.model, test) for run in runs]
        for ax, part in zip(axes, (0, 1), strict=False):
            values = torch.cat([code[part].flatten() for code in codes])
            look = {"histtype": "step", "density": True, "label": name}
            ax.hist(values, 60, range=RANGE, color=COLOURS[name], **look)
        history = [run.history["test_kl"].clip(lower=1e-3) for run in runs]
        epoch = runs[0].history["epoch"]
        plots.band(epoch, history, name, axes[2], COLOURS[name])
    axes[0].set(xlabel=r"$\mu$", ylabel="density", yscale="log")
    axes[1].set(xlabel=r"$\log \sigma^2$", yscale="log")
    axes[2].set(xlabel="epoch", ylabel="KL (nats)", yscale="log")
    axes[2].legend()


# %% mystnb={"figure": {"name": "fig-collapse-symptoms", "caption": "Two of the report's three symptoms. Left and middle: the encoder's means and log-variances of all latents and all held-out frames, over all seeds; both pile up near 0, the values of the prior. The axes end at 0.3 on either side, which cuts nothing off. Right: the KL during training, mean over seeds with the range as a band; note the logarithmic axis."}, "image": {"alt": "Two histograms with a peak at or near zero, narrower with the sigmoid than without it, and curves of the KL in nats against epochs that end far below one nat."}} tags=["hide-input"]
symptoms(ill)
plt.show()


# %% mystnb={"figure": {"name": "fig-collapse-faces", "caption": "Held-out frames and what the two models make of them, seed 0. One and the same face for all of them, with the sigmoid and without it."}, "image": {"alt": "Three rows of faces: different frames above, and below them two rows in which all faces look alike."}} tags=["hide-input"]
def rebuilt(runs, frames):
    made = {name: group[0].model for name, group in runs.items()}
    rows = {name: model.reconstruct(frames) for name, model in made.items()}
    return {"data": frames} | rows


frames = test[:: max(1, len(test) // 14)][:14]
figures.named_rows(rebuilt(ill, frames), film.shape)
plt.show()

# %% [markdown]
# The sigmoid is *in place* in one of the two, and that one has collapsed as well. So a missing sigmoid cannot be the cause
# of the {term}`collapse`. What is?
#
# ## Could we have known before training?
#
# Yes, from the data's covariance alone. {doc}`pixels` derived what the best *linear* VAE does, after
# {cite:t}`tipping1999` and {cite:t}`lucas2019`. Along a principal direction the data have variance $\lambda_j$, the
# eigenvalue. A latent that codes this direction saves squared error, and costs KL. It pays only if
#
# $$
# \lambda_j > \beta \sigma^2,
# $$ (eq-collapse-price)
#
# and then its KL is $\tfrac{1}{2} \log (\lambda_j / \beta \sigma^2)$ {term}`nats <nat>`. All other latents are switched off *at the
# optimum*. The right-hand side is the **price** of a latent. $\sigma$ and $\beta$ set it together, the data decide what can
# pay it; neither the encoder nor the number of latents has a say. With four eigenvalues, three latents and
# $\sigma = 0.6$, the price is 0.36:

# %% tags=["nbval-check-output"]
from vaelib.linear import eigenvalues, predict

example = predict([4.0, 1.0, 0.25, 0.04], latent_dim=3, sigma=0.6)
print(example.active, "active; KL", example.kl_per_dim.round(3), "nats")

# %% [markdown]
# Now the film, at $\sigma = 1$:

# %%
spectrum = eigenvalues(prepared.train)
theory = predict(spectrum, latent_dim, sigma=1.0)
print("eigenvalues:", *spectrum[:6].round(2), "...")
print("active:", theory.active, " KL:", round(theory.kl, 3), "nats")

# %% [markdown]
# A word on counting. An *active unit* is an axis of $z$ along which the {term}`posterior` means have a variance of more than
# 0.01 {cite:p}`burda2016`. One direction that lies askew to the axes makes several of them active. **Directions in use** are
# counted by the eigenvalues of the posterior means' covariance instead, with the same threshold, and do not depend on the
# axes. That is why {term}`active units <active unit>` may be more than directions.
#
# Beside theory stand the two trained models and the average frame:

# %% tags=["hide-input"]
from vaelib.evaluation import directions_in_use, expected_error


def in_use(runs, x=test):
    return [directions_in_use(run.model, x) for run in runs]


average = (test - train.mean(0)).square().sum(1).mean().item()
columns = ["directions in use", "KL (nats)", "squared error"]
guess = (theory.active, f"{theory.kl:.2f}", f"{theory.squared_error:.2f}")
rows = {
    "theory, linear": guess,
    "the average frame": (0, "0.00", f"{average:.2f}"),
}
for name, runs in ill.items():
    rows[f"trained, {name}"] = (
        mean_and_range(in_use(runs), 0),
        mean_and_range(metric(runs, "kl")),
        mean_and_range(metric(runs, "squared_error")),
    )
pd.DataFrame.from_dict(rows, orient="index", columns=columns)

# %% tags=["hide-input"]
pays = spectrum[:latent_dim][spectrum[:latent_dim] > 1]
gain = 0.5 * (pays - 1 - np.log(pays)).sum()
Markdown(
    "Before any training, theory expects what the report saw: of "
    f"{latent_dim} latents {theory.active} in use, with a KL of {theory.kl:.2f} "
    f"nats, for a bound that is {gain:.2f} nats better than the average frame's."
)

# %% [markdown]
# The trained models have not found even that one, which is worth so little. (Their figures are means over seeds on
# held-out frames, with the range; theory's error is that on the training frames.)
#
# ## Does the prediction hold for other sigmas, data and networks?
#
# For each data set we choose values of $\sigma$ that should leave a given number of directions, and $\sigma = 1$. At
# each of them we train two models with 20 latents and no sigmoid, one seed each. One is a linear VAE, from random
# weights, on its exact ELBO. The other has a hidden layer of tanh units, like any other model of this book.
# `toyfaces` is our film with known factors, five of them: pose, light, gaze, smile, and now and then a tongue.

# %%
from vaebook.experiments.collapse import sigma_run, train_cells
from vaebook.experiments.linear import train_linear

digits_data = DataConfig(
    name=dataset, split="60000/10000" if dataset == "mnist" else None
)
sets = {faces: by_chance, dataset: digits_data}
sets["toyfaces"] = DataConfig(name="toyfaces", split="random")
spectra = {n: eigenvalues(prepare(data).train) for n, data in sets.items()}


# %%
def sigmas_for(values):
    """Each leaves as many directions as `keep` says: between two eigenvalues."""
    between = [(values[k - 1] * values[k]) ** 0.25 for k in keep]
    return [round(float(sigma), 3) for sigma in between] + [1.0]


passes = {name: 3 * remedy_epochs for name in sets}
if dataset == "mnist":
    passes[dataset] = max(1, remedy_epochs // 10)  # 38 times as many images
places = [(name, s) for name in sets for s in sigmas_for(spectra[name])]
swept = train_cells(
    {(n, s): sigma_run(sets[n], s, passes[n]) for n, s in places}
)
linear = {(n, s): train_linear(spectra[n], 20, s) for n, s in places}

# %%
held_out = {n: torch.from_numpy(prepare(data).test) for n, data in sets.items()}
counts = {}
for name, sigma in places:
    expected = predict(spectra[name], 20, sigma)
    run, exact = swept[name, sigma], linear[name, sigma]
    counts[name, round(sigma, 2)] = {
        ("directions", "theory"): expected.active,
        ("directions", "linear"): exact.directions(spectra[name]),
        ("directions", "tanh"): directions_in_use(run.model, held_out[name]),
        ("KL", "theory"): round(expected.kl, 2),
        ("KL", "linear"): round(
            exact.kl_per_dim(spectra[name]).sum().item(), 2
        ),
        ("KL", "tanh"): round(run.metrics["test"]["kl"], 2),
    }
counts = pd.DataFrame(counts).T
counts.index.names = ["data", "sigma"]
counts.convert_dtypes()


# %% mystnb={"figure": {"name": "fig-collapse-sigma", "caption": "Latent directions in use against sigma. Line: theory, the number of eigenvalues above sigma squared, at most 20. Circles: linear VAEs. Crosses: tanh networks, on held-out images. The dotted line marks sigma = 1, half the plain squared error."}, "image": {"alt": "Three panels, one for each data set, with a falling staircase of predicted directions against sigma on a logarithmic axis, circles on it, and crosses on or below it."}} tags=["hide-input"]
def panel(ax, name):
    widths = np.geomspace(0.1, 4, 200)
    steps = [min(20, int((spectra[name] > s**2).sum())) for s in widths]
    ax.step(widths, steps, color=plots.INK, linewidth=1, label="theory")
    found = counts.loc[name]["directions"]
    for kind, mark in (("linear", "o"), ("tanh", "x")):
        ax.plot(found.index, found[kind], mark, label=kind, fillstyle="none")
    ax.axvline(1, color=plots.INK, linestyle=":", linewidth=0.8)
    ax.set(xscale="log", xlabel=r"$\sigma$", title=name, ylim=(-0.5, 21))


_, axes = plt.subplots(
    1, len(sets), figsize=(7.2, 2.8), sharey=True, layout="constrained"
)
axes = np.atleast_1d(axes)
for ax, name in zip(axes, sets, strict=True):
    panel(ax, name)
axes[0].set_ylabel("directions in use")
axes[-1].legend()
plt.show()

# %% tags=["hide-input"]
right = counts["directions", "theory"] == counts["directions", "linear"]
fewer = counts["directions", "tanh"] <= counts["directions", "theory"]
off = (counts["KL", "linear"] - counts["KL", "theory"]).abs().max()
toy = counts.loc["toyfaces"]["directions"]
ends = [toy.loc[sigma] for sigma in (toy.index.max(), toy.index.min())]
asked, used = ([int(end[n]) for end in ends] for n in ("theory", "tanh"))
Markdown(
    f"Linear VAEs keep as many directions as predicted in {right.sum()} of "
    f"{len(right)} cases, and their KL is off by {off:.2f} nats at most. Tanh "
    f"networks keep no more directions than that in {fewer.sum()} of "
    f"{len(fewer)}. From the largest sigma of toyfaces to the smallest, theory "
    f"asks for {asked[0]} to {asked[1]} directions, and the tanh networks use "
    f"{used[0]} to {used[1]}; {len(page.load('toyfaces').factors)} factors draw it."
)

# %% [markdown]
# The linear VAEs see no image and draw no $z$: they climb the exact ELBO, a formula in the eigenvalues. That they agree
# checks our algebra, and that descent from random weights finds the optimum. It says nothing yet of networks.
#
# The tanh networks do. Where theory grants eight directions or more they use fewer, below that mostly as many, and they often pay fewer nats. A curved network may
# need fewer: a turning head is one number, but moves the pixels along a curve that takes a linear model several principal
# directions. (But directions of small variance are also learned last, and these networks trained for a short time. Whether
# they draw as well with fewer, this table does not say.) Look at `toyfaces`: as $\sigma$ falls, theory asks for ever more
# directions, while those of the tanh networks grow about half as fast. They do not stop at the number of factors, either: the
# code of a factor may be bent, too, and then a single factor counts as more than one direction. The theory of the linear
# model is therefore a good guide to *whether* a latent pays, and counts on the high side.
#
# ## Can I watch a model collapse, and wake?
#
# Yes, here: the card below trains a small VAE in your browser, on 512 digits of 8 by 8 pixels. Press *Run*. Then turn sigma
# up to 2: within a few hundred steps the KL falls to zero, and all posteriors become the prior. Turn it down to 0.1 and the
# latents wake again, without a fresh start. Beside the number of directions in use stands the number that linear
# theory predicts: so many directions of these digits vary by more than $\beta\sigma^2$.

# %%
from vaebook import explorers

explorers.playground()

# %% [markdown]
# ```{exercise}
# :label: ex-collapse-playground
#
# Give the model 8 latents. Before you move sigma through 0.4, 0.5, 0.7 and 0.9, say how many directions it will use at each:
# the chart of the data's variances has the line at $\beta\sigma^2$. What does a beta of 4 do to the answers?
# ```
#
# ```{solution} ex-collapse-playground
# :class: dropdown
#
# Count the dots above the line: the count falls as sigma grows, and the model follows it within a few hundred steps.
# Only the product $\beta\sigma^2$ decides, so a beta of 4 does what a doubled sigma does: the answer at sigma 0.4 becomes
# the one that you found near 0.8.
# ```
#
# Six models of the film, each trained in full at a sigma of its own, stand on a dial that you can turn.
#
# ```{explorer} explore-dial
# ```
#
# ## Is it the sigmoid, sigma, the latents or the recipe?
#
# One change at a time can mislead: a cure may work only in company. So here is the *full factorial*: every combination of
#
# - **sigma**: one of six ways to set it. It is fixed at 1, with errors summed, or averaged over the pixels: the
#   common bug that makes $\beta = D$ {eq}`eq-mean`. Or one value is learned, from 1 or from 0.3 on. Or the decoder
#   states one for each pixel, from 1 on. Or it has the closed form, "optimal" {eq}`eq-optimal-sigma`.
# - **sigmoid** on the decoder's mean: yes or no;
# - **latents**: the dimensions of $z$;
# - **recipe**: the report's (tanh, Adagrad with a step of 0.001) or the modern one (SiLU, Adam from 0.001 on a cosine).
#
# To make that many runs cheap, all have one hidden layer of 200 units, batches of 50, and few epochs. So compare its cells
# with each other rather than with the full runs above, which have two layers.

# %%
from vaebook.experiments.collapse import FACTORS, factorial, results

cells = factorial(
    by_chance, train.shape[1], grid_epochs, grid_latents, grid_seeds
)
grid = results(train_cells(cells), [*FACTORS, "seed"])
grid["share explained"] = 1 - grid["squared error"] / average
grid.drop(columns=["seed", "active units"]).tail(3).round(2)

# %% tags=["hide-input"]
same_as_full = {"sigma": "1", "sigmoid": "yes", "recipe": "report"}
same_as_full["latents"] = max(grid_latents)
its_runs = (grid[list(same_as_full)] == pd.Series(same_as_full)).all(axis=1)
it = grid[its_runs][["directions", "squared error"]].mean()
in_full = np.mean(metric(ill["with a sigmoid"], "squared_error"))
Markdown(
    f"{len(grid)} runs, {grid_epochs} epochs each, {grid_seeds} seeds for each "
    "combination. The *share explained* is one minus the held-out squared error "
    "over that of the average frame: 0 is the average face, 1 a perfect copy."
    "\n\nA smaller model with fewer epochs need not end further from the "
    "optimum (which of the two helps, this does not tell). The report's "
    f"recipe with a sigmoid, sigma at 1 and {max(grid_latents)} latents has "
    f"{it['directions']:.1f} directions in use here and an error of "
    f"{it['squared error']:.2f}; at full length it has "
    f"{np.mean(in_use(ill['with a sigmoid'])):.1f} and {in_full:.2f}. The "
    f"average frame costs {average:.2f}."
)

# %% mystnb={"figure": {"name": "fig-collapse-grid-directions", "caption": "Directions in use in every cell, mean over seeds. Read along a row: what the sigmoid and the number of latents do. Read down a column: what sigma and the recipe do. Along most rows the number is limited by that of the latents, and otherwise changes far less than down a column; the exception is the report's recipe with sigma learned from 0.3, where the sigmoid matters. With sigma fixed at 1 and errors summed, nearly every run with the sigmoid finds one direction, the one that theory grants, and no more; without it one run of 16 does."}, "image": {"alt": "A table of coloured squares: rows for the six ways to set sigma times two recipes, columns for sigmoid yes or no times four numbers of latents. The rows with sigma at 1 are dark everywhere: one direction at most."}} tags=["hide-input"]
ROWS, COLUMNS = ["recipe", "sigma"], ["sigmoid", "latents"]
in_rows = grid.sort_values("recipe", ascending=False, kind="stable")
figures.cell_map(in_rows, ROWS, COLUMNS, "directions")
plt.show()

# %% mystnb={"figure": {"name": "fig-collapse-grid-error", "caption": "The share of the held-out squared error that is explained, in every cell, mean over seeds. Below zero a model is worse than the average frame; the colours do not tell by how much, as they start at zero."}, "image": {"alt": "The same table of coloured squares, with shares from minus 1.04 to 0.71. All below zero have the darkest colour; most of them have sigma at 1."}} tags=["hide-input"]
figures.cell_map(in_rows, ROWS, COLUMNS, "share explained", digits=2)
plt.show()

# %% mystnb={"figure": {"name": "fig-collapse-effects", "caption": "Main effects: every run is a dot, the line joins the means of the levels of one factor over all others."}, "image": {"alt": "Four panels with dots and a line of means: the line moves most with sigma, then with the recipe, little with the sigmoid and hardly at all with the number of latents."}} tags=["hide-input"]
size = {"figsize": (7.2, 3.2), "layout": "constrained"}
_, axes = plt.subplots(1, 4, sharey=True, width_ratios=(6, 2, 4, 2), **size)
figures.main_effects(grid, FACTORS, "share explained", axes)
plt.show()

# %% [markdown]
# How much does each factor explain? In a full factorial the variance of a result over all runs splits into parts. One
# is due to each factor, one to each pair of factors beyond that, one to three or more together (*higher
# interactions*), and one to the seeds:

# %%
from vaebook.experiments.collapse import explained

grid["log KL"] = np.log10(grid["KL"].clip(lower=1e-3))
responses = ["log KL", "directions", "share explained", "bits/dim"]
shares = pd.DataFrame({r: explained(grid, FACTORS, r) for r in responses})
shares.map("{:.1%}".format)

# %% [markdown]
# Such shares belong to this grid. They depend on which levels it holds, and how far apart. Sigma has six, one of
# which is in truth a $\beta$ as large as the number of pixels. The sigmoid has two. And the logarithm of the KL is
# cut at 0.001 nats; how far below a code lies is not counted.

# %% tags=["hide-input"]
by_sigmoid = grid.groupby(["recipe", "sigma", "sigmoid"], sort=False)
both = by_sigmoid[["squared error", "error, z drawn"]].mean().unstack()
ratios = pd.DataFrame(
    {
        n: both[n]["yes"] / both[n]["no"]
        for n in ("squared error", "error, z drawn")
    }
)
ratios.unstack("recipe").round(2)

# %% tags=["hide-input"]
top = shares["directions"].drop(index=["between seeds"]).idxmax()
Markdown(
    f"Of the variance of the directions in use, {shares['directions']['sigma']:.0%} "
    f"is due to sigma and {shares['directions']['sigmoid']:.1%} to the sigmoid; "
    f"of the share explained, {shares['share explained']['sigma']:.0%} and "
    f"{shares['share explained']['sigmoid']:.1%}. The factor or pair that "
    f"matters most for the directions is: {top}. The last table holds the "
    "squared error with the sigmoid over that without it, means over latents "
    "and seeds. On its left side z is the posterior's mean, which is what a "
    "reconstruction decodes in this book; on its right side z is drawn from "
    "the posterior, as in training and in many programs' reconstructions. "
    "(The report does not say which it shows.)"
)

# %% [markdown]
# ## Which half of the report's explanation holds?
#
# Now at the full length of the report's recipe. To the two models of the first section we add the report's own cure:
# a sigmoid, a smaller network and fewer latents. (50 units in one layer, five latents and still $\sigma = 1$ are our
# choice.) And we add a cure that it does not name: one $\sigma$ for all pixels that is learned from 0.3 on.
# Everything else is as it was, once with the sigmoid and once without.

# %%
from vaebook.experiments.collapse import REMEDIES

THREE, LEARNED = "the report's three", "sigma learned"
cures_by_name = {
    THREE: amended(report, REMEDIES["these three"]),
    LEARNED: amended(report, REMEDIES[LEARNED]),
    "sigma learned, without": amended(bare, REMEDIES[LEARNED]),
}
cured = train_groups(
    {name: seeds_of(cure, seeds) for name, cure in cures_by_name.items()}
)
full = {**ill, **cured}

# %% tags=["hide-input"]
from vaebook.experiments.collapse import gradient_signal, jitter, share_outside
from vaebook.experiments.pictures import sharpness


def offset(run):
    """The part of the squared error that the average picture makes."""
    miss = run.model.reconstruct(test).mean(0) - test.mean(0)
    return miss.square().sum().item()


# %% tags=["hide-input"]
def halves(runs):
    made = [run.model.reconstruct(test) for run in runs]
    outside = [share_outside(run.model, test) for run in runs]
    drawn = [expected_error(run.model, test) for run in runs]
    first = [gradient_signal(run.config, train, film.shape) for run in runs]
    return {
        "directions": mean_and_range(in_use(runs), 0),
        "KL": mean_and_range(metric(runs, "kl")),
        "squared error": mean_and_range(metric(runs, "squared_error")),
        "of it, offset": mean_and_range(list(map(offset, runs))),
        "squared error, z drawn": mean_and_range(drawn),
        "sharpness": mean_and_range([sharpness(m, test, film.shape) for m in made]),
        "pixels outside [0, 1]": f"{np.mean(outside):.2%}",
        "signal / noise at start": mean_and_range(first),
        "jitter (nats)": mean_and_range(list(map(jitter, runs))),
    }


pd.DataFrame({name: halves(runs) for name, runs in full.items()})

# %% [markdown]
# Columns are models, means over seeds with the range (but for the pixels outside); all but the last two rows are on
# held-out frames. *Offset* is the part of the squared error that one fixed picture makes: that by which the average
# reconstruction misses the average frame. *Sharpness* is the steepness of edges in a reconstruction for its contrast,
# as a share of the data's. *Signal over noise* compares the mean gradient of all weights at the first step with its
# scatter over batches. *Jitter* is by how much the training bound moves from one epoch to the next at the end. They
# test the report's "unstable pixel intensities and poor gradient signals".

# %% tags=["hide-input"]
error = {n: np.mean(metric(runs, "squared_error")) for n, runs in full.items()}
at_draws = {
    n: np.mean([expected_error(run.model, test) for run in g])
    for n, g in ill.items()
}
sharp = {
    n: np.mean(
        [sharpness(run.model.reconstruct(test), test, film.shape) for run in g]
    )
    for n, g in ill.items()
}
kl = {n: np.mean(metric(runs, "kl")) for n, runs in full.items()}
Markdown(
    "At $\\sigma = 1$ the sigmoid changes the squared error from "
    f"{error['without']:.2f} to {error['with a sigmoid']:.2f}, where the average "
    f"frame costs {average:.2f}. With it the code costs "
    f"{kl['with a sigmoid']:.2f} nats a frame, without it "
    f"{kl['without']:.2f}. All three of the report's remedies: {kl[THREE]:.2f} "
    f"nats and an error of {error[THREE]:.2f}. A learned sigma, with the "
    f"sigmoid: {kl[LEARNED]:.2f} nats and {error[LEARNED]:.2f}; without it: "
    f"{kl['sigma learned, without']:.2f} and "
    f"{error['sigma learned, without']:.2f}."
)

# %% [markdown]
# So at $\sigma = 1$ the sigmoid does lower the error, by a third. It leaves the code empty, and the reconstructions no sharper. (In the
# small models of the grid it nearly always wakes one direction, the one that theory grants at $\sigma = 1$, and no more.) Of the
# report's reasons, one is seen: the gradient at the start does stand out more clearly with the sigmoid, whose first picture
# is grey and not black. But the training is calm at its end in both, to a hundredth of a nat, and few pixels leave their range.
#
# A learned sigma wakes the code, with the sigmoid and without it. Without it the code costs more nats and the reconstructions are worse: the sigmoid
# is of use there, too, but it is not what ends the collapse. It also saves time. In the short runs of the grid the same recipe without
# it has few or no directions in use yet, and explains next to nothing.
#
# All three remedies together do wake something: the one direction that theory grants at this price, for a tenth of a nat.
# (With some seeds a second one is counted.) It is no cure: the reconstructions are hardly nearer to the frames
# than the average frame is.
#
# Why, then, should the sigmoid lower the error of a model that draws one face anyway? The row *offset* says where the
# error sits: without the sigmoid that one face is not even the average frame. In the row below it $z$ is drawn from
# the posterior, as in training. There the two models are much closer. So in these runs it is above all a matter of
# *where* we decode.
#
# The row of the error and that of *z drawn* decode different places. A collapsed posterior is the {term}`prior`, and in
# training its draws of $z$ in 20 dimensions lie at a distance of about $\sqrt{20}$ from the origin. Its *mean* is the
# origin, which the decoder has hardly ever been asked about; and that is where reconstructions are decoded.

# %% mystnb={"figure": {"name": "fig-collapse-radius", "caption": "How far the picture that a collapsed decoder draws lies from the average frame, in squared error, against the distance of z from the origin; mean over 200 directions, bands over seeds. Grey: where 95 % of the draws of z lie in training. Reconstructions are decoded near 0."}, "image": {"alt": "Two curves against distance from the origin. With the sigmoid it is low everywhere; without it it is high at the origin, lowest at about 4.2, inside the grey band, and rises again from there."}} tags=["hide-input"]
from scipy.stats import chi

radii = np.linspace(0, 1.6 * latent_dim**0.5, 30)
rays = torch.randn(200, latent_dim, generator=torch.Generator().manual_seed(0))
rays = rays / rays.norm(dim=1, keepdim=True)


def distance(run):
    """From the average frame, of what is decoded at each radius."""
    made = [run.model.mean_image(float(r) * rays) for r in radii]
    return [(m - train.mean(0)).square().sum(1).mean().item() for m in made]


_, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name, runs in ill.items():
    plots.band(radii, list(map(distance, runs)), name, ax, COLOURS[name])
ax.axvspan(*chi(latent_dim).interval(0.95), color=plots.INK, alpha=0.1)
ax.set(xlabel=r"$|z|$", ylabel="squared distance", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# In these runs without the sigmoid, the weights that lead from $z$ to the picture have not died out. Training has
# made the decoder right *on average over the noise*, not at its centre.

# %% tags=["hide-input"]
at_mean = error["with a sigmoid"] / error["without"]
at_draw = at_draws["with a sigmoid"] / at_draws["without"]


def in_grid(recipe, sigma):
    """The ratios at the posterior's mean and at draws, by the table above."""
    return " and ".join(f"{r:.2f}" for r in ratios.loc[(recipe, sigma)])


Markdown(
    "Is that so for all models? The error with the sigmoid over that without "
    "it, first at the posterior's mean, then where z is drawn:\n\n"
    f"- these two, at full length: {at_mean:.2f} and {at_draw:.2f};\n"
    "- in the grid, the report's recipe with $\\sigma = 1$: "
    f"{in_grid('report', '1')};\n"
    f"- the modern recipe with $\\sigma = 1$: {in_grid('modern', '1')};\n"
    "- the modern recipe with sigma learned from 0.3: "
    f"{in_grid('modern', 'learned from 0.3')}."
)

# %% [markdown]
# So it is not one story. In the full runs most of the gain is at the posterior's mean. In the small models with the report's
# recipe more is gained where $z$ is drawn, and with the modern one at $\sigma = 1$ little in either place. By the modern recipe
# with $\sigma$ learned from 0.3 on the code is awake, and the sigmoid makes the model itself better, in both places alike.
#
# Of what the report saw, a part is seen here: with the sigmoid the error fell, and the one face came nearer to the frames.
# The report also saw it grow sharper. Here the *sharpness* is the same with the sigmoid and without it. The collapse is
# another matter: with the better face, no code came back.

# %% [markdown]
# ## What does each remedy do alone?
#
# Here the patient is a small model as in the grid: $\sigma = 1$, no sigmoid, 20 latents. But it has the modern recipe and
# more epochs, so that a remedy is less likely to look weak only because training stopped early. First come the remedies that the report
# names, then those that it does not:
#
# - **KL warm-up** {cite:p}`bowman2016`: $\beta$ grows from 0 to 1 over the first half of the training.
# - **free bits** {cite:p}`kingma2016`: the first half nat of each latent's KL costs nothing.
# - **beta = 0.01** {cite:p}`higgins2017`: by {eq}`eq-collapse-price` the same as $\sigma = 0.1$ for the optimum.
# - **sigma learned** from 0.3 on, and **sigma optimal** {cite:p}`rybkin2021`.
# - **Bernoulli pixels**: cross-entropy instead of squared error. It needs a sigmoid, so whoever adds one may well have
#   changed this, too.

# %%
from vaebook.experiments.collapse import cures, small, with_sigma

patient = with_sigma(
    small("modern", by_chance, remedy_epochs), "1", train.shape[1]
)
patient = amended(patient, {"model.likelihood.mean": "identity"})
treated = train_cells(cures(patient, seeds))
remedies = results(treated, ["remedy", "seed"])
shown = {"directions": 0, "active units": 0, "KL": 2}
shown |= {"squared error": 2, "bits/dim": 2}
table = {
    name: {c: mean_and_range(rows[c].tolist(), digits) for c, digits in shown.items()}
    for name, rows in remedies.groupby("remedy", sort=False)
}
table["Bernoulli pixels"]["bits/dim"] = ""  # no likelihood of grey pixels
pd.DataFrame(table).T

# %% [markdown]
# *Free bits* and *beta = 0.01* have worse bits beside far better errors, for their likelihood still has $\sigma = 1$.
# It pays half a nat for each unit of squared error that is saved, and the KL that saves it costs more.

# %% mystnb={"figure": {"name": "fig-collapse-remedies", "caption": "Held-out frames as the treated models rebuild them, seed 0."}, "image": {"alt": "Rows of faces, one for each remedy. The rows of the untreated model, the sigmoid, less capacity, fewer latents, these three and the KL warm-up repeat nearly one face. With free bits the face changes a little; the other rows follow the data's first row, the optimal sigma most closely."}} tags=["hide-input"]
first = {n: [treated[n, 0]] for n in REMEDIES}
figures.named_rows(rebuilt(first, frames), film.shape)
plt.show()

# %% mystnb={"figure": {"name": "fig-collapse-samples", "caption": "Samples of the same models: z from the prior, the decoder's mean. Of the collapsed models, those with the sigmoid or with five latents draw their one face neatly, the untreated one and the KL warm-up draw it with a grain, and the one with less capacity draws noise, too. Of those whose latents are awake, only the one with Bernoulli pixels, which has a sigmoid, draws faces throughout; the others draw much noise, often black."}, "image": {"alt": "Rows of pictures drawn from the prior, one row for each remedy: one repeated face in the collapsed models, lost in noise in some pictures of the one with less capacity, dark and noisy pictures with free bits, a small beta or a learned or optimal sigma, and smooth faces with Bernoulli pixels."}} tags=["hide-input"]
drawn = {
    name: run.model.sample(14, torch.Generator().manual_seed(1))
    for name, (run,) in first.items()
}
figures.named_rows(drawn, film.shape)
plt.show()


# %% tags=["hide-input"]
ONE_BIT = np.log(2)
means = remedies.groupby("remedy", sort=False)[["KL", "directions"]].mean()
awake = (means["KL"] > ONE_BIT) & (means["directions"] > 1)
works, fails = list(means.index[awake]), list(means.index[~awake])


def constant_kl(run):
    """The KL of a posterior with the average mean and log-variance."""
    mean, log_var = (part.mean(0) for part in encode(run.model, test))
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum().item()


constant = [constant_kl(treated["less capacity", s]) for s in range(seeds)]
Markdown(
    "The code costs more than one bit (0.69 nats), in more than one direction, "
    f"with: **{', '.join(works) or 'none'}**. It does not with: "
    f"**{', '.join(fails) or 'none'}**.\n\nNot all KL is a message. Of the "
    f"{means['KL']['less capacity']:.2f} nats of *less capacity*, "
    f"{np.mean(constant):.2f} would be paid by a posterior that is the same "
    "for all frames, but not the prior."
)


# %% tags=["hide-input"]
def outside(made):
    return ((made < 0) | (made > 1)).float().mean().item()


def imagined(seed):
    draw = torch.Generator().manual_seed(1)
    return treated["sigma optimal", seed].model.sample(1000, draw)


ranges = (
    [
        outside(treated["sigma optimal", s].model.reconstruct(test)),
        outside(imagined(s)),
    ]
    for s in range(seeds)
)
rebuilt_out, drawn_out = np.mean(list(ranges), axis=0)
Markdown(
    f"With the optimal sigma and no sigmoid, {rebuilt_out:.1%} of the rebuilt "
    f"pixels lie outside [0, 1], and {drawn_out:.0%} of those of samples."
)

# %% [markdown]
# So a woken code is not yet a good sampler. Presumably the codes of 20 latents fill little of the prior (the next chapter looks at
# that), and between them a decoder without a sigmoid answers with anything. Here the sigmoid earns its place: not as a cure of the
# collapse, but as a bound on what the decoder may say where it knows nothing. {numref}`fig-collapse-per-pixel-samples`
# shows the optimal sigma with it. Samples are the subject of the next chapter.
#
# Why do the report's remedies bring hardly more than one direction? None of them is in {eq}`eq-collapse-price`. A warm-up
# is not in it either: it changes the way, and the price at its end is the old one. (A second direction is counted after it in most seeds,
# but it is worth next to nothing.) Free bits make the latents carry what
# is free, and the error falls, but the bound gets no better for it.
#
# So how *did* the report's collapse end? We cannot know. One reading would fit: with the sigmoid came another loss. Binary
# cross-entropy needs a sigmoid, the report's section 3.3 names it as the reconstruction term of its Bernoulli decoder, and here
# it does restore the code. Against it speaks that the report's conclusion puts the sigmoid into a Gaussian decoder. And in this
# book we tried Bernoulli pixels on the film with Adam only, not with the report's Adagrad.
#
# ## Why does a sigma for each pixel blur?
#
# The report found that learned pixel variances blur more. We compare three ways to set $\sigma$: one value learned by
# gradient, the closed form, and one value for each pixel. All else is equal: the modern recipe, with a sigmoid, 20
# latents, and one hidden layer as in the grid. They must start alike, too. From $\sigma = 0.3$ on, the one learned
# value does not come far in so few epochs, so a second pair starts at 0.05, near to where the errors are.

# %%
ways = {
    "learned, from 0.3": ("learned from 0.3", 0.3),
    "per pixel, from 0.3": ("per pixel", 0.3),
    "learned, from 0.05": ("learned from 0.3", 0.05),
    "per pixel, from 0.05": ("per pixel", 0.05),
    "optimal": ("optimal", 0.3),
}
start = small("modern", by_chance, remedy_epochs)


def begun(way, value):
    """The same model with one of the ways to set sigma, and its start."""
    config = with_sigma(start, way, train.shape[1])
    return amended(config, {"model.likelihood.sigma_value": value})


pixelwise = train_groups(
    {name: seeds_of(begun(*way), seeds) for name, way in ways.items()}
)


# %% tags=["hide-input"]
@torch.no_grad()
def sigma_of(run):
    """For each held-out frame and pixel, or one for all."""
    outputs = run.model.decode(encode(run.model, test)[0])
    return run.model.likelihood.sigma(outputs)


def compared(runs):
    made = [run.model.reconstruct(test) for run in runs]
    return {
        "−ELBO (bits/dim)": mean_and_range(metric(runs, "bits_per_dim")),
        "squared error": mean_and_range(metric(runs, "squared_error")),
        "sharpness, rebuilt": mean_and_range([sharpness(m, test, film.shape) for m in made]),
        "KL (nats)": mean_and_range(metric(runs, "kl"), 1),
        "sigma, mean": mean_and_range([sigma_of(r).mean().item() for r in runs], 3),
    }


pd.DataFrame({name: compared(runs) for name, runs in pixelwise.items()}).T

# %% tags=["hide-input"]
RIVALS = {  # who says one sigma for all -> who says one for each pixel
    "optimal": "per pixel, from 0.3",
    "learned, from 0.05": "per pixel, from 0.05",
}


def pixel_errors(name):
    made = [run.model.reconstruct(test) for run in pixelwise[name]]
    return sum((test - m).square().mean(0) for m in made) / len(made)


def pixel_sigmas(name):
    return sum(sigma_of(run).mean(0) for run in pixelwise[name]) / seeds


widths = {one: pixel_sigmas(many).numpy() for one, many in RIVALS.items()}
ratios_at = {
    one: (pixel_errors(many) / pixel_errors(one)).numpy()
    for one, many in RIVALS.items()
}


# %% mystnb={"figure": {"name": "fig-collapse-per-pixel", "caption": "Left: sigma of each pixel, averaged over held-out frames, by the model that says one for each, from 0.3 on. Middle: its squared error in each pixel over that of the model with the optimal sigma; above 1 it is worse. Right: the two against each other, one dot for each pixel; the crosses are the pair that starts at 0.05, a sigma for each pixel over one that is learned. Mean over seeds."}, "image": {"alt": "Two pictures of a face in false colours and a scatter plot. Sigma is highest at the edges of the head, then at the mouth, the eyes and the nose; the error ratio is above 1 in most pixels and tends to grow with sigma."}} tags=["hide-input"]
_, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
pictures = (widths["optimal"], ratios_at["optimal"])
for ax, values in zip(axes, pictures, strict=False):
    seen = ax.imshow(values.reshape(film.shape), cmap="cividis")
    plt.colorbar(seen, ax=ax)
    ax.axis("off")
axes[0].set_title(r"$\sigma$ of a pixel")
axes[1].set_title("error ratio")
for one, mark in zip(RIVALS, "ox", strict=True):
    look = {"markersize": 2, "label": f"over {one}"}
    axes[2].plot(widths[one], ratios_at[one], mark, **look)
axes[2].axhline(1, color=plots.INK, linewidth=0.8)
axes[2].set(xlabel=r"$\sigma$", ylabel="error ratio", yscale="log")
axes[2].set_ylim(bottom=0.5 * min(r.min() for r in ratios_at.values()))
axes[2].legend(fontsize=7)
plt.show()

# %% mystnb={"figure": {"name": "fig-collapse-per-pixel-samples", "caption": "Held-out frames rebuilt, then samples from the prior, by a model with one optimal sigma and by one with a sigma for each pixel, from 0.3 on; seed 0. The reconstructions of the second are a little softer, look at the open mouths. Of its samples, more are faint or lost in noise."}, "image": {"alt": "Rows of faces: data, reconstructions of both models, and samples of both."}} tags=["hide-input"]
two = {n: pixelwise[n] for n in ("optimal", RIVALS["optimal"])}
blocks = rebuilt(two, frames)
for name, (run, *_) in two.items():
    seed = torch.Generator().manual_seed(1)
    blocks[f"{name}, samples"] = run.model.sample(14, seed)
figures.named_rows(blocks, film.shape)
plt.show()

# %% tags=["hide-input"]
from scipy.stats import spearmanr

bits, errors = (
    {n: np.mean(metric(runs, key)) for n, runs in pixelwise.items()}
    for key in ("bits_per_dim", "squared_error")
)


def against(one, many):
    rank = spearmanr(widths[one], ratios_at[one]).statistic
    worse = ratios_at[one] > 1
    easy = widths[one] <= np.quantile(widths[one], 0.25)
    return (
        f"- *{many}*, against *{one}*: {bits[many]:.2f} and {bits[one]:.2f} "
        f"bits per dimension, a squared error of {errors[many]:.2f} and "
        f"{errors[one]:.2f}. The error is larger in "
        f"{worse.mean():.0%} of the pixels, and in {worse[easy].mean():.0%} of "
        "the quarter with the smallest sigmas; the rank correlation of the "
        f"error ratio with sigma is {rank:.2f}."
    )


# %% tags=["hide-input"]
slow, beside = "learned, from 0.3", "per pixel, from 0.3"
moved = np.mean([sigma_of(run).item() for run in pixelwise[slow]])
lines = [against(one, many) for one, many in RIVALS.items()]
lines += [
    f"- *{beside}*, against *{slow}*, whose sigma still is {moved:.2f}: "
    f"{bits[beside]:.2f} and {bits[slow]:.2f} bits per dimension, a squared "
    f"error of {errors[beside]:.2f} and {errors[slow]:.2f}."
]
Markdown("\n".join(lines))

# %% [markdown]
# The last line first, for the answer depends on the rival. One learned value is a single number, which Adam moves by a small step at a
# time, while a pixel's is said by a whole layer of weights and is quick. As long as the one sigma is still far too large,
# the model with a sigma for each pixel has the better bound *and* the smaller error.
#
# Once the one sigma has arrived, be it by the closed form or by gradient from a start nearby, the better bound comes
# with the worse pictures. Part of the reason stands in {eq}`eq-gaussian`: the squared error of a pixel is divided by
# $2 \sigma_i^2$. Some pixels are hard to predict: those at the edges of the head, then at the mouth, the eyes and the
# nose. There the decoder states a large $\sigma_i$. From then on errors there hardly cost anything, so it has little
# reason to draw them better. Where a pixel is easy, it states a small one and is paid for every bit of precision; the
# bound sums up both. The error ratio does tend to grow with $\sigma_i$. But this is a part of the reason only. By
# this alone, easy pixels should come out *better* than with one sigma. The pair that starts at 0.05 comes near to
# that: among its pixels with the smallest $\sigma_i$ ratios above and below 1 are both common. Beside the optimal
# sigma most of the easy pixels are worse, too. What else costs precision there we have not measured.
#
# It is a fair bargain for a density, and a bad one for a picture: a mouth makes an expression, and is among the parts that
# are hard to predict.
#
# ## Is this film more prone to collapse?
#
# The report says so, "because a large latent dimension is unnecessary to represent such a homogeneous dataset". By
# {eq}`eq-collapse-price` it is prone for another reason: its *variance* is low. Its pictures differ less from one another, in
# squared grey levels, than the digits do, and the price is in squared grey levels, too. (The report's digits never paid that price: its
# model of MNIST has Bernoulli pixels. We ask what squared error with $\sigma = 1$ would do to them.)

# %%
kept_at = {}
for name, values in spectra.items():
    share = 1 / spectra[dataset].sum()  # the price, of the digits' variance
    kept_at[name] = (
        values.sum(),
        (values > 1).sum(),
        (values / values.sum() > share).sum(),
        directions_in_use(swept[name, 1.0].model, held_out[name]),
    )
columns = ["total variance", "kept at sigma = 1"]
columns += ["kept at an equal share", "measured at sigma = 1"]
pd.DataFrame(kept_at, index=columns).T.round(1)

# %% [markdown]
# *At an equal share* asks what happens if all pictures had the total variance of the digits: the price is then the
# same share of it as $\sigma = 1$ is for the digits. (Measured: the tanh network, one seed.)
#
# And the number of latents? In {numref}`fig-collapse-grid-directions` the rows with $\sigma = 1$ are at least as dark with two
# latents as with twenty. Fewer latents do not make the others pay.
#
# ## Do few, similar frames make a model average?
#
# The report thinks so, "unless the model is carefully regularized". A model with a learned sigma, and with nothing but its KL to
# regularise it, says otherwise on the same frames:

# %%
modern = faces_recipe(
    "modern", by_chance, latent_dim=latent_dim, epochs=epochs or None
)
unregularised = train_groups({"modern": seeds_of(modern, seeds)})["modern"]

# %% tags=["hide-input"]
part = {
    p: mean_and_range(metric(unregularised, "squared_error", p))
    for p in ("train", "test")
}
Markdown(
    f"Its squared error is {part['train']} on training frames and "
    f"{part['test']} on held-out ones, where the average frame costs "
    f"{average:.2f}; its code costs {mean_and_range(metric(unregularised, 'kl'), 1)} "
    "nats."
)

# %% [markdown]
# Its error on the frames it has seen is about half of that on others: this model begins to learn them by heart, which is the
# opposite of averaging them. The average face is a matter of the price of a latent, again.

# %% [markdown]
# ## Do the cures bring back the tongue?
#
# Collapse is one illness; modes that never appear are another. We draw 2,000 samples and ask of each whether the nearest
# training frame shows the tongue, be it half or all of it. That is a crude classifier, and the next chapter has a better
# one, but it is enough to see whether waking the latents is enough.

# %%
from scipy.spatial.distance import cdist

from vaebook.experiments.tongue import IN, tongue

tongue_shown = tongue(film) != IN
labels = tongue_shown[film.split("random").train]


def nearest_shows(pictures):
    """Whether the training frame nearest to each picture shows the tongue."""
    return labels[cdist(pictures, train, "sqeuclidean").argmin(1)]


def tongues(model, seed=0, count=2000):
    """Share of samples nearest to a training frame that shows the tongue."""
    drawn = model.sample(count, torch.Generator().manual_seed(seed))
    return nearest_shows(drawn).mean()


# %% tags=["hide-input"]
found = {
    THREE: cured[THREE],
    "sigma learned": cured["sigma learned"],
    "modern": unregularised,
}
per_cent = {
    name: [100 * tongues(run.model) for run in runs]
    for name, runs in found.items()
}
shares_out = {name: mean_and_range(shares, 1) for name, shares in per_cent.items()}
truth = tongue_shown[film.split("random").test]
said = nearest_shows(test)
in_film = f"{100 * tongue_shown.mean():.1f} %"
lines = [f"- {name}: {share} %" for name, share in shares_out.items()]
Markdown(
    f"In the film: {in_film} of all frames. Samples:\n\n"
    + "\n".join(lines)
    + f"\n\nOf {truth.sum()} held-out frames with a tongue the classifier sees "
    f"{said[truth].sum()}, and it cries tongue at {said[~truth].sum()} of the "
    f"{(~truth).sum()} others. The best of all these models draws "
    f"{max(map(max, per_cent.values())):.1f} %."
)

# %% [markdown]
# So the tongue is all but missing, whether the latents sleep or are awake: waking them is not enough. A caveat: held-out frames
# are easy to judge, as the film has near twins of them among the training frames. Samples have none. One that is blurred or
# noisy lies nearest to some frame all the same, and that need not be the one it resembles to our eyes.
#
# ## What ails my model?
#
# All the above in one call: `diagnose` examines a finished run, `diagnose_model` any model and images.

# %%
from vaelib.diagnosis import diagnose

diagnose(ill["without"][0], "the report's recipe, no sigmoid")

# %%
diagnose(cured["sigma learned"][0], "sigma learned, Adagrad")

# %%
diagnose(unregularised[0], "the modern recipe")

# %%
diagnose(pixelwise["optimal"][0], "sigma optimal, fewer epochs")

# %% [markdown]
# It names the likely causes with their evidence, in the order in which they usually matter, and what to try. It knows
# a sigma too large for the data's {term}`spectrum`, a KL that weighs too much, and a mean over pixels. It knows a
# warm-up that outlasts the training, an optimiser that stopped early, dead units, and too little data. If it finds
# none of them, it says so.
#
# Compare two numbers of the report. *Worth a latent* are the directions that linear theory would keep at the model's
# own $\sigma$ and $\beta$. Where these are not fair ones, the number at fair ones stands beside it. If the first is
# far below the second, the price is too high. *In use* are the directions that the model has. They may be fewer than
# are worth it, since a curved network may need fewer. Only very few are a fault.
#
# With a model and images of your own, say what was maximised, if you can: a $\beta$ that is not known is taken as 1, and the diagnosis says so.
#
# ```python
# from vaelib.diagnosis import diagnose_model
# from vaelib.models import ObjectiveConfig
#
# beta = ObjectiveConfig(beta=1.0)
# print(diagnose_model(model, train, held_out, history, objective=beta))
# ```
#
# ## What remains of the report's account?

# %% tags=["hide-input"]
prone = {n: list(map(round, row)) for n, row in kept_at.items()}
ends_of_grid = min(grid_latents), max(grid_latents)
mean_use = grid.groupby(["sigma", "latents"])["directions"].mean()
at_one, at_best = (
    " and ".join(f"{mean_use[sigma, z]:.1f}" for z in ends_of_grid)
    for sigma in ("1", "optimal")
)
Markdown(
    f"""| the report | we found (errors and KL on held-out frames unless said) |
| --- | --- |
| a missing sigmoid is the cause | KL with the sigmoid, at $\\sigma = 1$: {mean_and_range(metric(ill["with a sigmoid"], "kl"))} nats |
| the sigmoid makes faces sharp | sharpness at $\\sigma = 1$ without and with it: {sharp["without"]:.2f} and {sharp["with a sigmoid"]:.2f}; error {error["without"]:.2f} and {error["with a sigmoid"]:.2f} at the posterior's mean, {at_draws["without"]:.2f} and {at_draws["with a sigmoid"]:.2f} where z is drawn |
| without it, pixel intensities are unstable | pixels outside [0, 1] with the optimal sigma and no sigmoid: {rebuilt_out:.1%} of the rebuilt, {drawn_out:.0%} of the samples' |
| fewer latents cure | directions in use with {ends_of_grid[0]} and with {ends_of_grid[1]} latents, means over the grid: {at_one} at $\\sigma = 1$, {at_best} with the optimal one |
| all three remedies cure | KL at $\\sigma = 1$: {mean_and_range(metric(cured[THREE], "kl"))} nats |
| the film is prone as it needs few latents | directions that pay at $\\sigma = 1$: {prone[faces][1]} of the film's, {prone[dataset][1]} of the digits'; at equal total variance {prone[faces][2]} and {prone[dataset][2]} |
| few, similar frames make it average | error with no regulariser but the KL: {part["train"]} in training, {part["test"]} held out |
| pixel variances blur | error {errors[beside]:.2f} against {errors["optimal"]:.2f} with one optimal sigma, bound {bits[beside]:.2f} against {bits["optimal"]:.2f} bits/dim |
| the cures leave modes out | samples nearest to a tongue: {shares_out["sigma learned"]} %; frames: {in_film} |"""
)

# %% [markdown]
# In words, for the published settings. One half of the report's explanation is right in part: the sigmoid brings the
# picture that a model draws nearer to the frames, though at $\sigma = 1$ no sharper. The other half is not: it does
# not end the collapse, and a learned sigma does so without it. The symptoms are as the report describes them, and
# they appear with the sigmoid as well as without it. What decides is sigma: it sets the price of a latent, and
# $\sigma = 1$ is more than almost any direction of this film can pay. A better optimiser does not change that, nor do
# fewer latents or a smaller network. The sigmoid is worth having for its own sake: it keeps pixels inside their
# range, and it mostly lowers the error. By the report's recipe at full length it does so by a third with $\sigma =
# 1$, and by a quarter with a learned one. It is not the cure. So choose $\sigma$, or $\beta$, with the data's
# spectrum in view, or have it learned, from a start and with a step that let it arrive.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-collapse-half
#
# Many programs minimise the *sum of squared errors* plus the KL, without the half that belongs to a Gaussian. Which
# $\sigma$ is that, and how many latents would a linear VAE of the film keep?
# ```
#
# ```{solution-start} ex-collapse-half
# :class: dropdown
# ```
#
# $S + \mathrm{KL} = S / 2 \sigma^2 + \mathrm{KL}$ with $\sigma^2 = 1/2$:

# %%
half = predict(spectrum, latent_dim, sigma=0.5**0.5)
print(half.active, "directions,", round(half.kl, 2), "nats")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-collapse-beta
#
# You want five latents, no more, from a model with a fixed $\sigma = 0.1$. Which $\beta$ do you choose? Check it on a
# linear VAE.
# ```
#
# ```{solution-start} ex-collapse-beta
# :class: dropdown
# ```
#
# The price $\beta \sigma^2$ must lie between the fifth and the sixth eigenvalue.

# %%
beta = (spectrum[4] * spectrum[5]) ** 0.5 / 0.1**2
five = train_linear(spectrum, latent_dim, sigma=0.1, beta=beta)
print(f"beta = {beta:.0f}:", five.directions(spectrum), "directions")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-collapse-diagnose
#
# Make a model ill in a way of your own, and see whether `diagnose` finds out. One try: the optimal sigma, with a KL that
# weighs 30 times too much.
# ```
#
# ```{solution-start} ex-collapse-diagnose
# :class: dropdown
# ```

# %%
heavy = amended(
    with_sigma(small("modern", by_chance, remedy_epochs), "optimal", 1),
    {"objective.beta": 30.0},
)
(sick,) = train_groups({"heavy": [heavy]})["heavy"]
print(diagnose(sick, "beta = 30"))

# %% [markdown]
# ```{solution-end}
# ```
