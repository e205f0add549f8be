"""The scorecard: made-up findings go through the page's functions, and planted ones flip what it says."""

import math

import pytest

from vaebook.experiments.claims import CLAIMS
from vaebook.experiments.findings import Finding
from vaebook.experiments.scorecard import Claim, details, distance, join, sentence, silent, summary, verdict_of

CLAIM = Claim(
    "rain",
    "report",
    "It | rains",
    "1",
    "04_sweeps",
    reading="Rain is wet.",
    depends_on="the town",
    holds="It rains indeed.",
    fails="It is dry.",
)
CLAIMED = {"1": CLAIM, "2": CLAIM._replace(chapter="", untested="No snow here.")}


def of(answer: str, given: str = "", claim: str = "1") -> Finding:
    low, high = {"yes": (1, 3), "no": (-3, -1), "open": (-1, 3)}[answer]
    return Finding(claim, "wet", (low + high) / 2, low, high, "above", 0, "mm", 3, given)


@pytest.mark.parametrize(
    ("findings", "verdict", "said"),
    [
        ([of("yes", "Ulm"), of("open", "Bern")], "holds", "It rains indeed. 1 of 2 tests is open, with all of: Bern."),
        ([of("no"), of("yes")], "does not hold", "It is dry."),
        (
            [of("yes", "Ulm"), of("no", "Rome"), of("yes", "Bonn"), of("open", "Bern")],
            "depends on the town",
            "Yes: Ulm; Bonn. No: Rome. 1 of 4 tests is open, with all of: Bern.",
        ),
        ([of("open")], "open", "The figures decide nothing: too few seeds, or too much spread between them."),
        ([], "not tested", "Its chapter has left no findings for these data."),
    ],
)
def test_verdict_and_sentence_follow_from_the_findings(findings, verdict, said):
    assert verdict_of(CLAIM, findings) == verdict
    assert sentence(CLAIM, findings) == said


def test_what_the_book_does_not_test_says_why():
    assert sentence(CLAIMED["2"], []) == "No snow here."


def test_findings_are_joined_by_claim_whatever_chapter_they_are_of():
    first, second, third = of("yes"), of("no", claim="2"), of("open")
    joined = join(CLAIMED, {"04_sweeps": [first, second], "05_collapse": [third]})
    assert joined == {"1": [first, third], "2": [second]}


def test_a_finding_about_nothing_is_refused():
    with pytest.raises(ValueError, match=r"04_sweeps found something about claim '3': expected one of \['1', '2'\]"):
        join(CLAIMED, {"04_sweeps": [of("yes", claim="3")]})


def test_silent_chapters_are_named():
    assert silent(CLAIMED, join(CLAIMED, {})) == {"04_sweeps": ["1"]}
    assert silent(CLAIMED, {"1": [of("open")]}) == {}


@pytest.mark.parametrize(
    ("effect", "low", "high", "side", "border", "expected"),
    [
        (3, 2, 4, "above", 0, 3),
        (3, 2, 4, "above", 2, 1),  # the interval ends on the border
        (3, 2, 4, "below", 0, -3),
        (3, 2, 8, "below", 8, 1),  # the longer arm points to this border
        (1, 0, 2, "above", 3, -2),
    ],
)
def test_distance_is_counted_in_arms_of_the_interval(effect, low, high, side, border, expected):
    assert distance(Finding("1", "", effect, low, high, side, border, "", 3)) == expected


@pytest.mark.parametrize("answer", ["yes", "no", "open"])
def test_distance_and_answer_agree(answer):
    expected = {"yes": lambda x: x > 1, "no": lambda x: x < -1, "open": lambda x: -1 < x < 1}[answer]
    mirrored = of(answer)._replace(effect=-of(answer).effect, low=-of(answer).high, high=-of(answer).low, side="below")
    assert expected(distance(of(answer))) and expected(distance(mirrored))
    assert mirrored.answer == answer


def test_one_seed_has_no_distance():
    assert math.isnan(distance(of("yes")._replace(low=math.nan, high=math.nan)))


def test_the_table_has_a_row_for_each_claim():
    rows = summary(CLAIMED, {"1": [of("no")]}).splitlines()
    assert rows[2] == ("| 1 | “It \\| rains”<br>report, 1 | **does not hold** | It is dry. | {doc}`04_sweeps` |")
    assert rows[3] == "| 2 | “It \\| rains”<br>report, 1 | **not tested** | No snow here. |  |"


def test_every_test_of_a_claim_can_be_opened():
    (block,) = details(CLAIMED, {"1": [of("no", "Rome"), of("open", "Bern")]}).split("\n\n```{")
    assert block.startswith("```{admonition} 1. rain: does not hold\n:class: dropdown\n\nRain is wet.\n\n|")
    assert "| ✗ | wet | Rome | −2.00 [−3.00, −1.00] mm | above 0 | 3 |" in block
    assert "| ? | wet | Bern |" in block and block.endswith("\n```")


def test_each_claim_is_quoted_and_has_its_place():
    assert {*map(str, range(1, 17)), *"ABCD"} <= set(CLAIMS)
    for number, claim in CLAIMS.items():
        assert claim.title and len(claim.words.split()) > 3 and claim.section
        assert claim.who == ("report" if number[0].isdigit() else "Kingma and Welling")
        tested = claim.chapter and claim.reading and claim.depends_on and claim.holds and claim.fails
        assert bool(tested) != bool(claim.untested), number


def test_what_holds_and_what_fails_are_different_sentences():
    said = [text for claim in CLAIMS.values() for text in (claim.holds, claim.fails) if text]
    assert len(set(said)) == len(said) and all(text.endswith(".") for text in said)
