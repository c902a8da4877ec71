"""What a command says when it fails: one sentence on stderr, and an exit code."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from bulkexim.cli.visible import visible_lines
from bulkexim.errors import BulkeximError
from bulkexim.masking import Mask, in_environment, masking

BUG = 1
TEMPORARY = 5
INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Interrupted(BulkeximError):
    """The user stopped the command."""

    exit_code = INTERRUPTED


class Failures:
    """Ends a command that failed. It learns from the command where to leave a traceback, and what to mask."""

    def __init__(self) -> None:
        self.work_dir: Path | None = None
        self.mask: Mask = masking(in_environment(os.environ))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell an error that leaves the block, and exit; errors of click are left to click."""
        try:
            yield
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BulkeximError as error:
            self._end(str(error), error.exit_code)
        except KeyboardInterrupt:
            self._end("Interrupted.", INTERRUPTED)
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # Whoever read the output has seen enough; click ends quietly.
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                self._end(f"{error}. Free some space, then run the same command again: nothing is lost.", TEMPORARY)
            self._end(f"This is a bug of bulkexim ({type(error).__name__}); {self._written(error)}", BUG)

    def _end(self, sentence: str, code: int) -> None:
        click.echo(f"bulkexim: {visible_lines(self.mask(sentence))}", err=True)
        raise click.exceptions.Exit(code)

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
