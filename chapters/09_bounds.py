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
# (chapter-bounds)=
# # Tighter bounds
#
# The {term}`ELBO` lies below $\log p(x)$. Does it pay to train on a tighter bound? At equal epochs yes, at equal
# seconds no, at least in runs as short as ours. A tighter bound is easy to write: draw $z$ several times, and average
# the {term}`importance weights <importance weight>` *before* taking the logarithm {cite:p}`burda2016`. But there is a
# catch {cite:p}`rainforth2018`: the tighter the bound, the more noise and the less signal its gradient has for the
# {term}`encoder`. Much of that noise can be removed. At equal epochs that gains more here than the extra draws do,
# and the best of our digit models have both. On this page you build the bound in four lines and see what it does to
# the posterior. Then you train with it, measure the catch, and mend it.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can derive the importance-weighted bound and write it without its two usual mistakes. You can say what
#   more draws buy, what they cost, and what happens to the encoder's gradient. You know two remedies, and when one of
#   them is wrong.
# - **You need** the VAE of {doc}`build` and the ELBO of {doc}`02_model`, and the words gradient, mean and variance.
# - **Time.** Forty minutes to read. All the code runs in about seven minutes on one core of ours.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
faces: str = "frey"  # a film of faces: "frey", "toyfaces" or a path
draws: list[int] = [1, 5, 20]  # K, the draws of z for each image
train_images: int = 5000  # of the digits, the first so many
epochs: int = 6  # passes over these digits
face_epochs: int = 40  # passes over the film
seeds: int = 3  # how often each model is trained
samples: int = 500  # draws of z that estimate log p(x) after training
repeats: int = 100  # of a gradient, to measure its noise

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.distributions import Normal

import vaelib as vae
from vaebook import page
from vaebook.tables import mean_and_range
from vaelib import plots

least = {"draws": 1, "train_images": 20, "epochs": 1, "face_epochs": 1}
least |= {"seeds": 1, "samples": 2, "repeats": 2}
page.parameters(globals(), at_least=least)
draws = sorted({1, *draws})
if len(draws) < 2:
    raise page.ParameterError(f"draws={draws}: one must be larger than 1")
plots.use_style()

# %% tags=["remove-input"]
images = page.load(dataset, images=200, grey=True)
film = page.load(faces, images=100, grey=True)
page.banner(images, film)

# %% [markdown]
# ## How can a bound be tighter?
#
# By averaging first. Start from what {doc}`02_model` calls importance sampling. Draw $z$ from $q(z \mid x)$, the cloud that the
# encoder names for the image. The *importance weight* of this draw is
#
# $$
# w = \frac{p(x, z)}{q(z \mid x)} = \frac{p(x \mid z)\, p(z)}{q(z \mid x)},
# \qquad
# \mathbb{E}_{q}[w] = \int q(z \mid x)\, \frac{p(x, z)}{q(z \mid x)}\, \mathrm{d}z = p(x).
# $$ (eq-bounds-weight)
#
# So each weight is right on average. The average of $K$ weights is right on average, too, and it is less noisy. Now take
# logarithms. The logarithm is concave, and *Jensen's inequality* says what that costs: the mean of a logarithm lies below
# the logarithm of the mean.
#
# $$
# \mathcal{L}_K
# = \mathbb{E}_{z_1, \dots, z_K \sim q}\!\left[\log \frac{1}{K} \sum_{k=1}^{K} w_k\right]
# \;\le\; \log \mathbb{E}\!\left[\frac{1}{K} \sum_{k=1}^{K} w_k\right] = \log p(x).
# $$ (eq-bounds-iwae)
#
# With $K = 1$ this is $\mathbb{E}_q[\log p(x, z) - \log q(z \mid x)]$, the ELBO. Jensen's inequality costs nothing where
# nothing varies, and the average of many weights varies little. So the gap closes as $K$ grows.
#
# Does the gap ever widen? No. Pick $M$ of the $K$ weights at random. The average over such picks is the average of all. So the
# same inequality, used on the choice of the pick, gives $\mathcal{L}_M \le \mathcal{L}_K$ for $M \le K$
# {cite:p}`burda2016`.
#
# ### What can go wrong in the code?
#
# Two things, and torch complains about neither. A log-weight of an image is a number such as $-90$ for digits, and
# $+1000$ for grey faces. `exp` turns one into almost nothing and the other into infinity. `logsumexp` subtracts the
# largest before it exponentiates. And the mean belongs *inside* the logarithm. With the mean of the logarithms, more
# draws give a less noisy ELBO, and no tighter bound.

# %% tags=["nbval-check-output"]
log_w = torch.tensor([-1000.0, -1003.0])  # two log-weights of one image
print("log of the mean:    ", torch.logsumexp(log_w, 0) - math.log(2))
print("without subtraction:", log_w.exp().mean().log())
print("mean of the logs:   ", log_w.mean())

# %% [markdown]
# The first line is right. Its value lies below the larger of the two, by no more than $\log 2$: one good draw is
# enough. The last line gives every draw the same weight.
#
# ## What do more draws change?
#
# The posterior that the model gets to use. To see it, take a model with one latent and one pixel. Its pixel has the mean
# $z^2$, so that $z$ and $-z$ explain it equally well. The true {term}`posterior` has two humps. The encoder's $q$ has only one.


# %%
pixel, sigma_x = torch.tensor(2.0), 0.8


def log_joint(z):  # log p(x, z) of the one pixel
    log_p_z = Normal(0.0, 1.0).log_prob(z)
    return log_p_z + Normal(z**2, sigma_x).log_prob(pixel)


def log_weights(z, q):
    return log_joint(z) - q.log_prob(z)


def bound_of(log_w):  # (K, ...) -> (...)
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


# %% [markdown]
# One latent is so little that a sum over a grid gives $\log p(x)$ and the true posterior:

# %% tags=["nbval-check-output"]
grid = torch.linspace(-4, 4, 2001)
step = grid[1] - grid[0]
log_p_x = torch.logsumexp(log_joint(grid), 0) + step.log()
true_posterior = torch.exp(log_joint(grid) - log_p_x)
print(f"log p(x) = {log_p_x:.3f} nats")

# %% [markdown]
# For each $K$ we look for the Gaussian $q$ that makes $\mathcal{L}_K$ largest. It takes 300 steps of Adam, each with 100
# estimates of the bound.


# %%
def best_q(K, steps=300):
    generator = torch.Generator().manual_seed(0)
    mu = torch.tensor(0.5, requires_grad=True)
    log_sigma = torch.tensor(0.0, requires_grad=True)
    optimiser = torch.optim.Adam([mu, log_sigma], lr=0.03)
    for _ in range(steps):
        epsilon = torch.randn(K, 100, generator=generator)
        q = Normal(mu, log_sigma.exp())
        loss = -bound_of(log_weights(mu + q.scale * epsilon, q)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Normal(mu.detach(), log_sigma.detach().exp())


best = {K: best_q(K) for K in (1, 5, 50)}

# %%
generator = torch.Generator().manual_seed(1)
for K, q in best.items():
    z = q.mean + q.stddev * torch.randn(K, 20_000, generator=generator)
    gap = log_p_x - bound_of(log_weights(z, q)).mean()
    print(f"K = {K:2d}: sigma of q {q.stddev:.2f}, gap {gap:.3f} nats")

# %% [markdown]
# Why does it close so fast, when $q$ has one hump and the truth has two? Because the bound does not use $q$ as it stands. Draw
# $K$ times from $q$, and keep one of the draws, chosen in proportion to its weight. What is kept follows a new density, the
# {term}`implicit posterior`. With $K = 1$ it is $q$. As $K$ grows it approaches the true posterior, and the ELBO with this
# density in the place of $q$ is at least $\mathcal{L}_K$ {cite:p}`cremer2017`.
#
# $$
# q_K(z \mid x) = p(x, z) \; \mathbb{E}_{z_2, \dots, z_K \sim q}
# \left[\frac{K}{w(z) + w_2 + \dots + w_K}\right].
# $$ (eq-bounds-implicit)


# %%
def implicit_posterior(q, K):
    sets = 4000 // K  # of K - 1 other draws
    epsilon = torch.randn(K - 1, sets, 1, generator=generator)
    others = log_weights(q.mean + q.stddev * epsilon, q)  # (K-1, sets, 1)
    own = log_weights(grid, q).expand(1, sets, -1)  # (1, sets, grid)
    rest = others.expand(-1, -1, len(grid))
    average = torch.logsumexp(torch.cat([own, rest]), 0) - math.log(K)
    return torch.exp(log_joint(grid) - average).mean(0)


# %% mystnb={"figure": {"name": "fig-bounds-implicit", "caption": "One pixel, one latent. Shaded: the true posterior, with its two humps. Dashed: the Gaussian q that makes the bound of K draws largest. Solid: the implicit posterior, which the bound of K draws really uses. With one draw it is q itself. With five it has two humps already; with fifty it can hardly be told from the truth. The best q is wider with more draws: some of them have to reach each hump."}, "image": {"alt": "Three panels for K = 1, 5 and 50, each with the same shaded density of two humps. In the first a dashed and a solid line coincide: one hump between the two. In the second the dashed line is wider, and the solid one has two humps. In the third the solid line follows the edge of the shaded density."}} tags=["hide-input"]
_, axes = plt.subplots(1, 3, figsize=(7, 2.7), sharex=True, sharey=True)
for ax, (K, q) in zip(axes, best.items(), strict=True):
    shade = {"color": plots.COLOURS["cyan"], "alpha": 0.6, "lw": 0}
    ax.fill_between(grid, true_posterior, label="true", **shade)
    dashed = {"ls": "--", "color": plots.INK, "lw": 1.2}
    ax.plot(grid, q.log_prob(grid).exp(), label="best $q$", **dashed)
    implicit = implicit_posterior(q, K)
    ax.plot(grid, implicit, label="implicit", color=plots.COLOURS["wine"])
    ax.set(title=f"$K$ = {K}", xlabel="$z$", xlim=(-3, 3))
axes[0].set(ylabel="density", ylim=(0, 0.85))
axes[0].legend(loc="upper left", fontsize=7.5, handlelength=1.4)
plt.show()

# %% [markdown]
# So more draws can be read in two ways: as a tighter bound for the same $q$, or as a richer posterior, though the encoder
# still answers with one Gaussian.
#
# ## What changes in a VAE?
#
# One function. Here is the bound {eq}`eq-bounds-iwae` for the VAE of {doc}`build`, letter by letter. The draws get an axis
# of their own in front of the batch. The {term}`KL` no longer appears in closed form: its parts, $\log p(z)$ and
# $\log q(z \mid x)$, are taken at each draw.


# %%
from vaelib.posteriors import gaussian_log_prob, reparameterise


def importance_weighted_bound(model, x, K, generator=None):
    mu, log_var = model.encode(x)  # (B, Z), (B, Z)
    z = reparameterise(mu, log_var, K, generator)  # (K, B, Z)
    log_p_x_given_z = model.likelihood.log_prob(x, model.decode(z))
    log_p_z = model.prior.log_prob(z)  # (K, B)
    log_q_z = gaussian_log_prob(z, mu, log_var)  # (K, B)
    log_w = log_p_x_given_z + log_p_z - log_q_z
    return torch.logsumexp(log_w, 0) - math.log(K)  # (B,), nats


# %% [markdown]
# Which model do we train? The network of {cite:t}`burda2016`: 784 pixels, two layers of 200 tanh units, 50 latents, and the mirror image of
# that as the {term}`decoder`. As they did, we toss the pixels' coins anew for each batch (*dynamic*
# {term}`binarisation`), take batches of 20, and start the decoder at the average image. The test digits are tossed once.

# %%
from vaelib.data import DataConfig

split = "60000/10000" if dataset == "mnist" else None
parts, coins = images.split(split), torch.Generator().manual_seed(0)
x = torch.from_numpy(images.matrix(parts.train[:train_images]))
x_test = torch.from_numpy(images.matrix(parts.test[:200]))
x_test = torch.bernoulli(x_test, generator=coins)  # (N, D), 0 or 1
config = vae.VAEConfig(
    latent_dim=50, hidden=(200, 200), activation="tanh", output_bias="average"
)
settings = vae.TrainingConfig(epochs=epochs, batch_size=20)

# %% [markdown]
# With `vaelib` the bound is a setting. These are the three lines that train with five draws:
#
# ```python
# model = vae.VAE(config, images.shape)
# objective = vae.ObjectiveConfig(bound="importance-weighted", samples=5)
# vae.fit(model, model.losses(objective, binarise=True), x, settings)
# ```
#
# Is the library's bound ours? With the same noise, to rounding:

# %% tags=["nbval-check-output"]
model = vae.VAE(config, images.shape)
same = [torch.Generator().manual_seed(1) for _ in range(2)]
with torch.no_grad():
    ours = importance_weighted_bound(model, x_test, 5, same[0])
    theirs = vae.importance_weighted_bound(model, x_test, 5, same[1])
print("the same bound:", torch.allclose(ours, theirs))

# %% [markdown]
# ## Does a tighter bound train a better model?
#
# Let us say first how we shall judge. All models are compared by the same number, an estimate of $-\log p(x)$ of the same
# test digits, whatever they were trained on; lower is better. We call one way of training better than another
# if two things hold: its worst {term}`seed` beats the other's best, and the means lie at least 1 {term}`nat` apart.
#
# Each model is trained from several seeds. After each {term}`epoch` we look at the same tight bound for all of them,
# $\mathcal{L}_{64}$ on 100 test digits.

# %%
from vaelib.models import new_model


def objective(K, estimator="plain"):
    if estimator == "closed form":
        return vae.ObjectiveConfig()  # the ELBO of all chapters before
    return vae.ObjectiveConfig(
        bound="importance-weighted", samples=K, estimator=estimator
    )


def nats(model, x, K):  # -L_K, the mean over images
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        bound = vae.importance_weighted_bound(model, x, K, noise)
    return -bound.mean().item()


# %% [markdown]
# Seconds are those of the processor, so that other programs on the machine hardly count. We stop the clock while we
# look.

# %%
from time import process_time


def trained(K, estimator, seed):
    model, curve, stamps = new_model(config, images.shape, seed), [], []
    model.start(x)
    losses = model.losses(objective(K, estimator), binarise=True)

    def watch(row):
        stamps.append(process_time())  # an epoch ends
        curve.append(nats(model, x_test[:100], 64))
        stamps.append(process_time())  # the next begins

    stamps.append(process_time())
    vae.fit(model, losses, x, settings, seed=seed, on_epoch=watch)
    seconds = sum(stamps[1::2]) - sum(stamps[:-1:2])
    return model.eval(), curve, seconds


# %%
plain = [(K, "plain") for K in draws]
other = [(1, "closed form"), (1, "stl"), (draws[1], "dreg")]
ways = [*plain, *other]
runs = {way: [trained(*way, seed) for seed in range(seeds)] for way in ways}

# %% [markdown]
# The last three ways come later in this chapter. First the plain ones.
#
# How do we estimate $\log p(x)$? By many draws from $q$, as in {doc}`02_model`. But the encoders were trained for different
# numbers of draws, and an estimate from their own $q$ would favour some. So we freeze each model and fit $q$ anew to each
# test digit, by 45 steps on its ELBO ({doc}`06_sampling` does the same). Then we take the draws from there.


# %%
import warnings

from vaebook.experiments.refinement import refined

warnings.filterwarnings("ignore", "log p")  # few effective draws: see below


def estimate(model):
    judged = refined(model, x_test, steps=45)
    noise = torch.Generator().manual_seed(2)
    return vae.log_likelihood(judged, x_test, samples, noise)


estimates = {w: [estimate(m) for m, _, _ in group] for w, group in runs.items()}
nll = {w: [-e.mean()[0] for e in group] for w, group in estimates.items()}


# %%
def names(way):
    K, estimator = way
    name = {"plain": "", "stl": ", STL", "dreg": ", DReG"}
    return f"K = {K}" + name.get(estimator, ", closed-form KL")


def seconds_of(way):  # the seed that other programs disturbed least
    return min(seconds for _, _, seconds in runs[way])


def row(way):
    active = [vae.evaluation.active_units(m, x_test) for m, _, _ in runs[way]]
    return {
        "−log p(x) (nats)": mean_and_range(nll[way], 1),
        "active units": mean_and_range([int(a.sum()) for a in active], 0),
        "seconds": f"{seconds_of(way):.1f}",
    }


pd.DataFrame.from_dict({names(way): row(way) for way in plain}, orient="index")


# %% [markdown]
# Mean over seeds, with the smallest and the largest; the seconds are those of the fastest seed. The verdict, by the rule from above:


# %%
def verdict(first, second, margin=1.0, unit="nats", digits=1):
    gap = np.mean(second) - np.mean(first)
    apart = max(first) < min(second) or max(second) < min(first)
    size = f"{abs(gap):.{digits}f} {unit}"
    if abs(gap) < margin or not apart:
        return f"no verdict, the means are {size} apart"
    return f"{'better' if gap > 0 else 'worse'} by {size}"


for way in plain[1:]:
    print(f"{names(way)} against K = 1:", verdict(nll[way], nll[plain[0]]))

# %% [markdown]
# So both tighter bounds train better models than the ELBO, if each may see the images equally often. Whether twenty draws are
# better than five we leave open, for a reason that comes below.
#
# What about the time? A step with twenty draws is slower than a step with one. So we look at the same curves twice: against
# epochs, and against the seconds of the processor that training took.

# %%
shortest = min(map(seconds_of, ways))
print(f"the fastest training takes {shortest:.1f} seconds")

# %% mystnb={"figure": {"name": "fig-bounds-training", "caption": "The bound of 64 draws, for 100 test digits, as training goes on: a line for each seed, lower is better. Left: against epochs, where all ways of training have seen the same images; more draws lead. Right: against seconds of the processor; one draw leads. The dotted line marks the end of the fastest training."}, "image": {"alt": "Two panels with falling curves in three colours, one for each number of draws, three lines each. Left against epochs from 1 to 6; right against seconds, where the curves for more draws reach further to the right."}} tags=["hide-input"]
_, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True)
steps_done = np.arange(1, epochs + 1)
for colour, way in zip(plots.COLOURS.values(), plain, strict=False):
    for _, curve, _ in runs[way]:
        line = {"color": colour, "marker": "o", "markersize": 3, "lw": 1.1}
        axes[0].plot(steps_done, curve, **line)
        axes[1].plot(steps_done * seconds_of(way) / epochs, curve, **line)
    axes[0].plot([], [], color=colour, label=names(way))
axes[1].axvline(shortest, color=plots.INK, ls=":", lw=1)
axes[0].set(xlabel="epochs", ylabel=r"$-\mathcal{L}_{64}$ (nats per digit)")
axes[1].set(xlabel="seconds")
axes[0].legend()
plt.show()


# %% [markdown]
# At equal seconds we read each curve at the dotted line, between two epochs if need be.


# %%
def at_equal_seconds(way):
    times = seconds_of(way) * np.arange(1, epochs + 1) / epochs
    return [np.interp(shortest, times, curve) for _, curve, _ in runs[way]]


equal = {way: at_equal_seconds(way) for way in ways}
for way in plain[1:]:
    print(f"{names(way)} against K = 1:", verdict(equal[way], equal[plain[0]]))

# %% [markdown]
# At equal seconds the order turns round: one draw is ahead. Do not read much into small differences of the seconds, which
# vary a little on a busy machine.
#
# ### Is it the bound, or the model?
#
# A tight bound can be had without any training: take a finished model, and evaluate it with more draws. Each row below is a
# way of training, each column a bound. In every row the numbers fall from left to right, as the theory demands. Only the
# differences within a column compare models.

# %%
columns = [*draws, 100]
one_seed = {w: runs[w][0][0] for w in plain}  # the models of seed 0
pd.DataFrame.from_dict(
    {
        f"trained with {names(w)}": {
            f"−bound, K = {K}": f"{nats(m, x_test, K):.1f}" for K in columns
        }
        | {"−log p(x)": f"{nll[w][0]:.1f}"}
        for w, m in one_seed.items()
    },
    orient="index",
)

# %% [markdown]
# The last column is an estimate, too: a bound of many draws, from the refitted $q$. Can it be trusted? The {term}`effective
# sample size` says how many of the draws share the weight. If it is near 1, a single draw decides, and $-\log p(x)$ is
# overestimated.

# %%
for way in plain:
    sizes = [e.effective_samples.median() for e in estimates[way]]
    errors = [e.mean()[1] for e in estimates[way]]
    print(
        f"{names(way)}: {np.mean(sizes):.0f} of {samples} draws effective, "
        f"standard error {max(errors):.2f} nats"
    )

# %% [markdown]
# The models trained with many draws have the fewest effective ones, since a Gaussian $q$ fits their posteriors least.
# So their lead over one draw is, if anything, larger than the table says. And five against twenty cannot be decided.
#
# ## How does this compare with the published figures?
#
# {cite:t}`burda2016` report, for this network, 86.76 nats with $K = 1$, 85.54 with 5 and 84.78 with 50, and 19 {term}`active
# units <active unit>` against 25 for $K = 1$ and 50. Our numbers are far higher, because our training is far shorter.

# %%
batches = math.ceil(len(x) / settings.batch_size)
print(f"ours: {epochs * batches:,} steps on {len(x):,} images")
theirs = sum(3**i for i in range(8))  # stages of 1, 3, 9, ... epochs
print(f"theirs: {theirs:,} epochs, where we have {epochs}")

# %% [markdown]
# Their step of 0.001 falls tenfold over these {math}`3^0 + \dots + 3^7` epochs; ours is 0.001 throughout. They judge
# by 10,000 test digits and 5,000 draws. So our table says which way the first steps go, and nothing about where they
# end. Nearly all latents of our models are active, too, because so short a training has given none of them up yet.
#
# {doc}`published` trains this network for thirty epochs, and judges it as they do: 91.53, 90.50 and 90.25 nats with 1, 5 and 50 draws. That is five nats
# above their figures throughout, and one draw alone has come within 2.2 of its figure after 120 epochs.
#
# ## Why not take a thousand draws?
#
# Apart from the time: because the encoder would learn nothing. Think of $K \to \infty$. The bound is $\log p(x)$
# then, for *every* $q$. What does not depend on $q$ has no gradient for the encoder. For large $K$ the gap to
# $\log p(x)$ is about $v / 2K$, where only $v$ depends on $q$ ([an exercise](ex-bounds-gap) derives it). So the
# gradient shrinks like $1 / K$. Its noise shrinks, too, but only like $1 / \sqrt{K}$. So the ratio of the two,
# the *signal-to-noise ratio*, falls like $1 / \sqrt{K}$ {cite:p}`rainforth2018`. The decoder has no such trouble:
# its ratio rises.
#
# How do we measure it? Take a trained model and a few test digits, and draw the encoder's gradient again and again.


# %%
def encoder_gradients(model, x, K, estimator, generator):
    weights, rows = list(model.encoder.parameters()), []
    for _ in range(repeats):
        bound = vae.importance_weighted_bound(
            model, x, K, generator, estimator=estimator
        )
        parts = torch.autograd.grad(bound.mean(), weights)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)  # (repeats, weights)


# %% [markdown]
# The signal is the length of the mean gradient. The noise is how far a single gradient lies from that, as a root mean
# square. A mean of $R$ repeats has some noise left, so from its squared length we subtract the noise's square divided
# by $R$.


# %%
def signal_and_noise(gradients):  # (R, weights)
    noise = gradients.var(0).sum()
    signal = gradients.mean(0).square().sum() - noise / len(gradients)
    return signal.clamp(min=0).sqrt().item(), noise.sqrt().item()


# %% [markdown]
# ## Where does the noise come from?
#
# From a term that is zero on average. Write $\tilde w_k = w_k / \sum_j w_j$ for the share of draw $k$. A weight depends on the
# encoder's parameters $\phi$ in two ways: through the draw $z_k = \mu + \sigma \odot \epsilon_k$, and through $q$ itself, whose density
# stands in the denominator.
#
# $$
# \nabla_\phi \log \frac{1}{K} \sum_k w_k
# = \sum_k \tilde w_k \Bigl( \underbrace{\frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}}_{\text{path}}
# \; - \; \underbrace{\frac{\partial \log q_\phi(z_k \mid x)}{\partial \phi}}_{\text{score}} \Bigr).
# $$ (eq-bounds-gradient)
#
# **One draw.** The share is 1, and the {term}`score` is zero on average: $\int q \, \nabla \log q \, \mathrm{d}z = \nabla \! \int q \, \mathrm{d}z =
# \nabla 1 = 0$. So we may drop it. This is *sticking the landing*, STL for short {cite:p}`roeder2017`. Why does it help? Where $q$ is the true
# posterior, $w$ is $p(x)$ for every $z$. Then the path term is zero in each single draw, and the score was all there was: noise.
#
# **Several draws.** Now the share $\tilde w_k$ depends on $z_k$, and the mean of the product is not zero. Dropping it makes the gradient
# *biased*. But the score can be turned into a path, by the same trick that gave the VAE its draw. For any function $f$,
# $\mathbb{E}_q[f(z) \, \partial \log q / \partial \phi] = \mathbb{E}[\partial f / \partial z \cdot \partial z / \partial \phi]$. Both
# sides are the gradient of $\mathbb{E}_q[f(z)]$ with $f$ held fixed. With $f = \tilde w_k$, and $\partial \tilde w_k / \partial z_k = (\tilde w_k - \tilde w_k^2) \,
# \partial \log w_k / \partial z_k$, the score takes away all but the square:
#
# $$
# \nabla_\phi \mathcal{L}_K = \mathbb{E}\left[\sum_k \tilde w_k^2 \,
# \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\right].
# $$ (eq-bounds-dreg)
#
# This is the *doubly reparameterised* gradient, DReG {cite:p}`tucker2019`. It is right on average for every $K$, and without noise where $q$
# is exact. In code it is two changes: `detach` hides the score, and a hook multiplies what comes back to $z$ by the share.


# %%
def gradients_of_mu(K, estimator):
    repeats = 2_000_000 // max(K, 20)
    mu = torch.full((repeats,), 0.3, requires_grad=True)  # one for each
    z = mu + 0.8 * torch.randn(K, repeats, generator=generator)
    seen = mu if estimator == "plain" else mu.detach()
    log_w = log_weights(z, Normal(seen, 0.8))  # (K, repeats)
    if estimator == "dreg":
        share = torch.softmax(log_w.detach(), 0)
        z.register_hook(lambda gradient: share * gradient)
    return torch.autograd.grad(bound_of(log_w).sum(), mu)[0]


# %% [markdown]
# Back to the pixel with two humps, and a $q$ that is off on purpose. Which estimators agree on the mean gradient of
# $\mu$?

# %%
table, slopes = {}, {}
for K in (1, 5, 20, 100, 1000):
    for name in ("plain", "stl", "dreg"):
        g = slopes[name, K] = gradients_of_mu(K, name)
        error = g.std() / len(g) ** 0.5
        table.setdefault(f"K = {K}", {})[name] = f"{g.mean():.5f} ± {error:.5f}"
pd.DataFrame.from_dict(table, orient="index")

# %% [markdown]
# With one draw all three agree within their standard errors. With more, STL goes its own way: its mean does not
# shrink with $K$. DReG stays with the plain gradient. It is so much less noisy that its mean may serve as the signal
# for both:

# %%
for K in (1, 20, 100, 1000):
    signal = slopes["dreg", K].mean().abs()
    of_both = {e: signal / slopes[e, K].std() for e in ("plain", "dreg")}
    print(f"K = {K:4d}: signal {signal:.4f}, signal / noise", end=" ")
    print(", ".join(f"{e} {ratio:.3f}" for e, ratio in of_both.items()))

# %% [markdown]
# From 100 draws to 1,000 the signal falls about tenfold, as $1 / K$ should. The plain ratio falls by about the root of
# ten, and that of DReG *rises* by as much.
#
# ## How bad is it in a real model?
#
# We take the models that were trained with one draw, ten test digits, and up to 64 draws.

# %%
many = [1, 4, 16, 64]
found = {}  # (signal, noise) of each estimator, K and seed
biases = {K: [] for K in many}
cosines = {K: [] for K in many}  # of STL's mean gradient with DReG's
for seed in range(seeds):
    model, noise = runs[plain[0]][seed][0], torch.Generator().manual_seed(3)
    for K in many:
        g = {
            e: encoder_gradients(model, x_test[:10], K, e, noise)
            for e in ("plain", "stl", "dreg")
        }
        for e in g:
            found.setdefault((e, K), []).append(signal_and_noise(g[e]))
        apart = g["stl"].mean(0) - g["dreg"].mean(0)
        chance = (g["stl"].var(0) + g["dreg"].var(0)).sum() / repeats
        biases[K].append((apart.square().sum() - chance).clamp(min=0).sqrt())
        lengths = found["stl", K][-1][0] * found["dreg", K][-1][0]
        cosines[K].append((g["stl"].mean(0) @ g["dreg"].mean(0)) / lengths)

# %% mystnb={"figure": {"name": "fig-bounds-signal", "caption": "The encoder's gradient in models trained with one draw, for ten test digits: a dot for each seed, a line through the means. Left: the signal, the length of the mean gradient. Middle: the noise around it. Right: their ratio; higher is better, but for large K much of STL's signal is bias. The signals of the plain gradient and of DReG fall together, and the plain one has the most noise. All axes are logarithmic."}, "image": {"alt": "Three panels against the number of draws K from 1 to 64, with lines for plain, STL and DReG gradients: signal, noise, and their ratio."}} tags=["hide-input"]
from matplotlib.ticker import LogLocator

_, axes = plt.subplots(1, 3, figsize=(7.2, 3))
labels = {"plain": "plain", "stl": "STL", "dreg": "DReG"}
measures = {
    "signal": lambda s, n: s,
    "noise": lambda s, n: n,
    "signal / noise": lambda s, n: s / n,
}
for ax, (title, measure) in zip(axes, measures.items(), strict=True):
    for (e, name), colour in zip(
        labels.items(), plots.COLOURS.values(), strict=False
    ):
        values = [[measure(*pair) for pair in found[e, K]] for K in many]
        ax.plot(many, np.mean(values, 1), color=colour, label=name)
        ax.plot(many, values, "o", color=colour, markersize=3)
    ax.set(title=title, xlabel="$K$", xscale="log", yscale="log")
    ax.set_xticks(many, [str(K) for K in many], minor=False)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
axes[0].set_ylabel("length (nats)")
axes[0].legend()
plt.show()


# %%
def ratio(estimator, K):
    return [signal / noise for signal, noise in found[estimator, K]]


for e in labels:
    start, end = ratio(e, many[0]), ratio(e, many[-1])
    print(f"{labels[e]}: K = {many[0]}: {mean_and_range(start)}")
    print(f"{' ' * len(labels[e])}  K = {many[-1]}: {mean_and_range(end)}")

# %%
for K in many:
    signals = [signal for signal, _ in found["dreg", K]]
    shares = [b.item() / s for b, s in zip(biases[K], signals, strict=True)]
    print(f"K = {K:2d}: STL's bias is {mean_and_range(shares)} of the signal,")
    along = [cosine.item() for cosine in cosines[K]]
    print(f"        the cosine of STL with DReG {mean_and_range(along)}")

# %% [markdown]
# The plain ratio is the lowest everywhere, and it falls. It falls more slowly than $1 / \sqrt{K}$. A likely reason,
# which we have not tested: that law needs many effective draws, and in 50 dimensions most of 64 draws weigh next to
# nothing. DReG has the signal of the plain gradient and much less noise, but here its ratio does not rise as it did
# for one pixel. The ratio of STL does rise, but what it is sure of is not the gradient of the bound: with 64 draws
# its bias is larger than the true signal. Here this bias points much the same way as the true gradient, as the cosine
# of 0.99 says. So STL's gradient is too long rather than wrong in direction. We have not trained with it at $K > 1$.
#
# ## Do the remedies train better models?
#
# The same runs, the same rule. One more rival joins: the ELBO with its {term}`KL` in closed form, the loss of all chapters before. It has
# one draw, too, and less noise than the sampled KL while $q$ is still far from the truth.

# %%
table = {names(w): row(w) for w in [plain[0], plain[1], *other]}
pd.DataFrame.from_dict(table, orient="index")

# %%
closed, stl, dreg = other
pairs = [(closed, plain[0]), (stl, plain[0]), (dreg, plain[1])]
pairs += [(stl, closed), (stl, plain[1]), (dreg, stl)]
for way, rival in pairs:
    print(f"{names(way)} against {names(rival)}:")
    print(f"  equal epochs: {verdict(nll[way], nll[rival])}")
    print(f"  equal seconds: {verdict(equal[way], equal[rival])}")

# %% [markdown]
# At equal epochs, four things stand out.
#
# - The closed form alone gains more than five or twenty plain draws do. So the loss of the earlier chapters beats the
#   tighter bounds here, as long as their gradient is the plain one.
# - STL with one draw and the closed form cannot be told apart by our rule.
# - With five draws DReG gains 4.2 nats over the plain gradient.
# - Five draws by DReG are best of all. Their lead over one draw by STL is smaller than what either owes to its
#   gradient.
#
# At equal seconds three of these stand: the closed form and STL are ahead of the plain gradient, and so is DReG with five draws
# of the plain gradient with as many. But five draws by DReG fall behind one draw by STL, by 8 nats, since they take longer. STL is now ahead of the closed form by
# our rule. Do not lean on that: the table gives the closed form more time than the plain gradient, whose step does at least as much work.
#
# ## And faces?
#
# The same question on the Frey film, by the book's modern {term}`recipe` ({doc}`03_training`). We change two things. We stop
# after a fraction of its 500 epochs. And the decoder's {term}`sigma` starts at 0.1, because from the recipe's 1 it would need
# most of those epochs to come down. The recipe takes the KL in closed form, which the importance-weighted bound cannot. So we compare
# the recipe's ELBO, and one draw and five draws, both by DReG. As five draws take longer, one draw gets a second try with
# twice the epochs.

# %%
from vaebook.experiments.recipes import faces_recipe, seeds_of, train_groups

by_chance = DataConfig(name=faces, split="random")
narrow = vae.LikelihoodConfig(name="gaussian", sigma="shared", sigma_value=0.1)
recipe = faces_recipe(
    "modern", by_chance, epochs=face_epochs, likelihood=narrow
)
objectives = {
    "closed-form KL": recipe.objective,
    "K = 1, DReG": objective(1, "dreg"),
    "K = 5, DReG": objective(5, "dreg"),
}
configs = {n: recipe.replace(objective=o) for n, o in objectives.items()}
twice = recipe.training.replace(epochs=2 * face_epochs)
configs["K = 1, twice as long"] = configs["K = 1, DReG"].replace(training=twice)
wanted = {name: seeds_of(config, seeds) for name, config in configs.items()}
faces_runs = train_groups(wanted, jobs=1)

# %% [markdown]
# Faces cost {term}`bits per dimension <bits per dimension>`, as 256 grey levels. The judge is the same as for digits: an estimate of
# $-\log p(x)$ with a refitted $q$, here for 100 test frames. The split is random, so most of them have near twins in
# the training set. The margin is 0.02 bits per dimension, and again no seeds may overlap.

# %%
from vaelib.data import prepare

film_x = torch.from_numpy(prepare(by_chance).test[:100])
D = film_x.shape[1]


def bits(run):
    judged = refined(run.model.discretised(), film_x, steps=30)
    noise = torch.Generator().manual_seed(0)
    found = vae.log_likelihood(judged, film_x, samples, noise)
    cost = vae.objectives.bits_per_dim(found.mean()[0], D, density=False)
    return cost, found.effective_samples.median().item()


priced = {w: [bits(run) for run in group] for w, group in faces_runs.items()}


# %%
def face_row(name):
    costs, sizes = zip(*priced[name], strict=True)
    group = faces_runs[name]
    own = [run.metrics["test"]["bits_per_dim"] for run in group]
    seconds = [run.environment["seconds"] for run in group]
    return {
        "−log p(x) (bits/dim)": mean_and_range(costs, 3),
        "−ELBO, encoder's q": mean_and_range(own, 3),
        "effective draws": f"{min(sizes):.0f} or more",
        "seconds": f"{min(seconds):.0f}",
    }


pd.DataFrame.from_dict({n: face_row(n) for n in priced}, orient="index")


# %%
for rival in [name for name in priced if name != "K = 5, DReG"]:
    ours, theirs = ([c for c, _ in priced[w]] for w in ("K = 5, DReG", rival))
    found = verdict(ours, theirs, 0.02, "bits/dim", 3)
    print(f"K = 5, DReG against {rival}: {found}")

# %% [markdown]
# At equal epochs five draws win, by little. They win by the estimate, whose effective draws are few, and by the ELBO of the
# encoder's own $q$, a bound without that doubt. But one draw with twice the epochs wins by far more, and it took no longer (by the clock, beside other work) than
# the five. After so short a training, another step is worth more than another draw. The recipe's 500 epochs would be needed to
# say whether that changes in the end.
#
# ## What to remember
#
# - Average the weights inside the logarithm. $K = 1$ is the ELBO, every further draw makes the bound tighter, and it
#   never exceeds $\log p(x)$.
# - Use `logsumexp`, and subtract $\log K$. The mean of the logarithms is no tighter bound.
# - More draws are a richer posterior: one of $K$ draws, chosen by weight, follows the true posterior more closely.
# - Compare models by one and the same bound, at equal epochs and at equal seconds, with the network held fixed.
# - While training is short, more steps and a better gradient gain more than more draws do.
# - The plain gradient tells the encoder less and less as $K$ grows. STL mends that for $K = 1$ and is biased for more
#   draws. DReG is right for every $K$.
#
# ## Exercises
#
# ```{exercise} How fast does the gap close?
# :label: ex-bounds-gap
#
# Write the average weight as $p(x) (1 + \delta)$. Then $\delta$ has mean zero and variance $v / K$, where $v$ is the variance of
# $w / p(x)$. Expand the logarithm to second order. What is the gap $\log p(x) - \mathcal{L}_K$ for large $K$? Check it on the model
# with one pixel, with the $q$ that was best for five draws.
# ```
#
# ```{solution-start} ex-bounds-gap
# :class: dropdown
# ```
#
# $\log (1 + \delta) \approx \delta - \delta^2 / 2$, whose mean is $-v / (2 K)$. So the gap is about $v / (2K)$: ten times the draws, a
# tenth of the gap.

# %%
q = best[5]
z = q.mean + q.stddev * torch.randn(500_000, generator=generator)
v = torch.exp(log_weights(z, q) - log_p_x).var()
for K in (1, 10, 100):
    z = q.mean + q.stddev * torch.randn(K, 50_000, generator=generator)
    gap = log_p_x - bound_of(log_weights(z, q)).mean()
    print(f"K = {K:3d}: gap {gap:.4f}, v / 2K = {v / (2 * K):.4f} nats")

# %% [markdown]
# With one draw the expansion is useless, since $\delta$ is not small. From ten draws on it is good.
#
# ```{solution-end}
# ```
#
# ```{exercise} Where did the square come from?
# :label: ex-bounds-ess
#
# The *effective sample size* of weights is $(\sum_k w_k)^2 / \sum_k w_k^2$. Show that it is $1 / \sum_k \tilde w_k^2$, with $\tilde
# w_k$ the shares. What does {eq}`eq-bounds-dreg` become when all weights are equal, and what when one draw has it all? What does that say
# about the length of the encoder's gradient as $K$ grows?
# ```
#
# ```{solution} ex-bounds-ess
# :class: dropdown
#
# Divide both sums by $(\sum_j w_j)^2$: the numerator becomes 1 and the denominator $\sum_k \tilde w_k^2$. With equal weights $\tilde w_k = 1 / K$, and
# the gradient is the average path term divided by $K$. With one draw that has it all, it is the path term of that draw, as for $K = 1$. So the
# encoder's gradient shrinks like one over the effective sample size. Where the draws already agree, there is little left for
# an encoder to improve.
# ```
#
# ````{exercise} A bound between the two
# :label: ex-bounds-miwae
#
# With a budget of draws one can mix: take $M$ independent estimates of $\mathcal{L}_K$ and average them {cite:p}`rainforth2018`. Write
# it. For 16 draws in all, measure the signal-to-noise ratio of the encoder's gradient at $K = 1, 4, 16$, with the plain estimator. What do
# you expect from {eq}`eq-bounds-gradient`?
#
# ```python
# def mixed_bound(model, x, M, K, generator):
#     ...  # (B, D) -> (B,)
# ```
# ````
#
# ```{solution-start} ex-bounds-miwae
# :class: dropdown
# ```


# %%
def mixed_bound(model, x, M, K, generator):
    repeated = x.repeat(M, 1)  # (M B, D)
    bound = vae.importance_weighted_bound(model, repeated, K, generator)
    return bound.view(M, len(x)).mean(0)


# %%
model, noise = runs[plain[0]][0][0], torch.Generator().manual_seed(4)
weights = list(model.encoder.parameters())
for M, K in ((16, 1), (4, 4), (1, 16)):
    rows = []
    for _ in range(repeats):
        bound = mixed_bound(model, x_test[:10], M, K, noise).mean()
        parts = torch.autograd.grad(bound, weights)
        rows.append(torch.cat([part.flatten() for part in parts]))
    signal, spread = signal_and_noise(torch.stack(rows))
    print(f"M = {M:2d}, K = {K:2d}: signal / noise {signal / spread:.2f}")

# %% [markdown]
# Averaging outside the logarithm lowers the noise by $\sqrt{M}$ and leaves the signal alone. So for the encoder $M$ is the better use of draws,
# and for the tightness of the bound $K$ is.
#
# ```{solution-end}
# ```
