"""Everything that is printed, on terminals of several widths: text breaks at spaces, and tables stay readable."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bulkexim.cli import table, verification_text
from bulkexim.cli.main import COMMANDS, main
from bulkexim.cli.wrapped import cells, wrapped
from bulkexim.config import Level
from bulkexim.engine.events import Change, Changed, Leftover, StaysBehind, Why
from bulkexim.engine.plan import Plan, PlannedKind
from bulkexim.engine.report import BehindForCause, ChangedKind, Failure, KindReport, Remarked, Report, UnsupportedKind
from bulkexim.engine.verification import Finding, KindVerified, Verdict, Verification
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.difference import Difference
from bulkexim.left_behind import Cause

WIDTHS = [110, 80, 60, 40]
NAME = "a rather long name of something that people made in a hurry and never looked at again, with \u4e2d\u6587 in it"
ID = "0123456789abcdef0123456789abcdef"
MANY = 1_234_567
WORK_DIR = Path("a work directory of some length")


def fits(text: str, width: int) -> bool:
    """Whether each line fits, or is a single word."""
    return all(cells(line) <= width or len(line.split()) == 1 for line in text.split("\n"))


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Lets the streams, which are captured, pass for a terminal of that width."""
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")  # no bold type


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits(monkeypatch: pytest.MonkeyPatch, command: str, width: int) -> None:
    def said(columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(main, [*filter(None, [command]), "--help"]).stdout

    assert fits(said(width), width)
    assert said(width).split() == said(110).split()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "args",
    [
        ["status", "--work-dir", f"a place that nobody ever made {ID}"],
        ["migrate-workspace", "--src-uri", "ftp://host"],
        ["migrate-workspace", "--src-concurrency", "0"],
        ["migrate-workspace", "--config", f"a file that nobody ever wrote {ID}.toml"],
        ["migrate-workspaces"],
    ],
)
def test_errors_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, args: list[str], width: int
) -> None:
    monkeypatch.chdir(tmp_path)
    on_a_terminal(monkeypatch, width)
    with pytest.raises(SystemExit):
        main(args, prog_name="bulkexim")
    said = capsys.readouterr().err
    assert fits(said, width)
    assert said.split() == CliRunner().invoke(main, args, prog_name="bulkexim").stderr.split()


def report() -> Report:
    kinds = ("experiment", "logged_model", "run", "registered_model", "model_version")
    numbers = {"found": MANY, "already": 1, "moved": MANY, "failed": 1, "skipped": 7, "bytes": 10**12, "seconds": 9e4}
    behind = StaysBehind("run", Cause.FILE_NAME, NAME, SourceId(ID), NAME)
    return Report(
        kinds=tuple(KindReport(kind=kind, **numbers) for kind in kinds),  # type: ignore[arg-type]
        causes={"file not copied": 2},
        failures=(Failure("run", ID, NAME, "file not copied", f"{NAME}: {NAME}."),),
        remarks=(Remarked("names were cut to what the destination takes", MANY, f"run {ID}: {NAME}"),),
        uncarried=(UnsupportedKind("evaluation_dataset", MANY, more=True),),
        left_behind=(BehindForCause(Cause.FILE_NAME, MANY, accepted=False, first=(behind,)),),
        warnings=(f"{NAME}: {NAME}.",),
        leftovers=(Leftover("run", DestinationId(ID), NAME, Why.DOUBLED, f"stays: {ID}"),),
        left=1,
        changed=(ChangedKind("run", 1, (Changed("run", SourceId(ID), NAME, Change.GROWING),)),),
        requests={"source": MANY, "destination": MANY},
        seconds=9e4,
    )


def show_report() -> None:
    table.show(
        report(), Path("a work directory of some length"), Path("a work directory of some length/logs/one.jsonl")
    )


def show_plan() -> None:
    planned = PlannedKind(
        kind="registered_model", found=MANY, to_move=MANY, src_requests=MANY, files=MANY, bytes=10**12
    )
    table.show_plan(
        Plan(
            kinds=(planned,),
            uncarried=report().uncarried,
            left_behind=report().left_behind,
            warnings=report().warnings,
            remarks=report().remarks,
            src_requests=MANY,
            dst_requests=MANY,
        )
    )


def show_verification() -> None:
    finding = Finding(
        kind="run", verdict=Verdict.DIFFERS, name=NAME, id=SourceId(ID), differences=(Difference("tag", NAME, NAME),)
    )
    verification_text.show(
        Verification(
            level=Level.CONTENT,
            kinds=(KindVerified(kind="registered_model", source=MANY, destination=MANY, same=MANY),),
            findings=(finding,),
            accepted={"file-name": MANY},
            requests={"source": MANY, "destination": MANY},
            seconds=9e4,
        ),
        WORK_DIR / "logs" / "one.jsonl",
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("show", [show_report, show_plan, show_verification])
def test_results_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], show: Callable[[], None], width: int
) -> None:
    on_a_terminal(monkeypatch, width)
    show()
    said = capsys.readouterr().out
    assert fits(said, width)
    assert "\u2026" not in said
    assert {f"{MANY:,}", *NAME.split()[1:-1]} <= set(said.split())


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("fits", ["fits"]),
        ("one two three", ["one two", "three"]),
        ("  indented text", ["  indented", "    text"]),
        ("  1  of a list", ["  1  of a", "     list"]),
        ("https://long.example one", ["https://long.example", "one"]),
        ("\u4e2d\u6587 \u4e2d\u6587\u4e2d", ["\u4e2d\u6587", "\u4e2d\u6587\u4e2d"]),
    ],
)
def test_lines_break_at_spaces(line: str, lines: list[str]) -> None:
    assert wrapped(line, 10).split("\n") == lines
    assert wrapped(line, None) == line


def test_a_file_has_no_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show_report()
    assert any(NAME in line and len(line) > 200 for line in capsys.readouterr().out.split("\n"))
