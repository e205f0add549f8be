"""What each claim implies, as questions to figures: a function for each, from figures to the parts of its evidence.

Figures are plain numbers, one for each seed (or one alone), so that a rule can be tried on made-up ones. A mapping
goes from a number of latents, or from the name of a kind of model, to figures. Where a claim names no threshold we had
to choose one: it stands in the rule as a constant, and in the text of the part. Not a number decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from vaebook.experiments.pictures import Proportion
from vaebook.experiments.scorecard import Part, Values, at_least, at_most, below, decided, not_above
from vaebook.tables import mean_and_range

__all__ = [
    *("asleep", "best_at", "blur_with_latents", "collapsed", "in_all", "in_order", "looks_average", "never"),
    *("no_overfitting", "not_comparable", "persists", "quality_and_bound", "rare", "reaches_rare_frames", "restricts"),
    *("sharp_and_faithful", "sigmoid_crucial", "stable", "woken"),
]

BySize = Mapping[int, Values]

BIT = float(np.log(2))  # nats
ALWAYS = 0.95  # of all epochs
LITTLE = 0.2  # of the variety of the data
LESS_READ = 0.02  # of the digits


def restricts(name: str, variety: BySize, few: int, more: int) -> list[Part]:
    """Claim 1: with few latents samples vary less."""
    return [below(f"{name}: variety of samples with {few} latents below that with {more}", variety[few], variety[more])]


def blur_with_latents(what: str, edges: BySize, fewer: int, more: int) -> list[Part]:
    """Claims 2, 7 and 11: pictures are blurrier, their edges less steep, with more latents."""
    text = f"{what}: sharpness with {more} latents below that with {fewer}"
    return [below(text, edges[more], edges[fewer])] if more > fewer else []


def in_order(name: str, error: BySize, kl: BySize) -> list[Part]:
    """Claim 8: from each size to the next, a smaller reconstruction loss and a larger KL."""
    sizes = sorted(error)
    better = sum(np.mean(error[b]) < np.mean(error[a]) for a, b in pairwise(sizes))
    larger = sum(np.mean(kl[b]) > np.mean(kl[a]) for a, b in pairwise(sizes))
    steps = len(sizes) - 1
    text = f"{name}, {sizes[0]} to {sizes[-1]} latents: loss lower in {better}, KL higher in {larger} of {steps} steps"
    holds = decided(better == larger == steps, *error.values(), *kl.values())
    return [Part(text, holds, min(np.size(values) for values in error.values()))] if steps else []


def persists(name: str, shares: Mapping[str, float], seeds: int = 1) -> list[Part]:
    """Claim 9: the order of sizes is there in nearly all epochs; term -> share of epochs and pairs in order."""
    return [
        at_least(f"{name}: {term}, share in order", share, ALWAYS, 3)._replace(seeds=seeds)
        for term, share in shares.items()
    ]


def best_at(name: str, loss: BySize, claimed: int, than: Sequence[int]) -> list[Part]:
    """Claim 10: -ELBO is lower at the claimed size than at others."""
    return [
        below(f"{name}: −ELBO with {claimed} latents below that with {other}", loss[claimed], loss[other])
        for other in than
        if other in loss and other != claimed
    ]


def quality_and_bound(correlations: Mapping[str, float]) -> list[Part]:
    """Claim 11: the bound does not order models by a measure of quality; measure -> rank correlation over sizes."""
    limit = 0.5
    return [
        at_most(f"rank correlation of the ELBO with {measure}, over sizes", found, limit)
        for measure, found in correlations.items()
    ]


def sharp_and_faithful(name: str, edges: Values, read_as_meant: Values, images_read: float) -> list[Part]:
    """Claim 12: reconstructions as sharp as 0.9 of the images, and read as their digit nearly as often."""
    read = f"{name}: reconstructions that a classifier reads rightly (images: {images_read:.3f})"
    return [
        at_least(f"{name}: sharpness of reconstructions, share of the images'", edges, 0.9),
        at_least(read, read_as_meant, round(images_read - LESS_READ, 3), 4),
    ]


def stable(error: Mapping[str, Values], what: str, seeds: int = 1) -> list[Part]:
    """Claim 13: no more than a twentieth lies between the least and the largest of several errors."""
    groups = [np.mean(values) for values in error.values()]
    share = float(np.ptp(groups) / np.mean(groups))
    return [at_most(f"squared error, {what}: range as a share of the mean", share, 0.05)._replace(seeds=seeds)]


def not_comparable(what: str, why: str) -> list[Part]:
    """Claims 16 and 20: two figures without a common unit."""
    return [Part(f"{what}: no answer, {why}", None)]


def looks_average(name: str, variety: Values) -> list[Part]:
    """Claim 17: samples vary by no more than a fifth of what the data do."""
    return [at_most(f"{name}: variety of samples, share of the film's", variety, LITTLE)]


def rare(name: str, shares: Values, film: Proportion) -> list[Part]:
    """Claims 18, 19 and 26: tongues are rarer among samples than the interval of their share of the film allows."""
    percent = 100 * np.atleast_1d(shares)
    text = f"{name}: tongues in {mean_and_range(list(percent))} % of samples, below the interval of the film's share, "
    text += f"{100 * film.low:.1f} to {100 * film.high:.1f}" + (", in every seed" if len(percent) > 1 else "")
    return [Part(text, decided(percent.max() < 100 * film.low, percent), len(percent))]


def never(name: str, shares: Values, samples: int) -> list[Part]:
    """Claim 18, to the letter: of so many samples of each seed none shows a tongue."""
    counts = np.rint(samples * np.atleast_1d(shares))
    text = f"{name}: no tongue in {samples:,} samples of each seed; the most is {counts.max():.0f}"
    return [Part(text, decided(counts.max() == 0, counts), len(counts))]


def reaches_rare_frames(coverage: Values, of_tongues: Values) -> list[Part]:
    """Claim 22: asked for the rare frames, a Gaussian decoder covers fewer of them than of all frames."""
    text = "Gaussian decoder, reconstructions: coverage of tongue frames below that of all"
    return [below(text, of_tongues, coverage, 0.05)]


def collapsed(mean: Values, log_var: Values, kl: Values) -> list[Part]:
    """Claim 23: the encoder says the prior."""
    near = 0.1
    return [
        at_most("mean |μ| of a latent", mean, near),
        at_most("mean |log σ²| of a latent", log_var, near),
        at_most("KL (nats), at most a bit", kl, round(BIT, 2)),
    ]


def woken(name: str, kl: Values, directions: Values, seeds: int | None = None) -> list[Part]:
    """Claims 24 and 26: the code costs more than a bit, in more than one direction."""
    text = f"{_code(name, kl, directions)} (asked: over 0.69 and over 1)"
    return [Part(text, decided(_awake(kl, directions), kl, directions), seeds or np.size(kl))]


def asleep(name: str, kl: Values, directions: Values) -> list[Part]:
    """Claim 6: without what is crucial the code costs no more than a bit, or uses no more than one direction."""
    text = f"{_code(name, kl, directions)} (asked: at most 0.69, or at most 1)"
    return [Part(text, decided(not _awake(kl, directions), kl, directions), np.size(kl))]


def sigmoid_crucial(shares: Mapping[str, Mapping[str, float]], best: Mapping[str, float], seeds: int = 1) -> list[Part]:
    """Claim 6: of all factors the sigmoid matters most, and without it good pictures are out of reach.

    `shares` goes from a result to the share of its variance due to each factor; `best` says, with ("yes") and without
    ("no"), how much of the squared error the best cell explains.
    """
    parts = []
    for result, by_factor in shares.items():
        largest = max(by_factor, key=lambda name: by_factor[name])
        both = f"sigmoid {by_factor['sigmoid']:.1%}, {largest} {by_factor[largest]:.1%}"
        holds = decided(largest == "sigmoid", *by_factor.values())
        parts.append(Part(f"share of the variance of {result}: {both}", holds, seeds))
    text = "squared error explained by the best of all models, without the sigmoid below with it"
    return [*parts, below(text, best["no"], best["yes"], 0.02)._replace(seeds=seeds)]


def in_all(what: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> Part:
    """Kingma and Welling: in each experiment, by its name, our figure is larger than theirs."""
    won = sum(ours[name] > theirs[name] for name in ours)
    holds = decided(won == len(ours), *ours.values(), *theirs.values())
    return Part(f"{what}: in {won} of {len(ours)} experiments", holds)


def no_overfitting(name: str, gap: BySize) -> list[Part]:
    """Kingma and Welling: the bound on training images is no farther above that on test images with many latents."""
    few, many = min(gap), max(gap)
    if few == many:
        return []
    return [not_above(f"{name}: ELBO of train less test (nats), {many} latents over {few}", gap[many], gap[few], 1.0)]


def _awake(kl: Values, directions: Values) -> bool:
    return bool(np.mean(kl) > BIT and np.mean(directions) > 1)


def _code(name: str, kl: Values, directions: Values) -> str:
    return f"{name}: KL {np.mean(kl):.2f} nats, {np.mean(directions):.1f} directions in use"
