"""Settings and grids of them: every combination once, wrong names and values in one line."""

import math
from typing import Literal

import pytest

from vaelib.config import Config, ConfigError, amended, differing, flat, grid, parse_axes, pick
from vaelib.models import ObjectiveConfig, VAEConfig
from vaelib.runs import RunConfig

BASE = RunConfig()


def test_a_grid_has_every_combination_once_and_the_last_axis_fastest():
    configs = grid(BASE, **{"model.latent_dim": [2, 5], "seed": [0, 1, 2]})
    assert [(c.model.latent_dim, c.seed) for c in configs] == [(2, 0), (2, 1), (2, 2), (5, 0), (5, 1), (5, 2)]
    assert all(config.training == BASE.training for config in configs)
    assert grid(BASE) == [BASE]


def test_settings_of_one_part_are_checked_together():
    changed = amended(BASE, {"model.likelihood.sigma_floor": 0.5, "model.likelihood.sigma_value": 0.7})
    assert (changed.model.likelihood.sigma_floor, changed.model.likelihood.sigma_value) == (0.5, 0.7)
    with pytest.raises(ConfigError, match=r"sigma_value=0\.3 lies below sigma_floor=0\.5"):
        amended(BASE, {"model.likelihood.sigma_floor": 0.5})


def test_a_part_may_be_given_as_a_whole():
    small = BASE.model.replace(hidden=(8,))
    assert amended(BASE, {"model": small, "model.latent_dim": 3}).model == small.replace(latent_dim=3)


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ({"latent_dim": [2]}, "unknown setting 'latent_dim': did you mean 'model.latent_dim'?"),
        ({"model.laten_dim": [2]}, "did you mean 'model.latent_dim'?"),
        ({"model.latent_dim": [0]}, "latent_dim=0 of VAEConfig cannot be used"),
        ({"training.optimiser": ["adma"]}, "did you mean 'adam'?"),
        ({"seed": []}, "one value or more"),
        ({"seed": 3}, "one value or more"),
    ],
)
def test_what_is_wrong_is_named(axes, line):
    with pytest.raises(ConfigError) as caught:
        grid(BASE, **axes)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_settings_by_name_and_what_differs():
    assert flat(BASE)["model.likelihood.sigma"] == "shared"
    assert differing(grid(BASE, **{"model.latent_dim": [2, 5], "seed": [0]})) == ["model.latent_dim"]
    assert differing([]) == []


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("seed=0,1", {"seed": [0, 1]}),
        ("model.latent-dim=2", {"model.latent_dim": [2]}),
        ("model.hidden=[500,500],(400,)", {"model.hidden": [[500, 500], (400,)]}),
        ("data.split=time,60000/10000,null", {"data.split": ["time", "60000/10000", None]}),
        ("training.learning_rate=1e-3,.1", {"training.learning_rate": [1e-3, 0.1]}),
        ("likelihood=discretised-logistic", {"likelihood": ["discretised-logistic"]}),
    ],
)
def test_axes_as_they_are_typed(text, axis):
    assert parse_axes([text]) == axis


@pytest.mark.parametrize("text", ["seed", "=3", "seed=", "3"])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(ConfigError, match="is no axis of a grid: write name=value,value"):
        parse_axes([text])
    with pytest.raises(ConfigError, match="'seed' twice"):
        parse_axes(["seed=1", "seed=2"])


class Cup(Config):
    """Settings of one part."""

    size: float = 0.2
    shape: Literal["round", "square"] = "round"


class Table(Config):
    """Settings with a part."""

    cup: Cup = Cup()
    legs: int = 4


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"legz": 3}, "unknown setting of Table 'legz': did you mean 'legs'? valid: cup, legs"),
        ({"legs": "many"}, "legs='many' of Table cannot be used: expected a valid integer"),
        ({"cup": {"shape": "rond"}}, "unknown shape of Cup 'rond': did you mean 'round'?"),
        ({"cup": {"size": math.nan}}, "size=nan of Cup cannot be used"),
        ({"legs": None, "cup": 3}, "; "),
    ],
    ids=["name", "type", "word", "nan", "two"],
)
def test_wrong_settings_are_one_line(settings, line):
    with pytest.raises(ConfigError) as caught:
        Table(**settings)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_settings_are_frozen_and_copies_are_checked():
    table = Table()
    with pytest.raises(ValueError, match="frozen"):
        table.legs = 3
    assert table.replace(legs=3) == Table(legs=3) and table == Table()
    with pytest.raises(ConfigError, match="legs"):
        table.replace(legs="many")


def test_pick_names_the_nearest():
    assert pick("cup", "tea", ["tea", "coffee"]) == "tea"
    with pytest.raises(ConfigError, match="unknown cup 'coffe': did you mean 'coffee'"):
        pick("cup", "coffe", ["tea", "coffee"])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"model": {"family": "vea"}}, "unknown family of models 'vea': did you mean 'vae'?"),
        ({"model": {"latent_dims": 3}}, "unknown setting of VAEConfig 'latent_dims': did you mean 'latent_dim'?"),
        ({"objective": {"betta": 3}}, "unknown setting of ObjectiveConfig 'betta': did you mean 'beta'?"),
        ({"seed": 2**64}, "seed=18446744073709551616 of RunConfig cannot be used"),
        ({"data": {"name": ""}}, "name='' of DataConfig cannot be used"),
        ({"modle": {}}, "did you mean 'model'?"),
    ],
    ids=["family", "model", "objective", "seed", "data", "part"],
)
def test_a_run_config_says_what_is_wrong_in_one_line(settings, line):
    with pytest.raises(ConfigError) as caught:
        RunConfig(**settings)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_config_comes_back_from_its_json():
    config = RunConfig(
        model=VAEConfig(hidden=(8, 4), prior={"name": "vamp", "pseudo_inputs": 7}),
        objective=ObjectiveConfig(kl="monte-carlo", warmup_epochs=2),
    )
    again = RunConfig(**config.model_dump(mode="json"))
    assert again == config and hash(again) == hash(config) and again.resolved() == config.resolved()


def test_resolved_settings_are_complete_but_for_the_data_sets_name():
    names = {name for name in flat(BASE) if name != "data.name"}

    def leaves(part, prefix=""):
        for name, value in part.items():
            yield from leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]

    assert set(leaves(BASE.resolved())) == names
