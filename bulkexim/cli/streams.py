"""The standard streams as a command may find them: closed, full, of another encoding, or with nobody at the other end.

What goes wrong while a line is printed must not end the work that is being told of. So nothing that is printed raises;
what could not be written to stdout is asked for at the end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

#: Whoever read the output has seen enough, or the terminal is gone.
_GONE = (errno.EPIPE, errno.EIO)


class Output(io.FileIO):
    """A file descriptor to which writing never fails; from the first failure on, what is written is dropped."""

    trouble: OSError | None = None
    _gone = False

    def write(self, data: object) -> int:
        """Write what can be written."""
        size = memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer, which has no name in Python 3.11
        if self._gone or self.trouble is not None:
            return size
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except OSError as error:
            if error.errno in _GONE:
                self._gone = True
            else:
                self.trouble = error
            return size


@contextmanager
def safe() -> Iterator[Output]:
    """Put safe streams in the place of stdout and stderr, and yield what stands behind stdout."""
    _open_all()
    outputs = Output(1, "w", closefd=False), Output(2, "w", closefd=False)
    previous = sys.stdout, sys.stderr
    # A test, or a program that calls us, may have put streams of its own there.
    if sys.stdout in (None, sys.__stdout__):
        sys.stdout = _text(outputs[0], sys.stdout)
    if sys.stderr in (None, sys.__stderr__):
        sys.stderr = _text(outputs[1], sys.stderr)
    try:
        yield outputs[0]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = previous


def _open_all() -> None:
    """Open descriptors that came closed: the ledger must not become what some library takes for stdout."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _text(output: Output, before: TextIO | None) -> TextIO:
    encoding = before.encoding if before is not None else "utf-8"
    # A name with a letter that the terminal cannot show is shown by its number.
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors="backslashreplace", line_buffering=output.isatty()
    )
