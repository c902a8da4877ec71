"""The last figures of every campaign: as JSON, and as a Markdown table, in files beside this one."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
KEPT = HOME / "campaigns.json"
TABLE = HOME / "CAMPAIGNS.md"
#: What each campaign does, and what it must show.
PURPOSES = {
    "k1": "SIGKILL at every request of a migration of every kind and link, in three places, then one more run",
    "k2": "1,000 runs and 60 models, kills at random moments, in chains of up to ten in one migration",
    "k3": "ledger deleted at half-time, cut at random offsets, on a disk that is full or read-only",
    "f1": "30 % of all requests faulted, until a run ends with 0",
    "f2": "5 % of all requests carried out late: after the client gave up, and after it did the same again",
    "f3": "a server that admits 20 requests a second and answers 429 above",
    "f4": "the server gone for 60 s in the middle",
    "f5": "requests cancelled at any moment for 60 s",
    "v1": "seeded alterations at the destination, and pairs that nobody altered",
    "s1": "secrets in environment, addresses, headers, cookies and what servers say",
}
HEAD = """# The campaigns and their last figures

Written by `python -m bench.campaigns NAME --keep`; real MLflow servers on loopback, a fault proxy between them and the
migrator, and an oracle that reads both ends with MLflow's own client and shares no code with the migrator. A campaign
is clean when nothing is lost, doubled, out of order, unequal, missed or leaked, and every migration ends with 0.

| campaign | what | command | figures | outcome | day, machine |
|---|---|---|---|---|---|
"""


def keep(name: str, arguments: Sequence[str], figures: Mapping[str, Any], flaws: Mapping[str, Any]) -> None:
    """Put the figures of one run of a campaign in the place of those of the last."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[_key(name, arguments)] = {
        "name": name,
        "command": " ".join(["python -m bench.campaigns", name, *arguments]),
        "figures": dict(figures),
        "flaws": sorted(flaws),
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, MLflow {version('mlflow')}",
    }
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(HEAD + "".join(map(_row, (kept[key] for key in sorted(kept)))))


def _key(name: str, arguments: Sequence[str]) -> str:
    return " ".join([name, *arguments])


def _row(one: Mapping[str, Any]) -> str:
    numbers = {key: value for key, value in one["figures"].items() if isinstance(value, int | float)}
    told = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in numbers.items())
    outcome = f"not clean: {', '.join(one['flaws'])}" if one["flaws"] else "clean"
    cells = [
        one["name"].upper(),
        PURPOSES[one["name"]],
        f"`{one['command']}`",
        told,
        outcome,
        f"{one['day']}, {one['machine']}",
    ]
    return f"| {' | '.join(cells)} |\n"
