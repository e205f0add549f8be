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
# (chapter-model)=
# # The model, derived
#
# A variational autoencoder rests on one inequality and one change of variables. This chapter derives both from
# first-year probability, and turns each equation into a few lines of code with the same symbols. Then it checks the code
# against an answer that is known in another way: a closed form, an integral done by brute force, or a model whose exact
# likelihood statisticians have known for decades.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can say what the evidence of a picture is, and why nobody simply computes it. You can derive the ELBO,
#   say how far below the evidence it lies, and take its gradient through a random draw.
# - **You need** [the VAE that you built](chapter-build), densities and averages of random numbers, and derivatives. A box
#   on the way recalls the linear algebra.
# - **Time.** An hour to read. All the code runs in about a minute on two cores of ours.
# - **Left for the next chapter:** what the decoder's outputs mean as pixels, and what a latent costs
#   ([](chapter-pixels)).
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # images for the model with one latent number
faces: str = "auto"  # for the linear model: frey with mnist, else toyfaces
latent_dim: int = 10  # latent dimensions of the linear model
epochs: int = 10  # passes over `dataset`, to train the model with one latent
draws: int = 8192  # draws of z to compare gradient estimators
seed: int = 0  # of every random draw in this chapter

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
import pandas as pd
import torch

import vaelib as vae
from vaebook import page
from vaelib import data, plots

settings = page.parameters(
    globals(), at_least={"latent_dim": 1, "epochs": 1, "draws": 256, "seed": 0}
)
if faces == "auto":
    faces = "frey" if dataset == "mnist" else "toyfaces"
plots.use_style()

# %% tags=["remove-cell"]
face_images = page.load(faces, grey=True)
most = min(len(face_images.split().train), face_images.images[0].size) - 1
if latent_dim > most:
    raise page.ParameterError(
        f"parameter latent_dim={latent_dim} cannot be used: expected at most {most}, "
        f"fewer than the pixels and the training images of {face_images.name}"
    )

# %% tags=["remove-input"]
page.banner(page.load(dataset, grey=True), face_images)

# %% [markdown]
# ## Notation
#
# Images are vectors: $D$ pixels between 0 (black) and 1 (white). Code and equations share their names.
#
# | symbol | in code | shape | meaning |
# | --- | --- | --- | --- |
# | $x$ | `x` | `(B, D)` | a batch of $B$ images |
# | $z$ | `z` | `(S, B, Z)` | latent variables: $Z$ numbers per image, $S$ draws of them (also $L$) |
# | $p(z)$ | `model.prior` | | prior: how latents are distributed before an image is seen |
# | $p_\theta(x \mid z)$ | `model.likelihood` | | likelihood of an image, given the decoder's outputs for $z$ |
# | $q_\phi(z \mid x)$ | `mean`, `log_var` | `(B, Z)` | approximate posterior, $\mathcal{N}(\mu, \sigma_q^2)$ from the encoder |
# | $\log p_\theta(x)$ | `log_evidence` | `(B,)` | evidence: log-probability of an image |
# | $\mathcal{L}(x)$ | `elbo` | `(B,)` | evidence lower bound |
# | $\mathrm{KL}(q \,\Vert\, p)$ | `kl` | `(B,)` | Kullback-Leibler divergence, never negative |
# | $\theta$, $\phi$ | | | weights of the decoder, and of the encoder |
#
# Logarithms are natural, so information comes in **nats**: one nat is $1 / \ln 2 \approx 1.44$ bits. Everything is **per
# image and summed over its pixels**, unless a sentence says otherwise. An average over $q$ is written $\mathbb{E}_q$.

# %% [markdown]
# ## A model small enough to see
#
# Suppose that each picture was made in two steps. Nature first draws a few numbers $z$ that we never see (which digit, how
# slanted, how bold). Then it draws the pixels $x$, given $z$:
#
# $$
# p_\theta(x, z) = p(z) \, p_\theta(x \mid z), \qquad p(z) = \mathcal{N}(z; 0, I).
# $$ (eq-joint)
#
# The {term}`prior` $p(z)$ is a plain Gaussian. All knowledge of pictures sits in the decoder, which turns $z$ into the
# parameters of a distribution over pixels. To see such a model whole, take pictures of **two pixels**, and **one** latent
# number. Our decoder is a formula: as $z$ grows, the brightness of the two pixels goes round on a circle. The pixels are
# Gaussian around it:


# %%
def two_pixels(z):
    """The mean picture m(z): (...,) -> (..., 2)."""
    angle = 1.6 * z
    return 0.5 + 0.38 * torch.stack([angle.cos(), angle.sin()], dim=-1)


noise = 0.1  # standard deviation of a pixel around its mean

# %%
from torch.distributions import Normal

grid = torch.linspace(-6, 6, 2401, dtype=torch.float64)  # (G,) values of z
step = (grid[1] - grid[0]).item()
log_p_z = Normal(0, 1).log_prob(grid)  # (G,)


def log_likelihood(x):
    """log p(x|z) of pictures (..., 2) at all z of the grid: -> (..., G)."""
    return Normal(two_pixels(grid), noise).log_prob(x[..., None, :]).sum(-1)


# %% [markdown]
# How probable is a given picture $x$? Any $z$ may have caused it. So we add up all of them, each with its prior weight. This
# is the **evidence**, or marginal likelihood:
#
# $$
# p_\theta(x) = \int p_\theta(x \mid z) \, p(z) \, \mathrm{d}z.
# $$ (eq-evidence)
#
# Learning means: choose $\theta$ so that the pictures we have are probable, that is, maximise the average of
# $\log p_\theta(x)$. With one latent number the integral is a sum over a fine grid. Over the whole plane of pictures
# the evidence should then add up to one:

# %%
side = torch.linspace(-0.2, 1.2, 141, dtype=torch.float64)  # of the plane
plane = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)
p_x = (log_likelihood(plane) + log_p_z).exp().sum(-1) * step  # (141, 141)
area = (side[1] - side[0]) ** 2
print(f"all pictures together have probability {p_x.sum() * area:.4f}")

# %% [markdown]
# A picture is a point of this plane. Take two of them. The one on the right of the circle has a single *cause*, a $z$
# that may have made it. The one on the left is where the circle closes: it can be reached from both ends of the latent
# axis.

# %%
pictures = {
    "one cause": torch.tensor([0.88, 0.50], dtype=torch.float64),
    "two causes": torch.tensor([0.12, 0.50], dtype=torch.float64),
}

# %% mystnb={"figure": {"caption": "A model of pictures with two pixels, seen whole. Left: the plane of all pictures; darker is more probable. The curve is the decoder's mean picture, coloured by z. Crosses are our two pictures. Right: what the decoder draws for seven values of z, each a picture of two pixels.", "name": "fig-two-pixels"}, "image": {"alt": "Left: a ring in a square plane, darkest on its right side, with a coloured curve along it and two crosses, one at the right and one at the left end. Right: seven pairs of squares whose brightness goes round as z grows."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.3), width_ratios=(3, 2))
left.imshow(p_x, origin="lower", extent=(-0.2, 1.2, -0.2, 1.2), cmap="Greys")
inner = grid[grid.abs() < 2]
curve = two_pixels(inner)
dots = left.scatter(*curve.T, c=inner, s=5, cmap="cividis")
fig.colorbar(dots, ax=left, label="$z$")
for name, point in pictures.items():
    left.plot(*point, "x", color=plots.COLOURS["rose"], markersize=9)
    box = {"facecolor": plots.PAPER, "alpha": 0.8, "edgecolor": "none"}
    at = {"textcoords": "offset points", "ha": "center", "bbox": box}
    left.annotate(name, point, (0, 12), **at)
left.set(xlabel="first pixel", ylabel="second pixel")
left.grid(False)
shown = torch.linspace(-1.8, 1.8, 7, dtype=torch.float64)
right.imshow(two_pixels(shown), cmap="gray", vmin=0, vmax=1)
right.set_xticks([0, 1], ["first", "second"])
right.set_yticks(
    range(7), [f"z = {value:.1f}".replace("-", "−") for value in shown]
)
right.grid(False)
plt.show()

# %% [markdown]
# Which $z$ has made a given picture? Bayes' rule answers with a distribution, the {term}`posterior`:
#
# $$
# p_\theta(z \mid x) = \frac{p_\theta(x \mid z) \, p(z)}{p_\theta(x)}.
# $$ (eq-bayes)
#
# Its numerator is the joint density {eq}`eq-joint`, read as a function of $z$. Its denominator is the evidence, which makes
# the area one. On the grid these are three lines:

# %%
log_p_xz, log_p_x, posteriors_of = {}, {}, {}
for name, picture in pictures.items():
    log_p_xz[name] = log_likelihood(picture) + log_p_z  # (G,)
    log_p_x[name] = torch.logsumexp(log_p_xz[name], 0) + math.log(step)
    posteriors_of[name] = (log_p_xz[name] - log_p_x[name]).exp()  # (G,)
    print(f"{name}: log p(x) = {log_p_x[name]:.3f} nats")

# %% mystnb={"figure": {"caption": "Prior, likelihood and posterior of the two pictures, as functions of z. The likelihood, which is no density of z, is scaled to the height of the prior's peak. The posterior is their product, scaled to area one. The second picture has two explanations, and they are equally good.", "name": "fig-bayes"}, "image": {"alt": "Two panels over z from minus 3 to 3, each with a broad bell curve for the prior. In the first the likelihood and the posterior have a single narrow peak at zero; in the second both have two peaks, near minus 2 and plus 2."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True)
peak = log_p_z.exp().max()
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    likelihood = log_likelihood(picture).exp()
    ax.plot(grid, log_p_z.exp(), label="prior p(z)")
    ax.plot(
        grid,
        peak * likelihood / likelihood.max(),
        "--",
        label="likelihood p(x|z), scaled",
    )
    ax.fill_between(
        grid,
        posteriors_of[name],
        alpha=0.35,
        color=plots.COLOURS["rose"],
        label="posterior p(z|x)",
    )
    ax.set(title=name, xlim=(-3, 3), ylabel="density")
axes[0].legend(loc="upper right")
axes[1].set_xlabel("$z$")
plt.show()

# %% [markdown]
# ## The same with real pictures
#
# Now the decoder is a neural network with weights $\theta$, and a picture has hundreds of pixels. We keep **one**
# {term}`latent` number, so that everything can still be added up. [The last chapter](chapter-build) and {doc}`03_training` train models like it; here we take one as it comes. Its pictures are binary: each grey pixel was replaced once by a coin toss.

# %%
from vaelib.models import VAEConfig
from vaelib.runs import RunConfig
from vaelib.training import TrainingConfig

run = vae.train(
    RunConfig(
        data=data.DataConfig(name=dataset, pixels="static"),
        model=VAEConfig(latent_dim=1, hidden=(200,)),
        training=TrainingConfig(epochs=epochs),
        seed=seed,
    )
)
model = run.model.double()

# %% [markdown]
# Equation {eq}`eq-joint` is a recipe: draw $z$, decode it, draw pixels. Instead of drawing we walk along the latent axis,
# in steps of equal probability.

# %% mystnb={"figure": {"caption": "What a model with one latent number draws: the decoder's mean image along the axis, from small z (upper left) to large z (lower right), in steps of equal prior probability. One draw in twenty lies further out than the first or the last picture. Neighbours are alike, because the decoder is continuous.", "name": "fig-axis"}, "image": {"alt": "Two rows of ten images. From left to right one digit shape turns smoothly into another."}}
u = (torch.arange(20, dtype=torch.float64) + 0.5) / 20  # probability below z
z = torch.special.ndtri(u).unsqueeze(-1)  # (20, 1): inverse Gaussian CDF
plots.image_grid(model.mean_image(z), model.image_shape)
plt.show()

# %% [markdown]
# How probable is a given picture? Again the integral {eq}`eq-evidence` is a sum over a fine grid. Only the numbers have
# changed: probabilities of whole pictures are too small for 32-bit numbers, hence logarithms throughout.

# %%
x = torch.from_numpy(data.prepare(run.config.data).test[:64]).double()  # (B, D)
z_grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]  # (G, 1)
dz = (z_grid[1] - z_grid[0]).item()

# %%
with torch.no_grad():
    outputs = model.decode(z_grid)  # (G, D)
per_image = [model.likelihood.log_prob(image, outputs) for image in x]
log_p_x_given_z = torch.stack(per_image)  # (B, G)
log_p_z = model.prior.log_prob(z_grid)  # (G,)
log_joint = log_p_x_given_z + log_p_z  # (B, G)
log_evidence = torch.logsumexp(log_joint, dim=1) + math.log(dz)  # (B,)

# %%
pixels = x.shape[1]
print(f"log p(x) of the first test picture: {log_evidence[0]:.2f} nats")
print(f"a fair coin for each pixel: {-pixels * math.log(2):.2f} nats")

# %% [markdown]
# Divide by $\ln 10 \approx 2.3$ to get powers of ten: these are very small probabilities. They have to be, as there are
# $2^D$ binary pictures of $D$ pixels. What counts is how far the model lies above the fair coins.

# %% [markdown]
# ## Why not simply add it up?
#
# Because a grid with 4,001 points per axis has $4001^Z$ points: with $Z = 20$ latent numbers, $10^{72}$ decodings. The
# next idea is to guess. Equation {eq}`eq-evidence` is an average over the prior. So draw $z_1, \dots, z_N$ from $p(z)$, and
# take
#
# $$
# p_\theta(x) \approx \frac{1}{N} \sum_{n=1}^{N} p_\theta(x \mid z_n), \qquad z_n \sim p(z).
# $$ (eq-naive)
#
# To judge a guess one needs the truth, for many latent dimensions. One famous model has it. In **probabilistic PCA**
# {cite:p}`tipping1999` the decoder is linear and the noise Gaussian,
# $p(x \mid z) = \mathcal{N}(x; W z + b, \sigma^2 I)$, and sums of Gaussians are Gaussian:
#
# $$
# p(x) = \mathcal{N}\!\left(x;\; b,\; W W^\top + \sigma^2 I\right).
# $$ (eq-ppca)
#
# :::{admonition} The linear algebra that we use
# :class: dropdown
# - A **covariance matrix** holds, for each pair of pixels, how much they vary together. If $z \sim \mathcal{N}(0, I)$, then
#   $W z$ has the covariance $W W^\top$. Independent noise of variance $\sigma^2$ adds $\sigma^2 I$.
# - Sums of independent Gaussians are Gaussian: means add up, and so do covariances. That is all of {eq}`eq-ppca`.
# - An **eigenvector** $u_j$ of the covariance is a direction in the space of pictures, and its **eigenvalue** $\lambda_j$ is
#   the variance of the data along it. The eigenvectors are orthogonal. They are the principal components of PCA.
# - $W^\top W$ is a small matrix, $Z \times Z$. It is diagonal if the columns of $W$ are orthogonal, as they are here.
# :::
#
# Its maximum-likelihood solution is known too. With eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of the pixels'
# covariance, and their eigenvectors $u_j$,
#
# $$
# b = \bar{x}, \qquad \sigma^2 = \frac{1}{D - Z} \sum_{j > Z} \lambda_j, \qquad
# W = \left[\sqrt{\lambda_1 - \sigma^2} \, u_1, \;\dots,\; \sqrt{\lambda_Z - \sigma^2} \, u_Z\right].
# $$ (eq-ppca-ml)


# %%
def ppca(x, latent_dim):
    """W (D, Z), b (D,) and sigma^2 of the best probabilistic PCA of x."""
    eigenvalues, u = torch.linalg.eigh(torch.cov(x.T))  # ascending
    eigenvalues, u = eigenvalues.flip(0), u.flip(1)
    sigma2 = eigenvalues[latent_dim:].mean()
    W = u[:, :latent_dim] * (eigenvalues[:latent_dim] - sigma2).sqrt()
    return W, x.mean(0), sigma2


# %%
from torch.distributions import LowRankMultivariateNormal


def ppca_log_evidence(x, W, b, sigma2):
    """log N(x; b, W W^T + sigma^2 I) in nats: (N, D) -> (N,)."""
    return LowRankMultivariateNormal(b, W, sigma2.expand(len(b))).log_prob(x)


# %% [markdown]
# Our faces serve as data. Somebody else's implementation of the same model must agree with these two functions:
#
# ```{margin}
# scikit-learn and `torch.cov` both divide by $N - 1$; maximum likelihood would divide by $N$. With this many images the
# difference in log-evidence is far below the digits shown here.
# ```

# %% tags=["nbval-check-output"]
from sklearn.decomposition import PCA

from vaebook.experiments import linear

prepared = data.prepare(data.DataConfig(name=faces))
x_faces = torch.from_numpy(prepared.train).double()  # (N, D)
W, b, sigma2 = ppca(x_faces, latent_dim)
ours = ppca_log_evidence(x_faces, W, b, sigma2)
theirs = PCA(latent_dim, svd_solver="full").fit(x_faces).score_samples(x_faces)
print("equals scikit-learn:", torch.allclose(ours, torch.from_numpy(theirs)))
same = linear.ppca_log_evidence(x_faces, *linear.ppca(x_faces, latent_dim))
print("equals vaebook.experiments.linear:", torch.allclose(ours, same))

# %% [markdown]
# Now guess the {term}`evidence` of 16 faces from prior draws, for models with more and more latent dimensions, and compare with
# {eq}`eq-ppca`.


# %%
def guess_log_evidence(x, W, b, sigma2, z):
    """The estimate from the first 1, 2, ... draws in z, nats: -> (B, N)."""
    means = (part @ W.T + b for part in z.split(10_000))  # (10000, D) at a time
    squared = torch.cat([torch.cdist(x, m).square() for m in means], dim=1)
    log_norm = len(b) * torch.log(2 * math.pi * sigma2)
    log_p_x_given_z = -0.5 * (squared / sigma2 + log_norm)  # (B, N)
    counts = torch.arange(1, len(z) + 1)
    return torch.logcumsumexp(log_p_x_given_z, dim=1) - counts.log()


# %%
N, some = 100_000, x_faces[:16]
generator = torch.Generator().manual_seed(seed)
shortfall = {}
for Z in sorted({1, 2, 5, latent_dim}):
    fitted = ppca(x_faces, Z)
    z = torch.randn(N, Z, generator=generator, dtype=torch.float64)
    truth = ppca_log_evidence(some, *fitted).unsqueeze(1)  # (16, 1)
    guess = guess_log_evidence(some, *fitted, z)  # (16, N)
    shortfall[Z] = (truth - guess).mean(0)  # (N,)

# %% mystnb={"figure": {"caption": "Guessing from the prior. How many nats the estimate of the log-evidence falls short of the truth, against the number of prior draws, as a mean over 16 faces. With one latent dimension a thousand draws are enough; with each further dimension the guesses that matter become rarer. (A lucky early draw may overshoot.)", "name": "fig-naive"}, "image": {"alt": "Curves that fall with the number of draws. Those for one and two latent dimensions reach zero, that for five nearly, that for ten ends far above."}} tags=["hide-input"]
n = torch.logspace(0, math.log10(N), 60).long().unique()
fig, ax = plt.subplots()
for Z, gap in shortfall.items():
    ax.plot(n, gap[n - 1], label=f"Z = {Z}")
top = 3 * max(10, *(gap[-1].item() for gap in shortfall.values()))
ax.set(xlabel="draws from the prior", ylabel="shortfall (nats per image)")
ax.set(xscale="log", xlim=(1, N), ylim=(-1, top))
ax.legend()
plt.show()

# %%
for Z, gap in shortfall.items():
    print(f"Z = {Z}: {gap[-1]:.3f} nats short after {N:,} draws")

# %% [markdown]
# Almost all draws decode to a face that is nothing like $x$, and contribute nothing. The draws that would matter are those
# of the posterior {eq}`eq-bayes`. Its denominator is the integral that we could not do. That is all that "the posterior is
# intractable" means: to know the posterior is to know the evidence.
#
# Turned around, Bayes' rule says more: $\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x)$ for **every** $z$.
# Where the posterior is known, a single guess gives the evidence without error, even a bad guess. For probabilistic PCA it is
# known. It is a Gaussian as well, with $M = W^\top W + \sigma^2 I$:
#
# $$
# p(z \mid x) = \mathcal{N}\!\left(z;\; M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\right).
# $$ (eq-ppca-posterior)

# %%
M = W.T @ W + sigma2 * torch.eye(latent_dim)  # (Z, Z)
M_inverse = torch.linalg.inv(M)  # diagonal, as W's columns are orthogonal
mean = (x_faces - b) @ W @ M_inverse  # (N, Z)
var = (sigma2 * M_inverse.diagonal()).expand_as(mean)  # (N, Z)

# %% tags=["nbval-check-output"]
z = torch.zeros_like(mean)  # any z will do
likelihood = Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x_faces).sum(-1)
prior = Normal(0, 1).log_prob(z).sum(-1)
posterior = Normal(mean, var.sqrt()).log_prob(z).sum(-1)
one_guess = likelihood + prior - posterior
print("one guess gives the evidence:", torch.allclose(one_guess, ours))

# %% [markdown]
# ## A bound
#
# For a neural decoder the posterior is out of reach, so we take a stand-in: a distribution $q_\phi(z \mid x)$ of a
# simple kind. A second network, the **encoder**, computes it from the picture. Even so, something can be said
# *exactly*. As $\log p_\theta(x)$ does not depend on $z$, its average over any $q$ is itself. Use Bayes' rule
# {eq}`eq-bayes` and multiply and divide by $q$:
#
# $$
# \log p_\theta(x)
# = \mathbb{E}_{q}\!\left[\log \frac{p_\theta(x, z)}{p_\theta(z \mid x)}\right]
# = \underbrace{\mathbb{E}_{q}\!\left[\log \frac{p_\theta(x, z)}{q_\phi(z \mid x)}\right]}_{\mathcal{L}(x)}
# + \underbrace{\mathbb{E}_{q}\!\left[\log \frac{q_\phi(z \mid x)}{p_\theta(z \mid x)}\right]}_{
# \mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p_\theta(z \mid x)) \;\ge\; 0}.
# $$ (eq-decomposition)
#
# The second term is a Kullback-Leibler divergence. It is never negative, and zero only if $q$ is the posterior.
# *Jensen's inequality* says that the mean of a logarithm is at most the logarithm of the mean, so
# $-\mathbb{E}_q[\log (p / q)] \ge -\log \mathbb{E}_q[p / q] = -\log 1 = 0$. So the first term is a lower bound on the
# evidence: the **evidence lower bound**, or ELBO,
#
# $$
# \mathcal{L}(x) = \mathbb{E}_{q_\phi(z \mid x)}\!\left[\log p_\theta(x, z) - \log q_\phi(z \mid x)\right]
# \;\le\; \log p_\theta(x).
# $$ (eq-elbo)
#
# It contains nothing that we cannot compute. Splitting $\log p_\theta(x, z) = \log p_\theta(x \mid z) + \log p(z)$ gives
# the form in which it is usually trained:
#
# $$
# \mathcal{L}(x) = \underbrace{\mathbb{E}_{q_\phi(z \mid x)}\!\left[\log p_\theta(x \mid z)\right]}_{\text{reconstruction}}
# \;-\; \underbrace{\mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p(z))}_{\text{cost of the code}}.
# $$ (eq-terms)
#
# :::{admonition} Two different divergences
# :class: note
# The KL in {eq}`eq-terms` is to the *prior*, is part of the bound and is printed by every VAE. The KL in
# {eq}`eq-decomposition` is to the true *posterior*, is the distance between bound and evidence, and is normally unknown.
# :::

# %% [markdown]
# ### The bound that can be seen
#
# For the pictures of two pixels, {eq}`eq-elbo` is again a sum over the grid. Let $q$ be a Gaussian with the mean $\mu$ and the
# deviation $s$, and compute the ELBO for all of them:

# %%
means = torch.linspace(-2.6, 2.6, 105, dtype=torch.float64)
deviations = torch.logspace(-1.6, 0.2, 73, dtype=torch.float64)
log_q = Normal(means[:, None, None], deviations[:, None]).log_prob(
    grid
)  # (M, S, G)
landscape = {
    name: (log_q.exp() * (joint - log_q)).sum(-1) * step  # (M, S)
    for name, joint in log_p_xz.items()
}

# %%
best = {name: values.max() for name, values in landscape.items()}
for name in pictures:
    gap = log_p_x[name] - best[name]
    print(f"{name}: best ELBO {best[name]:.3f}, gap to log p(x) {gap:.3f} nats")
print(f"log 2 = {math.log(2):.3f}")

# %% tags=["nbval-check-output"]
below = [(landscape[name] <= log_p_x[name]).all().item() for name in pictures]
print("no q lifts the ELBO above the evidence:", all(below))

# %% mystnb={"figure": {"caption": "The ELBO of the two pictures, for every Gaussian q: nats below the evidence, on a logarithmic scale. Dark is close to the evidence. Circles mark the best. The picture with two causes has two optima, one for each, and both stay short of the evidence.", "name": "fig-landscape"}, "image": {"alt": "Two heat maps over the mean of q and its deviation. The first has one dark basin around mean zero, the second has two dark basins, near minus 2 and plus 2."}} tags=["hide-input"]
fig, axes = plt.subplots(
    1, 2, figsize=(7, 3.1), sharey=True, layout="constrained"
)
for ax, name in zip(axes, pictures, strict=True):
    below = (log_p_x[name] - landscape[name]).clamp(min=0.01).T  # (S, M)
    scale = {"norm": "log", "vmin": 0.01, "vmax": 100, "cmap": "cividis"}
    shown = ax.pcolormesh(means, deviations, below, rasterized=True, **scale)
    optima = (landscape[name] > best[name] - 1e-9).nonzero()
    ax.plot(
        means[optima[:, 0]],
        deviations[optima[:, 1]],
        "o",
        mfc="none",
        color=plots.COLOURS["rose"],
    )
    ax.set(title=name, xlabel=r"mean $\mu$ of $q$", yscale="log")
    ax.grid(False)
axes[0].set_ylabel(r"deviation $s$ of $q$")
fig.colorbar(shown, ax=axes, label="evidence − ELBO (nats)")
plt.show()

# %% [markdown]
# Where the posterior is nearly a Gaussian, the best bound nearly touches the evidence. Where it has two equal peaks,
# one Gaussian covers one of them. It then misses a factor of two, so the bound stays $\log 2$ below, and hardly more.
# Why does $q$ not cover both peaks? Between them the joint density is tiny. In {eq}`eq-elbo` each draw of $q$ that
# falls there costs many nats. This is a property of the divergence: $q$ would rather miss a true cause than believe in
# a false one.

# %% [markdown]
# ### The bound of real pictures
#
# The digits' model has one latent number too, so all three terms of {eq}`eq-decomposition` are sums over the grid. In
# code the equation is an identity, as the posterior is computed from the evidence; that it holds to many digits shows
# that the grid holds all of $q$. An independent check of the ELBO follows [further down](model-estimator), by sampling.

# %%
from vaelib.posteriors import gaussian_log_prob

with torch.no_grad():
    mean_1d, log_var_1d = model.encode(x)  # (B, 1), (B, 1)
log_q = gaussian_log_prob(z_grid, mean_1d[:, None], log_var_1d[:, None])
log_posterior = log_joint - log_evidence[:, None]  # (B, G)

# %%
q = log_q.exp()
exact_elbo = (q * (log_joint - log_q)).sum(1) * dz  # (B,)
kl_to_posterior = (q * (log_q - log_posterior)).sum(1) * dz  # (B,)

# %%
ranks = [int(part * (len(x) - 1)) for part in (0.1, 0.5, 0.9, 1)]
shown = kl_to_posterior.argsort()[ranks]
columns = {
    "ELBO": [f"{value:.2f}" for value in exact_elbo[shown]],
    "+ KL to posterior": [f"{value:.2f}" for value in kl_to_posterior[shown]],
    "log p(x)": [f"{value:.2f}" for value in log_evidence[shown]],
    "difference": [
        f"{value:.0e}"
        for value in (log_evidence - exact_elbo - kl_to_posterior)[shown]
    ],
}
pd.DataFrame(
    columns, index=["gap at 10 %", "median gap", "gap at 90 %", "largest gap"]
)

# %% tags=["nbval-check-output"]
print("it adds up:", torch.allclose(exact_elbo + kl_to_posterior, log_evidence))

# %% mystnb={"figure": {"caption": "The true posterior, by brute force, and the encoder's Gaussian for the four test images of the table. The gap between bound and evidence is the divergence of the dashed curve from the solid one. In the last row the encoder, which must answer for every image with one network, looks in the wrong place.", "name": "fig-posterior"}, "image": {"alt": "Four rows, each with a digit and two bell curves over z. In the first two rows the curves largely overlap, in the third they are shifted by about two widths, in the last they do not touch."}} tags=["hide-input"]
fig, axes = plt.subplots(4, 2, figsize=(7, 5.2), width_ratios=(1, 7))
for i, (picture, ax) in zip(shown, axes, strict=True):
    plots.image_grid(x[i : i + 1].numpy(), model.image_shape, ax=picture)
    ax.plot(z_grid, log_posterior[i].exp(), label="posterior p(z|x)")
    ax.plot(z_grid, q[i], "--", label="encoder q(z|x)")
    peaks = sorted(
        [z_grid[log_posterior[i].argmax()].item(), mean_1d[i].item()]
    )
    around = 5 * math.exp(0.5 * log_var_1d[i])
    ax.set(yticks=[], xlim=(peaks[0] - around, peaks[1] + around))
    ax.set_title(f"gap {kl_to_posterior[i]:.2f} nats", fontsize=9)
axes[0, 1].legend(loc="upper right")
axes[-1, 1].set_xlabel("$z$")
plt.show()

# %%
print(f"means over {len(x)} test pictures, in nats")
print(f"log p(x) {log_evidence.mean():.2f}, ELBO {exact_elbo.mean():.2f}")
gap = kl_to_posterior
print(
    f"gap: mean {gap.mean():.2f}, median {gap.median():.2f}, largest {gap.max():.2f}"
)

# %% [markdown]
# A higher $\mathcal{L}$ therefore means a higher evidence, a tighter bound, or both. The encoder's $\phi$ can only
# tighten the bound; the decoder's $\theta$ moves both. While the evidence climbs, the bound may get looser for a time,
# as {numref}`fig-linear` of the next chapter shows. One network encodes every picture: this is called *amortised*
# inference. It makes encoding cheap, and it serves unusual pictures badly {cite:p}`cremer2018`.
#
# :::{admonition} Which sign is this?
# :class: important
# - $\mathcal{L}$, `elbo`: higher is better, a **lower** bound on $\log p(x)$.
# - $-\mathcal{L}$, the loss: lower is better, an **upper** bound on $-\log p(x)$. It is not the negative log-likelihood.
# - `reconstruction` $= \mathbb{E}_q[\log p(x \mid z)]$: at most 0 for binary pixels. For Gaussian pixels it is an average
#   log-density and may well be positive.
# - `kl`: never negative, and always *subtracted* from the reconstruction.
# :::

# %% [markdown]
# ## The KL term in closed form
#
# The encoder answers with a mean $\mu_j$ and a variance $\sigma_j^2$ for each latent dimension. With both $q$ and $p(z)$
# Gaussian and independent over dimensions, the KL term of {eq}`eq-terms` needs no sampling. For one dimension,
#
# $$
# \mathbb{E}_q[\log q(z) - \log p(z)]
# = \mathbb{E}_q\!\left[-\tfrac{1}{2} \log \sigma^2 - \frac{(z - \mu)^2}{2 \sigma^2} + \frac{z^2}{2}\right],
# $$
#
# where the two terms $\tfrac{1}{2} \log 2\pi$ have cancelled. By the definition of the variance $\mathbb{E}_q[(z -
# \mu)^2] = \sigma^2$ and $\mathbb{E}_q[z^2] = \mu^2 + \sigma^2$, so that in all dimensions together
#
# $$
# \mathrm{KL}\!\left(\mathcal{N}(\mu, \sigma^2) \,\Vert\, \mathcal{N}(0, I)\right)
# = \frac{1}{2} \sum_{j=1}^{Z} \left(\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\right).
# $$ (eq-kl)
#
# Networks output any real number and a variance must be positive, so the encoder's second output is read as
# $\log \sigma_j^2$.


# %%
def gaussian_kl(mean, log_var):
    """KL(N(mean, e^log_var) || N(0, 1)) of each dimension, nats: -> (B, Z)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


# %% [markdown]
# We check it against the definition, with more and more draws. The error of a *Monte Carlo* average, one over random
# draws, should shrink like one over the square root of their number:

# %%
generator = torch.Generator().manual_seed(seed)
mu, log_s2, zero = torch.tensor([[0.8], [-2.0], [0.0]], dtype=torch.float64)
rows = {}
for n in (100, 10_000, 1_000_000):
    epsilon = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    z = mu + torch.exp(0.5 * log_s2) * epsilon
    sample = gaussian_log_prob(z, mu, log_s2) - gaussian_log_prob(z, zero, zero)
    rows[f"{n:,} draws"] = {
        "Monte Carlo (nats)": f"{sample.mean():.4f}",
        "± standard error": f"{sample.std() / n**0.5:.4f}",
        "closed form (nats)": f"{gaussian_kl(mu, log_s2).item():.4f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# It also equals two other implementations, the second of which the rest of the book uses:

# %% tags=["nbval-check-output"]
from torch.distributions import kl_divergence

from vaelib import objectives, posteriors

m = torch.linspace(-3, 3, 60).reshape(20, 3)
log_v = torch.linspace(-4, 2, 60).reshape(20, 3)
mine = gaussian_kl(m, log_v)
theirs = kl_divergence(Normal(m, torch.exp(0.5 * log_v)), Normal(0, 1))
print("equals torch.distributions:", torch.allclose(mine, theirs, atol=1e-6))
library = posteriors.gaussian_kl(m, log_v)
print("equals vaelib.posteriors:", torch.equal(mine, library))

# %% [markdown]
# ## Gradients through a draw
#
# The {term}`reconstruction term` of {eq}`eq-terms` is an average $\mathbb{E}_{q_\phi}[f(z)]$ with $f(z) = \log p_\theta(x \mid
# z)$. Its gradient in $\theta$ is easy: average the gradients. Its gradient in $\phi$ is not, because $\phi$ decides
# *where the draws fall*. There are two ways out.
#
# **The score function** (also called REINFORCE {cite:p}`williams1992`). Differentiate under the integral, and use
# $\nabla q = q \, \nabla \log q$:
#
# $$
# \nabla_\phi \, \mathbb{E}_{q_\phi}[f(z)] = \int f(z) \, \nabla_\phi q_\phi(z) \, \mathrm{d}z
# = \mathbb{E}_{q_\phi}\!\left[f(z) \, \nabla_\phi \log q_\phi(z)\right].
# $$ (eq-score)
#
# It asks nothing of $f$ but its value: move towards draws that did well.
#
# **The reparameterisation**
# {cite:p}`kingma2014,rezende2014` moves the randomness out of the way. A draw from
# $\mathcal{N}(\mu, \sigma^2)$ is a standard draw, shifted and scaled,
#
# $$
# z = \mu + \sigma \odot \epsilon, \qquad \epsilon \sim \mathcal{N}(0, I),
# $$ (eq-reparameterisation)
#
# and the distribution of $\epsilon$ does not depend on $\phi$. The gradient may then simply go inside:
#
# $$
# \nabla_\phi \, \mathbb{E}_{q_\phi}[f(z)]
# = \mathbb{E}_{\epsilon}\!\left[\nabla_\phi f\!\left(\mu_\phi + \sigma_\phi \odot \epsilon\right)\right].
# $$ (eq-pathwise)


# %%
def reparameterise(mean, log_var, samples=1, generator=None):
    """z = mean + sigma * epsilon: (B, Z), (B, Z) -> (samples, B, Z)."""
    shape = (samples, *mean.shape)
    epsilon = torch.randn(shape, generator=generator, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_var) * epsilon


# %% tags=["nbval-check-output"]
mine = reparameterise(m, log_v, 5, generator.manual_seed(1))
library = posteriors.reparameterise(m, log_v, 5, generator.manual_seed(1))
print("equals vaelib.posteriors:", torch.equal(mine, library))

# %% [markdown]
# Both are unbiased. The difference is their noise, and the linear model lets us measure it against the true gradient. For one
# face, take $q$ to be the exact posterior {eq}`eq-ppca-posterior`, and differentiate with respect to its mean $\mu$. With
# $f(z) = \log \mathcal{N}(x; W z + b, \sigma^2 I)$ the exact answer is $W^\top (x - b - W \mu) / \sigma^2$.

# %%
x0 = x_faces[0]  # (D,)
mu, s2 = mean[0], var[0]  # the mean and the variance of q, (Z,)
exact = W.T @ (x0 - b - W @ mu) / sigma2  # (Z,)


def f(z):
    """log p(x0|z) in nats: (S, Z) -> (S,)."""
    return Normal(z @ W.T + b, sigma2.sqrt()).log_prob(x0).sum(-1)


# %% [markdown]
# We take one gradient per draw, in three ways:
#
# 1. the reparameterised one, by automatic differentiation;
# 2. the score function's, with $\nabla_\mu \log q = (z - \mu) / \sigma_q^2$;
# 3. the same after a constant was subtracted from $f$. Such a *baseline* changes no mean, as
#    $\mathbb{E}_q[\nabla \log q] = 0$. It is the simplest of many ways to reduce the noise of the score function
#    {cite:p}`mohamed2020`.

# %%
generator = torch.Generator().manual_seed(seed)
mu_of_draw = mu.repeat(draws, 1).requires_grad_()  # one for each draw
z = reparameterise(mu_of_draw, s2.log(), generator=generator)[0]  # (draws, Z)
(pathwise,) = torch.autograd.grad(f(z).sum(), mu_of_draw)  # (draws, Z)

# %%
z = z.detach()
score = f(z)[:, None] * (z - mu) / s2  # (draws, Z)
others = reparameterise(mu, s2.log(), 1000, generator)  # (1000, Z)
baseline = f(others).mean()
score_with_baseline = (f(z) - baseline)[:, None] * (z - mu) / s2  # (draws, Z)

# %%
estimators = {
    "score function": score,
    "score function, with baseline": score_with_baseline,
    "reparameterised": pathwise,
}
rows = {}
for name, g in estimators.items():
    variance = g.var(0).sum()
    off = (g.mean(0) - exact).abs() / (g.std(0) / draws**0.5)
    rows[name] = {
        "variance of one draw": f"{variance:,.0f}",
        "ratio": f"{variance / pathwise.var(0).sum():,.1f}",
        "worst error (standard errors)": f"{off.max():.1f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% mystnb={"figure": {"caption": "Variance of three estimators of the same gradient (summed over its entries) against the number of draws that are averaged. All three fall like one over the number of draws, so the vertical distance is the number of draws that one reparameterised draw is worth.", "name": "fig-gradients"}, "image": {"alt": "Three parallel falling lines on logarithmic axes: the score function far above, the one with a baseline far below it, the reparameterised one a little lower still."}} tags=["hide-input"]
counts = [2**k for k in range(8)]
fig, ax = plt.subplots()
for name, g in estimators.items():
    averages = [
        g[: draws // L * L].reshape(-1, L, latent_dim).mean(1) for L in counts
    ]
    ax.plot(
        counts, [average.var(0).sum() for average in averages], "o-", label=name
    )
ax.set(xlabel="draws averaged, $L$", ylabel="variance of the gradient")
ax.set(xscale="log", yscale="log")
ax.set_xticks(counts, counts)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
worth = {
    name: g.var(0).sum() / pathwise.var(0).sum()
    for name, g in estimators.items()
}
for name, ratio in worth.items():
    print(f"{name}: {ratio:,.1f} draws for the noise of one")
print(f"f(z) is {f(z).mean():.0f} nats on average")

# %% [markdown]
# Most of the plain estimator's noise is the sheer size of $f$, which the baseline removes. A single reparameterised
# draw for each picture is enough to train a VAE.

# %% [markdown]
# The score function knows only *how good* a draw was; the reparameterised gradient also knows in which direction it would
# have been better, because it differentiates the decoder. The price: $z$ must be continuous and $f$ differentiable.

# %% [markdown]
# (model-estimator)=
# ## The estimator
#
# Equations {eq}`eq-terms`, {eq}`eq-kl` and {eq}`eq-reparameterisation` together are the estimator that trains most VAEs
# ({cite:t}`kingma2014`, equation 7):
#
# $$
# \mathcal{L}(x) \approx \frac{1}{L} \sum_{l=1}^{L} \log p_\theta(x \mid z_l)
# - \mathrm{KL}(q_\phi(z \mid x) \,\Vert\, p(z)), \qquad z_l = \mu + \sigma \odot \epsilon_l.
# $$ (eq-estimator)


# %%
def elbo(model, x, samples=1, generator=None):
    """A draw of the evidence lower bound of each image, nats: -> (B,)."""
    mean, log_var = model.encode(x)  # (B, Z), (B, Z)
    z = reparameterise(mean, log_var, samples, generator)  # (L, B, Z)
    log_p_x_given_z = model.likelihood.log_prob(x, model.decode(z))  # (L, B)
    reconstruction = log_p_x_given_z.mean(0)  # (B,)
    kl = gaussian_kl(mean, log_var).sum(-1)  # (B,)
    return reconstruction - kl


# %% [markdown]
# That is all there is to a VAE's objective. The library's version returns the two terms beside their difference, and can
# estimate the KL by Monte Carlo too:

# %% tags=["nbval-check-output"]
mine = elbo(model, x, 3, generator.manual_seed(1))
terms = objectives.elbo(model, x, samples=3, generator=generator.manual_seed(1))
print("equals vaelib.objectives:", torch.equal(mine, terms.elbo))
print("adds up:", torch.equal(terms.elbo, terms.reconstruction - terms.kl))

# %% [markdown]
# It is unbiased for every $L$: its mean must be the ELBO that we got from the grid. One thousand repeats for the first
# test image:

# %%
generator = torch.Generator().manual_seed(seed)
rows = {}
for L in (1, 10, 100):
    with torch.no_grad():
        repeats = [elbo(model, x[:1], L, generator)[0] for _ in range(1000)]
    repeats = torch.stack(repeats)
    rows[f"L = {L}"] = {
        "mean of 1,000 (nats)": f"{repeats.mean():.3f}",
        "± standard error": f"{repeats.std() / 1000**0.5:.3f}",
        "from the grid (nats)": f"{exact_elbo[0]:.3f}",
        "spread of one (nats)": f"{repeats.std():.3f}",
    }
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# A subtlety for later. Sampling the KL as well ({cite:t}`kingma2014`, equation 6) sounds like needless noise. Far from the
# optimum it may be. But near the optimum the noise of the two terms cancels {cite:p}`roeder2017`. If $q$ is the posterior, then
# $\log p(x, z) - \log q(z \mid x) = \log p(x)$ is the same number for every draw, as we saw with probabilistic PCA. For one
# face, with $q$ its exact posterior:

# %%
z = reparameterise(mu, s2.log(), 1000, generator)  # (1000, Z)
log_prior = Normal(0, 1).log_prob(z).sum(-1)
log_q_z = Normal(mu, s2.sqrt()).log_prob(z).sum(-1)
sampled_kl = f(z) - (log_q_z - log_prior)  # (1000,)
analytic_kl = f(z) - gaussian_kl(mu, s2.log()).sum()  # (1000,)

# %%
print(f"log p(x): {ours[0]:.2f} nats")
for kind, values in {"closed": analytic_kl, "sampled": sampled_kl}.items():
    print(
        f"KL {kind}: mean {values.mean():.2f} nats, deviation {values.std():.0e}"
    )

# %% [markdown]
# ## What to remember
#
# - $\log p(x) = \mathcal{L}(x) + \mathrm{KL}(q \,\Vert\, p(z \mid x))$, exactly. The ELBO is a bound because the unknown term
#   cannot be negative.
# - A single Gaussian $q$ covers one cause of a picture. Where there are two, the bound stays below the evidence.
# - The {term}`reparameterisation` makes one draw per picture enough. The KL to a Gaussian prior needs none.
# - Sum over pixels, average over pictures, say nats or bits, and say whether a number is a bound.

# %% [markdown]
# ## Exercises
#
# ```{exercise} Two Gaussians
# :label: ex-two-gaussians
#
# Generalise {eq}`eq-kl` to $\mathrm{KL}(\mathcal{N}(\mu_1, \sigma_1^2) \,\Vert\, \mathcal{N}(\mu_2, \sigma_2^2))$ in one
# dimension, and check it against `torch.distributions`.
# ```
#
# ```{solution-start} ex-two-gaussians
# :class: dropdown
# ```
#
# The same three steps, with $\mathbb{E}_{q}[(z - \mu_2)^2] = \sigma_1^2 + (\mu_1 - \mu_2)^2$, give
# $\log \frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1 - \mu_2)^2}{2 \sigma_2^2} - \frac{1}{2}$.

# %% tags=["nbval-check-output"]
mu_1, sigma_1, mu_2, sigma_2 = torch.tensor([0.3, 0.5, -1.0, 2.0])
apart = (sigma_1**2 + (mu_1 - mu_2) ** 2) / (2 * sigma_2**2)
mine = torch.log(sigma_2 / sigma_1) + apart - 0.5
theirs = kl_divergence(Normal(mu_1, sigma_1), Normal(mu_2, sigma_2))
print("equals torch.distributions:", torch.allclose(mine, theirs))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The gradient for the variance
# :label: ex-log-variance
#
# For a single dimension, write down both estimators of $\partial \, \mathbb{E}_q[f(z)] / \partial s$ with
# $s = \log \sigma^2$. Which one needs $f'$?
# ```
#
# ```{solution} ex-log-variance
# :class: dropdown
#
# Reparameterised: $z = \mu + e^{s/2} \epsilon$, so $\partial z / \partial s = \tfrac{1}{2} \sigma \epsilon$ and the estimator
# is $\tfrac{1}{2} f'(z) \, \sigma \epsilon$. Score function: $\log q = -\tfrac{1}{2} s - \tfrac{1}{2} (z - \mu)^2 e^{-s} + c$,
# so it is $f(z) \cdot \tfrac{1}{2} \left((z - \mu)^2 / \sigma^2 - 1\right)$. Only the first needs $f'$.
# ```
#
# ```{exercise} A tighter bound
# :label: ex-iwae
#
# Average $K$ importance weights *inside* the logarithm: $\mathcal{L}_K = \mathbb{E}\left[\log \frac{1}{K} \sum_k
# p(x, z_k) / q(z_k \mid x)\right]$ {cite:p}`burda2016`. Show that $\mathcal{L}_1 = \mathcal{L}$ and
# $\mathcal{L}_K \le \log p(x)$, and watch it close in on the evidence of the model with one latent number.
# ```
#
# ```{solution-start} ex-iwae
# :class: dropdown
# ```
#
# $K = 1$ is {eq}`eq-elbo`. The average weight is an unbiased estimate of $p(x)$, since
# $\mathbb{E}_q[p(x, z) / q(z \mid x)] = \int p(x, z) \, \mathrm{d}z$. So by Jensen's inequality the mean of its
# logarithm is at most $\log p(x)$. The gap $\log p(x) - \mathcal{L}_K$, in nats, over the same 64 test images, from one
# estimate for each (so the row $K = 1$ differs by chance from the exact gap further up):

# %%
bound = objectives.importance_weighted_bound
generator = torch.Generator().manual_seed(seed)
with torch.no_grad():
    for K in (1, 10, 100, 1000):
        parts = [bound(model, part, K, generator) for part in x.split(8)]
        gap = log_evidence - torch.cat(parts)  # (B,)
        mean_gap, median_gap = gap.mean(), gap.median()
        print(f"K = {K:4d}: mean {mean_gap:.2f}, median {median_gap:.4f}")

# %% [markdown]
# The typical gap vanishes quickly. The mean gap closes slowly: it comes from the few images whose posterior the encoder
# misses, as in the last row of {numref}`fig-posterior`. There even a thousand draws from $q$ miss the right place.
#
# ```{solution-end}
# ```
