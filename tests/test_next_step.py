"""A report ends with one next step that helps: never a repetition that would fail as before."""

from pathlib import Path
from typing import Any

import pytest

from bulkexim.cli.table import next_step
from bulkexim.engine.events import StaysBehind
from bulkexim.engine.report import BehindForCause, KindReport, Report
from bulkexim.left_behind import Cause

FAILED = KindReport(kind="run", found=3, failed=1)
BEHIND = BehindForCause(
    cause=Cause.FILE_NAME, number=1, first=(StaysBehind("run", Cause.FILE_NAME, "a#b"),), accepted=False
)


@pytest.mark.parametrize(
    ("report", "step"),
    [
        ({}, "Everything is accounted for. Next, which id became which: bulkexim id-map"),
        ({"kinds": (FAILED,), "temporary": True}, "Next: run the same command again, it tries exactly what is missing"),
        ({"kinds": (FAILED,)}, "Next: mend what the causes above name, then run the same command again"),
        ({"left_behind": (BEHIND,)}, "Everything else arrived. Next: look at what was left behind"),
        ({"left": 1}, "Next: 'bulkexim sweep', with the servers of that migration"),
    ],
    ids=["nothing", "temporary", "permanent", "left behind", "in excess"],
)
def test_the_next_step_is_one_that_helps(report: dict[str, Any], step: str) -> None:
    assert next_step(Report(**report), Path(".bulkexim")).text.startswith(step)
