"""What the cases share: surroundings to watch, and a server that lies."""

from collections.abc import Iterator
from functools import partial

import anyio
import pytest

from bulkexim.ends import probe, server
from bulkexim.engine import migration, transfer
from bulkexim.engine.apply import Apply
from bulkexim.http.retry import Patience
from tests.test_bad_inputs.liar import Liar, listening
from tests.test_bad_inputs.told import surroundings

__all__ = ["liar", "surroundings"]

#: One try for everything: a lie does not become true by waiting.
ONCE = Patience(seconds=0.0, longest_pause=0.0, fault_tries=1, reply=5.0)


@pytest.fixture(scope="session")
def _listening() -> Iterator[Liar]:
    with listening() as liar:
        yield liar


@pytest.fixture
def liar(_listening: Liar, monkeypatch: pytest.MonkeyPatch) -> Liar:
    """A server that tells the truth until it is told to lie, and a client that does not insist."""
    monkeypatch.setattr(server, "FIRST_PATIENCE", ONCE)
    monkeypatch.setattr(probe, "HANDSHAKE_SECONDS", 0.2)
    monkeypatch.setattr(migration, "Patience", lambda **_: ONCE)
    monkeypatch.setattr(transfer, "Apply", partial(Apply, sleep=_at_once))
    _listening.lying({})
    return _listening


async def _at_once(_seconds: float) -> None:
    await anyio.lowlevel.checkpoint()
