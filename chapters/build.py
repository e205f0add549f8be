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
# (chapter-build)=
# # A VAE in a hundred lines
#
# A variational autoencoder is two small networks, a random draw between them, and a loss with two terms. On this page
# you build all of it from torch's linear layers, and train it on handwritten digits in about a minute. With its loop,
# its data and its pictures it takes about a hundred lines. Before that you build something simpler, an
# {term}`autoencoder`, and watch it fail at the one thing that we want: drawing new digits.
#
# :::{admonition} Before you begin
# :class: note
# - **Goals.** You can write an {term}`encoder`, a {term}`decoder`, the draw between them and the loss, each from its
#   equation. You can say what each of the two terms of the loss is for. You can see in a picture which term is missing.
# - **You need** functions and classes in Python, an idea of what a layer of a neural network does, and the words mean,
#   variance and Gaussian. [The last chapter](chapter-data) introduces the digits.
# - **Time.** Forty minutes to read, and as long again for the exercises. All the code runs in a minute or two on two quiet cores of ours.
# :::

# %% tags=["parameters"]
dataset: str = "mnist"  # digits: "mnist", "digits" or a path to your images
latent_dim: int = 20  # Z, the numbers in a code
hidden: int = 400  # H, the units of the layer between pixels and code
epochs: int = 3  # passes over the training pictures, for every model here
seed: int = 0  # of every random draw on this page

# %% tags=["remove-cell", "install"]
# Where there is no vaelib, as on Colab, this fetches it.
from importlib.util import find_spec

from IPython import get_ipython

if find_spec("vaelib") is None:
    source = "git+https://github.com/recreating-vae/recreating-vae@v0.2.0"
    wanted = f"'vaelib[train] @ {source}' anywidget"
    get_ipython().run_line_magic("pip", f"install -q {wanted}")

# %% tags=["remove-cell"]
import vaelib as vae
from vaebook import page
from vaelib import plots

at_least = {"latent_dim": 2, "hidden": 1, "epochs": 1, "seed": 0}
page.parameters(globals(), at_least=at_least)
plots.use_style()

# %% tags=["remove-input"]
page.banner(page.load(dataset, images=200, grey=True))

# %% [markdown]
# ## What do we start from?
#
# From rows of pixels. Our library, `vaelib`, hands over the digits: `x` to learn from, and `x_test` to judge by. (It
# keeps 10,000 of MNIST's 60,000 training digits back, for choices that this page does not make.) Each row is one
# picture, and each of its $D$ numbers is a grey level between 0 (black) and 1 (white).

# %%
import torch

images = vae.load(dataset)
parts, shape = images.split(), images.shape  # shape: height, width
x = torch.from_numpy(images.matrix(parts.train))  # (N, D)
x_test = torch.from_numpy(images.matrix(parts.test))

# %% [markdown]
# From here on the models need `torch` and `matplotlib` and nothing else, so you can copy their cells into a file of
# your own. There, `x` and `x_test` may be any tensors of floats between 0 and 1, one picture of that `shape` in each
# row.

# %%
import math

import matplotlib.pyplot as plt
from torch import nn
from torch.nn import functional as F

D, H, Z = x.shape[1], hidden, latent_dim
print(f"{len(x)} pictures to learn from, {len(x_test)} to test, D = {D}")

# %% [markdown]
# Two folded functions draw all pictures of this page. The first lays them out on one sheet, a row of pictures for each
# name; the second shows the sheet.


# %% tags=["hide-input"]
def sheet_of(rows):
    pictures = torch.stack([*rows.values()])  # (rows, columns, D)
    pictures = pictures.unflatten(-1, shape)  # (rows, columns, height, width)
    framed = F.pad(pictures, (1, 1, 1, 1), value=math.nan)
    return framed.transpose(1, 2).flatten(2).flatten(0, 1)  # one picture


def show(rows):
    sheet, height = sheet_of(rows), shape[0] + 2
    size = (7, 0.3 + 6 * sheet.shape[0] / sheet.shape[1])
    _, ax = plt.subplots(figsize=size, subplot_kw={"frame_on": False})
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([(i + 0.5) * height for i in range(len(rows))], [*rows])
    ax.tick_params(length=0)
    ax.grid(False)
    return ax


# %% [markdown]
# ## What is an autoencoder?
#
# Two networks in a row, with a narrow place between them. The encoder turns a picture of $D$ pixels into a {term}`code`
# of only $Z$ numbers. The decoder has to rebuild the picture from the code alone. If it succeeds, the code must hold
# what matters in the picture.
#
# Each network has one hidden layer of $H$ units. `ReLU` sets negative numbers to zero: without something of the kind,
# two linear layers in a row would be no more than one.


# %%
def two_layers(inputs, outputs):
    first, second = nn.Linear(inputs, H), nn.Linear(H, outputs)
    return nn.Sequential(first, nn.ReLU(), second)


torch.manual_seed(seed)
autoencoder = nn.Sequential(two_layers(D, Z), two_layers(Z, D))

# %% [markdown]
# ### How wrong is a rebuilt picture?
#
# As wrong as the true pixels are improbable. The decoder gives one real number $a_i$ for each pixel, called a *logit*.
# The *sigmoid* turns it into a probability of white, $y_i = 1 / (1 + e^{-a_i})$. The score of the whole picture is the
# log-probability of its pixels, as in [the last chapter](data-bernoulli):
#
# $$
# \log p(x \mid z) = \sum_{i=1}^{D} x_i \log y_i + (1 - x_i) \log (1 - y_i).
# $$ (eq-build-bernoulli)
#
# It is a **sum over pixels**, and its unit is the {term}`nat`. The score is never above zero, and the nearer to zero
# the better. In code we need two facts about the sigmoid. `logsigmoid` is its logarithm, safe even where $y_i$ would be
# rounded to 0; and $1 - y_i$ is the sigmoid of $-a_i$.


# %%
def bernoulli_log_prob(x, a):
    log_y, log_1_minus_y = F.logsigmoid(a), F.logsigmoid(-a)  # (B, D)
    return (x * log_y + (1 - x) * log_1_minus_y).sum(-1)  # (B,), nats


def autoencoder_loss(model, x, generator):
    return -bernoulli_log_prob(x, model(x))  # (B,)


# %% [markdown]
# ### How does it learn?
#
# In small steps downhill. Take a batch of $B = 128$ pictures, average their losses, and let torch find out how each
# weight changes that average. Then move every weight a little in the direction that lowers it; how far is the business
# of Adam, an optimiser that comes with torch. One {term}`epoch` has used every picture once.


# %%
def one_epoch(model, loss, optimiser, generator):
    for rows in torch.randperm(len(x), generator=generator).split(128):
        mean_loss = loss(model, x[rows], generator).mean()  # nats per picture
        optimiser.zero_grad()
        mean_loss.backward()
        optimiser.step()


def optimiser_of(model):
    return torch.optim.Adam(model.parameters(), lr=0.003)


# %%
optimiser = optimiser_of(autoencoder)
generator = torch.Generator().manual_seed(seed)
for epoch in range(1, epochs + 1):
    one_epoch(autoencoder, autoencoder_loss, optimiser, generator)
    with torch.no_grad():
        loss = autoencoder_loss(autoencoder, x_test, None).mean()
    print(f"epoch {epoch}: {loss:.1f} nats per test picture")

# %% [markdown]
# ## Can an autoencoder draw new digits?
#
# No. It rebuilds digits that it has never seen, but to draw a new one we must give the decoder a code of our own. Which
# one? Knowing nothing better, we draw each of its $Z$ numbers from the standard Gaussian $\mathcal{N}(0, 1)$.

# %%
encoder, decoder = autoencoder
z = torch.randn(12, Z, generator=generator)  # (12, Z): our own codes
with torch.no_grad():
    codes = encoder(x_test)  # (N, Z): those of the test digits
    rebuilt = torch.sigmoid(decoder(codes[:12]))  # (12, D)
    drawn_by_autoencoder = torch.sigmoid(decoder(z))  # (12, D)

# %% mystnb={"figure": {"name": "fig-build-autoencoder", "caption": "What a plain autoencoder can do and what it cannot. It rebuilds test digits well (second row), although it learned from others. From codes of our own it draws faint scraps of strokes (last row)."}, "image": {"alt": "Three rows of twelve small pictures. The first two rows show nearly the same handwritten digits. The third row shows faint grey fragments of strokes that are no digits."}}
rows = {"test digits": x_test[:12], "rebuilt": rebuilt}
show(rows | {"drawn": drawn_by_autoencoder})
plt.show()

# %% [markdown]
# Why does it fail? Because nothing in its loss says where codes should lie. The encoder may put them anywhere, as far
# apart as it likes. The decoder has learned to answer where codes are, and nobody has corrected it anywhere else. Here
# is where they ended up:

# %%
print(f"means: {codes.mean(0).min():.1f} to {codes.mean(0).max():.1f}")
print(f"spreads: {codes.std(0).min():.1f} to {codes.std(0).max():.1f}")

# %% [markdown]
# These are the means and the standard deviations of the $Z$ numbers, from the smallest to the largest. Our own codes
# have mean 0 and standard deviation 1, so they miss. One could measure the codes afterwards and draw from a Gaussian
# that fits them. [An exercise](ex-build-fitted) shows how far that helps. A VAE settles the matter before training: it
# says where codes shall lie, and makes that a part of the loss.
#
# ## What does a VAE change?
#
# Two things, and both are about the code.
#
# - **A code becomes a cloud.** The encoder no longer answers with a point. It answers with a Gaussian: a mean $\mu$ and a
#   variance $\sigma^2$ for each of the $Z$ numbers. The decoder gets one random draw $z$ from that cloud. So it has to draw
#   the same digit for a whole neighbourhood of codes.
# - **Clouds have a price.** A second term in the loss, the {term}`KL`, charges every cloud for being unlike the standard
#   Gaussian. That Gaussian is called the {term}`prior`. So the clouds gather around zero, side by side, and leave little empty space.
#
# To draw a new digit, take $z$ from the prior and decode it. The prior is now where the codes are.

# %% tags=["remove-cell"]
from matplotlib.patches import FancyBboxPatch, Polygon

INK, GREEN, WINE = plots.INK, plots.COLOURS["green"], plots.COLOURS["wine"]


def box(ax, x, y, text, width=1.6, height=1.1, colour=INK, face="white"):
    corner = (x - width / 2, y - height / 2)
    rounded = "round,pad=0,rounding_size=0.15"
    colours = {"facecolor": face, "edgecolor": colour}
    patch = FancyBboxPatch(corner, width, height, rounded, lw=1.2, **colours)
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=11.5)


def network(ax, x, text, left, right):
    """A trapezium around (x, 4), of half the heights `left` and `right`."""
    ends = [(x - 1, left), (x + 1, right)]
    corners = [(end, 4 + half) for end, half in ends]
    corners += [(end, 4 - half) for end, half in reversed(ends)]
    colours = {"facecolor": "#DCEBF3", "edgecolor": INK}
    ax.add_patch(Polygon(corners, lw=1.2, **colours))
    ax.text(x, 4, text, ha="center", va="center", fontsize=10.5)


# %% tags=["remove-cell"]
def arrow(ax, start, end, numbers, x, y):
    style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style)
    ax.text(x, y, f"(B, {numbers})", ha="center", va="center", fontsize=9)


def schematic(ax):
    """Boxes and networks, without arrows; the picture is the first test digit."""
    picture = x_test[0].reshape(shape)
    ax.imshow(picture, cmap="gray", extent=(0, 1.6, 3.2, 4.8), vmin=0, vmax=1)
    box(ax, 7.2, 4.0, "", 2.1, 3.5, GREEN, "#E6F1E9")
    box(ax, 7.2, 4.9, r"$\mu$")
    box(ax, 7.2, 3.1, r"$\log\,\sigma^2$")
    box(ax, 10.8, 4.0, r"$z = \mu + \sigma\epsilon$", 2.4)
    box(ax, 10.8, 1.3, r"$\epsilon \sim N(0, I)$", 2.4)
    box(ax, 17.4, 4.0, "$a$", 1.2)
    network(ax, 4.0, "encoder", 1.7, 0.9)
    network(ax, 14.3, "decoder", 0.9, 1.7)


# %% mystnb={"figure": {"name": "fig-build-schematic", "caption": "A variational autoencoder, with the shape of what travels along each arrow: a batch of B pictures has D pixels each, and codes of Z numbers. The encoder answers with the mean and the log-variance of a Gaussian. Noise from outside turns them into a draw, z. The decoder returns a logit a for each pixel. The two terms of the loss are in colour. The KL looks at the encoder's answer alone; the reconstruction compares the last box with the first."}, "image": {"alt": "A diagram from left to right. A picture of a seven, x, enters a narrowing trapezium, the encoder. Two arrows leave it, to a box mu and a box log sigma squared. Both lead to the box z = mu + sigma epsilon, into which epsilon, a draw from a standard Gaussian, comes from below. From there an arrow leads into a widening trapezium, the decoder, and on to the logits a. Each arrow bears its shape. A dashed line joins x and a, with the words: reconstruction, how probable is x, given z? A green frame around mu and log sigma squared says KL, price of the code."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(7.2, 3.2))
schematic(ax)
arrow(ax, (1.6, 4.0), (3.0, 4.0), D, 2.3, 4.35)
arrow(ax, (5.0, 4.3), (6.4, 4.9), Z, 5.5, 5.1)
arrow(ax, (5.0, 3.7), (6.4, 3.1), Z, 5.5, 2.9)
arrow(ax, (8.0, 4.9), (9.6, 4.25), Z, 9.1, 5.1)
arrow(ax, (8.0, 3.1), (9.6, 3.75), Z, 9.1, 2.9)
arrow(ax, (10.8, 1.85), (10.8, 3.45), Z, 11.5, 2.65)
arrow(ax, (12.0, 4.0), (13.3, 4.0), Z, 12.65, 4.35)
arrow(ax, (15.3, 4.0), (16.8, 4.0), D, 16.05, 4.35)
ax.plot([0.8, 0.8, 17.4, 17.4], [5.0, 6.3, 6.3, 4.7], "--", color=WINE)
for across, up, words, colour in (
    (0.8, 2.75, "$x$", INK),
    (17.4, 2.75, "logits, with\n$y$ = sigmoid($a$)", INK),
    (7.2, 1.6, "KL: price\nof the code", GREEN),
    (9.1, 6.7, "reconstruction: how probable is $x$, given $z$?", WINE),
):
    ax.text(across, up, words, color=colour, ha="center", va="center")
ax.set(xlim=(-0.2, 19.0), ylim=(0.6, 7.1))
ax.set_axis_off()
plt.show()

# %% [markdown]
# The rest of this page uses these letters, in the equations and in the code:
#
# | symbol | in code | shape | meaning |
# | --- | --- | --- | --- |
# | $x$ | `x` | $(B, D)$ | a batch of $B$ pictures |
# | $\mu$, $\log \sigma^2$ | `mu`, `log_var` | $(B, Z)$ | what the encoder says of each picture |
# | $q(z \mid x)$ | | | the Gaussian $\mathcal{N}(\mu, \sigma^2)$, the cloud of a picture |
# | $\epsilon$ | `epsilon` | $(B, Z)$ | noise, drawn from $\mathcal{N}(0, I)$ |
# | $z$ | `z` | $(B, Z)$ | one draw from each cloud |
# | $a$, $y$ | `a` | $(B, D)$ | logits, and probabilities of white, $y = \mathrm{sigmoid}(a)$ |
# | $p(z)$ | | | the prior $\mathcal{N}(0, I)$, a standard Gaussian in each of the $Z$ numbers |
#
# ## What does it maximise?
#
# How well each picture is rebuilt, minus the price of its code. That difference is called the {term}`ELBO`:
#
# $$
# \mathcal{L}(x) = \underbrace{\mathbb{E}_{q(z \mid x)}\!\left[\log p(x \mid z)\right]}_{\text{reconstruction}}
# \;-\; \underbrace{\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))}_{\text{price of the code}}.
# $$ (eq-build-elbo)
#
# $\mathbb{E}_{q}$ is an average over draws from the cloud; we shall take one draw for each picture. The two terms pull
# in opposite directions. The first wants narrow clouds in different places, so that $z$ tells the pictures apart. The
# second wants every cloud to be the prior itself, which would tell nothing. Training finds a balance.
#
# The name stands for *evidence lower bound*: $\mathcal{L}(x)$ is never above $\log p(x)$, the log-probability that the
# whole model gives to the picture. [The next chapter](chapter-model) derives that from first-year probability, and says
# what it means for grey pixels. Here we take the formula and build it. The loss will be $-\mathcal{L}(x)$, since torch
# minimises.
#
# ## How does the formula become code?
#
# Piece by piece, in the order of {numref}`fig-build-schematic`. No piece has more than ten lines.
#
# ### The encoder
#
# It returns two answers for each picture. A variance must be positive and a linear layer may return any number, so we
# read the second answer as $\log \sigma^2$.


# %%
class Encoder(nn.Module):  # q(z|x)
    def __init__(self, D, H, Z):
        super().__init__()
        self.hidden = nn.Linear(D, H)
        self.mu, self.log_var = nn.Linear(H, Z), nn.Linear(H, Z)

    def forward(self, x):  # (B, D)
        h = F.relu(self.hidden(x))  # (B, H)
        return self.mu(h), self.log_var(h)  # (B, Z), (B, Z)


# %%
[answer.shape for answer in Encoder(D, H, Z)(x[:128])]

# %% [markdown]
# ### The draw
#
# To draw from $\mathcal{N}(\mu, \sigma^2)$, take standard noise, stretch it and shift it:
#
# $$
# z = \mu + \sigma \odot \epsilon, \qquad \epsilon \sim \mathcal{N}(0, I).
# $$ (eq-build-draw)
#
# The sign $\odot$ multiplies number by number. This is the {term}`reparameterisation`, and there is a reason for it.
# The loss depends on $z$, and training must know how $z$ changes when $\mu$ or $\sigma$ does. A bare random draw gives
# no answer. Here chance enters from the side, as $\epsilon$, and what remains is a product and a sum.


# %%
def reparameterise(mu, log_var, generator=None):
    sigma = torch.exp(0.5 * log_var)  # (B, Z)
    epsilon = torch.randn(mu.shape, generator=generator)  # (B, Z)
    return mu + sigma * epsilon  # (B, Z)


# %% [markdown]
# ### The decoder
#
# It is the encoder turned around, with one answer for each pixel.


# %%
class Decoder(nn.Module):  # p(x|z)
    def __init__(self, Z, H, D):
        super().__init__()
        self.hidden, self.logits = nn.Linear(Z, H), nn.Linear(H, D)

    def forward(self, z):  # (B, Z)
        h = F.relu(self.hidden(z))  # (B, H)
        return self.logits(h)  # a: (B, D)


# %%
class VAE(nn.Module):
    def __init__(self, D, H, Z):
        super().__init__()
        self.encoder, self.decoder = Encoder(D, H, Z), Decoder(Z, H, D)


# %% [markdown]
# ### The price of a code
#
# For two Gaussians the KL has a closed form. Against the prior it is a sum over the $Z$ numbers of the code:
#
# $$
# \mathrm{KL}(q(z \mid x) \,\Vert\, p(z)) = \frac{1}{2} \sum_{j=1}^{Z} \left(\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\right).
# $$ (eq-build-kl)
#
# It is zero if $\mu_j = 0$ and $\sigma_j = 1$ for every $j$, when the cloud is the prior. A cloud pays for moving away
# from zero, and it pays for becoming narrow, because $-\log \sigma_j^2$ then grows.


# %%
def gaussian_kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)  # (B, Z), nats


# %% [markdown]
# Three clouds with one number each: the prior itself, one that has moved to $\mu = 1$, and one with a tenth of the
# width.

# %% tags=["nbval-check-output"]
sigma = torch.tensor([1.0, 1.0, 0.1])
gaussian_kl(torch.tensor([0.0, 1.0, 0.0]), 2 * sigma.log())

# %% [markdown]
# ### The bound
#
# Equation {eq}`eq-build-elbo` puts the pieces together. The score of the pixels is the one of the autoencoder,
# {eq}`eq-build-bernoulli`.


# %%
def elbo(model, x, generator=None):
    mu, log_var = model.encoder(x)  # (B, Z), (B, Z)
    z = reparameterise(mu, log_var, generator=generator)  # (B, Z)
    reconstruction = bernoulli_log_prob(x, model.decoder(z))  # (B,)
    kl = gaussian_kl(mu, log_var).sum(-1)  # (B,)
    return reconstruction - kl, reconstruction, kl  # nats per picture


def vae_loss(model, x, generator):
    return -elbo(model, x, generator=generator)[0]  # (B,)


# %% [markdown]
# That is the whole model. The loop is the autoencoder's, `one_epoch`; only the loss is new.
#
# ## Which loss is a good one?
#
# One well below that of the average picture. Three losses from [the last chapter](chapter-data), which need no network,
# tell where a loss stands. They are that of fair coins, that of always answering with the average picture, and the
# {ref}`floor <data-floor>` of grey pixels.

# %%
average = x.mean(0).clamp(1e-4, 1 - 1e-4)  # (D,)
grey = torch.stack([x_test, 1 - x_test])  # (2, N, D)
marks = {
    "fair coins": D * math.log(2),
    "average picture": -bernoulli_log_prob(x_test, average.logit()).mean(),
    "floor": torch.special.entr(grey).sum((0, 2)).mean(),
}
for name, mark in marks.items():
    print(f"{name}: {mark:.1f} nats")

# %% [markdown]
# ## Does it learn?
#
# Yes, and most of it within the first epoch. After each epoch we look at the terms of the loss on the test pictures,
# and at some pictures. Six test digits are rebuilt from their means $\mu$. Six new digits are decoded from draws of the
# prior, always the same draws, so that you can watch them change.

# %%
z_new = torch.randn(6, Z, generator=torch.Generator().manual_seed(seed))
blank = torch.full((1, D), math.nan)


def pictures(model):
    with torch.no_grad():
        mu, _ = model.encoder(x_test[:6])
        codes = torch.cat([mu, z_new])  # (12, Z)
        drawn = torch.sigmoid(model.decoder(codes))  # (12, D)
    return torch.cat([drawn[:6], blank, drawn[6:]])  # (13, D)


# %%
def test_terms(model):
    with torch.no_grad():
        same = torch.Generator().manual_seed(seed)
        terms = elbo(model, x_test, generator=same)
    return [term.mean().item() for term in terms]


def summary(model):
    bound, reconstruction, kl = test_terms(model)
    return f"-ELBO {-bound:.1f} = {-reconstruction:.1f} + KL {kl:.1f} nats"


# %%
torch.manual_seed(seed)
model = VAE(D, H, Z)
optimiser = optimiser_of(model)
generator = torch.Generator().manual_seed(seed)
album, bounds = [pictures(model)], [test_terms(model)[0]]
for epoch in range(1, epochs + 1):
    one_epoch(model, vae_loss, optimiser, generator)
    album.append(pictures(model))
    bounds.append(test_terms(model)[0])
    print(f"epoch {epoch}: {summary(model)}")


# %% mystnb={"figure": {"name": "fig-build-epochs", "caption": "The VAE before training and after each epoch, a row for each. Left: six test digits, rebuilt. Right: six draws from the prior, decoded, the same draws in each row. Before training there is nothing but grey noise. One epoch is enough for digits on both sides, and the next two make their strokes firmer."}, "image": {"alt": "Rows of small pictures in two halves. The first row shows six test digits on the left. The second is grey noise. In the rows below, the left half shows the test digits, a little blurred; the right half shows blurred shapes, most of which resemble digits and change little from row to row."}}
def show_halves(rows):
    ax, width = show(rows), shape[1] + 2
    ax.set_xticks([3 * width, 10 * width], ["rebuilt", "drawn"])
    ax.xaxis.tick_top()


originals = {"test digits": torch.cat([x_test[:6], blank.repeat(7, 1)])}
show_halves(originals | {f"epoch {i}": row for i, row in enumerate(album)})
plt.show()

# %% [markdown]
# The printed loss, $-\mathcal{L}$, is the sum of two prices: of what the decoder fails to rebuild, and of the code. The
# autoencoder's loss was lower. That does not make it the better model: it got its codes for nothing, and without noise.
# Beside the three marks, the loss of the VAE looks like this:

# %% mystnb={"figure": {"name": "fig-build-losses", "caption": "The loss on test pictures before training and after each epoch, beside three prices that need no model. The untrained model stands near fair coins. One epoch takes it far below the average picture. It cannot reach the floor, because a model that tells pictures apart has to pay for its codes."}, "image": {"alt": "A line with a dot for each epoch. It starts at the uppermost of three dashed horizontal lines, fair coins. By epoch 1 it has fallen well below the middle one, average picture. Then it flattens out, far above the lowest, floor."}} tags=["hide-input"]
_, ax = plt.subplots(figsize=(7, 3.2))
ax.plot([-bound for bound in bounds], "o-")
for name, mark in marks.items():
    ax.axhline(mark, color=INK, linestyle="--", linewidth=0.9)
    ax.text(epochs, mark, f"{name}, {mark:.1f}", ha="right", va="bottom")
ax.set(xlabel="epoch", ylabel="$-$ELBO (nats per picture)", ylim=(0, None))
ax.set_xticks(range(epochs + 1))
plt.show()

# %% [markdown]
# ## Are its drawings better than the autoencoder's?
#
# Yes. The networks have nearly the same size, and the numbers $z$ that we decode are the very same. What differs is the
# training.

# %%
with torch.no_grad():
    drawn_by_vae = torch.sigmoid(model.decoder(z))  # (12, D)

# %% mystnb={"figure": {"name": "fig-build-drawn", "caption": "Twelve drawings of each model, from the same twelve draws of the prior. The autoencoder's are those of the figure further up. The VAE draws whole shapes made of strokes. Many of them can be read as digits, some lie between two digits, and a few are blots."}, "image": {"alt": "Two rows of twelve drawings. First row: faint fragments of strokes. Second row: blurred handwritten shapes, many of which can be read as digits."}}
show({"autoencoder": drawn_by_autoencoder, "VAE": drawn_by_vae})
plt.show()

# %% [markdown]
# Three epochs are few: [the chapter on training](chapter-training) goes on for longer.
#
# ## Why does drawing work now?
#
# Because codes now lie where the prior is: the clouds of all pictures together nearly fill it. To see that, we draw one
# $z$ for each test picture and look at all of them.

# %%
with torch.no_grad():
    mu, log_var = model.encoder(x_test)  # (N, Z), (N, Z)
    z_test = reparameterise(mu, log_var, generator=generator)  # (N, Z)
print(f"means: {z_test.mean(0).min():.1f} to {z_test.mean(0).max():.1f}")
print(f"spreads: {z_test.std(0).min():.1f} to {z_test.std(0).max():.1f}")
print(f"average sigma of one cloud: {torch.exp(0.5 * log_var).mean():.2f}")

# %% mystnb={"figure": {"name": "fig-build-codes", "caption": "Where codes lie: the first two of their numbers, for up to 2,000 test pictures. Left: codes of the autoencoder. Right: one draw z for each picture from the VAE. The dashed circle has the radius 2 and holds 86% of the draws from the prior. The VAE's codes lie around its centre and fill it. The autoencoder's lie where they happened to end up."}, "image": {"alt": "Two scatter plots with the same axes and a dashed circle of radius 2 around zero. Left: a wide cloud of dots, many of them outside the circle and off its centre. Right: a round cloud of dots, centred on zero, most of them inside the circle."}} tags=["hide-input"]
_, axes = plt.subplots(1, 2, figsize=(7, 3.6), sharex=True, sharey=True)
clouds = {"autoencoder": codes, "VAE": z_test}
for ax, (title, cloud) in zip(axes, clouds.items(), strict=True):
    ax.scatter(*cloud[:2000, :2].T, s=4, alpha=0.5)
    circle = {"color": plots.COLOURS["rose"], "ls": "--", "lw": 1.5}
    ax.add_patch(plt.Circle((0, 0), 2, fill=False, **circle))
    ax.set(title=title, xlabel="first number", aspect="equal")
axes[0].set_ylabel("second number")
plt.show()

# %% [markdown]
# A single cloud is narrow, but all of them together have means near 0 and spreads near 1, as the prior has. A draw from
# the prior now lands among codes that the decoder knows. The match is good and not perfect, because the loss only
# balances two terms. [The chapter on sampling](chapter-sampling) measures what is missing.
#
# ## Is it right?
#
# Yes: it agrees with the library's to one part in 100,000. The rest of this book uses `vaelib`, so we copy our weights
# into its model and compare. Both draw the same noise, because both get a generator with the same seed.

# %%
config = vae.VAEConfig(latent_dim=Z, hidden=(H,), activation="relu")
twin = vae.VAE(config, images.shape)
pairs = zip(twin.parameters(), model.parameters(), strict=True)
with torch.no_grad():
    for theirs, ours in pairs:
        theirs.copy_(ours)

# %% tags=["nbval-check-output"]
with torch.no_grad():
    posteriors = zip(model.encoder(x_test), twin.encode(x_test), strict=True)
    for ours, theirs in posteriors:  # mu, log_var
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
print("the same posterior")

# %% tags=["nbval-check-output"]
same = [torch.Generator().manual_seed(1) for _ in range(2)]
with torch.no_grad():
    our_terms = elbo(model, x_test, generator=same[0])
    their_terms = vae.elbo(twin, x_test, generator=same[1])
for ours, theirs in zip(our_terms, their_terms, strict=True):  # each (N,)
    assert torch.allclose(ours, theirs, rtol=1e-5)
print("the same ELBO, reconstruction and KL of every test picture")

# %% [markdown]
# ## How short can it be?
#
# Three lines: a model, its training, and twelve drawings. `config`, from above, describes the model, and `settings` the
# training.

# %%
settings = vae.TrainingConfig(epochs=epochs, learning_rate=0.003)

# %%
short = vae.VAE(config, images.shape)
vae.fit(short, short.losses(vae.ObjectiveConfig()), x, settings, seed=seed)
drawn = short.sample(12, generator)

# %% mystnb={"figure": {"name": "fig-build-short", "caption": "Twelve drawings of the model in three lines. It started from other weights and saw other noise, so these are other drawings, of the same kind as ours."}, "image": {"alt": "A row of twelve blurred handwritten shapes, many of them digits, drawn by the library's model."}}
show({"vaelib": drawn})
plt.show()

# %%
with torch.no_grad():
    terms = vae.elbo(short, x_test, generator=generator)
print(f"ours:   {test_terms(model)[0]:.1f} nats per test picture")
print(f"vaelib: {terms.elbo.mean():.1f} nats per test picture")

# %% [markdown]
# ## What to remember
#
# - An autoencoder learns to rebuild, and not to draw: nothing says where its codes lie.
# - A VAE makes each code a cloud, $\mathcal{N}(\mu, \sigma^2)$, and charges the KL for clouds that are unlike the prior. So the
#   prior is where the codes are, and one can draw from it.
# - $z = \mu + \sigma \odot \epsilon$ keeps chance aside, so that the gradient reaches $\mu$ and $\sigma$.
# - The loss is $-\mathcal{L}$: minus the reconstruction, plus the KL. Sum over pixels and over the numbers of a code, average
#   over pictures, and say nats.
# - Judge a loss beside the marks: fair coins, the average picture, the floor.
#
# ## Exercises
#
# ### Build it
#
# Four pieces to write from their equations. Each does a little more than ours above, and comes with checks. Put your
# code in the place of the dots.
#
# ````{exercise} The price of a code
# :label: ex-build-kl
#
# Write {eq}`eq-build-kl` without looking at our line, with one result for each of the $Z$ numbers. Then find out how
# many of the numbers in its code the trained `model` uses. Call a number used if its KL, averaged over the test
# pictures, is above 0.1 nats.
#
# ```python
# def gaussian_kl(mu, log_var):  # (B, Z), (B, Z) -> (B, Z)
#     ...
#
# m = torch.tensor([[0.0, 1.0, 0.0, -2.0]])
# v = torch.tensor([[0.0, 0.0, 1.0, -1.0]])
# q, p = Normal(m, torch.exp(0.5 * v)), Normal(0, 1)
# assert gaussian_kl(m, v)[0, :2].tolist() == [0.0, 0.5]
# assert torch.allclose(gaussian_kl(m, v), kl_divergence(q, p))
# ```
#
# `Normal` and `kl_divergence` come from `torch.distributions`.
# ````
#
# ```{solution-start} ex-build-kl
# :class: dropdown
# ```

# %%
from torch.distributions import Normal, kl_divergence


def gaussian_kl(mu, log_var):
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var)


m = torch.tensor([[0.0, 1.0, 0.0, -2.0]])
v = torch.tensor([[0.0, 0.0, 1.0, -1.0]])
q, p = Normal(m, torch.exp(0.5 * v)), Normal(0, 1)
assert gaussian_kl(m, v)[0, :2].tolist() == [0.0, 0.5]
assert torch.allclose(gaussian_kl(m, v), kl_divergence(q, p))

# %%
kl_of_each = gaussian_kl(mu, log_var).mean(0)  # (Z,), from the test pictures
print(f"{(kl_of_each > 0.1).sum()} of {Z} numbers are used")
print(f"they cost {kl_of_each.min():.2f} to {kl_of_each.max():.2f} nats each")

# %% [markdown]
# ```{solution-end}
# ```
#
# ````{exercise} Several draws
# :label: ex-build-draw
#
# Let `reparameterise` make several draws for each picture at once. Then try to draw with `torch.normal(mu, sigma)`
# instead. The draws are right. Which check fails, and why?
#
# ```python
# def reparameterise(mu, log_var, samples=1, generator=None):
#     ...  # (B, Z), (B, Z) -> (samples, B, Z)
#
# m = torch.tensor([[2.0, -1.0]], requires_grad=True)
# v = torch.tensor([[0.0, -2.0]])
# draws = reparameterise(m, v, 100_000, torch.Generator().manual_seed(0))
# assert draws.shape == (100_000, 1, 2)
# assert torch.allclose(draws.mean(0), m, atol=0.02)
# assert torch.allclose(draws.std(0), torch.exp(0.5 * v), atol=0.02)
# (gradient,) = torch.autograd.grad(draws.mean(0).sum(), m)
# assert torch.allclose(gradient, torch.ones(1, 2))
# ```
# ````
#
# ```{solution-start} ex-build-draw
# :class: dropdown
# ```


# %%
def reparameterise(mu, log_var, samples=1, generator=None):
    epsilon = torch.randn((samples, *mu.shape), generator=generator)
    return mu + torch.exp(0.5 * log_var) * epsilon  # (samples, B, Z)


# %%
m = torch.tensor([[2.0, -1.0]], requires_grad=True)
v = torch.tensor([[0.0, -2.0]])
draws = reparameterise(m, v, 100_000, torch.Generator().manual_seed(0))
assert draws.shape == (100_000, 1, 2)
assert torch.allclose(draws.mean(0), m, atol=0.02)
assert torch.allclose(draws.std(0), torch.exp(0.5 * v), atol=0.02)
(gradient,) = torch.autograd.grad(draws.mean(0).sum(), m)
assert torch.allclose(gradient, torch.ones(1, 2))

# %%
sigma = torch.exp(0.5 * v).expand(100_000, 1, 2)
bare = torch.normal(m.expand(100_000, 1, 2), sigma, generator=generator)
print("gradient of m:", torch.autograd.grad(bare.mean(0).sum(), m)[0].tolist())

# %% [markdown]
# The last check fails: torch reports a gradient of zero. A bare draw does not know how it depends on its mean, and a loss through it
# would teach the encoder nothing.
#
# ```{solution-end}
# ```
#
# ````{exercise} A deeper encoder
# :label: ex-build-encoder
#
# Write an `Encoder` with any number of hidden layers: `Encoder(784, 400, 200, 20)` goes from 784 pixels through layers
# of 400 and 200 units to a code of 20 numbers. The last check holds only if there is a ReLU, or another bend, between
# the layers.
#
# ```python
# class Encoder(nn.Module):
#     def __init__(self, *widths):
#         ...
#
#     def forward(self, x):  # (B, D) -> (B, Z), (B, Z)
#         ...
#
# deep, some = Encoder(D, 40, 20, Z), x_test[:5]
# weights = (D + 1) * 40 + 41 * 20 + 2 * 21 * Z
# assert [answer.shape for answer in deep(some)] == [(5, Z), (5, Z)]
# assert sum(weight.numel() for weight in deep.parameters()) == weights
# halfway = (deep(some)[0] + deep(0 * some)[0]) / 2
# assert not torch.allclose(deep(some / 2)[0], halfway, atol=1e-6)
# ```
# ````
#
# ```{solution-start} ex-build-encoder
# :class: dropdown
# ```


# %%
class Encoder(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        *between, H, Z = widths
        pairs = zip(between, [*between[1:], H], strict=True)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.mu, self.log_var = nn.Linear(H, Z), nn.Linear(H, Z)

    def forward(self, x):
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.mu(x), self.log_var(x)


# %%
deep, some = Encoder(D, 40, 20, Z), x_test[:5]
weights = (D + 1) * 40 + 41 * 20 + 2 * 21 * Z
assert [answer.shape for answer in deep(some)] == [(5, Z), (5, Z)]
assert sum(weight.numel() for weight in deep.parameters()) == weights
halfway = (deep(some)[0] + deep(0 * some)[0]) / 2
assert not torch.allclose(deep(some / 2)[0], halfway, atol=1e-6)

# %% [markdown]
# ```{solution-end}
# ```
#
# ````{exercise} A bound with less noise
# :label: ex-build-elbo
#
# Let `elbo` average the reconstruction over several draws, with your `reparameterise`. Then estimate the ELBO of the
# first test picture 500 times, with 1, 10 and 100 draws. How does the spread of the estimates shrink?
#
# ```python
# def elbo(model, x, samples=1, generator=None):
#     ...  # (B, D) -> ELBO (B,), reconstruction (B,), KL (B,)
#
# same = [torch.Generator().manual_seed(1) for _ in range(2)]
# mine = elbo(model, x_test[:50], 10, same[0])
# theirs = vae.elbo(twin, x_test[:50], samples=10, generator=same[1])
# for a, b in zip(mine, theirs, strict=True):
#     assert torch.allclose(a, b, rtol=1e-5)
# ```
# ````
#
# ```{solution-start} ex-build-elbo
# :class: dropdown
# ```


# %%
def elbo(model, x, samples=1, generator=None):
    mu, log_var = model.encoder(x)  # (B, Z), (B, Z)
    z = reparameterise(mu, log_var, samples, generator)  # (S, B, Z)
    log_p = bernoulli_log_prob(x, model.decoder(z))  # (S, B)
    kl = gaussian_kl(mu, log_var).sum(-1)  # (B,)
    return log_p.mean(0) - kl, log_p.mean(0), kl


# %%
same = [torch.Generator().manual_seed(1) for _ in range(2)]
mine = elbo(model, x_test[:50], 10, same[0])
theirs = vae.elbo(twin, x_test[:50], samples=10, generator=same[1])
for a, b in zip(mine, theirs, strict=True):
    assert torch.allclose(a, b, rtol=1e-5)

# %%
for samples in (1, 10, 100):
    with torch.no_grad():
        first = x_test[:1].expand(500, D)  # the same picture, 500 times
        estimates = elbo(model, first, samples, generator)[0]
    mean, spread = estimates.mean(), estimates.std()
    print(f"{samples:3d} draws: {mean:.1f} ± {spread:.2f} nats")

# %% [markdown]
# The mean stays, and the spread shrinks like one over the root of the number of draws: with 100 draws it is a tenth of
# that with one. Training takes more than a thousand steps, so one draw in each is enough: their noise averages out.
#
# ```{solution-end}
# ```
#
# ```{exercise} Repair the autoencoder
# :label: ex-build-fitted
#
# Draw codes for the autoencoder from a Gaussian with the mean and the covariance of real codes. Are its drawings as
# good as the VAE's now? What can you still not do with this model?
# ```
#
# ```{solution-start} ex-build-fitted
# :class: dropdown
# ```

# %%
stretch = torch.linalg.cholesky(torch.cov(codes.T))  # (Z, Z)
fitted = codes.mean(0) + z @ stretch.T  # (12, Z)
with torch.no_grad():
    repaired = torch.sigmoid(decoder(fitted))  # (12, D)

# %% mystnb={"figure": {"name": "fig-build-fitted", "caption": "The autoencoder's drawings from standard Gaussian codes, its drawings from codes of a fitted Gaussian, and the VAE's. The fit makes the strokes bright, and some of them join to a digit."}, "image": {"alt": "Three rows of twelve drawings: faint fragments; bright strokes with hard edges, some of which form digits and others broken pieces; blurred shapes, many of which are digits."}}
rows = {"autoencoder": drawn_by_autoencoder, "fitted": repaired}
show(rows | {"VAE": drawn_by_vae})
plt.show()

# %% [markdown]
# They are much better than before. The fitted drawings have harder strokes than the VAE's, more of them broken, and
# after three epochs we would not call either the winner. {cite:t}`ghosh2020` make a method of this repair, and [the
# chapter on sampling](chapter-sampling) uses it on VAEs as well. What the autoencoder lacks is a probability. The VAE's
# loss bounds $\log p(x)$, so that it can be compared with the marks, and with other models; the autoencoder's loss says
# nothing about the pictures that it would draw.
#
# ```{solution-end}
# ```
#
# ### Break it
#
# Three models with one fault each. Before you open a solution, predict its picture. The left half will show six test digits,
# rebuilt, and the right half six draws from the prior. What will you see in each? `trained` trains a new model as above,
# with any loss. `report` prints the terms of the true loss, how far the means $\mu$ of the pictures lie apart, and the average
# $\sigma$.


# %%
def trained(loss):
    torch.manual_seed(seed)
    new, generator = VAE(D, H, Z), torch.Generator().manual_seed(seed)
    optimiser = optimiser_of(new)
    for _ in range(epochs):
        one_epoch(new, loss, optimiser, generator)
    return new


# %%
def report(broken):
    for name, one in (("ours", model), ("broken", broken)):
        with torch.no_grad():
            mu, log_var = one.encoder(x_test)
        spread, width = mu.std(0).mean(), torch.exp(0.5 * log_var).mean()
        print(f"{name:6s} {summary(one)}")
        print(f"       spread of mu {spread:.2f}, average sigma {width:.3f}")


# %% [markdown]
# ```{exercise} Drop the KL
# :label: ex-build-no-kl
#
# Maximise the reconstruction alone. The draw stays as it is, noise and all. What will the encoder do with $\sigma$?
# ```
#
# ```{solution-start} ex-build-no-kl
# :class: dropdown
# ```


# %%
def without_kl(model, x, generator):
    _, reconstruction, _ = elbo(model, x, generator=generator)
    return -reconstruction


no_kl = trained(without_kl)
report(no_kl)

# %% mystnb={"figure": {"name": "fig-build-no-kl", "caption": "Without the KL: the digits are rebuilt as well as before or better, and what is drawn from the prior are faint scraps."}, "image": {"alt": "Three rows, with rebuilt digits on the left and drawn ones on the right. Test digits, on the left only. Those of the VAE. Those of the model without KL: well rebuilt on the left, faint fragments of strokes on the right."}}
ours = {"ours": pictures(model)}
show_halves(originals | ours | {"no KL": pictures(no_kl)})
plt.show()

# %% [markdown]
# Noise only harms the reconstruction, and narrow clouds cost nothing now. So $\sigma$ shrinks to almost nothing, the means
# move far apart, and what is left is the plain autoencoder. The reconstruction is better than ours, but the ELBO is far worse,
# because it counts the price that this model ignored.
#
# ```{solution-end}
# ```
#
# ```{exercise} Average over pixels
# :label: ex-build-mean
#
# Take the *mean* of the pixels' scores instead of their sum, and leave the KL as it is. Many programs do this, since it
# is what torch's loss functions do by default. What will the model draw?
# ```
#
# ```{solution-start} ex-build-mean
# :class: dropdown
# ```


# %%
def averaged_over_pixels(model, x, generator):
    _, reconstruction, kl = elbo(model, x, generator=generator)
    return kl - reconstruction / D


averaged = trained(averaged_over_pixels)
report(averaged)

# %% mystnb={"figure": {"name": "fig-build-mean", "caption": "With the mean over pixels: the same grey blob for every test digit and for every draw. It is the average picture."}, "image": {"alt": "Three rows: test digits; those of the VAE, rebuilt on the left and drawn on the right; and a row of twelve equal grey blobs."}}
show_halves(originals | ours | {"mean over pixels": pictures(averaged)})
plt.show()

# %% [markdown]
# Dividing the reconstruction by $D$ makes the KL $D$ times as expensive, and no code is worth that. The encoder answers
# with the prior for every picture, $\mu = 0$ and $\sigma = 1$, so the KL is zero and $z$ says nothing. The best that a
# decoder can do then is the average picture, at nearly the price of our second mark. This is called {term}`collapse`,
# and a later [chapter](chapter-collapse) is about it.
#
# ```{solution-end}
# ```
#
# ```{exercise} Remove the noise
# :label: ex-build-no-noise
#
# Decode the mean itself while training, $z = \mu$, and keep the KL. Which $\sigma$ will the encoder answer with? (Which terms of the loss still
# contain it?) And what will the bound be, when we measure it as it is defined, with draws?
# ```
#
# ```{solution-start} ex-build-no-noise
# :class: dropdown
# ```


# %%
def without_noise(model, x, generator):
    mu, log_var = model.encoder(x)
    kl = gaussian_kl(mu, log_var).sum(-1)
    return kl - bernoulli_log_prob(x, model.decoder(mu))


no_noise = trained(without_noise)
report(no_noise)
with torch.no_grad():
    as_trained = without_noise(no_noise, x_test, None).mean()
print(f"broken, as it was trained: {as_trained:.1f} nats")

# %% mystnb={"figure": {"name": "fig-build-no-noise", "caption": "Without the noise: the digits are rebuilt well. The drawings are bright, torn strokes, and only some of them still suggest a digit."}, "image": {"alt": "Three rows, with rebuilt digits on the left and drawn ones on the right. Test digits, on the left only. Those of the VAE. Those of the model without noise: well rebuilt on the left, bright, torn strokes on the right."}}
show_halves(originals | ours | {"no noise": pictures(no_noise)})
plt.show()

# %% [markdown]
# Only the KL still contains $\sigma$, and it is lowest at $\sigma = 1$. So the encoder claims wide clouds. The decoder has
# never met a draw from one, and relies on exact codes, which lie closer to zero than draws from the prior do. Asked about a
# draw, it exaggerates. Measured with draws, as {eq}`eq-build-elbo` demands, the loss is worse than that of fair coins. The loss that it
# was trained with looks better than ours, as the last line shows, but it bounds nothing.
#
# ```{solution-end}
# ```
