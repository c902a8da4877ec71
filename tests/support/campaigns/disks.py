"""Disks that are full or cannot be written: small file systems in memory, where this user may mount them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotAllowed(Exception):
    """This user, or this machine, may not mount a file system."""


class Disk:
    """A file system of its own, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def options(self, options: str) -> None:
        """Changes it while it is in use: ``size=64m``, ``ro``, ``rw``."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True, capture_output=True)


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Disk]:
    """Mounts an empty disk.

    :raises NotAllowed: that is not permitted here
    """
    folder.mkdir(parents=True)
    try:
        mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotAllowed(str(error)) from error
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)
