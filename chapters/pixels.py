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
# (chapter-pixels)=
# # What a pixel means, and what a latent costs
#
# A decoder returns numbers. The likelihood says what they mean, and this choice decides more about a VAE than its
# networks do. For Gaussian pixels one constant, $\sigma$, sets the price of a latent. If the price is too high, latents
# carry nothing. In a linear VAE we can say beforehand which ones, and check that training agrees.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can read a decoder's outputs as a probability of pixels, and say which losses are one. You can say what
#   $\sigma$ does to the balance of the two terms, which latents survive at a given $\sigma$, and what a nat is in bits per
#   pixel.
# - **You need** [the ELBO and probabilistic PCA](chapter-model).
# - **Time.** Forty-five minutes to read. All the code runs in about three minutes on two cores of ours.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # images for Bernoulli pixels
faces: str = "auto"  # for Gaussian pixels: frey with mnist, else toyfaces
latent_dim: int = 10  # latent dimensions of the linear models
linear_epochs: int = 400  # passes over `faces`, to train each linear VAE
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
from torch.nn import functional as F

from vaebook import page
from vaelib import data, objectives, plots

page.parameters(
    globals(), at_least={"latent_dim": 1, "linear_epochs": 1, "seed": 0}
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
# ## Black or white: Bernoulli pixels
#
# The decoder returns one real number $a_i$ per pixel, a *logit*, and the **likelihood** says how to read it. If pixels
# are black or white, each can be a coin that shows white with probability
# $y_i = \mathrm{sigmoid}(a_i) = 1 / (1 + e^{-a_i})$:
#
# $$
# \log p(x \mid z) = \sum_{i=1}^{D} x_i \log y_i + (1 - x_i) \log (1 - y_i)
# = \sum_{i=1}^{D} x_i a_i - \log\!\left(1 + e^{a_i}\right).
# $$ (eq-bernoulli)
#
# The second form never takes the logarithm of a probability that was rounded to zero. Its negative is what libraries call
# binary cross-entropy.


# %%
def bernoulli_log_prob(x, a):
    """log p(x|z) of binary pixels in nats: (B, D), logits (B, D) -> (B,)."""
    return (x * a - F.softplus(a)).sum(-1)


# %% tags=["nbval-check-output"]
from torch.distributions import Bernoulli

from vaelib import likelihoods

generator = torch.Generator().manual_seed(0)
prepared_grey = data.prepare(data.DataConfig(name=dataset))
x_grey = torch.from_numpy(prepared_grey.test[:64]).double()  # (B, D)
x = torch.bernoulli(x_grey, generator=generator)  # (B, D)
a = 3 * torch.randn(x.shape, generator=generator).double()
mine = bernoulli_log_prob(x, a)
theirs = Bernoulli(logits=a).log_prob(x).sum(-1)
print("equals torch.distributions:", torch.allclose(mine, theirs))
library = likelihoods.Bernoulli().log_prob(x, a)
print("equals vaelib.likelihoods:", torch.allclose(mine, library))

# %% [markdown]
# ### Is cross-entropy on grey pixels a likelihood?
#
# No. MNIST's pixels are grey, and most code, the report's included, puts them straight into {eq}`eq-bernoulli`. That
# runs, and trains well. But a density over $x \in [0, 1]$ must have area 1, and this one has not:
#
# $$
# \int_0^1 y^x (1 - y)^{1 - x} \, \mathrm{d}x = \frac{2 y - 1}{\log y - \log (1 - y)} \;\le\; \frac{1}{2}.
# $$ (eq-area)

# %%
y = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
area = (2 * y - 1) / torch.logit(y)  # the limit at y = 1/2 is 1/2
grey = torch.linspace(0, 1, 2001, dtype=torch.float64)
curve = y[:, None] ** grey * (1 - y[:, None]) ** (1 - grey)  # (500, 2001)
by_hand = torch.trapezoid(curve, grey)

# %% mystnb={"figure": {"caption": "The Bernoulli expression is no density of grey pixels. Left: its value over the grey level x, for four decoder outputs y; none of these curves has area 1. Right: the area, by formula and by summing up, is at most one half.", "name": "fig-grey"}, "image": {"alt": "Left: four exponential curves over the grey level between 0 and 1. Right: an arch over y that peaks at one half."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9))
for level in (0.05, 0.3, 0.7, 0.95):
    left.plot(
        grey, level**grey * (1 - level) ** (1 - grey), label=f"y = {level}"
    )
left.set(xlabel="grey level $x$", ylabel="$y^x (1-y)^{1-x}$", ylim=(0, 1))
left.legend()
right.plot(y, area, label="formula")
right.plot(y[::25], by_hand[::25], "o", label="summed up")
right.set(xlabel="decoder's output $y$", ylabel="area", ylim=(0, 1))
right.legend(loc="upper right")
plt.show()

# %% [markdown]
# Dividing by the area gives a proper density on $[0, 1]$, the **continuous Bernoulli** of
# {cite:t}`loaiza2019`:

# %% tags=["nbval-check-output"]
from torch.distributions import ContinuousBernoulli

level, y_low = torch.tensor([0.3], dtype=torch.float64), y[y < 0.49]
logits = torch.logit(y_low)[:, None]
mine = bernoulli_log_prob(level, logits) - area[y < 0.49].log()
theirs = ContinuousBernoulli(probs=y_low).log_prob(level)
print("equals torch.distributions:", torch.allclose(mine, theirs, atol=1e-6))

# %% [markdown]
# So are the ELBOs of grey pixels in this book meaningless? No, for a reason that is seldom stated. Equation
# {eq}`eq-bernoulli` is *linear in x*. So its value at a grey image is an average over binary images: those that one
# gets by tossing a coin with probability $x_i$ for each pixel:
#
# $$
# \sum_i x_i \log y_i + (1 - x_i) \log(1 - y_i)
# = \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b \mid z)\right].
# $$ (eq-grey)
#
# Put this into {eq}`eq-terms`. For each binary image $b$, the same $q_\phi(z \mid x)$ gives a lower bound on $\log p(b)$;
# their average is the ELBO of the grey image:
#
# $$
# \mathcal{L}(x) \;\le\; \mathbb{E}_{b \sim \mathrm{Bernoulli}(x)}\!\left[\log p(b)\right].
# $$ (eq-grey-bound)
#
# The ELBO of a grey image is a valid bound on the average log-probability of its binarisations, with an encoder that sees
# the grey original. It is not the ELBO of any density of grey images. Do not compare it with numbers from binarised MNIST, where
# the encoder sees $b$, or with Gaussian ones.
#
# (It does bound the log-density of the same decoder's continuous Bernoulli. But by {eq}`eq-area` it lies at least
# $D \log 2$ nats below that model's own ELBO.)

# %%
tosses = (torch.bernoulli(x_grey, generator=generator) for _ in range(2000))
tossed = torch.stack([bernoulli_log_prob(binary, a) for binary in tosses])
linear = bernoulli_log_prob(x_grey, a)  # (B,)

# %%
mean, error = tossed.mean(0)[0], tossed.std(0)[0] / 2000**0.5
print(f"at the grey image: {linear[0]:.2f} nats")
print(f"average over 2,000 binarisations: {mean:.2f} ± {error:.2f} nats")

# %% [markdown]
# Grey pixels also have a {ref}`floor <data-floor>`, the entropy of the coins. For our few images it is:

# %%
entropy = torch.special.entr(x_grey) + torch.special.entr(1 - x_grey)
print(f"{entropy.sum(-1).mean():.1f} nats, a mean over {len(x)} test images")

# %% [markdown]
# A loss on grey images never gets near zero. Only the excess over the floor can be learned.

# %% [markdown]
# ## Grey: Gaussian pixels, and why a sigmoid on the mean
#
# For grey pixels the textbook likelihood is a Gaussian around the decoder's mean image $m$, with a standard deviation
# $\sigma$ (not to be confused with the encoder's):
#
# $$
# \log p(x \mid z) = -\frac{1}{2} \sum_{i=1}^{D} \left[\frac{(x_i - m_i)^2}{\sigma^2} + \log 2 \pi \sigma^2\right].
# $$ (eq-gaussian)


# %%
def gaussian_pixels_log_prob(x, m, sigma):
    """log p(x|z) of Gaussian pixels in nats: (B, D), (B, D), () -> (B,)."""
    squared = (x - m).square() / sigma**2
    return -0.5 * (squared + torch.log(2 * math.pi * sigma**2)).sum(-1)


# %% tags=["nbval-check-output"]
from vaelib.likelihoods import LikelihoodConfig, make_likelihood

m, width = torch.sigmoid(a), torch.tensor(0.2, dtype=torch.float64)
mine = gaussian_pixels_log_prob(x_grey, m, width)
theirs = torch.distributions.Normal(m, width).log_prob(x_grey).sum(-1)
print("equals torch.distributions:", torch.allclose(mine, theirs))
config = LikelihoodConfig(
    name="gaussian", mean="sigmoid", sigma="fixed", sigma_value=0.2
)
library = make_likelihood(config).log_prob(x_grey, a)
print("equals vaelib.likelihoods:", torch.allclose(mine, library, rtol=1e-5))

# %% [markdown]
# Here the decoder's outputs went through a sigmoid: $m = \mathrm{sigmoid}(a)$. {cite:t}`kingma2014` did the same for
# Frey Faces, "the means were constrained to the interval (0,1) using a sigmoidal activation function at the decoder
# output". What does it change? First, without it the mean may leave the range of pixels, where no image ever is. How
# often does that happen to the linear model of [the last chapter](chapter-model), which has no sigmoid?

# %%
from vaebook.experiments.linear import ppca, ppca_log_evidence, ppca_posterior

prepared = data.prepare(data.DataConfig(name=faces))
x_faces = torch.from_numpy(prepared.train).double()  # (N, D)
W, b, sigma2 = ppca(x_faces, latent_dim)
mean, var = ppca_posterior(x_faces, W, b, sigma2)  # (N, Z), (N, Z)

# %%
rebuilt = mean @ W.T + b  # (N, D): the mean image at the posterior's mean
z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
imagined = z @ W.T + b  # (N, D): the same for draws from the prior
outside = [(m != m.clamp(0, 1)).double().mean() for m in (rebuilt, imagined)]

# %%
print(f"outside [0, 1]: {outside[0]:.2%} of rebuilt pixels")
print(f"and {outside[1]:.2%} of those imagined from the prior")

# %% [markdown]
# So this reason for a sigmoid is sound, but on these data it is small.

# %% [markdown]
# Second, it changes the gradient that reaches the decoder's last layer. By the chain rule, for one pixel,
#
# $$
# -\frac{\partial \log p}{\partial a} =
# \begin{cases}
# (a - x) / \sigma^2 & \text{Gaussian, } m = a, \\
# (y - x) \, y (1 - y) / \sigma^2 & \text{Gaussian, } m = y = \mathrm{sigmoid}(a), \\
# y - x & \text{Bernoulli, } y = \mathrm{sigmoid}(a).
# \end{cases}
# $$ (eq-output-gradients)
#
# The sigmoid bounds the gradient, and makes it vanish where the output is saturated, rightly or wrongly. Bernoulli's
# keeps pulling.

# %% mystnb={"figure": {"caption": "The gradient of the loss with respect to one decoder output, for a pixel that is black (x = 0) and sigma = 1. Without a sigmoid it grows without bound; that of a Gaussian with sigmoid means vanishes where the output is badly wrong (far right); a Bernoulli's does not. Lines are automatic differentiation of the library, dots the formulas.", "name": "fig-sigmoid"}, "image": {"alt": "Three curves over the decoder output from minus 8 to 8: a straight line, a small bump near 1, and a curve that rises from zero to one."}} tags=["hide-input"]
a_1 = torch.linspace(-8, 8, 161, dtype=torch.float64)[:, None].requires_grad_()
s = torch.sigmoid(a_1).detach()
choices = {
    "Gaussian, no sigmoid": (
        {"name": "gaussian", "mean": "identity"},
        a_1.detach(),
    ),
    "Gaussian, sigmoid": (
        {"name": "gaussian", "mean": "sigmoid"},
        s * s * (1 - s),
    ),
    "Bernoulli": ({"name": "bernoulli"}, s),
}
fig, ax = plt.subplots(figsize=(7, 2.9))
for name, (choice, formula) in choices.items():
    config = LikelihoodConfig(**choice, sigma="fixed", sigma_value=1.0)
    likelihood = make_likelihood(config).double()
    loss = -likelihood.log_prob(torch.zeros_like(a_1), a_1)
    (slope,) = torch.autograd.grad(loss.sum(), a_1)
    (line,) = ax.plot(a_1.detach(), slope, label=name)
    ax.plot(a_1.detach()[::10], formula[::10], "o", color=line.get_color())
ax.set(xlabel="decoder's output $a$", ylim=(-1.5, 1.5))
ax.set_ylabel(r"$-\partial \log p \, / \, \partial a$")
ax.legend()
plt.show()

# %% [markdown]
# A sigmoid is thus sensible. The report goes further and credits it with curing blurred and collapsed Frey faces
# {cite:p}`report2025`. (Where it speaks of posterior collapse, a smaller model and fewer latents share the credit.) Before
# believing that, look at the constant in {eq}`eq-gaussian`, $\sigma$.

# %% [markdown]
# ## What sigma does to the balance of the two terms
#
# It sets the weight of the KL. Write $S = \mathbb{E}_q \lVert x - m \rVert^2$ for the expected squared error, summed
# over pixels. With one $\sigma$ for all pixels the loss is
#
# $$
# -\mathcal{L} = \frac{S}{2 \sigma^2} + \frac{D}{2} \log 2 \pi \sigma^2 + \mathrm{KL}.
# $$ (eq-balance)
#
# For fixed $\sigma$ the middle term is a constant. Multiply by $2 \sigma^2$: we minimise
# $S + 2 \sigma^2 \, \mathrm{KL}$. So $2 \sigma^2$ **is** the weight of the KL term. "Plain" squared error is not free
# of a choice; it chose $\sigma$ silently. What is $\sigma$ if nobody chooses? Minimise {eq}`eq-balance` over it:
#
# $$
# \frac{\partial (-\mathcal{L})}{\partial \sigma^2} = -\frac{S}{2 \sigma^4} + \frac{D}{2 \sigma^2} = 0
# \quad\Longrightarrow\quad \sigma^2 = \frac{S}{D},
# $$ (eq-optimal-sigma)
#
# the mean squared error itself {cite:p}`rybkin2021`. As errors shrink in training so does $\sigma$, and the weight of
# the KL with it. (The decoder may give a $\sigma$ for each pixel, as in {cite:t}`kingma2014` on Frey Faces. Then the same
# argument holds pixel by pixel, and a pixel that is easy to predict can drag its own $\sigma$ towards zero.)
#
# Check it on the faces. The code is the exact posterior of the linear model, and the variance of the decoded draws is part
# of $S$.

# %%
D = x_faces.shape[1]
S = ((x_faces - rebuilt).square().sum(-1) + var @ W.square().sum(0)).mean()
sigmas = torch.logspace(-2, 0.3, 400, dtype=torch.float64)
log_norm = D * torch.log(2 * math.pi * sigmas**2)
loss = 0.5 * (S / sigmas**2 + log_norm)  # without the KL
best = sigmas[loss.argmin()]
at_one = (S / 2 + D / 2 * math.log(2 * math.pi)).item()

# %% mystnb={"figure": {"caption": "The reconstruction term of the loss for one and the same set of reconstructed faces, against sigma. The minimum lies at the root of the mean squared error (dotted). At sigma = 1, half the plain squared error, the same reconstructions cost over a thousand nats more, and the KL term weighs hundreds of times more against them.", "name": "fig-sigma"}, "image": {"alt": "A curve that falls steeply, has its minimum near 0.06, and rises slowly towards sigma of 2."}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(sigmas, loss)
ax.axvline((S / D).sqrt(), linestyle=":", color=plots.INK)
ax.plot([1.0], [at_one], "o", color=plots.COLOURS["rose"])
ax.text(0.9, at_one + 50, r"$\sigma = 1$", ha="right")
ax.set(xlabel=r"$\sigma$", ylabel="$-$reconstruction (nats per image)")
ax.set(xscale="log", ylim=(loss.min() - 150, loss.min() + 2500))
plt.show()

# %%
print(f"best sigma on a grid: {best:.4f}")
print(f"root of the mean squared error: {(S / D).sqrt():.4f}")
print(f"at sigma = 1 the faces cost {at_one - loss.min():.0f} nats more")
print(f"a nat of KL weighs {D / S:.0f} times as much against the squared error")

# %% [markdown]
# ### Sum or mean over pixels?
#
# Sum. Much public code averages over pixels instead. But the likelihood of an image is a *product* over pixels, so its
# logarithm is a **sum**; averaging divides the reconstruction by $D$ but not the KL. With
# $\ell_i = -\log p(x_i \mid z)$:
#
# $$
# \underbrace{\frac{1}{D} \sum_i \ell_i + \mathrm{KL}}_{\text{mean over pixels}}
# = \frac{1}{D} \Bigl(\sum_i \ell_i + D \cdot \mathrm{KL}\Bigr).
# $$ (eq-mean)
#
# The mean over pixels is the sum with a KL weight of $\beta = D$, in the terms of the $\beta$-VAE
# {cite:p}`higgins2017`. Common ways to write the loss, and what they assume without saying so:
#
# | loss of one image | same minimum as $-\mathcal{L}$ with |
# | --- | --- |
# | sum of binary cross-entropies + KL | Bernoulli pixels, $\beta = 1$ |
# | mean of binary cross-entropies + KL | Bernoulli pixels, $\beta = D$ |
# | half the sum of squared errors + KL | Gaussian pixels, $\sigma = 1$ |
# | sum of squared errors + KL | Gaussian pixels, $\sigma^2 = 1/2$ |
# | mean of squared errors + KL | Gaussian pixels, $\sigma^2 = D/2$ |
# | mean of squared errors + $w \cdot \mathrm{KL}$ | Gaussian pixels, $\sigma^2 = w D / 2$ |
#
# The last row with the framework's own functions, on random numbers:

# %% tags=["nbval-check-output"]
generator.manual_seed(0)
target, output = torch.rand(2, 1, 560, generator=generator).double()
kl, w = 17.0, 0.01
in_the_wild = F.mse_loss(output, target) + w * kl  # the mean over pixels
s2_implied = torch.tensor(w * 560 / 2)
derived = -gaussian_pixels_log_prob(target, output, s2_implied.sqrt()) + kl
constant = 560 / 2 * torch.log(2 * math.pi * s2_implied)
same = torch.allclose(in_the_wild / w, derived - constant)
print("the same, but for a factor and a constant:", same)

# %% [markdown]
# ## A VAE whose evidence is known
#
# Everything so far was checked piece by piece. Now the whole: take a VAE with a *linear* decoder, a *linear* encoder and a
# learned $\sigma$. Its evidence is that of probabilistic PCA, {eq}`eq-ppca`, and the best weights are {eq}`eq-ppca-ml`. The
# true posterior {eq}`eq-ppca-posterior` is within the encoder's reach if the columns of $W$ are orthogonal, for then $M$ is
# diagonal. So theory predicts that training ends
#
# 1. with an ELBO that *equals* the model's evidence (the gap of {eq}`eq-decomposition` closes), and
# 2. with an evidence that equals scikit-learn's `PCA.score`, although nobody told it to do PCA
#    {cite:p}`lucas2019`.
#
# With a linear decoder even the expectation in {eq}`eq-terms` has a closed form, as
# $\mathbb{E}_q \lVert x - W z - b \rVert^2 = \lVert x - W \mu - b \rVert^2 + \sum_j \sigma_j^2 \lVert w_j \rVert^2$, with
# $w_j$ the columns of $W$.


# %%
from vaelib.posteriors import gaussian_kl


def weights(model):
    """W (D, Z), b (D,) and sigma^2 of a linear VAE."""
    layer = model.decoder.outputs
    return layer.weight, layer.bias, model.likelihood.sigma(layer.bias) ** 2


def linear_terms(model, x):
    """Expected squared error, and KL, of each image: (B, D) -> (B,), (B,)."""
    W, b, _ = weights(model)
    mean, log_var = model.encode(x)
    squared = (x - mean @ W.T - b).square().sum(-1)
    squared = squared + log_var.exp() @ W.square().sum(0)
    return squared, gaussian_kl(mean, log_var).sum(-1)


# %%
def linear_elbo(model, x):
    """The ELBO of a linear VAE in nats, without sampling: (B, D) -> (B,)."""
    squared, kl = linear_terms(model, x)
    _, b, sigma2 = weights(model)
    log_norm = len(b) * torch.log(2 * math.pi * sigma2)
    return -0.5 * (squared / sigma2 + log_norm) - kl


# %% [markdown]
# First without training: put the known solution into a VAE by hand. We subtract the mean face, so that $b = 0$.

# %%
from vaelib.models import VAE, VAEConfig

centred = x_faces - x_faces.mean(0)


def linear_vae(sigma="shared", sigma_value=0.3):
    """A VAE with no hidden layer, and Gaussian pixels without a sigmoid."""
    torch.manual_seed(seed)
    pixels = LikelihoodConfig(
        name="gaussian", mean="identity", sigma=sigma, sigma_value=sigma_value
    )
    config = VAEConfig(latent_dim=latent_dim, hidden=(), likelihood=pixels)
    return VAE(config, (D,)).double()


# %% tags=["nbval-check-output"]
solved = linear_vae("fixed", sigma2.sqrt().item())
with torch.no_grad():
    for parameter in solved.parameters():
        parameter.zero_()
    solved.decoder.outputs.weight.copy_(W)
    solved.encoder.mean.weight.copy_(W.T * var[0][:, None] / sigma2)
    solved.encoder.log_var.bias.copy_(var[0].log())
    evidence = ppca_log_evidence(centred, *weights(solved))
    same = torch.allclose(linear_elbo(solved, centred), evidence)
print("with the exact posterior, the ELBO is the evidence:", same)

# %% [markdown]
# Now from random weights, by stochastic gradients with one draw per image, as any VAE. The training loop is the
# library's; our loss function reports the exact terms whenever it is evaluated rather than trained.


# %%
from vaelib.training import TrainingConfig, fit


def linear_loss(model):
    def loss(x, epoch, generator):
        loss = -objectives.elbo(model, x, generator=generator).elbo
        if model.training:
            return {"loss": loss}
        evidence = ppca_log_evidence(x, *weights(model))
        return {
            "loss": loss,
            "elbo": linear_elbo(model, x),
            "evidence": evidence,
        }

    return loss


# %%
recipe = TrainingConfig(
    learning_rate=0.01,
    schedule="cosine",
    batch_size=128,
    epochs=linear_epochs,
    device="cpu",
)
linear_model = linear_vae()
loss = linear_loss(linear_model)
watched = {"all": centred}  # evaluated after each epoch
history = fit(linear_model, loss, centred, recipe, seed=seed, held_out=watched)

# %%
from sklearn.decomposition import PCA

pca = PCA(latent_dim, svd_solver="full").fit(centred)
best_evidence = pca.score(centred)

# %% mystnb={"figure": {"caption": "A linear VAE learns probabilistic PCA. Left: ELBO and exact evidence of the model during training, and the best evidence there is (scikit-learn's PCA.score). Right: the two gaps, on a logarithmic axis. Evidence minus ELBO is the encoder's error, the KL divergence to the true posterior; best minus evidence is the decoder's.", "name": "fig-linear"}, "image": {"alt": "Left: two curves rise and meet a dotted line. Right: on a logarithmic axis one curve falls from hundreds of nats to below one; the other drops at once, rises again and then falls with it."}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
epoch, evidence, bound = (
    history[name] for name in ("epoch", "all_evidence", "all_elbo")
)
left.plot(epoch, evidence, label="evidence of the model")
left.plot(epoch, bound, "--", label="ELBO")
left.axhline(best_evidence, linestyle=":", color=plots.INK, label="PCA.score")
left.set(xlabel="epoch", ylabel="nats per image")
left.set_ylim(best_evidence - 600, best_evidence + 60)
left.legend(loc="lower right")
right.plot(epoch, best_evidence - evidence, label="PCA.score − evidence")
right.plot(epoch, evidence - bound, "--", label="evidence − ELBO")
right.set(xlabel="epoch", ylabel="nats per image", yscale="log")
right.legend()
plt.show()

# %%
last = history.iloc[-1]
learned = weights(linear_model)[2].sqrt().item()
print(f"PCA.score {best_evidence:.2f} nats")
print(f"evidence  {last['all_evidence']:.2f}, ELBO {last['all_elbo']:.2f}")
print(f"gaps: {best_evidence - last['all_evidence']:.3f}, ", end="")
print(f"{last['all_evidence'] - last['all_elbo']:.3f} nats")
print(f"sigma {learned:.4f}, that of probabilistic PCA {sigma2.sqrt():.4f}")

# %% [markdown]
# Both gaps nearly close. A wrong sign, or a factor lost in one of the two terms, would have shown here.

# %% [markdown]
# ## Which latent dimensions survive
#
# Those along which the data vary by more than $\sigma^2$, if $\sigma$ is *not* learned. Linear theory says why. Take
# one principal direction, in which the data have variance $\lambda$, with one latent number of decoder weight $w$. Its
# evidence is that of a Gaussian of variance $w^2 + \sigma^2$. It is best when this variance is the data's,
# $w^2 = \lambda - \sigma^2$, which has a solution only if $\lambda > \sigma^2$. Otherwise the best weight is $w = 0$.
# The latent number is then ignored, its posterior is the prior, and its KL is zero {cite:p}`lucas2019`.
#
# For a direction that is kept, {eq}`eq-ppca-posterior` reads $\mu = (w / \lambda) \, x$ and
# $\sigma_q^2 = \sigma^2 / \lambda$. The error has two parts, what the mean misses and what the noise of $z$ adds, and
# they add up to $\sigma^2$: $\lambda (1 - w^2 / \lambda)^2 + w^2 \sigma^2 / \lambda = \sigma^2$. In {eq}`eq-kl` the
# average of $\mu^2$ is $w^2 / \lambda = 1 - \sigma^2 / \lambda$, so that all but the logarithm cancels. The squared
# error $S_j$ and the KL, or *rate*, $R_j$ of direction $j$ are therefore
#
# $$
# S_j = \min(\lambda_j, \sigma^2), \qquad R_j = \max\!\left(0, \tfrac{1}{2} \log \frac{\lambda_j}{\sigma^2}\right)
# \text{ nats}.
# $$ (eq-water)
#
# With a KL weight of $\beta$, put $\beta \sigma^2$ in place of $\sigma^2$: only the product counts. We train linear VAEs with
# several fixed $\sigma$ and count the dimensions that they use.

# %%
from vaelib.evaluation import active_units

found = []
for sigma in (1.0, 0.6, 0.42, 0.3):
    trained = linear_vae("fixed", sigma)
    fit(trained, linear_loss(trained), centred, recipe, seed=seed)
    with torch.no_grad():
        squared, kl = linear_terms(trained, centred)
    active = int(active_units(trained, centred).sum())
    found.append((sigma, active, squared.mean().item(), kl.mean().item()))

# %%
spectrum = torch.linalg.eigvalsh(torch.cov(x_faces.T)).flip(0)  # (D,)
kept, beyond = spectrum[:latent_dim], spectrum[latent_dim:].sum()


def water_filling(sigma):
    """Squared error, and rate in nats, of the best linear VAE at this sigma."""
    squared = kept.clamp(max=sigma**2).sum() + beyond
    rate = 0.5 * torch.log(kept / sigma**2).clamp(min=0).sum()
    return squared.item(), rate.item()


# %%
rows = {}
for sigma, active, squared, kl in found:
    best_squared, best_rate = water_filling(sigma)
    rows[f"σ = {sigma:.2f}"] = {
        ("dimensions in use", "theory"): int((kept > sigma**2).sum()),
        ("dimensions in use", "trained"): active,
        ("KL (nats)", "theory"): f"{best_rate:.2f}",
        ("KL (nats)", "trained"): f"{kl:.2f}",
        ("squared error", "theory"): f"{best_squared:.2f}",
        ("squared error", "trained"): f"{squared:.2f}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# With $\sigma = 1$, half the plain squared error, most of the latent dimensions are switched off *at the optimum*. That
# is posterior collapse, and no sigmoid is needed to explain it: the variance of a direction must exceed $\sigma^2$ to
# be worth its code. The model of {numref}`fig-linear` needed no cure, as it learned $\sigma$. [The chapter on
# collapse](chapter-collapse) diagnoses non-linear VAEs by the same rule.

# %% [markdown]
# ## Reading the two terms as rate and distortion
#
# Equation {eq}`eq-water` is older than VAEs. In information theory it is *reverse water-filling*: the cheapest code for a
# Gaussian source at a given squared error {cite:p}`cover2006`. The correspondence is general {cite:p}`alemi2018`:
#
# - The KL term is a **rate**: the nats that it takes to tell someone who knows the prior which $z$ belongs to an image.
# - Minus the reconstruction term is a **distortion**.
# - $-\mathcal{L}$ is their sum, and $\sigma$ (or $\beta$) is the exchange rate.
#
# From {eq}`eq-balance`, the slope of the curve of best trades is
#
# $$
# \frac{\mathrm{d} S}{\mathrm{d} R} = -2 \beta \sigma^2 :
# $$ (eq-slope)
#
# a model with small $\sigma$ pays many nats of rate for a little less error.

# %% mystnb={"figure": {"caption": "Rate and distortion of linear VAEs. The line is the theory for all sigma, the dots are the four trained models of the table, labelled with their sigma. Left end: nothing is encoded, every face is rebuilt as the mean face. Towards the right each further nat buys less.", "name": "fig-rate"}, "image": {"alt": "A falling convex curve of squared error against rate, with four dots on it."}} tags=["hide-input"]
squared, rate = zip(
    *map(water_filling, torch.logspace(0.2, -0.8, 100).tolist()), strict=True
)
fig, ax = plt.subplots()
ax.plot(rate, squared, label="water-filling, theory")
ax.plot(
    [kl for *_, kl in found],
    [error for *_, error, _ in found],
    "o",
    label="trained",
)
for sigma, _, error, kl in found:
    ax.text(kl + 0.15, error + 0.1, rf"$\sigma = {sigma}$")
ax.set(
    xlabel="rate: KL (nats per image)",
    ylabel="distortion: squared error per image",
)
ax.set_ylim(0, None)
ax.legend()
plt.show()

# %% [markdown]
# ## Bits per dimension, honestly
#
# They need a probability of the grey levels, not a density. A Gaussian log-density of pixels is measured in nats
# *relative to the unit of $x$*. It can be positive, and it changes when pixels are scaled by 255. Worst of all, it can
# be driven up without limit. Images have 256 grey levels, so a model that puts narrower and narrower spikes on the
# levels gains $\log (1/\sigma)$ per pixel for ever. A **probability** of the levels has none of these faults. Integrate
# the density over each level's bin; with $F$ the Gaussian distribution function and level $k \in \{0, \dots, 255\}$,
#
# $$
# P(k \mid z) = F\!\left(\frac{k + \tfrac{1}{2}}{255}\right) - F\!\left(\frac{k - \tfrac{1}{2}}{255}\right),
# $$ (eq-discretised)
#
# where the lowest bin reaches down to $-\infty$ and the highest up to $+\infty$.


# %%
def level_probability(k, m, sigma):
    """P(k|z) of grey level k, with F the Gaussian of mean m and width sigma."""
    F = torch.special.ndtr
    upper = torch.where(k == 255, math.inf, (k + 0.5) / 255)
    lower = torch.where(k == 0, -math.inf, (k - 0.5) / 255)
    return F((upper - m) / sigma) - F((lower - m) / sigma)


# %% tags=["nbval-check-output"]
k = torch.arange(256, dtype=torch.float64)
m = torch.full((256, 1), 0.9, dtype=torch.float64)
P = level_probability(k, m[:, 0], sigma=0.3)  # (256,), one tail beyond white
print("sums to one:", abs(P.sum().item() - 1) < 1e-12)
config = LikelihoodConfig(
    name="discretised-gaussian", mean="identity", sigma="fixed", sigma_value=0.3
)
library = make_likelihood(config).double().log_prob(k[:, None] / 255, m)
print("equals vaelib.likelihoods:", torch.allclose(library, P.log(), rtol=1e-5))

# %% [markdown]
# Multiplied over the pixels and averaged over $z$, this is the probability $P(x)$ of a whole image. Take its negative logarithm
# to base 2, and divide by the number of pixels $D$. That is how many bits per pixel a compressor built on the model would need:
# the **bits per dimension**. For a $\sigma$ much wider than a bin density and probability are related, $P(x) \approx p(x) \cdot 255^{-D}$:
#
# $$
# \text{bits per dimension} = -\frac{\log_2 P(x)}{D} \;\approx\; -\frac{\log_2 p(x)}{D} + \log_2 255.
# $$ (eq-bits)
#
# To see the two separate, let a decoder memorise one face, $m = x$, and shrink $\sigma$:

# %% mystnb={"figure": {"caption": "Bits per dimension of a face that the decoder has memorised, against sigma. Down to a few grey levels, density and probability agree. Narrower than about half a grey level (dotted), the density promises fewer than zero bits, without limit; the probability of the levels cannot fall below zero.", "name": "fig-bits"}, "image": {"alt": "Two curves that coincide for large sigma. One goes on falling below zero as sigma shrinks, the other levels off at zero."}} tags=["hide-input"]
levels = (x_faces[0] * 255).round()
widths = torch.logspace(-4, 0, 200, dtype=torch.float64)
face = levels / 255
density = torch.stack(
    [gaussian_pixels_log_prob(face, face, width) for width in widths]
)
levels_p = torch.stack(
    [level_probability(levels, face, width) for width in widths]
)
bits = objectives.bits_per_dim(density, D, density=True)
honest_bits = objectives.bits_per_dim(levels_p.log().sum(-1), D, density=False)
fig, ax = plt.subplots(figsize=(7, 2.9))
ax.plot(widths, bits, label="density")
ax.plot(widths, honest_bits, "--", label="probability of levels")
ax.axvline(likelihoods.HALF_LEVEL, linestyle=":", color=plots.INK)
ax.set(xscale="log", xlabel=r"$\sigma$", ylabel="bits per dimension")
ax.legend()
plt.show()

# %% [markdown]
# This is why the library floors $\sigma$ at half a grey level, and why {doc}`03_training` reports the discretised likelihood
# beside its densities. (Another remedy is uniform noise, added to pixels whose levels are one unit apart. The average
# log-density of the noisy pixels is a lower *bound* on the log-probability of the levels {cite:p}`theis2016`.) In the linear
# model $\sigma$ is many levels wide, and the conversion {eq}`eq-bits` is safe:

# %%
x_test = torch.from_numpy(prepared.test).double()
held_out = ppca_log_evidence(x_test, W, b, sigma2).mean()
bits = objectives.bits_per_dim(held_out, D, density=True)
print(f"{len(x_test)} held-out faces, drawn at random:")
print(f"log p(x) = {held_out:.1f} nats, {bits:.2f} bits per dimension")

# %% [markdown]
# Uncompressed grey levels take 8 bits.

# %% [markdown]
# ## What to remember
#
# - Cross-entropy on grey pixels is minus the log-probability of *binarised* images, on average. It belongs to no density of grey
#   ones.
# - For Gaussian pixels $\sigma$ is the weight between the terms. Its best value is the root of the mean squared error.
#   $\sigma = 1$ and means over pixels are strong and silent choices, and can switch latent dimensions off.
# - A latent dimension is worth its code if the data vary along it by more than $\beta \sigma^2$.
# - A density in nats can grow without limit. Bits per dimension of grey levels cannot.

# %% [markdown]
# ## Exercises
#
# ```{exercise} Grey floor
# :label: ex-floor
#
# What is the smallest value that the sum of binary cross-entropies can take for an image whose pixels are all $1/2$? And
# what does the continuous Bernoulli say of the same image with $y = 1/2$?
# ```
#
# ```{solution} ex-floor
# :class: dropdown
#
# At $y = x = 1/2$ each pixel costs $\log 2$, so $D \log 2$ nats (543.4 for $28 \times 28$ pixels): the entropy of fair
# coins. The continuous Bernoulli divides by the area, $1/2$, and gets $\log p = -D \log 2 + D \log 2 = 0$: with $y = 1/2$ it
# is the uniform density on $[0, 1]$.
# ```
#
# ```{exercise} A weight found in public code
# :label: ex-weight
#
# A popular implementation trains with `mse_loss(output, x) + 0.00025 * kl`, where `mse_loss` averages over pixels and
# images, and `kl` is summed over latent dimensions and averaged over images. Which $\sigma$ does this assume for
# $3 \times 64 \times 64$ images, and for images of $28 \times 20$ pixels? How many directions of our faces, which have
# $28 \times 20$ pixels, would a linear VAE keep with the second?
# ```
#
# ```{solution-start} ex-weight
# :class: dropdown
# ```
#
# By the last row of the table, $\sigma^2 = w D / 2$.

# %%
for pixels in (3 * 64 * 64, 28 * 20):
    variance = 0.00025 * pixels / 2
    print(f"D = {pixels}: sigma = {variance**0.5:.3f}")
print(f"{int((spectrum > variance).sum())} directions of the faces are kept")

# %% [markdown]
# ```{solution-end}
# ```
