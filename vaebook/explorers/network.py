"""Networks as bytes, small enough for a page, which the page's own JavaScript evaluates (`js/network.mjs`)."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaelib.config import ConfigError
from vaelib.models.base import ACTIVATIONS
from vaelib.models.vae import VAE

__all__ = ["decoder_spec", "encoder_layers", "pack", "rounded"]

LEVELS = 127  # an 8-bit weight is a whole number from -127 to 127 times its output's scale

Layer = tuple[Tensor, Tensor, str]
"""Weights (outputs, inputs), bias (outputs,), and the name of the activation behind them."""

NAMES = {kind: name for name, kind in ACTIVATIONS.items()}


def pack(layers: Iterable[Layer]) -> tuple[list[dict[str, Any]], bytes]:
    """A description of the layers for JSON, and their weights, rounded to 8 bits.

    Each layer's bytes are the biases and the scales (float32, one for each output), then the weights (int8, row by row,
    one row for each output), then zeros up to a multiple of four.
    """
    described, parts = [], []
    for weights, bias, activation in layers:
        levels, scale = _round(weights)
        parts += [array.numpy().astype("<f4").tobytes() for array in (bias.detach(), scale)]
        parts += [levels.numpy().astype(np.int8).tobytes(), bytes(-levels.numel() % 4)]
        described.append({"inputs": weights.shape[1], "outputs": weights.shape[0], "activation": activation})
    return described, b"".join(parts)


def rounded(model: VAE) -> VAE:
    """A copy of the model with the 8-bit weights that a page has: what its explorers compute, in torch."""
    twin = copy.deepcopy(model)
    for layer in (*twin.encoder.modules(), *twin.decoder.modules()):
        if isinstance(layer, nn.Linear):
            levels, scale = _round(layer.weight)
            layer.weight.data = levels * scale[:, None]
    return twin


def _round(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers (outputs, inputs) and a scale for each output, (outputs,): their product is nearly the weights."""
    weights = weights.detach().cpu()
    scale = weights.abs().amax(1).clamp(min=1e-12) / LEVELS
    return (weights / scale[:, None]).round(), scale


def encoder_layers(model: VAE) -> list[Layer]:
    """The encoder as one chain of layers, whose last gives the means and then the log-variances: D -> 2 Z."""
    heads = model.encoder.mean, model.encoder.log_var
    weights, bias = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])
    return [*_chain(model.encoder.body), (weights, bias, "identity")]


@torch.no_grad()
def decoder_spec(model: VAE, heads: int = 1) -> tuple[dict[str, Any], bytes]:
    """What a page must know to draw what the model decodes, and the decoder's weights: Z -> heads * D.

    One head is enough for pictures: it gives the mean. log sigma^2 of a Gaussian pixel is "logVariance" if all share
    it; else, that being None, the second head adds to "logStart".
    """
    config, last = model.config.likelihood, model.decoder.outputs
    variance = model.likelihood.variance(torch.zeros(last.out_features))
    likelihood = {
        "name": config.name,
        "mean": "sigmoid" if config.name == "bernoulli" else config.mean,
        "pixels": model.pixels,
        "logVariance": None if variance.dim() else variance.log().item(),
        "logStart": 2 * math.log(config.sigma_value),
        "logFloor": 2 * math.log(config.sigma_floor),
    }
    outputs = heads * model.pixels
    layers = [*_chain(model.decoder.body), (last.weight[:outputs], last.bias[:outputs], "identity")]
    described, weights = pack(layers)
    return {"likelihood": likelihood, "decoder": described}, weights


def _chain(body: nn.Sequential) -> list[Layer]:
    """Linear layers, each with the activation behind it."""
    modules = list(body)
    pairs = list(zip(modules[::2], modules[1::2], strict=False))
    known = [(a, b) for a, b in pairs if isinstance(a, nn.Linear) and type(b) in NAMES]
    if 2 * len(known) != len(modules):
        raise ConfigError(f"an explorer evaluates linear layers, each with an activation behind it, not {body}")
    return [(linear.weight, linear.bias, NAMES[type(activation)]) for linear, activation in known]
