"""How a command ends: a failure is one sentence on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import click

from bulkexim.cli.visible import visible, visible_lines
from bulkexim.cli.wrapped import columns, wrapped
from bulkexim.errors import BulkeximError, TemporaryTrouble, UsageError, of_this_machine, sentences
from bulkexim.masking import Mask, in_environment, masking

BUG = 1


class Interrupted(BulkeximError):
    """The user stopped the command with Ctrl-C. Each signal has a code of its own, as shells have it."""

    exit_code: ClassVar[int] = 130


class Terminated(Interrupted):
    """The machine, or whoever supervises the command, stopped it (SIGTERM)."""

    exit_code: ClassVar[int] = 143


class HungUp(Interrupted):
    """The terminal of the command is gone (SIGHUP)."""

    exit_code: ClassVar[int] = 129


class Failures:
    """Ends a command that failed. It learns from the command where to leave a traceback, and what to mask."""

    def __init__(self) -> None:
        self.work_dir: Path | None = None
        self.mask: Mask = masking(in_environment(os.environ))

    def code_of(self, command: Callable[[], object]) -> int:
        """Run a command, tell the error that ends it, and return the exit code."""
        try:
            code = command()
        except click.ClickException as error:
            said = io.StringIO()
            error.show(said)
            _say(said.getvalue().rstrip())
            return UsageError.exit_code
        except (KeyboardInterrupt, click.Abort):
            return self.told(Interrupted("Interrupted."))
        except MemoryError:
            return self.told(TemporaryTrouble("There is not enough memory.", "Free some, then run the command again."))
        except Exception as error:  # noqa: BLE001 - each is told
            return self.told(error)
        return code if isinstance(code, int) else 0

    def told(self, error: Exception) -> int:
        """Tell an error, and return the exit code that it leads to."""
        known = of_this_machine(error) if isinstance(error, OSError) else error
        if isinstance(known, BulkeximError):
            problem, remedy, code = known.problem, known.remedy, known.exit_code
        else:
            problem, remedy, code = f"This is a bug of bulkexim ({type(error).__name__});", self._written(error), BUG
        # A problem is one sentence, whatever names are in it; what is to be done may quote the last lines of a log.
        _say(f"bulkexim: {sentences(visible(self.mask(problem)), visible_lines(self.mask(remedy)))}")
        return code

    def _written(self, error: Exception) -> str:
        """Write the traceback, without the values of variables, and say where it is."""
        text = self.mask("".join(traceback.TracebackException.from_exception(error, capture_locals=False).format()))
        folder = self.work_dir if self.work_dir and self.work_dir.is_dir() else Path(tempfile.gettempdir())
        path = folder / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
        try:
            with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(text)
        except OSError as trouble:
            return f"its traceback could not be written to {path} ({trouble.strerror})."
        return f"please report it with its traceback, which is in {path}. Running the same command again is safe."


def _say(text: str) -> None:
    click.echo(wrapped(text, columns(sys.stderr)), err=True)
