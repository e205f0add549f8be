"""The experiment on hierarchies: its design, the effects that it finds, and what counts as equally large."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch

from vaebook.experiments.hierarchies import HELPS, active_by_level, effect, half_fraction, one_level, weights_of
from vaelib.config import amended
from vaelib.models import HierarchicalConfig, new_model
from vaelib.runs import RunConfig

FACTORS = [*HELPS]


def test_half_of_all_combinations_separates_every_factor_from_the_others_and_from_pairs():
    cells = half_fraction(FACTORS)
    assert len({tuple(cell.values()) for cell in cells}) == 8 and list(cells[0]) == FACTORS
    signs = np.array([[1 if cell[name] else -1 for name in FACTORS] for cell in cells])
    pairs = [signs[:, i] * signs[:, j] for i, j in combinations(range(4), 2)]
    assert (signs.T @ signs == 8 * np.eye(4)).all()
    assert all((signs.T @ pair == 0).all() for pair in pairs)


def test_effects_are_those_that_made_the_table():
    """Seeds of a cell lie 1 above and below: variance 2 from 8 spare runs, standard error sqrt(4 * 2 / 16)."""
    own = {"warm-up": 5.0, "batch norm": -3.0, "ladder": 0.5, "free bits": 0.0}
    rows = [
        {
            **cell,
            "figure": 100 + sum(own[name] for name in own if cell[name]) + 7 * cell["ladder"] * cell["warm-up"] + e,
        }
        for cell in half_fraction(FACTORS)
        for e in (-1, 1)
    ]
    table = pd.DataFrame(rows)
    for name, value in own.items():
        pair = 3.5 if name in ("ladder", "warm-up") else 0.0  # half of what acts when both are on
        assert effect(table, name, "figure", FACTORS) == pytest.approx((value + pair, np.sqrt(0.5)))
    with pytest.raises(ValueError, match="two seeds a cell or more"):
        effect(table[::2], "ladder", "figure", FACTORS)


def test_every_help_is_a_setting_that_a_plain_hierarchy_has():
    plain = RunConfig(model=HierarchicalConfig(inference="bottom-up"))
    for changes in HELPS.values():
        assert amended(plain, changes) != plain


@pytest.mark.parametrize("batch_norm", [False, True])
def test_one_level_of_as_many_weights(batch_norm):
    two = HierarchicalConfig(latents=(20, 20), hidden=(200,), batch_norm=batch_norm)
    one = one_level(two, (28, 28))
    assert one.latents == (40,) and one.replace(latents=two.latents, hidden=two.hidden) == two
    large, other = (weights_of(new_model(config, (28, 28))) for config in (two, one))
    assert abs(other / large - 1) < 0.01


def test_active_units_are_counted_by_level():
    model = new_model(HierarchicalConfig(latents=(3, 2), hidden=(), inference="bottom-up"), (2, 2))
    with torch.no_grad():
        model.up[0].outputs.weight[:2] = torch.eye(2, 4)
        model.up[0].outputs.weight[2:] = 0
        model.up[1].outputs.weight[:] = 0
    assert active_by_level(model, torch.rand(100, 4, generator=torch.Generator().manual_seed(0))) == [2, 0]
