"""The networks of a work in plain torch, as the contenders other than vaelib use them."""

from __future__ import annotations

from torch import Tensor, nn

from bench.works import Work

__all__ = ["Decoder", "Encoder"]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}


class Encoder(nn.Module):
    """(B, D) -> the posterior's mean and log-variance, (B, Z) each."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        *body, mean, log_var = work.encoder()
        self.body = _with_activations(body, work)
        self.mean, self.log_var = nn.Linear(*mean), nn.Linear(*log_var)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Sequential):
    """(B, Z) -> the pixels' logits, (B, D)."""

    def __init__(self, work: Work) -> None:
        *body, outputs = work.decoder()
        super().__init__(_with_activations(body, work), nn.Linear(*outputs))


def _with_activations(layers: list[tuple[int, int]], work: Work) -> nn.Sequential:
    activation = ACTIVATIONS[work.activation]
    return nn.Sequential(*(module for layer in layers for module in (nn.Linear(*layer), activation())))
