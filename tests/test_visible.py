"""No name of a tenant begins a line of its own in what is printed, or repaints the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bulkexim.cli.failures import Failures
from bulkexim.cli.paper import say
from bulkexim.cli.table import show_left_behind
from bulkexim.engine.events import StaysBehind
from bulkexim.engine.report import BehindForCause
from bulkexim.errors import FatalError
from bulkexim.left_behind import Cause

NAME = "new\nEverything arrived.\r\x1b[2J\ttab\u2028"
SHOWN = r"new\nEverything arrived.\r\x1b[2J\ttab\u2028"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), markup=False, highlight=False, emoji=False, width=120)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_name_with_a_line_break_stays_on_its_line(console: Console) -> None:
    say(console, f"  {NAME}: left behind")
    assert printed(console) == f"  {SHOWN}: left behind\n"


def test_a_report_shows_what_is_in_a_name_of_a_file(console: Console) -> None:
    event = StaysBehind("run", Cause.FILE_NAME, f"{NAME}: no server takes this name")
    show_left_behind(console, [BehindForCause(Cause.FILE_NAME, 1, accepted=False, first=(event,))], [])
    assert [line for line in printed(console).splitlines() if "no server" in line] == [
        line for line in printed(console).splitlines() if f"{SHOWN}: no server takes this name" in line
    ]
    assert "\nEverything" not in printed(console)


def test_an_error_shows_what_is_in_a_name_and_the_lines_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert Failures().told(FatalError(f"No model is called {NAME}.", "It said last:\none\ntwo")) == 7
    assert capsys.readouterr().err == f"bulkexim: No model is called {SHOWN}. It said last:\none\ntwo\n"
