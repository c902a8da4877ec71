"""The ledger's file and its directory: damaged, foreign, held by others, or not to be written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from bulkexim.errors import FatalError, TemporaryTrouble, UsageError
from bulkexim.ids import SourceId
from bulkexim.ledger.files import LEDGER_NAME, check_usable, locked
from bulkexim.ledger.opening import journal
from bulkexim.ledger.queries import look

pytestmark = pytest.mark.anyio


async def fill(work_dir: Path, objects: int = 2000) -> None:
    """Write a ledger of many pages."""
    async with journal(work_dir) as ledger:
        await ledger.planned("run", {SourceId(f"run{number}"): "a name " * 10 for number in range(objects)})


async def _opened(work_dir: Path) -> None:
    async with journal(work_dir):
        pass


async def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).write_bytes(b"not a database at all" * 1000)
    with pytest.raises(FatalError, match="is damaged") as raised:
        await _opened(tmp_path)
    assert "--rebuild-ledger" in raised.value.remedy
    with pytest.raises(FatalError, match="is damaged"):
        look(tmp_path)


async def test_half_a_ledger_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = tmp_path / LEDGER_NAME
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(FatalError, match="is damaged"):
        await _opened(tmp_path)


async def test_a_ledger_with_overwritten_pages_is_told_when_they_are_read(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = tmp_path / LEDGER_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xaa" * (size // 2))
    async with journal(tmp_path) as ledger:
        with pytest.raises(FatalError, match="is damaged"):
            await ledger.rows("run", [SourceId(f"run{number}") for number in range(2000)])
        with pytest.raises(FatalError, match="is damaged"):
            list(ledger.id_map())


async def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).touch()
    await fill(tmp_path, objects=1)
    with closing(look(tmp_path)) as ledger:
        assert ledger.known("run")


async def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    await _opened(tmp_path)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as connection:
        connection.execute("update setup set value = '0' where key = 'format'")
        connection.commit()
    with pytest.raises(FatalError, match="another version"):
        await _opened(tmp_path)


def test_the_work_directory_is_private(tmp_path: Path) -> None:
    work_dir = tmp_path / "deep" / "work"
    with locked(work_dir):
        anyio.run(_opened, work_dir)
        assert work_dir.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in work_dir.iterdir())


HOLD = """
import sys
from pathlib import Path
from bulkexim.ledger.files import check_usable, locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out_as_long_as_the_first_one_lives(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TemporaryTrouble, match="Another process"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_work_directory_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written") as raised, locked(tmp_path / "file" / "work"):
        pass
    assert "--work-dir" in raised.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_work_directory_is_told_in_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"), locked(tmp_path):
        pass
    with pytest.raises(UsageError, match="cannot be opened"):
        anyio.run(_opened, tmp_path)


async def test_a_ledger_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).mkdir()
    with pytest.raises(UsageError, match="cannot be opened"):
        await _opened(tmp_path)


def test_whether_a_work_directory_can_be_used_is_told_and_nothing_written(tmp_path: Path) -> None:
    check_usable(tmp_path / "not" / "there yet")
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "work"):
        with pytest.raises(UsageError, match="cannot be written"):
            check_usable(place)
    work = tmp_path / "work"
    with locked(work), pytest.raises(TemporaryTrouble, match="Another process is migrating"):
        check_usable(work)
    check_usable(work)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "work"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
@pytest.mark.parametrize("part", ["", "lock", "ledger.db", "ledger.db-wal"])
def test_a_work_directory_of_which_a_part_is_read_only_cannot_be_used(tmp_path: Path, part: str) -> None:
    (tmp_path / (part or "lock")).touch()
    (tmp_path / part).chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        check_usable(tmp_path)


async def test_a_file_that_was_copied_costs_few_bytes_beside_its_path(tmp_path: Path) -> None:
    """A tenant has millions of them: 32 bytes are the digest, 32 the id of the run."""
    runs, paths = 40, [f"checkpoints/epoch-{number:03}/weights.bin" for number in range(100)]
    async with journal(tmp_path) as ledger:
        for number in range(runs):
            files = [(path, 1_000_000 + number, f"{number:064x}") for path in paths]
            await ledger.copied("run", SourceId(f"{number:032x}"), files)
    size = sum(path.stat().st_size for path in tmp_path.glob(f"{LEDGER_NAME}*"))
    assert size / (runs * len(paths)) <= len(paths[0]) + 120
