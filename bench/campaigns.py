"""Runs the campaigns in full: kills, harmed ledgers, faults, between real servers.

    python -m bench.campaigns k1 [--lanes 2] [--step 1] [--json FILE]
    python -m bench.campaigns k2 k3 f1 f2 f3 f4 f5

Prints a row of a Markdown table for each, and the figures as JSON; ends with 1 if a campaign was not clean.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from tests.support.campaigns.cancel import cancel
from tests.support.campaigns.faults import LATE, MIXED, outage, survive, throttle
from tests.support.campaigns.ground import Ground, prepare
from tests.support.campaigns.kill import kill_everywhere, kill_in_chains
from tests.support.campaigns.ledger import harm_ledgers
from tests.support.campaigns.tenant import build_linked, build_many
from tests.support.servers import Servers

Figures = dict[str, Any]
Campaign = Callable[[Ground, argparse.Namespace], Awaitable[Figures]]


async def _k1(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await kill_everywhere(ground, first=options.first, step=options.step, lanes=options.lanes))


async def _k2(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await kill_in_chains(ground, seed=options.seed, chains=6, length=10))


async def _k3(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await harm_ledgers(ground, cuts=40, limits=10, seed=options.seed))


async def _f1(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await survive(ground, range(1, options.seeds + 1), MIXED))


async def _f2(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await survive(ground, range(1, options.seeds + 1), LATE, label="late", late_by=options.late_by))


async def _f3(ground: Ground, _: argparse.Namespace) -> Figures:
    return asdict(await throttle(ground, rate=20.0, skip=10.0))


async def _f4(ground: Ground, _: argparse.Namespace) -> Figures:
    return asdict(await outage(ground, at_request=200, away=60.0, knocks=2))


async def _f5(ground: Ground, _: argparse.Namespace) -> Figures:
    return asdict(await cancel(ground.source, calls=1000, seconds=60.0, later=1000))


LINKED, MANY, LARGE = "linked", "many", "large"
#: What stands at the source, and the campaign.
CAMPAIGNS: dict[str, tuple[str, Campaign]] = {
    "k1": (LINKED, _k1),
    "k2": (LARGE, _k2),
    "k3": (LINKED, _k3),
    "f1": (LINKED, _f1),
    "f2": (LINKED, _f2),
    "f3": (MANY, _f3),
    "f4": (MANY, _f4),
    "f5": (LINKED, _f5),
}
#: What must be empty, or 0, for a campaign to be clean.
FLAWS = ("unfinished", "unclear", "differences", "doubled", "ignored", "leaked", "stuck", "later_failed", "exit_code")


def main() -> int:
    """Run the campaigns that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CAMPAIGNS)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--late-by", type=int, default=3, help="requests by which late ones are late (f2)")
    parser.add_argument("--only-active", action="store_true", help="leave out what is deleted and not referred to")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {name: _run(name, options) for name in options.names}
    print("\n".join(_row(name, figures) for name, figures in found.items()))
    text = json.dumps(found, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)
    return 1 if any(_flaws(figures) for figures in found.values()) else 0


def _run(name: str, options: argparse.Namespace) -> Figures:
    tenant, campaign = CAMPAIGNS[name]
    with TemporaryDirectory(prefix="bulkexim-campaign-") as folder:
        home = Path(folder)
        servers = Servers(home / "servers")
        try:
            source = servers.start()
            if tenant == LINKED:
                build_linked(source.url)
            else:
                runs, models = (1000, 60) if tenant == LARGE else (150, 5)
                anyio.run(lambda: build_many(source.url, runs=runs, models=models, versions=20))
            ground = prepare(servers, source, home / "trials", include_deleted=not options.only_active)
            return anyio.run(campaign, ground, options)
        finally:
            servers.close()


def _flaws(figures: Figures) -> dict[str, Any]:
    return {name: figures[name] for name in FLAWS if figures.get(name)}


def _row(name: str, figures: Figures) -> str:
    told = [f"{key.replace('_', ' ')} {value}" for key, value in figures.items() if isinstance(value, int | float)]
    flaws = _flaws(figures)
    return f"| {name.upper()} | {', '.join(told)} | {'clean' if not flaws else f'{len(flaws)} flaws'} |"


if __name__ == "__main__":
    sys.exit(main())
