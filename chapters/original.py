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
# (chapter-original)=
# # The original, reproduced
#
# Do we get what {cite:t}`kingma2014` got? Yes, as far as we went. By their recipe the bound climbs as in their Figure 2, and after ten
# million images it still rises a little. It beats wake-sleep, their rival, in each of three races. The planes of two latents are
# smooth, as in their Figure 4. Samples of short trainings look poor. Those of the long ones have clean backgrounds, and some broken strokes.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can read their Figures 2, 4 and 5, and say what of them is seen again. You know wake-sleep, the algorithm that
#   they raced against.
# - **You need** {ref}`chapter-training`, for the three recipes.
# - **Time.** Twenty minutes to read. Training all of it takes about an hour on one core,
#   by our reckoning: it was not clocked in one go.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
latent_dim: int = 20  # of the trials and of the race with wake-sleep
latents: list[int] = [10, 20, 50, 200]  # for the digits
face_latents: list[int] = [2, 5, 10, 20]  # for the film
epochs: int = 0  # passes over the data; 0: the recipe's own number
seeds: int = 3  # of the models that race against wake-sleep
trial_epochs: int = 3  # passes of the runs that choose the step
long_latents: list[int] = [20, 200]  # of the long runs
long_epochs: int = 167  # their passes: 10 million images of MNIST

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
from vaebook.experiments import findings
from vaebook.experiments.recipes import (
    digits_recipe,
    faces_recipe,
    metric,
    seeds_of,
    train_groups,
)
from vaebook.tables import mean_and_range
from vaelib import plots
from vaelib.data import DataConfig

counts = "latent_dim latents face_latents seeds"
counts += " trial_epochs long_latents long_epochs"
least = dict.fromkeys(counts.split(), 1) | {"epochs": 0}
page.parameters(globals(), at_least=least)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
images, film = page.load(dataset, grey=True), page.load(faces, grey=True)
page.banner(images, film)

# %% [markdown]
# ## Which protocol?
#
# One hidden layer with tanh, of 500 units for MNIST and 200 for Frey Faces. Weights from $\mathcal{N}(0, 0.01)$ and a weak
# prior on them. Adagrad {cite:p}`duchi2011`, batches of 100, one draw of $z$ for each image. The digits have a Bernoulli decoder,
# the film a Gaussian one with a sigma for every pixel, whose mean passes through a sigmoid. This is the kingma-welling recipe of {doc}`03_training`.
#
# Two things must be settled before our curves can be laid beside theirs. The step of Adagrad was "chosen from {0.01, 0.02, 0.1}
# based on performance on the training set in the first few iterations". And weights from $\mathcal{N}(0, 0.01)$ have a deviation of 0.1
# if 0.01 is a variance, and of 0.01 if it is not. We try all six, and do as they did: the training images choose.

# %%
split = "60000/10000" if dataset == "mnist" else None
of_digits = DataConfig(name=dataset, split=split)
recipe = digits_recipe("kingma-welling", of_digits, latent_dim=latent_dim)


def variant(deviation, step, epochs, z=latent_dim):
    model = recipe.model.replace(init_std=deviation, latent_dim=z)
    training = recipe.training.replace(learning_rate=step, epochs=epochs)
    return recipe.replace(model=model, training=training)


# %%
tried = train_groups(
    {
        (deviation, step): [variant(deviation, step, trial_epochs)]
        for deviation in (0.1, 0.01)
        for step in (0.01, 0.02, 0.1)
    }
)
losses = {key: -run.metrics["train"]["elbo"] for key, (run,) in tried.items()}
table = pd.Series(losses).rename_axis(["deviation of weights", "step"])
table.unstack().round(1)

# %% [markdown]
# These are −ELBO on the training images, in nats, after three passes. The largest step is of no use, and neither is the
# smaller deviation, at least so early. We did not test whether that stays so to the end. So we read 0.01 as a variance, and take a step of 0.02. That says what works here, not what they
# meant. The other chapters keep a step of 0.01, which is hardly worse.

# %%
chosen = min(losses, key=losses.get)
print("chosen: weights with a deviation of {}, step {}".format(*chosen))

# %% [markdown]
# ## Do we see their Figure 2?
#
# Yes. With the step that was just chosen, the test bound of 20 latents is at −103.3 nats after ten million images, and that of 200
# at −106.1. From 20 latents on, the more there are, the later they start; 50 have caught up with 20 after 1.2 million images.
#
# Their Figure 2 draws the bound against the number of training images seen, for several numbers of latents. Its axis for MNIST goes
# from $-150$ to $-100$ nats. We draw the recipe as the other chapters have it, with a step of 0.01, and two long runs with a step
# of 0.02.

# %%
long = train_groups(
    {z: [variant(*chosen, long_epochs, z)] for z in long_latents}
)
on_digits = train_groups(
    {
        z: [
            digits_recipe(
                "kingma-welling", of_digits, latent_dim=z, epochs=epochs or None
            )
        ]
        for z in sorted({latent_dim, *latents})
    }
)
of_film = DataConfig(name=faces, split="random")
on_film = train_groups(
    {
        z: [
            faces_recipe(
                "kingma-welling", of_film, latent_dim=z, epochs=epochs or None
            )
        ]
        for z in face_latents
    }
)

# %% tags=["hide-input"]
shown = {*latents, latent_dim, *long_latents, *face_latents}
tints = figures.size_colours(shown)


def climb(run, ax, **look):
    """Test solid, train dashed."""
    for part, line in {"test": "-", "train": "--"}.items():
        seen, bound = run.history["samples_seen"], run.history[f"{part}_elbo"]
        ax.plot(seen, bound, line, **{"linewidth": 1.2} | look)


# %% mystnb={"figure": {"name": "fig-original-bound", "caption": "The bound against the number of training images seen by Kingma and Welling's recipe, one colour for each number of latents, as in their Figure 2, on their axis for MNIST. Test solid, train dashed, seed 0; the long runs are thick. On the digits 200 latents start late and come ever closer to 20. On the film 2 and 5 latents level off below 10 and 20.", "width": "100%"}, "image": {"alt": "Two panels of ELBO in nats against training images on a logarithmic axis. Left, digits: rising curves for 10, 20, 50 and 200 latents between -150 and -118, and two thick ones that go on to -103 and -106. Right, film: curves that rise to 780 with 2 latents, and to 1,040 with 20."}} tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained")
for ax, runs in zip(axes, (on_digits, on_film), strict=True):
    for z, (run, *_) in runs.items():
        climb(run, ax, color=tints[z])
for z, (run,) in long.items():
    climb(run, axes[0], color=tints[z], linewidth=2)
for z, tint in sorted(tints.items()):
    axes[0].plot([], [], color=tint, label=f"{z} latents")
axes[0].plot([], [], color="0.5", linewidth=2, label="long run")
for ax, title in zip(axes, ("digits", "film"), strict=True):
    ax.set(title=title, xscale="log", xlabel="training images seen")
axes[0].set_ylabel("ELBO (nats per image)")
if dataset == "mnist":
    axes[0].set_ylim(-150, -95)
axes[1].set_ylim(bottom=0)
figure.legend(loc="outside lower center", ncols=4)
plt.show()

# %%
milestones = [0.3e6, 1e6, 3e6, 10e6]


def climbed(run):
    """Test ELBO at the milestones, and at the end training minus test."""
    seen, bound = run.history["samples_seen"], run.history["test_elbo"]
    row = {
        f"{mark / 1e6:g} million": np.interp(mark, seen, bound, np.nan, np.nan)
        for mark in milestones
    }
    gap = run.metrics["train"]["elbo"] - run.metrics["test"]["elbo"]
    return row | {"training minus test, at the end": gap}


by_size = {z: climbed(run) for z, (run,) in long.items()}
pd.DataFrame(by_size).T.rename_axis("latents").round(2)

# %% [markdown]
# From three to ten million images both still gain, 20 latents by 4.7 nats and 200 by 7.0. The lead of 20 falls from 10 nats at one
# million to 2.8. Whether 200 would draw level is not tested.
#
# Nothing to speak of is learned by heart in 167 passes. On training images the bound is at most 0.12 nats better, and with 200 latents
# it is even a little worse. {cite:t}`kingma2014` found the same: "superfluous latent variables did not result in overfitting". One seed
# each; {doc}`04_sweeps` has several, after fewer images.
#
# %% [markdown]
# (original-wake-sleep)=
# ## Does the bound climb faster than wake-sleep does?
#
# Yes, in all three races that we ran. AEVB ends with the better bound, by 20 nats on the digits. For the bound with which wake-sleep
# ends it needs between 6 and 15 of 100 images, on average over seeds.
#
# Their Figure 2 is also a race. Against their algorithm, AEVB, runs *wake-sleep* {cite:p}`hinton1995`, which trains the same two
# networks without the reparameterisation trick. They write: "Our method converged considerably faster and reached a better
# solution in all experiments."
#
# Wake-sleep has two losses. Awake, it encodes real images and teaches the decoder to rebuild them. Asleep, it dreams: it
# draws $z$ from the prior and $x$ from $p(x|z)$. The encoder learns to find the $z$ of each dream.

# %%
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.objectives import dream


def wake(model, x, generator):
    """The decoder learns, from real images."""
    z = model.posterior(x).sample(generator=generator).detach()  # (1, B, Z)
    return -model.likelihood.log_prob(x, model.decode(z)).mean()


def sleep(model, n, generator):
    """The encoder learns, from the decoder's own dreams."""
    z, dreamt = dream(model, n, generator)  # (n, Z), (n, D)
    return -model.posterior(dreamt).log_prob(z).mean()


# %% [markdown]
# So the encoder never learns from the bound, nor from any real image. Autograd can tell who learns from which loss:


# %%
def learners(loss, model):
    model.zero_grad()
    loss.backward()
    parts = {"encoder": model.encoder, "decoder": model.decoder}
    return [
        n for n, p in parts.items() if next(p.parameters()).grad is not None
    ]


# %% tags=["nbval-check-output"]
model = VAE(VAEConfig(latent_dim=2, hidden=(50,)), images.shape)
x, generator = torch.rand(100, model.pixels), torch.Generator().manual_seed(0)
print("wake:", learners(wake(model, x, generator), model))
print("sleep:", learners(sleep(model, 100, generator), model))

# %% [markdown]
# In `vaelib` it is a word in the configuration. Everything else stays: recipe, step, length and seeds. We take the
# kingma-welling recipe on both data sets, and on the film with two latents as well.

# %%
most, fewest = max(on_film), min(on_film)
rivals = {
    f"digits, {latent_dim} latents": on_digits[latent_dim],
    f"film, {most} latents": on_film[most],
    f"film, {fewest} latents": on_film[fewest],
}
aevb = train_groups(
    {name: seeds_of(run.config, seeds) for name, (run, *_) in rivals.items()}
)

# %%
slow = ObjectiveConfig(algorithm="wake-sleep")
asleep = train_groups(
    {
        name: [run.config.replace(objective=slow) for run in runs]
        for name, runs in aevb.items()
    }
)

# %% mystnb={"figure": {"name": "fig-original-wake-sleep", "caption": "The ELBO of test images against the number of training images seen, by AEVB and by wake-sleep, as in Kingma and Welling's Figure 2; higher is better. A line for each seed."}, "image": {"alt": "Three panels with two bundles of rising curves each against images seen on a logarithmic axis: solid ones for AEVB and dashed ones for wake-sleep."}} tags=["hide-input"]
size = {"figsize": (7.4, 2.7), "layout": "constrained"}
figure, axes = plt.subplots(1, len(aevb), **size)
looks = {"AEVB": (aevb, "-", "indigo"), "wake-sleep": (asleep, "--", "rose")}
for ax, name in zip(np.atleast_1d(axes), aevb, strict=True):
    for label, (groups, line, colour) in looks.items():
        for run in groups[name]:
            seen, bound = run.history["samples_seen"], run.history["test_elbo"]
            colour_of = {"color": plots.COLOURS[colour], "label": label}
            ax.plot(seen, bound, line, **colour_of)
    ends = [metric(groups[name], "elbo") for groups in (aevb, asleep)]
    low, high = np.min(ends), np.max(ends)
    ax.set(xscale="log", title=name, ylim=(low - 2 * (high - low) - 1, None))
handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
once = dict(zip(labels, handles, strict=True))
figure.legend(once.values(), once, loc="outside upper right", ncols=2)
figure.supxlabel("training images seen")
figure.supylabel("test ELBO (nats)")
plt.show()

# %% [markdown]
# "A better solution" means here: the better bound after as many images. For "considerably faster" we ask after how many
# images AEVB has the bound with which wake-sleep ends. Considerably means to us: after less than half of them.


# %%
def images_needed(run, bound):
    """How many it had seen when its test bound first reached this one."""
    best = run.history["test_elbo"].cummax()
    return np.interp(bound, best, run.history["samples_seen"], right=np.inf)


def share_needed(run, rival):
    """Of the images that the rival saw; 1 if that bound is never reached."""
    needed = images_needed(run, rival.metrics["test"]["elbo"])
    return min(1.0, needed / rival.history["samples_seen"].iloc[-1])


# %%
shares = {
    name: list(map(share_needed, runs, asleep[name]))
    for name, runs in aevb.items()
}
pd.DataFrame(
    {
        name: {
            "AEVB (nats)": mean_and_range(metric(runs, "elbo"), 1),
            "wake-sleep (nats)": mean_and_range(
                metric(asleep[name], "elbo"), 1
            ),
            "share of images needed": mean_and_range(shares[name]),
        }
        for name, runs in aevb.items()
    }
).T

# %%
found_b = []
for name, runs in aevb.items():
    ends = metric(runs, "elbo"), metric(asleep[name], "elbo")
    better = "final test ELBO, AEVB minus wake-sleep"
    faster = "share of wake-sleep's images that AEVB needs for its bound"
    found_b += [
        findings.difference("B", better, *ends, "above", 0, "nats", name),
        findings.mean_of("B", faster, shares[name], "below", 0.5, given=name),
    ]
findings.table(found_b)

# %% [markdown]
# ## Do we see their Figure 4, and are the planes smooth?
#
# Yes. The largest step that a picture makes on a straight walk is a twentieth to a fifth larger than the mean step, on average.
#
# Figure 4 shows the "learned data manifold" of models with two latents: the decoder's mean over a grid of $z$, whose rows and
# columns are quantiles of a standard normal.

# %%
flat = {
    "digits": digits_recipe(
        "kingma-welling", of_digits, latent_dim=2, epochs=epochs or None
    ),
    "film": faces_recipe(
        "kingma-welling", of_film, latent_dim=2, epochs=epochs or None
    ),
}
planes = train_groups(
    {n: seeds_of(config, seeds) for n, config in flat.items()}
)


def decoder_of(run):
    return lambda z: run.model.mean_image(torch.from_numpy(z).float()).numpy()


# %% mystnb={"figure": {"name": "fig-original-planes", "caption": "Decoded means over the plane of two latents by Kingma and Welling's own recipe, seed 0, as in their Figure 4. Each cell holds the same share of the prior. Neighbours differ little. Not all ten digits have a place.", "width": "100%"}, "image": {"alt": "Two grids side by side: blurred digits that change smoothly from nine to nought, three and one, and faces that turn and change their expression."}} tags=["hide-input"]
_, axes = plt.subplots(1, 2, figsize=(7.4, 4.2), layout="constrained")
shapes = {"digits": images.shape, "film": film.shape}
for ax, (name, runs) in zip(axes, planes.items(), strict=True):
    plots.manifold_grid(decoder_of(runs[0]), shapes[name], cells=10, ax=ax)
plt.show()

# %% [markdown]
# One sees no jumps. One also does not see all ten digits: this plane, after a short training, shows mostly nines, noughts, threes and ones. To measure the jumps, we walk
# on 200 straight lines between draws from the prior, in twenty even steps of $z$, and watch the picture. If it changes
# evenly, each step is as large as the mean step. If it jumps once, one step is twenty times the mean. Smooth means to us:
# the largest step of a walk is below three mean steps, on average over the walks.

# %%
from vaebook.experiments.pictures import largest_step


def walks(model, steps=20):
    """Pictures along straight lines between draws from the prior."""
    ends = model.prior.sample(400, torch.Generator().manual_seed(0))
    start, end = ends.view(2, 200, 1, -1)  # 200 lines: (200, 1, Z) each
    share = torch.linspace(0, 1, steps + 1)[:, None]
    return model.mean_image(torch.lerp(start, end, share))  # (200, 21, D)


# %%
steps = {
    name: [largest_step(walks(run.model)) for run in runs]
    for name, runs in planes.items()
}
text = "largest step of the picture on a straight walk, in mean steps"
found_d = [
    findings.mean_of("D", text, values, "below", 3, given=name)
    for name, values in steps.items()
]
findings.table(found_d)

# %% [markdown]
# ## Do we see their Figure 5?
#
# Yes, if the training is long. With two latents digits are blurred. After 1.2 million images, models of ten and more latents break many
# strokes, and some samples have noise where the background should be; 200 latents fare worst. After ten million that noise is gone, even
# with 200.
#
# Their figure shows digits drawn by models of 2, 5, 10 and 20 latents. Here are ours of 2 to 200, without one of 5, from the same recipe:

# %% mystnb={"figure": {"name": "fig-original-samples", "caption": "Digits from the prior N(0, I) by Kingma and Welling's recipe, two rows for each number of latents, 28 draws, seed 0. With more latents, more strokes are broken and more backgrounds noisy. The last four rows are those of the long runs: their backgrounds are clean."}, "image": {"alt": "Fourteen rows of generated digits. Those of 2 latents are blurred, those of 10 and 20 partly broken, many of 50 and 200 noisy; in the last four rows clear digits, some with broken strokes, on clean backgrounds."}} tags=["hide-input"]
drawn = {2: planes["digits"][0]} | {
    z: group[0] for z, group in on_digits.items()
}
seed = torch.Generator().manual_seed
rows = {
    f"{z} latents": run.model.sample(28, seed(0)).numpy()
    for z, run in drawn.items()
}
rows |= {
    f"{z}, long run": run.model.sample(28, seed(0)).numpy()
    for z, (run,) in long.items()
}
figures.named_rows(rows, images.shape)
plt.show()

# %% [markdown]
# ## What did we find?
#
# Both claims hold, where we tested them. {doc}`07_scorecard` lists them as B and D.

# %%
saved = findings.save("original", [images, film], found_b + found_d)

# %% [markdown]
# ## What to remember
#
# - Choose the step of Adagrad by trial: of three that differ by ten times, one is more than seventy nats worse after three passes.
# - Wake-sleep's encoder learns from dreams alone. With the same step it ends with the worse bound. We did not tune its own step.
# - Train long before you judge samples: after ten million images even 200 latents draw digits on clean backgrounds.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-original-sleep
#
# AEVB's encoder makes $\mathrm{KL}(q(z|x) \,\|\, p(z|x))$ small on real images. Which divergence does the sleep phase make small, and on
# which images?
# ```
#
# ```{solution} ex-original-sleep
# :class: dropdown
#
# On dreams, drawn from $p(z)\,p(x|z)$, it maximises the mean of $\log q(z|x)$. For each dream $x$ the $z$ behind it is a draw from
# $p(z|x)$. So it makes $\mathrm{KL}(p(z|x) \,\|\, q(z|x))$ small: the other way round, and on images that the decoder made. While
# these do not look like the data, the encoder learns about pictures that it will never be asked about.
# ```
#
# ```{exercise}
# :label: ex-original-weights
#
# Take the recipe with weights of a deviation of 0.01 and train it for 20 passes. Does the lead of the larger deviation stay?
# ```
#
# ```{solution} ex-original-weights
# :class: dropdown
#
# `vaebook run chapters/original.ipynb --grid trial_epochs=20` prints the table again, with all six. We did not run it for this page.
# ```
