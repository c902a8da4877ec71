"""Waits for what another process does."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Returns as soon as the condition holds; raises ``TimeoutError`` when it does not come to hold."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
