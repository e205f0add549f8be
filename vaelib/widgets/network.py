"""Networks as bytes, small enough for a page, which the page's own JavaScript evaluates (`js/network.mjs`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaelib.config import ConfigError
from vaelib.models import VAE

__all__ = ["decoder_layers", "encoder_layers", "pack"]

LEVELS = 127  # an 8-bit weight is a whole number from -127 to 127 times its output's scale

Layer = tuple[Tensor, Tensor, str]
"""Weights (outputs, inputs), bias (outputs,), and the name of the activation behind them."""

ACTIVATIONS = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.SiLU: "silu", nn.ELU: "elu", nn.Identity: "identity"}


def pack(layers: Iterable[Layer]) -> tuple[list[dict[str, Any]], bytes]:
    """A description of the layers for JSON, and their weights, rounded to 8 bits.

    Each layer's bytes are the biases and the scales (float32, one for each output), then the weights (int8, row by row,
    one row for each output), then zeros up to a multiple of four.
    """
    described, parts = [], []
    for weights, bias, activation in layers:
        w = weights.detach().double().numpy()
        scale = np.maximum(np.abs(w).max(1), 1e-12) / LEVELS
        levels = np.rint(w / scale[:, None]).astype(np.int8)
        parts += [bias.detach().numpy().astype("<f4").tobytes(), scale.astype("<f4").tobytes(), levels.tobytes()]
        parts.append(bytes(-levels.size % 4))
        described.append({"inputs": w.shape[1], "outputs": w.shape[0], "activation": activation})
    return described, b"".join(parts)


def encoder_layers(model: VAE) -> list[Layer]:
    """The encoder as one chain of layers, whose last gives the means and then the log-variances: D -> 2 Z."""
    heads = [model.encoder.mean, model.encoder.log_var]
    weights, bias = (torch.cat([getattr(head, name) for head in heads]) for name in ("weight", "bias"))
    return [*_chain(model.encoder.body), (weights, bias, "identity")]


def decoder_layers(model: VAE, *, heads: int = 1) -> list[Layer]:
    """The decoder as one chain of layers: Z -> heads * D. One head is enough for pictures: it gives the mean."""
    last, outputs = model.decoder.outputs, heads * model.pixels
    return [*_chain(model.decoder.body), (last.weight[:outputs], last.bias[:outputs], "identity")]


def _chain(body: nn.Sequential) -> list[Layer]:
    """Linear layers, each with the activation behind it."""
    modules = list(body)
    pairs = list(zip(modules[::2], modules[1::2], strict=False))
    if len(modules) % 2 or any(not isinstance(a, nn.Linear) or type(b) not in ACTIVATIONS for a, b in pairs):
        raise ConfigError(f"an explorer evaluates linear layers, each with an activation behind it, not {body}")
    return [(linear.weight, linear.bias, ACTIVATIONS[type(activation)]) for linear, activation in pairs]
