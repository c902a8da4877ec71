"""Ways to alter a migrated destination behind the migrator's back, each with what a comparison must say of it."""

from tests.support.campaigns.alterations import columns, doubles, files, links, objects, points, versions
from tests.support.campaigns.alterations.base import Alteration, Generator, Told
from tests.support.campaigns.alterations.store import Store, Thing

__all__ = ["GENERATORS", "Alteration", "Generator", "Store", "Thing", "Told"]

GENERATORS: tuple[Generator, ...] = (
    *columns.GENERATORS,
    *points.GENERATORS,
    *links.GENERATORS,
    *versions.GENERATORS,
    *objects.GENERATORS,
    *doubles.GENERATORS,
    *files.GENERATORS,
)
