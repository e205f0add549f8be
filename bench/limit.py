"""What the machine could do at best: the matrix products of each layer, forward and backward, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.clock import Clock
from bench.works import Work

__all__ = ["Product", "forward", "step", "train"]

Product = tuple[Tensor, Tensor, Tensor]
"""Two factors and the room for their product."""


def train(work: Work, x: Tensor, clock: Clock) -> None:
    """Multiplies until the clock has enough."""
    batches = [len(batch) for batch in x.split(work.batch_size)]
    steps = {rows: step(work, rows) for rows in set(batches)}
    for _ in range(work.epochs):
        for rows in batches:
            for a, b, room in steps[rows]:
                torch.mm(a, b, out=room)
        clock.lap()


def step(work: Work, rows: int) -> list[Product]:
    """The products of one training step on a batch of so many rows."""
    layers = [*work.encoder(), *work.decoder()]
    products = forward(layers, rows)
    for position, (inputs, outputs) in enumerate(layers):
        x, weight, gradient = _normal(rows, inputs), _normal(outputs, inputs), _normal(rows, outputs)
        products.append((gradient.t(), x, torch.empty(outputs, inputs)))
        if position:  # nobody asks for the gradient of the pixels
            products.append((gradient, weight, torch.empty(rows, inputs)))
    return products


def forward(layers: list[tuple[int, int]], rows: int) -> list[Product]:
    """The products of one pass through layers that have so many inputs and outputs."""
    return [(_normal(rows, i), _normal(o, i).t(), torch.empty(rows, o)) for i, o in layers]


def _normal(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
