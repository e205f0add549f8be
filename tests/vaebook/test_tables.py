"""Tables of finished runs, on runs whose figures are planted."""

import pandas as pd

from vaebook.tables import final_table, mean_and_range, progress_table, recipe_table
from vaelib.runs import RunConfig


class Finished:
    """As much of a run as a table reads."""

    config = RunConfig()

    def __init__(self, elbo):
        self.history = pd.DataFrame({"epoch": [1, 2], "test_elbo": [elbo - 10, elbo]})
        self.metrics = {"test": {"elbo": elbo, "active_units": 7}}


RUNS = {"a": [Finished(-100.0), Finished(-102.0)], "b": [Finished(-90.0)]}


def test_a_mean_stands_beside_its_range():
    assert mean_and_range([1.0, 2.0, 6.0], 1) == "3.0 (1.0 to 6.0)"
    assert mean_and_range([2.5]) == "2.50"
    assert mean_and_range([-2.5, -1.5], 1) == "−2.0 (−2.5 to −1.5)"
    assert mean_and_range([-0.001, 0.0005]) == "0.00 (0.00 to 0.00)", "there is no zero below zero"


def test_tables_turn_the_sign_of_the_bound_and_count_seeds():
    table = final_table(RUNS, ("elbo", "active_units"))
    assert table.loc["a"].tolist() == ["101.0 (100.0 to 102.0)", "7 (7 to 7)", 2]
    assert table.loc["b", "−ELBO (nats)"] == "90.0"
    progress = progress_table(RUNS, (1, 2, 50))
    assert progress.index.tolist() == [1, 2] and progress.loc[1, "b"] == "100.0"
    assert recipe_table(RUNS).loc["a", "hidden layers"] == "500 + 500"


def test_a_table_takes_all_that_every_run_has():
    assert list(final_table(RUNS)) == ["−ELBO (nats)", "active units", "seeds"]
    lone = Finished(-90.0)
    lone.metrics = {"test": {"elbo": -90.0, "kl": 3.0}}
    assert list(final_table({**RUNS, "c": [lone]})) == ["−ELBO (nats)", "seeds"]
