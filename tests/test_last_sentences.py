"""The last sentences of a comparison say what it found, and no more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkexim.cli import verification_text
from bulkexim.config import Level
from bulkexim.engine.verification import Finding, KindVerified, Verdict, Verification
from bulkexim.left_behind import Cause


def said(capsys: pytest.CaptureFixture[str], level: Level, counts: dict[str, int], **found: Any) -> str:
    """Return what is printed below the table, the counts being those of the runs."""
    kinds = (KindVerified(kind="run", **counts),)
    verification_text.show(Verification(level=level, kinds=kinds, **found), Path("log"))
    return capsys.readouterr().out.partition("Log: log")[2].strip()


@pytest.mark.parametrize(
    ("level", "sentence"),
    [
        (Level.COUNTS, "Every selected object is there, once"),
        (Level.CONTENT, "Both ends are equal in every field, and in names and sizes of files"),
        (Level.FULL, "Both ends are equal in every field and every byte"),
    ],
)
def test_what_was_accepted_is_no_equality(capsys: pytest.CaptureFixture[str], level: Level, sentence: str) -> None:
    assert said(capsys, level, {"same": 1}) == f"{sentence}."
    accepted = {"file-name": 1, "file-unreadable": 2}
    assert said(capsys, level, {"same": 1}, accepted=accepted) == f"{sentence}, but for what was accepted."


def test_what_was_accepted_is_named_beside_what_could_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, Level.FULL, {"not_comparable": 1}, accepted={"file-name": 1})
    assert told == "No difference was found, but for what was accepted; 1 object could not be read, or not wholly."


@pytest.mark.parametrize(("number", "objects"), [(1, "1 object."), (2, "2 objects."), (1000, "1,000 objects.")])
def test_one_object_is_not_several(capsys: pytest.CaptureFixture[str], number: int, objects: str) -> None:
    told = said(capsys, Level.FULL, {"missing": number}).splitlines()
    assert told[0] == f"The two ends differ in {objects}"
    assert told[1].startswith("1 stays as it is: " if number == 1 else f"{number:,} stay as they are: ")


def test_what_mlflow_does_not_show_of_an_object_is_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = "metrics/loss is empty"
    finding = Finding(
        kind="run", verdict=Verdict.DIFFERS, name="r", hidden=(hidden,), left_behind={hidden: Cause.VALUE}
    )
    kinds = (KindVerified(kind="run", differing=1),)
    found = Verification(level=Level.FULL, kinds=kinds, findings=(finding,), left_behind={"value": 1}, kept_back=1)
    verification_text.show(found, Path("log"))
    told = capsys.readouterr().out
    assert "  differs  run 'r'\n      metrics/loss is empty: MLflow does not show it (left behind: value)\n" in told
    assert told.rstrip().endswith("or add --accept value")
