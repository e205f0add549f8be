"""The scorecard: what somebody wrote, joined with what the chapters found out about it.

Nothing is measured here. Verdicts follow from findings (`vaebook.experiments.findings`), and a claim's sentence follows
from its verdict, so that neither can go stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from vaebook.experiments.findings import Answer, Finding, asked_text, decided, effect_text, verdict

__all__ = ["Claim", "Evidence", "details", "distance", "join", "sentence", "silent", "summary", "table", "verdict_of"]

Evidence = Mapping[str, Sequence[Finding]]
"""The number of a claim -> all findings about it."""

MARKS: dict[Answer, str] = {"yes": "✓", "no": "✗", "open": "?"}


class Claim(NamedTuple):
    """The `words` that `who` wrote, in a `section` of theirs, and the `chapter` of this book that tests them.

    `title` is short enough for a figure. `reading` says how we read the words. `holds` and `fails` are what may be said
    if they do, or do not, hold; `depends_on` names what the answers turn on where they differ, and `untested` why there
    are none.
    """

    title: str
    who: str
    words: str
    section: str
    chapter: str = ""
    reading: str = ""
    depends_on: str = ""
    holds: str = ""
    fails: str = ""
    untested: str = ""


def join(claims: Mapping[str, Claim], found: Mapping[str, Sequence[Finding]]) -> dict[str, list[Finding]]:
    """Chapter -> findings, as `findings.read` gives them, becomes claim -> findings, in the order of the claims.

    Raises:
        ValueError: a finding is about none of the claims.
    """
    joined: dict[str, list[Finding]] = {number: [] for number in claims}
    for chapter, several in found.items():
        for one in several:
            if one.claim not in joined:
                raise ValueError(f"{chapter} found something about claim {one.claim!r}: expected one of {[*claims]}")
            joined[one.claim].append(one)
    return joined


def silent(claims: Mapping[str, Claim], evidence: Evidence) -> dict[str, list[str]]:
    """Chapters that test claims of which nothing is known, and the numbers of these claims."""
    missing: dict[str, list[str]] = {}
    for number, claim in claims.items():
        if claim.chapter and not evidence.get(number):
            missing.setdefault(claim.chapter, []).append(number)
    return missing


def verdict_of(claim: Claim, findings: Sequence[Finding]) -> str:
    """`findings.verdict`, told what this claim depends on."""
    return verdict(findings, claim.depends_on)


def sentence(claim: Claim, findings: Sequence[Finding]) -> str:
    """What the findings say of a claim, in plain words that follow from the verdict, and how many tests are open."""
    said = verdict_of(claim, findings)
    if said == "not tested":
        return claim.untested or "Its chapter has left no findings for these data."
    if said == "open":
        return "The figures decide nothing: too few seeds, or too much spread between them."
    if said == "holds":
        return claim.holds + _open(findings)
    if said == "does not hold":
        return claim.fails + _open(findings)
    answers = decided(findings)
    either = {word: "; ".join(given for given, answer in answers.items() if answer == word) for word in ("yes", "no")}
    return f"Yes: {either['yes']}. No: {either['no']}.{_open(findings)}"


def distance(finding: Finding) -> float:
    """From the border into the claimed side, in lengths of the interval's arm that points to the border.

    Above 1 the answer is yes and below −1 it is no, as the interval then excludes the border; not a number without one.
    """
    arm = finding.effect - finding.low if finding.effect > finding.border else finding.high - finding.effect
    sign = 1 if finding.side == "above" else -1
    return float(sign * (finding.effect - finding.border) / arm) if arm > 0 else float("nan")


def summary(claims: Mapping[str, Claim], evidence: Evidence) -> str:
    """The table, a row for each claim, as MyST Markdown."""
    rows = []
    for number, claim in claims.items():
        found = evidence.get(number, ())
        words = f"“{claim.words}”<br>{claim.who}, {claim.section}"
        link = f"{{doc}}`{claim.chapter}`" if claim.chapter else ""
        rows.append([number, words, f"**{verdict_of(claim, found)}**", sentence(claim, found), link])
    return table(["no.", "the words", "verdict", "what we found", "tested in"], rows)


def details(claims: Mapping[str, Claim], evidence: Evidence) -> str:
    """For each claim with findings a block to open, as MyST Markdown: how we read it, and every test's figures."""
    blocks = []
    for number, claim in claims.items():
        if found := evidence.get(number):
            head = f"```{{admonition}} {number}. {claim.title}: {verdict_of(claim, found)}\n:class: dropdown"
            blocks.append(f"{head}\n\n{claim.reading}\n\n{_tests(found)}\n```")
    return "\n\n".join(blocks)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts in Markdown, so that links and citations in its cells work."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _tests(findings: Sequence[Finding]) -> str:
    head = ["", "test", "given", "effect [95 % interval]", "asked", "seeds"]
    return table(
        head,
        [
            [MARKS[one.answer], one.test, one.given, effect_text(one), asked_text(one), str(one.seeds)]
            for one in findings
        ],
    )


def _open(findings: Sequence[Finding]) -> str:
    """What is not decided, as a sentence to add; empty where all is."""
    count = sum(one.answer == "open" for one in findings)
    undecided = [given for given in dict.fromkeys(one.given for one in findings) if given not in decided(findings)]
    among = f", with all of: {'; '.join(undecided)}" if undecided else ""
    return f" {count} of {len(findings)} tests {'is' if count == 1 else 'are'} open{among}." if count else ""
