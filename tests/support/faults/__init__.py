"""A proxy that does to requests what networks, gateways and servers do to them on bad days; seeded, so repeatable."""

from tests.support.faults.proxy import Proxy, proxied
from tests.support.faults.rules import Admits, Asked, Fault, Faults, KillAt, Mix, Rule, quiet

__all__ = ["Admits", "Asked", "Fault", "Faults", "KillAt", "Mix", "Proxy", "Rule", "proxied", "quiet"]
