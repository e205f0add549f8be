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
# (chapter-published)=
# # How good are our models beside published ones?
#
# Nearly as good, and with a fitted prior as good. With the network of {cite:t}`burda2016` our VAE ends about two nats
# behind theirs, after less than a hundredth of their steps; and each time that we doubled its training, it came nearer. A mixture as its
# prior, fitted after training, makes up for that. So does a second level of latents, in a wider network. On the film, our bits per dimension are as low as
# published ones, or lower.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can say when two likelihoods may be compared, estimate $\log p(x)$ of a whole test set in minutes,
#   and put a published figure beside your own.
# - **You need** the recipes ({doc}`03_training`) and the repaired prior ({doc}`06_sampling`).
# - **Time.** A quarter of an hour to read. Training all of it takes two hours or more on two cores: the longest run, with fifty draws,
#   took three quarters of an hour on one of them.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "auto"  # a film: "frey" or "toyfaces"; "auto": fits dataset
epochs: int = 0  # passes of the recipes' runs; 0: each recipe's own number
one_layer_epochs: int = 120  # passes of the model that is judged in nats
lengths: list[int] = [15, 30, 60]  # passes of the same model, trained shorter
bound_draws: list[int] = [5, 50]  # of the importance-weighted bound
bound_epochs: int = 30  # passes of the models that climb it
level_epochs: int = 40  # passes of the models with batch normalisation
level_lengths: list[int] = [10, 20]  # of that with two levels, trained shorter
planar_epochs: int = 10  # passes of the models beside a planar flow
planar_seeds: int = 2  # of these
letter_epochs: int = 30  # passes of the model of thirty letters
trial_epochs: int = 3  # passes of the runs that choose its start and step
seeds: int = 3  # of the models that take minutes or less
coder_latents: int = 40  # latents of the film's model
samples: int = 5000  # draws of z for log p(x) of a digit
draws: int = 1000  # the same for a frame

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
from itertools import product

import pandas as pd
import torch
from IPython.display import Markdown

from vaebook import page
from vaebook.experiments.recipes import metric, seeds_of, train_groups
from vaebook.experiments.scorecard import table
from vaebook.tables import mean_and_range
from vaelib import plots
from vaelib.data import DataConfig

counts = "one_layer_epochs trial_epochs lengths bound_draws bound_epochs"
counts += " level_epochs level_lengths planar_epochs letter_epochs"
counts += " planar_seeds seeds coder_latents"
least = dict.fromkeys(counts.split(), 1) | {"epochs": 0}
least |= {"samples": 2, "draws": 2}
page.parameters(globals(), at_least=least)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-input"]
images = page.load(dataset, images=1000, grey=True)
film = page.load(faces, images=140, grey=True)
page.banner(images, film)

# %% [markdown]
# ## When may two figures be compared?
#
# When four things agree: the data, the split, the pixels and the quantity. A Bernoulli decoder may see grey pixels, or
# pixels that were {term}`binarised <binarisation>` once, or anew in each batch. These are three data sets, and nats of
# one say nothing of another. And −ELBO is only an upper bound of $-\log p(x)$, so the two are not the same quantity
# either.
#
# Two protocols have published figures that we can match:
#
# - **MNIST, binarised anew in each batch**; $-\log p(x)$ of the 10,000 test images in nats, from 5,000 draws of $z$
#   {cite:p}`burda2016`.
# - **Frey Faces as 256 grey levels**; 1,565 training, 200 validation and 200 test frames, drawn at random;
#   {term}`bits per dimension`, by −ELBO or by $-\log p(x)$.
#
# ## How good is our VAE in nats?
#
# Burda and colleagues' plain VAE has one layer of 50 latents, between two layers of 200 tanh units on either side. We
# take the same network and train it our way. Adam's step falls to zero along a cosine, batches have 100 images, and the
# KL weight grows to 1 over the first tenth of the epochs.

# %%
from vaelib.models import ObjectiveConfig, VAEConfig
from vaelib.runs import RunConfig
from vaelib.training import TrainingConfig


def one_layer_run(start, step, epochs, split):
    return RunConfig(
        data=DataConfig(name=dataset, split=split, pixels="dynamic"),
        model=VAEConfig(
            latent_dim=50,
            hidden=(200, 200),
            activation="tanh",
            output_bias=start,
        ),
        objective=ObjectiveConfig(warmup_epochs=epochs / 10),
        training=TrainingConfig(
            learning_rate=step, schedule="cosine", batch_size=100, epochs=epochs
        ),
    )


# %% [markdown]
# From the authors' code we take one thing. Their decoder starts at the average image: the bias of its last layer is the
# logit of each pixel's mean. Short trials say what that is worth, and choose the first step. They see 50,000 images and
# are judged on 10,000 others. The test images choose nothing.

# %%
trial = "50000/10000/10000" if dataset == "mnist" else None
STARTS = {"init": "at random", "average": "at the average image"}
trials = {
    (STARTS[start], step): [one_layer_run(start, step, trial_epochs, trial)]
    for start in STARTS
    for step in (0.002, 0.004)
}
tried = train_groups(trials)
losses = {
    name: -run.history["validation_elbo"].iloc[-1]
    for name, (run,) in tried.items()
}
losses = pd.Series(losses).rename_axis(["the decoder starts", "step"])
losses.unstack().round(1)

# %% [markdown]
# That is −ELBO on validation images in nats, after a few epochs. The start at the average image is worth tens of
# nats so early, and the larger step helps only together with it. So the long run starts at the average image,
# with a step of 0.004:

# %%
split = "60000/10000" if dataset == "mnist" else None
final = one_layer_run("average", 0.004, one_layer_epochs, split)
(one_layer,) = train_groups({"": [final]})[""]
seconds = one_layer.environment["seconds"]
print(f"{one_layer_epochs} epochs took {seconds / 60:.0f} minutes")

# %% [markdown]
# ### How do you get log p(x) of 10,000 images?
#
# By {term}`importance sampling` with the encoder as the proposal. With $K$ draws of $z$,
#
# $$
# \log p(x) \approx \log \frac{1}{K} \sum_{k=1}^{K} \frac{p(x, z_k)}{q(z_k|x)}, \qquad z_k \sim q(z|x).
# $$
#
# Five thousand draws for each of 10,000 images would take longer than the training. So all images get 100 draws. On
# 400 of them we measure what 5,000 new draws would add, and add that. The correction varies little from image to
# image, so its standard error is small:

# %%
from vaebook.experiments.published import PUBLISHED, log_likelihood_of_all

parts = images.split(split)
draw = torch.Generator().manual_seed(0)
test_x = torch.from_numpy(images.matrix(parts.test))
binary_x = torch.bernoulli(test_x, generator=draw)
some = {"samples": samples, "few": 100, "images": 400}
found, error, effective = log_likelihood_of_all(
    one_layer.model, binary_x, **some
)
nll = -found
print(f"−log p(x): {nll:.2f} nats, standard error {error:.2f}")
print(f"effective draws of {samples:,}, in the median: {effective:.0f}")

# %%
from vaelib.evaluation import active_units

dynamic = PUBLISHED["dynamic"]
print(f"active latents: {int(active_units(one_layer.model, binary_x).sum())}")
if images.name == dynamic.data:
    print(f"published: {dynamic.figure}; ours is {nll - dynamic.figure:+.2f}")

# %% [markdown]
# Sixteen effective draws are a warning. For half of the images so few of the 5,000 draws, or fewer, carry nearly all of
# the weight. So the true error is larger than the one printed.
#
# With $\mathcal{N}(0, I)$ as its prior our model falls short. The authors trained for 3,280 epochs in batches of 20,
# with a step that fell from 0.001 to 0.0001. That is over a hundred times as many steps as ours. And ours is one run,
# with one seed.
#
# ### Does a better prior pay in nats?
#
# Yes, about two nats. {doc}`06_sampling` repaired the prior after training, by a mixture of Gaussians that is fitted to
# codes. Here it gets the codes of 20,000 training images, and 5,000 others choose its size.

# %%
from vaelib.evaluation import aggregate_posterior
from vaelib.priors import fit_mixture, with_prior

seen_x = torch.from_numpy(images.matrix(parts.train[:25_000]))
codes = aggregate_posterior(
    one_layer.model, torch.bernoulli(seen_x, generator=draw)
)
fitted, choosing = codes.split([len(codes) - len(codes) // 5, len(codes) // 5])
sizes = (5, 10, 20, 40, 80)
mixture = fit_mixture(fitted, choosing, sizes, fits=1)
scores = pd.Series(mixture.scores, name="log-density of other codes (nats)")
scores.rename_axis("components").round(2).to_frame()

# %%
mixed = with_prior(one_layer.model, mixture.prior)
found, mixed_error, _ = log_likelihood_of_all(mixed, binary_x, **some)
mixed_nll = -found
print(f"chosen: {mixture.components} components")
print(f"−log p(x): {mixed_nll:.2f} nats, standard error {mixed_error:.2f}")
print(f"the prior alone is worth {nll - mixed_nll:.2f} nats")

# %% [markdown]
# The repair that gave the film its tongues pays on digits, too. The published figure was measured with $\mathcal{N}(0,
# I)$, so this gain comes from the prior and not from the training.
#
# ### Is it the length that is missing?
#
# For the most part it is, as far as four trainings can tell. How can one know? Train the same model for fewer epochs. In
# each training the step falls to zero, so none is simply broken off.

# %%
def in_nats(model):
    return -log_likelihood_of_all(model, binary_x, **some)[0]


shorter = train_groups(
    {n: [one_layer_run("average", 0.004, n, split)] for n in lengths}
)
by_length = {n: in_nats(run.model) for n, (run,) in shorter.items()}
by_length[one_layer_epochs] = nll
by_length = pd.Series(by_length).rename_axis("epochs").sort_index()
gained = ["", *(f"{gain:.2f}" for gain in -by_length.diff().dropna())]
pd.DataFrame({"−log p(x) (nats)": by_length.round(2), "gained": gained})

# %% [markdown]
# Three doublings gain 2.3, 1.6 and 1.0 nats: each is worth about two thirds of the one before. Between our 120 epochs and
# their 3,280 lie nearly five more. If those went on in the same way they would gain some 1.8 nats, where we lack 2.16. That is an
# extrapolation from one seed, and no measurement. But it leaves little for another cause to explain.
#
# ### Do more draws in training pay as published?
#
# In part. Five draws gain 1.0 nats where 1.2 are published, and fifty gain 1.3 where 2.0 are. Each is one seed, and we do not know how far
# seeds differ here, so do not read much into tenths.
#
# The importance-weighted bound of {doc}`09_bounds` is what Burda and colleagues are known for. Here it trains the
# same network with 5 and with 50 draws, for 30 epochs each; the second row of the last table is its rival with one.


# %%
def tighter(number):
    run = one_layer_run("average", 0.004, bound_epochs, split)
    bound = ObjectiveConfig(bound="importance-weighted", samples=number)
    return run.replace(objective=bound)


by_draws = train_groups({number: [tighter(number)] for number in bound_draws})
bound_nats = {number: in_nats(run.model) for number, (run,) in by_draws.items()}
pd.DataFrame(
    {
        "−log p(x) (nats)": bound_nats,
        "active latents": {
            number: int(active_units(run.model, binary_x).sum())
            for number, (run,) in by_draws.items()
        },
        "minutes": {
            number: run.environment["seconds"] / 60
            for number, (run,) in by_draws.items()
        },
    }
).rename_axis("draws").round(2)

# %% [markdown]
# With one draw it was 91.53 after 30 epochs. The published figures are 86.76, 85.54 and 84.78 nats, with 1, 5 and 50 draws.
# So ours lie above them by 4.8, 5.0 and 5.5 nats: much the same distance for all three, and that of a training of 30 epochs. So it is
# not the bound alone that is missing. (The model with one draw has a warm-up and the KL in closed form, as before; the others cannot have
# them.)
#
# What should you buy with your time, draws or epochs? Epochs, here. The model with fifty draws took 46 minutes. The one above with one draw
# took 23 for its 120 epochs, and ended 1.3 nats lower.
#
# ### And a second level?
#
# It gains three nats here, more than the two that are published. After 40 epochs two levels have passed the 86.76 nats named above.
#
# {cite:t}`norouzi2020` print figures for networks with two gated layers of 300 units: 84.45 nats with one level of 40
# latents, and 82.39 with two of 40 each. Ours have two plain layers of 300, with batch normalisation in place of the
# gates, and the ladder of {doc}`11_hierarchies`.

# %%
from vaelib.models.hierarchical import HierarchicalConfig, HierarchicalObjective


def negative(group):
    return [-elbo for elbo in metric(group, "elbo")]


def of_levels(latents, epochs=level_epochs):
    return one_layer_run("average", 0.002, epochs, split).replace(
        model=HierarchicalConfig(latents=latents, batch_norm=True),
        objective=HierarchicalObjective(warmup_epochs=epochs / 10),
    )


by_levels = {"one level": of_levels((40,))}
for n in (*level_lengths, level_epochs):
    by_levels[f"two levels, {n} epochs"] = of_levels((40, 40), n)
by_levels = train_groups({name: [run] for name, run in by_levels.items()})
level_nats = {name: in_nats(run.model) for name, (run,) in by_levels.items()}

# %%
pd.DataFrame(
    {
        "−ELBO (nats)": {n: negative(g)[0] for n, g in by_levels.items()},
        "−log p(x) (nats)": level_nats,
        "weights": {
            name: sum(weight.numel() for weight in run.model.parameters())
            for name, (run,) in by_levels.items()
        },
    }
).round(2)

# %% [markdown]
# After 40 epochs two levels lie 3.2 nats below one, where the published figures differ by 2.1. They have half as many weights
# again, so not all of this need be due to the level itself. In {doc}`11_hierarchies`, after four epochs and with as many weights, the lead had
# shrunk to nothing when the bound was tight. Here it has not.
#
# What we lack is 4.8 nats with one level and 3.7 with two. For two we can ask again whether it is the length. Two doublings gain 2.5 and 1.8
# nats, so the next ones promise 1.3, 0.9 and 0.7. Three of them, 320 epochs, would take us to about 83.2. For how many epochs the published
# models trained we do not know.
#
# ### And flows and letters?
#
# Here we agree with a program, and not with what its page says. Two public programs print figures for **grey** digits, so these are
# nats of another data set than those above.
#
# - [One](https://github.com/abdulfatir/planar-flow-pytorch) adds 20 planar steps to the posterior ({doc}`10_flows`) of a network 512-256 with 20 latents. We
#   take its settings: ReLU, Adam with a step of 0.001, batches of 128, a sampled KL, ten epochs.
# - [The other](https://github.com/ericjang/gumbel-softmax) has a code of thirty letters with ten values each ({doc}`12_discrete`), and goes to some 45,000 steps of 100
#   digits. Ours stop at 18,000.

# %%
from vaelib.models.categorical import CategoricalConfig
from vaelib.posteriors import PlanarConfig


def of_grey(model, objective=None, **training):
    return RunConfig(
        data=DataConfig(name=dataset, split=split),
        model=model,
        objective=objective or {},
        training=TrainingConfig(**training),
    )


def planar(steps, activation="relu", schedule="constant"):
    bent = {"posterior": PlanarConfig(steps=steps)} if steps else {}
    network = VAEConfig(hidden=(512, 256), activation=activation, **bent)
    sampled = ObjectiveConfig(kl="monte-carlo")
    return of_grey(network, sampled, epochs=planar_epochs, schedule=schedule)


# %%
words = CategoricalConfig(
    groups=30, codes=10, hidden=(512, 256), activation="relu"
)
by_program = train_groups(
    {
        "Gaussian posterior": seeds_of(planar(0), planar_seeds),
        "20 planar steps": seeds_of(planar(20), planar_seeds),
        **{
            f"{name}, SiLU, cosine": seeds_of(
                planar(steps, "silu", "cosine"), planar_seeds
            )
            for name, steps in (("Gaussian", 0), ("planar", 20))
        },
        "30 letters": [of_grey(words, batch_size=100, epochs=letter_epochs)],
    }
)

# %%
relaxed = by_program["30 letters"][0].history["train_loss"].iloc[-1]
print(f"30 letters, relaxed draws of training digits: {relaxed:.1f} nats")
pd.Series(
    {name: mean_and_range(negative(g), 1) for name, g in by_program.items()},
    name="−ELBO (nats)",
).to_frame()

# %% [markdown]
# **Planar steps.** The page of the first program says 99.37 nats, and 98.23 with the flow. We get five and six more, and nothing from the
# flow. So we ran its plain VAE (`vae.py`; no cell of this page does that, since the code is not ours), once, with its own model and loss, on our copy of the
# digits: 104.63 nats after its ten epochs, which is our figure. The page does not say how long its models were trained; ten epochs are the program's
# default. Its flow we did not run. Ours is not quite the same: it bends each digit's posterior in a way of its own, and theirs bends all alike.
#
# And it depends on the rest: with SiLU and a step that falls along a cosine the flow gains more than five nats. We do not know why.
#
# **Letters.** The second program prints 99 to 109 nats. But it measures relaxed draws of training digits, in single batches. By that measure ours
# has 114.5, and by the bound that holds, of whole letters and test digits, 126.0. So about half of the distance lies in what is measured. The rest
# may be due to the length, which we have not tested.
#
# ## How good are our models in bits?
#
# As good as published ones. For grey levels the likelihood must be a probability of each level. We take a *discretised
# logistic*: {eq}`eq-discretised` with a logistic density in place of the Gaussian. It is trained with 40 latents, a
# {term}`warm-up` of the KL and early stopping on the validation frames.

# %%
from vaebook.experiments.recipes import faces_recipe
from vaelib.likelihoods import LikelihoodConfig

by_chance = DataConfig(name=faces, split="random")
logistic = LikelihoodConfig(
    name="discretised-logistic", sigma="per-pixel", sigma_value=0.1
)
length = epochs or 800
coder = faces_recipe(
    "modern",
    by_chance,
    latent_dim=coder_latents,
    likelihood=logistic,
    epochs=length,
)

# %%
coder = coder.replace(
    objective=ObjectiveConfig(warmup_epochs=length / 4),
    training=coder.training.replace(patience=length // 8 or 1),
)
coders = train_groups({"": seeds_of(coder, seeds)})[""]

# %%
from vaebook.experiments.sampling import bits_of_runs

bits = {
    prior: bits_of_runs([(run, prior, 0) for run in coders], draws)
    for prior in ("none", "mixture")
}
pd.DataFrame(
    {
        prior: {
            name: mean_and_range([getattr(one, name) for one in several], 3)
            for name in ("bound", "nll")
        }
        for prior, several in bits.items()
    }
).rename_axis("bits per dimension")

# %% [markdown]
# Lower is better. *None* keeps the prior $\mathcal{N}(0, I)$, *mixture* replaces it after training. *Bound* is −ELBO,
# *nll* is $-\log p(x)$ from 1,000 draws.
#
# (scorecard-published)=
# ## All figures side by side

# %%
names = {
    "none": f"500, {coder_latents} latents",
    "mixture": "the same, mixture",
}
ours = {
    "dynamic": ("the same network", [nll]),
    "dynamic, mixture": ("the same, mixture", [mixed_nll]),
}
ours |= {
    f"{number} draws": (f"the same, {bound_epochs} epochs", [found])
    for number, found in bound_nats.items()
}

# %%
for name, key in (
    ("one level", "one level"),
    (f"two levels, {level_epochs} epochs", "two levels"),
):
    ours[key] = f"{key}, plain 2 × 300", [level_nats[name]]
of_program = {"grey": "Gaussian posterior", "planar": "20 planar steps"}
ours |= {
    key: ("the same network", negative(by_program[name]))
    for key, name in of_program.items()
}
for prior, quantity in product(names, ("bound", "nll")):
    key = quantity + (", best" if prior == "mixture" else "")
    found = [getattr(one, quantity) for one in bits[prior]]
    ours[key] = names[prior], found

# %% tags=["hide-input"]
head = ["protocol", "published", "figure", "our model", "ours", "seeds"]
rows = [
    [
        published.protocol,
        f"{published.model}, {published.source}",
        f"{published.figure:.2f}",
        model,
        mean_and_range(found),
        str(len(found)),
    ]
    for key, (model, found) in ours.items()
    for published in [PUBLISHED.get(key.removesuffix(", mixture"))]
    if published and published.data in (images.name, film.name)
]
nothing = "No published figure belongs to these data."
Markdown(table(head, rows) if rows else nothing)

# %% [markdown]
# Read the figures with four reservations.
#
# - Only the models of the film and those beside the planar program have several seeds. Trainings of digits last 30 to 120 epochs.
# - What the page of the planar program prints for its plain VAE, the program itself does not give after its ten epochs.
# - The rows on the film share the sizes of the split, but not the frames in it.
# - None of the published models had a prior that was fitted after training, here to codes of training and validation
#   images.
#
# ## What to remember
#
# - Compare likelihoods only where data, split, pixels and quantity agree. Say which of them do not.
# - Start the decoder at the average image. It costs a line.
# - A prior fitted after training can be worth more than many epochs.
# - Before you explain a distance by the model, train for half as long and see how fast it shrinks.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-published-draws
#
# How far is the ELBO from $\log p(x)$, and how much of the way do 10 and 100 draws go? Try it on 500 test images.
# ```
#
# ```{solution-start} ex-published-draws
# :class: dropdown
# ```

# %%
from vaelib.objectives import importance_weighted_bound

few_x = binary_x[:500]
with torch.no_grad():
    for k in (1, 10, 100):
        generator = torch.Generator().manual_seed(0)
        bound = importance_weighted_bound(one_layer.model, few_x, k, generator)
        print(f"{k:>4} draws: {-bound.mean():.2f} nats")

# %% [markdown]
# One draw gives the ELBO, 92.3 nats. Ten draws take 3.2 nats off that, and 100 draws another 1.1: each tenfold adds
# less. How far the end is these do not say. (The 88.92 above are of all 10,000 images.)
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-published-pixels
#
# A friend's Bernoulli VAE has −ELBO = 98 nats on MNIST, and yours has 89 nats by the protocol above. Whose is better?
# ```
#
# ```{solution} ex-published-pixels
# :class: dropdown
#
# Nobody can tell. Ask whether the friend's pixels were grey or binary, and whether 89 is a bound. Grey pixels have a
# floor that no model can pass ({ref}`data-floor`).
# ```
