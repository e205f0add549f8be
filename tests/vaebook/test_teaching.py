"""The plan of a course: its reading times are those that the chapters state, its exercises those of the week."""

import re
from pathlib import Path

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
PLAN = (CHAPTERS / "teaching.md").read_text(encoding="utf-8")
WEEKLY = re.findall(r"\*\*Read\*\* \{doc\}`(\w+)` \(([\w -]+?)(?=[,;)])", PLAN)
LISTED = re.findall(r"^\| \{doc\}`(\w+)` \| ([^|]+) \|", PLAN, re.MULTILINE)


def test_reading_times_are_those_of_the_chapters():
    """A chapter that states none is estimated, and the plan says so."""
    assert len(WEEKLY) == 9 and len(LISTED) >= 5
    for name, time in WEEKLY + LISTED:
        text = re.sub(r"\s*\n#\s*", " ", (CHAPTERS / f"{name}.py").read_text(encoding="utf-8"))
        stated = re.search(r"\*\*Time\.\*\* (.+?) to read", text)
        if stated:
            assert time.lower() in stated[1].lower(), f"{name}: {stated[1]}"


def test_each_week_takes_exercises_from_its_chapters():
    for week in PLAN.split("\n## Week ")[1:]:
        chapters = [(CHAPTERS / f"{name}.py").read_text() for name in re.findall(r"\{doc\}`(\w+)`", week)]
        exercises = re.findall(r"\{ref\}`(ex-[\w-]+)`", week)
        assert exercises and all(any(f":label: {one}\n" in text for text in chapters) for one in exercises), week[:30]
