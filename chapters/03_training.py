# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# (chapter-training)=
# # Training
#
# The last chapter ended with a model and a bound to maximise. This one maximises it, on both data sets, in three ways:
# as the report that we re-create did {cite:p}`report2025`, as {cite:t}`kingma2014` did, and as one would today. You will
# see what a healthy loss curve looks like, which loss to expect after how many {term}`epochs <epoch>`, what the trained models draw, and
# how much of all that was decided by one number, the step of the optimiser.
#
# The figures come from full runs on real data; curves and tables of the recipes have several {term}`seeds <seed>`, pictures show seed 0. You can change the settings below and run the
# chapter again: `papermill chapters/03_training.ipynb mine.ipynb -p latent_dim 5 -p epochs 2`.

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey", "toyfaces", a path; "auto": fits dataset
latent_dim: int = 20  # dimensions of z
epochs: int = 0  # passes over the data; 0: each recipe's own number
seeds: int = 3  # how many times every run on the digits is repeated
face_seeds: int = 5  # the same for the film, where a run takes seconds

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

from vaebook import figures, page
from vaebook.tables import (
    final_table,
    mean_and_range,
    progress_table,
    recipe_table,
)
from vaelib import plots
from vaelib.data import DataConfig

least = {"latent_dim": 1, "epochs": 0, "seeds": 1, "face_seeds": 1}
page.parameters(globals(), at_least=least)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
enough = 140  # so that the test part fills the rows of the figures
images, film = page.load(dataset, images=enough), page.load(faces, images=enough)
page.banner(images, film)

# %% [markdown]
# ## What does training do?
#
# It repeats one step: take a batch of images, compute the ELBO of each, equation {eq}`eq-elbo`, average, and move all weights a
# little in the direction that raises the average. In full, for one pass over the data:

# %%
from vaelib.objectives import elbo


def one_epoch(model, x, generator, batch_size=128, step=1e-3):
    optimiser = torch.optim.Adam(model.parameters(), lr=step, fused=True)
    for batch in torch.randperm(len(x), generator=generator).split(batch_size):
        terms = elbo(model, x[batch], generator=generator)
        loss = -terms.elbo.mean()  # nats per image
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


# %% [markdown]
# That is all. The library's `fit` is this loop with a history, a schedule for the step, {term}`held-out <held out>` data, early stopping and
# clear errors around it. Given the same seed, both end with the same weights:

# %%
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.training import TrainingConfig, fit


def new_model():
    torch.manual_seed(0)
    return VAE(VAEConfig(latent_dim=2, hidden=(50,)), images.shape)


# %% tags=["nbval-check-output"]
x = torch.from_numpy(images.matrix()[:1000])
by_hand, by_library = new_model(), new_model()
one_epoch(by_hand, x, torch.Generator().manual_seed(0))
loss = by_library.losses(ObjectiveConfig())
fit(by_library, loss, x, TrainingConfig(epochs=1, device="cpu"), seed=0)
pairs = zip(by_hand.parameters(), by_library.parameters(), strict=True)
all(torch.equal(a, b) for a, b in pairs)

# %% [markdown]
# ## Which three recipes?
#
# A *recipe* is all that the mathematics leaves open: the width of the layers, the activation, the optimiser, its step, the
# size of a batch and how long to train.
#
# - **report**: Adagrad {cite:p}`duchi2011` with a step of 0.001, two hidden layers with tanh, 30 epochs on MNIST and 300 on
#   Frey Faces (the report says 30 to 50 and 300 to 500). The report does not say how wide its layers were; we take 500
#   units for MNIST and 200 for Frey Faces, as Kingma and Welling did. Nor does it say which sigma its Gaussian decoder
#   had, only that learning one for each pixel blurred the faces more. Half the squared error, summed over the pixels, is a
#   Gaussian with $\sigma = 1$, so that is what we take.
# - **kingma-welling**: the original protocol. One hidden layer (500 units for MNIST, 200 for Frey Faces), weights drawn
#   from $\mathcal{N}(0, 0.01)$, a weak prior on the weights, Adagrad with a step of 0.01, batches of 100. The decoder for
#   Frey Faces has a sigma for every pixel and passes its mean through a sigmoid. They chose the step among 0.01, 0.02 and
#   0.1 and trained for far longer; we take 0.01, and 20 epochs on MNIST and 300 on Frey Faces.
# - **modern**: Adam {cite:p}`kingma2015` with a step that starts at 0.001 and falls to zero along half a cosine, SiLU
#   activations, and for Frey Faces one sigma shared by all pixels and learned; 20 epochs on MNIST and 500 on Frey Faces.
#
# The recipes are configurations; `train_groups` trains those that are not in the run
# store yet, each with every seed, one process on each core.

# %%
from vaebook.experiments.recipes import (
    RECIPES,
    digits_recipe,
    faces_recipe,
    metric,
    seeds_of,
    train_groups,
)

settings = {"latent_dim": latent_dim, "epochs": epochs or None}
split = "60000/10000" if dataset == "mnist" else None
digits_data = DataConfig(name=dataset, split=split)

# %%
configs = {
    name: digits_recipe(name, digits_data, **settings) for name in RECIPES
}
digits = train_groups({name: seeds_of(c, seeds) for name, c in configs.items()})
recipe_table(digits)

# %% [markdown]
# MNIST is trained on its 60,000 training images and tested on the other 10,000, with grey pixels as Bernoulli targets,
# as is common. The test images choose nothing here: no epoch, no recipe, no seed is picked by them.
#
# ## What does a healthy loss curve look like?

# %% tags=["hide-input"]
TERMS = ("elbo", "reconstruction", "kl")
names = [*RECIPES, "report, sigma from 0.3"]
colours = dict(zip(names, plots.COLOURS.values(), strict=False))


def curves(runs, against="epoch", floor=(), terms=TERMS):
    size = (7.2, 3.2)
    _, axes = plt.subplots(1, len(terms), figsize=size, layout="constrained")
    for name, group in runs.items():
        look = {"label": name, "colour": colours.get(name)}
        histories = [run.history for run in group]
        plots.loss_curves(histories, terms, against, axes, **look)
    for ax, low in zip(np.atleast_1d(axes), floor, strict=False):
        ax.set_ylim(bottom=low)


def worst(runs):
    """The lowest test bound with which a run of these groups ended."""
    return min(min(metric(group, "elbo")) for group in runs.values())


# %% mystnb={"figure": {"name": "fig-training-digits", "caption": "The ELBO of the digits and its two terms during training; higher is better, and ELBO = reconstruction - KL. Lines are means over seeds, bands go from the worst to the best seed. For the report's and the modern recipe reconstruction and KL rise together (the report's KL after a first dip): the model buys better pictures with nats of information about each image. The original recipe has its nats from the first epoch on: its KL hardly moves while the reconstruction improves. With a step of 0.001, Adagrad crawls."}, "image": {"alt": "Three panels of nats per image against epochs: ELBO, reconstruction and KL for the three recipes. All ELBO curves rise steeply and then flatten; the modern recipe is highest, the report's is lowest and still rising at its end."}} tags=["hide-input"]
low = 1.35 * worst(digits)
curves(digits, floor=(low, low))
plt.show()

# %% [markdown]
# Three signs of health can be read off {numref}`fig-training-digits`. The ELBO rises fast and then flattens. The KL does
# not fall to zero: each image is described by a good number of {term}`nats <nat>`. And the solid line (test) stays near the dashed one
# (train), so the model has not learned its images by heart.
#
# A word on the dashed line: it averages over an epoch's batches while the weights still move, so it lags behind the
# weights that the solid line judges, and early on it lies far *below* it. For the two slower recipes it stays about a nat
# below to the end, for another reason: MNIST's test images are a little easier than its training images, also for one and
# the same weights ({doc}`04_sweeps` has a table of that). Neither is a sign of anything.
#
# ## What loss should I see after n epochs?
#
# The question is asked under many a public implementation. With pixels in $[0, 1]$, the cross-entropy *summed* over the
# 784 pixels, the KL summed over the latents, and both averaged over images, this is $-\mathrm{ELBO}$ on the test images, in
# nats:

# %%
progress_table(digits, (1, 2, 5, 10, 20, 30))

# %% [markdown]
# In brackets: the lowest and the highest of the seeds. If your loss is hundreds of times smaller, you probably average
# over pixels instead of summing; if it is around 540 to start with, that is $784 \ln 2$, a decoder that says one half for
# every pixel.
#
# ## Do we see Kingma and Welling's Figure 2?
#
# They plotted the bound against the number of samples seen, on a logarithmic axis. {numref}`fig-training-samples` does
# the same.

# %% mystnb={"figure": {"name": "fig-training-samples", "caption": "The bound against the number of training samples seen, as in Kingma and Welling's Figure 2: train dashed, test solid, bands over seeds. On test images the modern recipe is ahead from the first epoch on. For the same bound the report's recipe needs fifteen to twenty times as many images as the original; its step is ten times smaller."}, "image": {"alt": "ELBO in nats against samples seen on a logarithmic axis for the three recipes. The modern test curve is above the Kingma and Welling curve everywhere, the report's below both."}} tags=["hide-input"]
curves(digits, "samples_seen", floor=(low,), terms=("elbo",))
plt.show()


# %% tags=["remove-input"]
def samples_to_reach(run, bound):
    reached = run.history[run.history["test_elbo"] >= bound]
    return reached["samples_seen"].iloc[0] if len(reached) else np.inf


goal = min(metric(digits["report"], "elbo"))
counts = {
    name: np.median([samples_to_reach(run, goal) for run in digits[name]]) / 1e6
    for name in RECIPES
}
Markdown(
    f"All seeds of the report's recipe end at a bound of {goal:.1f} nats or "
    f"better. To get there, the report's recipe sees {counts['report']:.2f} "
    "million images, Kingma and Welling's "
    f"{counts['kingma-welling']:.2f} million and the modern one "
    f"{counts['modern']:.2f} million (medians over seeds, in whole epochs)."
)

# %% [markdown]
# ## What do the models draw?
#
# First the report's Figure 1: test images above, reconstructions (the decoder's mean at the posterior's mean) below. The
# report calls its own "sharp, digit-faithful"; by its recipe to the letter we cannot confirm that.


# %% mystnb={"figure": {"name": "fig-training-digits-reconstructions", "caption": "Test digits and their reconstructions by the three recipes, seed 0. The modern recipe's are the crispest and most faithful, though it, too, closes the top of the 4. The report's are soft and not always faithful: look for the 4 that comes back as a 9, for the first 5, which comes back as no digit, and for the 8s, whose loops are blurred."}, "image": {"alt": "Four rows of the same test digits: the data, then the reconstructions by the report's, Kingma and Welling's and the modern recipe; the lower rows are progressively crisper, and in the report's row a 4 looks like a 9."}} tags=["hide-input"]
def reconstructed(runs, x):
    models = {name: group[0].model for name, group in runs.items()}
    made = {name: model.reconstruct(x) for name, model in models.items()}
    return {"data": x.numpy()} | {n: image.numpy() for n, image in made.items()}


def held_out(data, split, count=14):
    test = data.split(split).test
    return torch.from_numpy(data.matrix(test[:: len(test) // count][:count]))


figures.named_rows(reconstructed(digits, held_out(images, split)), images.shape)
plt.show()

# %% [markdown]
# Then what the models dream up: draw $z$ from the prior and decode it. Nothing of any test image goes in.


# %% mystnb={"figure": {"name": "fig-training-digits-samples", "caption": "Digits from z drawn from the prior, seed 0, two rows for each recipe, the same z for all. Most of the modern recipe's can be read, some lie between two digits. The report's are blurred. The original recipe's fare worst, with noise around broken strokes, although its bound is better than the report's."}, "image": {"alt": "Six rows of generated digits, two for each recipe: blurred ones, broken ones with specks of noise, and, in the last two rows, mostly readable ones."}} tags=["hide-input"]
def sampled(runs, count=28):
    models = {name: group[0].model for name, group in runs.items()}
    seed = torch.Generator().manual_seed
    return {
        name: m.sample(count, seed(1)).numpy() for name, m in models.items()
    }


figures.named_rows(sampled(digits), images.shape)
plt.show()

# %% [markdown]
# Why would a model with the better bound draw the worse samples? Its bound is about codes of real images. Prior samples ask
# for the decoder's opinion everywhere, also where no image was ever encoded. The original recipe spends the most nats on
# each image ({numref}`fig-training-digits`, right), so its codes are probably the most narrow and leave the most room between them.
#
# ## What does a latent plane look like?
#
# With two latents the whole space fits on a page. {numref}`fig-training-manifold-digits` walks through the prior in steps
# of equal probability: row and column are quantiles of a standard normal, turned into $z$ by its inverse distribution
# function, as in Kingma and Welling's Figure 4.
#
# You can also drag a point over such a plane and watch the decoder at work.
#
# ```{explorer} explore-plane
# ```

# %%
by_chance = DataConfig(name=faces, split="random")
flat = settings | {"latent_dim": 2}
flat_runs = train_groups(
    {
        "digits": [digits_recipe("modern", digits_data, **flat)],
        "faces": [faces_recipe("modern", by_chance, **flat)],
    }
)
(flat_digits,), (flat_faces,) = flat_runs.values()


# %% mystnb={"figure": {"name": "fig-training-manifold-digits", "caption": "Decoded means over the plane of a model of the digits with two latents, modern recipe, seed 0. Each cell holds the same share of the prior. Digits melt into neighbours of similar shape; there is no empty region, and no sharp border."}, "image": {"alt": "A grid of 20 by 20 digits that change smoothly from one class into another across the plane."}} tags=["hide-input"]
def decoder_of(run):
    return lambda z: run.model.mean_image(torch.from_numpy(z).float()).numpy()


plots.manifold_grid(decoder_of(flat_digits), images.shape, cells=20)
plt.show()

# %% mystnb={"figure": {"name": "fig-training-manifold-faces", "caption": "The same for the film. The face turns and changes its expression without a jump. Look for a tongue: there is none."}, "image": {"alt": "A grid of 16 by 16 pictures of one man's face that turns and changes its expression across the plane."}} tags=["hide-input"]
plots.manifold_grid(decoder_of(flat_faces), film.shape, cells=16)
plt.show()

# %% tags=["remove-input"]
Markdown(
    "Two latents are not enough for good digits: this model's test −ELBO is "
    f"{-flat_digits.metrics['test']['elbo']:.1f} nats, where {latent_dim} "
    f"latents reach {-np.mean(metric(digits['modern'], 'elbo')):.1f}."
)

# %% [markdown]
# ## And Frey Faces?
#
# The film has 1,965 frames. We train on 1,565 of them drawn at random and keep 200 for testing (and 200 for validation,
# unused here). The decoder is Gaussian now, so the ELBO bounds a log-*density*: it can be positive (and −ELBO in the table
# negative), and it depends on sigma as much as on the pictures.
#
# Two rows change nothing but sigma in the report's recipe, so that you see what sigma is to blame for: it is shared by all
# pixels and learned, and starts either at the 1 that we took for the report or at 0.3, which is where the modern recipe starts, too.
# (The one that starts at 1 has three seeds at most: they are all alike.)

# %%
from vaelib.likelihoods import LikelihoodConfig


def learned_from(start):
    learned = LikelihoodConfig(name="gaussian", sigma_value=start)
    return faces_recipe("report", by_chance, likelihood=learned, **settings)


# %%
by_time = DataConfig(name=faces, split="time")
ways = {
    "report": faces_recipe("report", by_chance, **settings),
    "report, sigma from 1": learned_from(1.0),
    "report, sigma from 0.3": learned_from(0.3),
    "kingma-welling": faces_recipe("kingma-welling", by_chance, **settings),
    "modern": faces_recipe("modern", by_chance, **settings),
    "modern, split by time": faces_recipe("modern", by_time, **settings),
}

# %%
alike = {"report, sigma from 1": min(face_seeds, 3)}
times = dict.fromkeys(ways, face_seeds) | alike
frey = train_groups({n: seeds_of(way, times[n]) for n, way in ways.items()})
recipe_table(frey)

# %%
final_table(frey)

# %% [markdown]
# Two columns can be compared with any other model of these frames. **−ELBO (bits/dim)** integrates the density over the
# bin of each grey level {eq}`eq-discretised`: it is a bound on the bits that a compressor would need for a pixel, where
# the raw file takes 8. **Squared error** is that between a held-out frame and its reconstruction, summed over the 560
# pixels. The **KL** says how many nats $q(z|x)$ spends on a frame, and **active units** how many of the latents carry
# anything at all: those whose posterior mean has a variance over the frames of more than 0.01 {cite:p}`burda2016`.

# %% mystnb={"figure": {"name": "fig-training-faces-reconstructions", "caption": "Held-out frames and their reconstructions, seed 0. With a sigma of 1 the report's recipe draws one average face for every frame: it has collapsed. A sigma that starts at 0.3 brings some of the expressions back. In the fourth column the tongue is out: only the modern recipe rebuilds it, so its decoder can draw one."}, "image": {"alt": "Rows of the same held-out faces: the data, then the reconstructions. The two rows of the report's recipe whose sigma is fixed at 1 or starts there repeat one blurred face; the other three follow the expressions, the modern one most closely."}} tags=["hide-input"]
random_split = {name: runs for name, runs in frey.items() if "time" not in name}
frames = held_out(film, "random")
figures.named_rows(reconstructed(random_split, frames), film.shape)
plt.show()


# %% tags=["remove-input"]
def sigma_of(name):
    """The shared sigma that the runs of a group ended with."""
    nothing = torch.zeros(1)
    return mean_and_range(
        [r.model.likelihood.sigma(nothing).item() for r in frey[name]]
    )


parts = film.split("random")
train_x, test_x = map(film.matrix, (parts.train, parts.test))
from_average = np.square(test_x - train_x.mean(0)).sum(1).mean()
Markdown(
    "Guessing the average training frame would cost a squared error of "
    f"{from_average:.2f}. The report's recipe with $\\sigma = 1$ costs "
    f"{mean_and_range(metric(frey['report'], 'squared_error'))}, with a KL of "
    f"{mean_and_range(metric(frey['report'], 'kl'))} nats. A learned sigma that starts "
    f"at 1 ends at {sigma_of('report, sigma from 1')}; one that starts at 0.3 "
    f"ends at {sigma_of('report, sigma from 0.3')}, with a squared error of "
    f"{mean_and_range(metric(frey['report, sigma from 0.3'], 'squared_error'))}. The "
    f"modern recipe's ends at {sigma_of('modern')}."
)

# %% [markdown]
# So the collapse that the report met is here on our own page, with its sigmoid in place. {doc}`02_model` says
# why: with $\sigma = 1$ a latent must explain more than one unit of squared error before it pays for its KL, and only the
# first principal component of the film has that much variance ({ref}`data-pca`). That one, too, would gain so little that
# after 300 epochs this recipe has not found it.
#
# Making sigma learnable is not enough, then. With a step of 0.001 Adagrad hardly moves it. From 1 it does not get low
# enough in 300 epochs for a second direction to pay, and the model stays collapsed. From 0.3 it does not get much lower
# either, but it starts where several directions pay. Two things must be right, sigma and an optimiser that moves it; the
# modern recipe starts at the same 0.3 and goes on to less than a tenth of it.
#
# ## When does training on so few images go wrong?

# %% mystnb={"figure": {"name": "fig-training-faces", "caption": "The ELBO of the faces and its terms during training; train dashed, test solid, bands over seeds. Left out are the two ways that collapse (the report's recipe with sigma fixed at 1 or starting there) and the split by time. The modern recipe goes on improving on its training frames after the held-out frames have stopped: the distance between dashed and solid is what it learned by heart."}, "image": {"alt": "Three panels of nats per image against epochs for three ways of training on faces. For the modern recipe the dashed training curve keeps rising while the solid test curve levels off and then falls slightly."}} tags=["hide-input"]
hidden = ("report", "report, sigma from 1")
shown = {n: runs for n, runs in random_split.items() if n not in hidden}
bottom = min(0, worst(shown))
curves(shown, floor=(bottom, bottom, 0))
plt.show()


# %% tags=["remove-input"]
def best_epoch(run):
    return int(run.history.loc[run.history["test_elbo"].idxmax(), "epoch"])


def fell(run):
    return run.history["test_elbo"].max() - run.history["test_elbo"].iloc[-1]


modern, timed = frey["modern"], frey["modern, split by time"]
best = [best_epoch(run) for run in modern]
Markdown(
    "The modern recipe's held-out bound is highest at epoch "
    f"{mean_and_range(best, 0)} and ends {mean_and_range([fell(run) for run in modern], 1)} "
    "nats below that, while its squared error ends at "
    f"{mean_and_range(metric(modern, 'squared_error'))} on held-out frames and "
    f"{mean_and_range(metric(modern, 'squared_error', 'train'))} on training frames. "
    "On the split by time, which holds out the end of the film, the held-out "
    f"squared error is {mean_and_range(metric(timed, 'squared_error'))}."
)

# %% [markdown]
# Two lessons. The bound overfits: the model learns its sigma on training frames, which it rebuilds ever better, and grows
# too sure of its pixels elsewhere; a density makes it pay for that on every held-out frame. And the random split
# flatters the bound and the squared error, as neighbouring frames are near-copies; but that is only a part of the difference
# ({ref}`data-split`). The split by time keeps neighbours apart, and its
# last 200 frames lie 200 to 400 frames away from all training frames, with expressions that those hardly have: it asks the harder and, for new pictures, the more honest question. Look at the last row of the table of the
# film: by time, the model's bound is worse than the 8 bits of the raw file. Its sigma was learned on frames that it
# rebuilds almost perfectly, and of frames whose like it has never seen, it is far too sure.
#
# ## Which recipe should I use?

# %%
final_table(digits)


# %% tags=["remove-input"]
ends = {name: metric(digits[name], "elbo") for name in RECIPES}
means = {name: np.mean(values) for name, values in ends.items()}
Markdown(
    "On the digits the modern recipe ends "
    f"{means['modern'] - means['report']:.1f} nats above the report's and "
    f"{means['modern'] - means['kingma-welling']:.1f} above Kingma and "
    "Welling's. For comparison: seeds of one recipe differ by at most "
    f"{max(np.ptp(values) for values in ends.values()):.2f} nats."
)

# %% [markdown]
# Frankly: use the modern one. On the digits it has the best bound and the smallest squared error of the three, and after five
# epochs it has passed where the others end. On the film it is by far the closest to the held-out frames.
#
# But look again at the table of the film: there the original recipe has nearly the modern one's *bound*, in nats and in bits, with
# four times its squared error. Its decoder is the only one of the three that may state a sigma for every
# pixel of every frame, so it can be sure where a face is easy and vague where it is not. The bound rewards that; the eye
# does not. A good likelihood is no promise of good pictures: with all else equal,
# {doc}`05_collapse` finds the better bound with the worse ones.
#
# The table of the digits holds a lesson about the KL, too. The original recipe spends more nats on each image and keeps
# more latents active than the modern one, and still has the worse bound. Nats are a cost: what counts is what the decoder
# makes of them, and the modern recipe's decoder makes more of fewer.
#
# On the digits the report's recipe is not wrong, it is *unfinished*: Adagrad divides its step by the root of the sum of all
# squared gradients so far, so a step of 0.001, ten times below the smallest that Kingma and Welling tried, never gets far. Its curves still
# rise when they stop. Kingma and Welling's recipe reaches useful bounds, and its curve, too, still rises when we stop it.
# With a second layer, torch's own initial weights, batches of 128 and no prior on the weights the same Adagrad is slower at first,
# but after ten epochs a nat or so ahead, with one seed (the first exercise): one or more of these four may hold it back.
#
# The comparison is of whole recipes, as you would copy them. It does not say how much of the modern recipe's lead is due
# to Adam, to SiLU, to the cosine, to the second layer or to the rest; the exercises begin to take it apart.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-training-step
#
# Is Adagrad to blame, or its step? Train the report's recipe with `learning_rate=0.01` for ten epochs and compare the
# bounds on the way.
# ```
#
# ```{solution-start} ex-training-step
# :class: dropdown
# ```

# %%
report = configs["report"]
short = min(10, report.training.epochs)
training = report.training.replace(learning_rate=0.01, epochs=short)
faster = train_groups({"step 0.01": [report.replace(training=training)]})
progress_table(
    {
        "report, step 0.001": digits["report"],
        "report, step 0.01": faster["step 0.01"],
        "kingma-welling, step 0.01": digits["kingma-welling"],
    },
    (1, 2, 5, short),
)

# %% [markdown]
# These are $-\mathrm{ELBO}$ on the test images, in nats. The first two columns share the optimiser, the network, the images and the
# batches; the step alone is ten times longer in the second. What still separates it from the modern recipe is the share
# of Adam, SiLU and the cosine together.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-training-mean
#
# A colleague's loss is the *mean* of the cross-entropy over all pixels and images, plus the KL summed over latents and
# averaged over images. Which beta does this amount to, and what do you expect to happen?
# ```
#
# ```{solution-start} ex-training-mean
# :class: dropdown
# ```
#
# Dividing the reconstruction by the number of pixels $D$ and leaving the KL alone is, up to a factor for the whole loss, a
# KL weight of $\beta = D$. Hardly a latent is worth that much. Five epochs show where it goes:

# %%
modern_config = configs["modern"]
objective = modern_config.objective.replace(beta=float(x.shape[1]))
training = modern_config.training.replace(epochs=5)
averaged = modern_config.replace(objective=objective, training=training)
final_table(train_groups({f"beta = {x.shape[1]}": [averaged]}))

# %% [markdown]
# The encoder returns the prior for every image, and the decoder the average digit.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-training-seeds
#
# How many seeds do you need to claim that one recipe beats another by half a nat on MNIST?
# ```
#
# ```{solution-start} ex-training-seeds
# :class: dropdown
# ```
#
# Take the standard deviation $s$ between seeds of one recipe. A difference of means over $n$ seeds each has a standard
# error of $s \sqrt{2 / n}$; for half a nat to be more than three of them you need $n > 72\, s^2$ seeds. For the three
# recipes above that is:

# %%
{
    name: int(72 * np.var(values, ddof=1)) + 1
    for name, values in ends.items()
    if len(values) > 1
}

# %% [markdown]
# But three seeds know their $s$ only roughly. And the test set is finite too: its 10,000 images share their luck between
# recipes, which is why differences are best taken image by image.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-training-own
#
# Run this chapter on images of your own: `papermill chapters/03_training.ipynb mine.ipynb -p dataset path/to/images -p
# faces path/to/images -p epochs 20`. Which of the three signs of health do you see?
# ```
#
# ```{solution} ex-training-own
# :class: dropdown
#
# Whatever your images are, the page's first lines say that its text is about other data. Compare the solid with the dashed
# line first: with few images the distance between them is the first thing to grow.
# ```
