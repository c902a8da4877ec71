"""Where bulkexim runs."""

from __future__ import annotations

import sys

from bulkexim.errors import FatalError


def check_platform() -> None:
    """Make sure that this system has what a migration needs: signals, process groups, files that others cannot read.

    :raises FatalError: it is Windows
    """
    if sys.platform == "win32":
        raise FatalError("bulkexim does not run on Windows.", "Run it in WSL, in a container, or on Linux or macOS.")
