"""Findings: their intervals are scipy's, their answers follow from the border, and files give them back."""

import math
from types import SimpleNamespace

import pytest
from scipy import stats

from vaebook.experiments import findings
from vaebook.experiments.findings import Finding, difference, mean_of, verdict

DATA = [SimpleNamespace(name="mnist"), SimpleNamespace(name="frey")]


def of(answer: str, given: str = "") -> Finding:
    low, high = {"yes": (1, 3), "no": (-3, -1), "open": (-1, 3)}[answer]
    return Finding("1", "made up", (low + high) / 2, low, high, "above", 0, "nats", 3, given)


def test_a_difference_has_welchs_interval():
    a, b = [3.0, 3.4, 3.1], [1.0, 1.1, 1.6]
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    found = difference("1", "text", a, b, "above", 1.0, "nats")
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.effect == pytest.approx(sum(a) / 3 - sum(b) / 3)
    assert found.seeds == 3


def test_a_mean_has_students_interval():
    values = [0.1, 0.2, 0.4, 0.3]
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    found = mean_of("1", "text", values, "below", 0.5)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("side", "border", "answer"),
    [("above", 1, "yes"), ("above", 2, "open"), ("above", 9, "no"), ("below", 9, "yes"), ("below", 1, "no")],
)
def test_the_answer_follows_from_the_interval(side, border, answer):
    assert mean_of("1", "text", [2.0, 2.1, 1.9], side, border).answer == answer


@pytest.mark.parametrize("values", [[5.0], [math.nan, 1.0]], ids=["one seed", "not a number"])
def test_what_has_no_interval_decides_nothing(values):
    assert mean_of("1", "text", values, "above", 0).answer == "open"


def test_a_lone_seed_is_judged_by_the_spread_of_several():
    assert difference("1", "text", [9.0], [1.0, 1.2, 1.1], "above").answer == "yes"
    assert difference("1", "text", [1.15], [1.0, 1.2, 1.1], "above").answer == "open"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], "not tested"),
        ([of("open")], "open"),
        ([of("yes"), of("open")], "open"),  # not all that was asked is decided
        ([of("yes", "a"), of("open", "b")], "holds"),
        ([of("yes"), of("no")], "does not hold"),  # within the same circumstances both were asked
        ([of("no", "a"), of("no", "b"), of("open", "c")], "does not hold"),
        ([of("yes", "a"), of("no", "b")], "depends on the recipe"),
    ],
)
def test_verdicts(said, expected):
    assert verdict(said, "the recipe") == expected


def test_a_claim_that_depends_must_say_on_what():
    with pytest.raises(ValueError, match="depends on"):
        verdict([of("yes", "a"), of("no", "b")])


def test_findings_come_back_from_their_files(tmp_path):
    first = [of("yes", "a"), mean_of("2", "one seed, with a, comma", [1.0], "below", 0.5, "nats")]
    shown = findings.save("04_sweeps", DATA, first, tmp_path)
    findings.save("05_collapse", DATA[1:], [of("no")], tmp_path)  # of other data
    assert list(shown.index) == ["1", "2"]
    (name,) = found = findings.read(DATA, tmp_path)
    assert name == "04_sweeps"
    assert found[name][0] == first[0]
    assert found[name][1][:3] == first[1][:3]
    assert math.isnan(found[name][1].low)


def test_a_file_of_something_else_is_named(tmp_path):
    (tmp_path / "x.mnist.frey.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"x\.mnist\.frey\.csv"):
        findings.read(DATA, tmp_path)


def test_a_table_shows_effect_interval_and_border():
    line = findings.table([of("no")]).loc["1"]
    assert (line["effect"], line["asked"], line["answer"]) == ("−2.00 [−3.00, −1.00] nats", "above 0", "no")


def test_across_has_a_line_for_each_test_and_a_column_for_each_circumstance():
    made = [findings.mean_of("1", "edges", [1.0, 2.0, 3.0], "above", -0.5, "nats", given=recipe) for recipe in "ab"]
    made += [findings.mean_of(claim, "loss", [2.0], "below", 0, given="b") for claim in ("2", "3")]
    shown = findings.across(made, "1", "2")
    assert list(shown.index) == ["edges: above −0.50?", "loss: below 0?"] and list(shown) == ["a", "b"]
    assert shown.loc["loss: below 0?", "a"] == "" and shown.loc["loss: below 0?", "b"] == "2.00: open"
    assert shown.loc["edges: above −0.50?", "a"].startswith("2.00 [−0.48, 4.48] nats: ")
