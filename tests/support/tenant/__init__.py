"""Builds source tenants, with MLflow's own client and, where that cannot, with its REST API."""

from pathlib import Path

from tests.support.tenant import artifacts, experiments, logged_models, registry, runs, unmoved
from tests.support.tenant.builder import Builder, Tenant
from tests.support.tenant.compact import build_compact
from tests.support.tenant.small import build_small

__all__ = ["Tenant", "build_compact_tenant", "build_old_tenant", "build_small_tenant", "build_tenant"]


def build_tenant(url: str, scratch: Path) -> Tenant:
    """Fills the server at ``url`` (MLflow 3.17) with every case; ``scratch`` is a folder for files on their way."""
    with Builder(url, scratch) as build:
        experiments.add(build)
        runs.add(build)
        artifacts.add(build)
        logged_models.add(build)
        registry.add(build)
        registry.add_versions_of_logged_models(build)
        unmoved.add(build)
        unmoved.add_evaluation_dataset(build)
        build.delete()
        return build.tenant()


def build_old_tenant(url: str, scratch: Path) -> Tenant:
    """Fills the server at ``url`` (MLflow 2.22) with every case that it can hold."""
    with Builder(url, scratch) as build:
        experiments.add(build)
        runs.add(build)
        artifacts.add(build)
        registry.add(build)
        unmoved.add(build)
        build.delete()
        return build.tenant()


def build_small_tenant(url: str, scratch: Path) -> Tenant:
    """Fills the server at ``url`` (MLflow 3.17) with a few objects of each kind that is moved."""
    with Builder(url, scratch) as build:
        build_small(build)
        build.delete()
        return build.tenant()


def build_compact_tenant(url: str, store: Path, scratch: Path) -> Tenant:
    """Fills the server at ``url`` (MLflow 3.17, over the SQLite database ``store``) with what can get lost on a way."""
    with Builder(url, scratch) as build:
        build_compact(build, store)
        build.delete()
        return build.tenant()
