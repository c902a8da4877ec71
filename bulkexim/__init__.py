"""bulkexim moves a whole MLflow tenant from one server to another."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bulkexim.config import Endpoint, Level, Settings
    from bulkexim.engine.migration import migrate
    from bulkexim.engine.report import Report
    from bulkexim.engine.verification import Verification
    from bulkexim.engine.verify import verify

__all__ = ["Endpoint", "Level", "Report", "Settings", "Verification", "migrate", "verify"]

_HOMES = {
    "Endpoint": "bulkexim.config",
    "Level": "bulkexim.config",
    "Report": "bulkexim.engine.report",
    "Settings": "bulkexim.config",
    "Verification": "bulkexim.engine.verification",
    "migrate": "bulkexim.engine.migration",
    "verify": "bulkexim.engine.verify",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line's help must not pay for the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
