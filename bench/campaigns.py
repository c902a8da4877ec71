"""Runs the campaigns in full: kills, harmed ledgers, faults, alterations, secrets, between real servers.

    python -m bench.campaigns k1 [--lanes 2] [--step 1] [--json FILE]
    python -m bench.campaigns k2 k3 f1 f2 f3 f4 f5 --keep
    python -m bench.campaigns v1 [--alterations 300] [--seed 1]
    python -m bench.campaigns s1

Prints the figures as JSON; with ``--keep`` they take the place of the last in the table. Ends with 1 if a campaign was
not clean.
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

from bench.figures import keep
from tests.support.campaigns.alter import alter
from tests.support.campaigns.cancel import cancel
from tests.support.campaigns.faults import LATE, MIXED, outage, survive, throttle
from tests.support.campaigns.ground import Ground, prepare
from tests.support.campaigns.kill import kill_everywhere, kill_in_chains
from tests.support.campaigns.ledger import harm_ledgers
from tests.support.campaigns.secrets import search_for_secrets
from tests.support.campaigns.tenant import build_linked, build_many
from tests.support.migrating import migrated
from tests.support.servers import Servers
from tests.support.tenant import build_tenant

Figures = dict[str, Any]
Campaign = Callable[[Ground, argparse.Namespace], Awaitable[Figures]]


async def _k1(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await kill_everywhere(ground, first=options.first, step=options.step, lanes=options.lanes))


async def _k2(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await kill_in_chains(ground, seed=options.seed, chains=6, length=10))


async def _k3(ground: Ground, options: argparse.Namespace) -> Figures:
    return asdict(await harm_ledgers(ground, cuts=40, limits=10, disks=10, seed=options.seed))


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


def _v1(servers: Servers, home: Path, options: argparse.Namespace) -> Figures:
    source, destination = servers.start(), servers.start()
    scratch = home / "scratch"
    scratch.mkdir()
    tenant = build_tenant(source.url, scratch)
    if migrated(source, destination, home / "work", include_deleted=True).failed:
        raise RuntimeError("The tenant did not arrive.")
    return asdict(alter(servers, tenant.url, destination, count=options.alterations, seed=options.seed))


def _s1(servers: Servers, home: Path, _: argparse.Namespace) -> Figures:
    source = servers.start()
    build_linked(source.url)
    return asdict(search_for_secrets(prepare(servers, source, home / "trials")))


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
#: Campaigns that need other servers, and start them.
APART: dict[str, Callable[[Servers, Path, argparse.Namespace], Figures]] = {"v1": _v1, "s1": _s1}
#: Options that make another campaign of it.
SHAPING = ("first", "step", "seeds", "seed", "late_by", "only_active", "alterations")
#: The most requests under faults, as a multiple of those of a quiet run; the least share of a rate limit that is used.
WORST_RATIO, LEAST_SHARE = 1.7, 0.85
#: What must be empty, or 0, for a campaign to be clean.
FLAWS = (
    "unfinished",
    "unclear",
    "differences",
    "doubled",
    "ignored",
    "leaked",
    "stuck",
    "later_failed",
    "exit_code",
    "missed",
    "false_alarms",
    "leaks",
    "cookies",
    "unexpected",
)


def main() -> int:
    """Run the campaigns that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=[*CAMPAIGNS, *APART])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--late-by", type=int, default=3, help="requests by which late ones are late (f2)")
    parser.add_argument("--only-active", action="store_true", help="leave out what is deleted and not referred to")
    parser.add_argument("--alterations", type=int, default=300, help="alterations of a destination (v1)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="put the figures into the table of the last ones")
    options = parser.parse_args()
    found = {}
    for name in options.names:
        found[name] = _run(name, options)
        if options.keep:
            keep(name, _arguments(parser, options), found[name], _flaws(found[name]))
    text = json.dumps(found, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)
    return 1 if any(_flaws(figures) for figures in found.values()) else 0


def _arguments(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    """Return the options that change what a campaign does, where they are not the usual ones."""
    given = {name: value for name, value in vars(options).items() if value != parser.get_default(name)}
    words = [[f"--{name.replace('_', '-')}", str(value)] for name, value in given.items() if name in SHAPING]
    return [word for pair in words for word in pair if word != "True"]


def _run(name: str, options: argparse.Namespace) -> Figures:
    with TemporaryDirectory(prefix="bulkexim-campaign-") as folder:
        home = Path(folder)
        servers = Servers(home / "servers")
        try:
            if name in APART:
                return APART[name](servers, home, options)
            tenant, campaign = CAMPAIGNS[name]
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
    flaws = {name: figures[name] for name in FLAWS if figures.get(name)}
    if figures.get("worst_ratio", 0) > WORST_RATIO:
        flaws["worst_ratio"] = figures["worst_ratio"]
    if figures.get("settled", 0) < LEAST_SHARE * figures.get("rate", 0):
        flaws["settled"] = figures["settled"]
    if endless := [seed for seed, codes in figures.get("runs", {}).items() if codes[-1] != 0]:
        flaws["runs"] = endless
    return flaws


if __name__ == "__main__":
    sys.exit(main())
