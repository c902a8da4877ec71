"""The log: one JSON line for each thing that happened, private, and free of secrets."""

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from bulkexim import logs
from bulkexim.engine.events import Event, Finished, Outcome, PhaseStarted, Stepped, Uncarried
from bulkexim.engine.log_events import logging_to
from bulkexim.errors import UsageError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.masking import masking

MASK = masking(["pass.word", "a-token-of-the-tests"])


def lines(folder: Path, *events: Event) -> list[dict[str, Any]]:
    path = logs.path_in(folder / "work")
    with logs.opened(path, MASK) as log:
        listener = logging_to(log)
        for event in events:
            listener(event)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_state_and_outcome_is_a_line(tmp_path: Path) -> None:
    run, there = SourceId("r1"), DestinationId("d1")
    failed = Finished("run", run, "a run", Outcome.FAILED, attempts=2, cause="Refused", error="No.", temporary=True)
    state, outcome, left = lines(
        tmp_path, Stepped("run", run, "a run", "created", there), failed, Uncarried("trace", 3, more=True)
    )
    assert state.pop("time").endswith("Z")
    assert state == {
        "event": "state",
        "level": "info",
        "kind": "run",
        "name": "a run",
        "source_id": "r1",
        "destination_id": "d1",
        "state": "created",
    }
    assert (outcome["outcome"], outcome["cause"], outcome["error"]) == ("failed", "Refused", "No.")
    assert (outcome["level"], outcome["attempts"], outcome["temporary"]) == ("error", 2, True)
    assert {"seconds", "bytes", "destination_id", "time"} <= set(outcome)
    assert (left["event"], left["kind"], left["objects"]) == ("not carried", "trace", 3)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    lines(tmp_path, PhaseStarted("run"))
    paths = [tmp_path / "work", tmp_path / "work" / "logs", *(tmp_path / "work" / "logs").iterdir()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o700, 0o700, 0o600]


def test_no_secret_gets_into_it_however_deep_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "work" / "logs" / "log.jsonl"
    with logs.opened(path, MASK) as log:
        log.info("a pass.word", name="pass.word", differences=["pass.word", {"a-token-of-the-tests": "pass.word"}])
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["event"], line["name"], line["differences"]) == ("a ***", "***", ["***", {"***": "***"}])


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        lines(tmp_path)


def test_a_hundred_thousand_lines_cost_seconds(tmp_path: Path) -> None:
    event = Stepped("run", SourceId("0123456789abcdef" * 2), "a run", "created", DestinationId("fedcba9876543210" * 2))
    started = time.process_time()
    assert len(lines(tmp_path, *[event] * 100_000)) == 100_000
    assert time.process_time() - started < 20  # a few seconds on an idle machine, reading them back included
