"""Secrets stay where they belong: servers repeat them in every form, and no output, log, ledger or traceback has one.

A slice of the campaign that ``python -m bench.campaigns s1`` runs in full.
"""

from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from mlflow import MlflowClient

from bulkexim.ids import SourceId
from bulkexim.ledger.queries import look
from tests.support.campaigns.canaries import Canaries
from tests.support.campaigns.ground import prepare
from tests.support.campaigns.secrets import search_for_secrets
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant


def test_no_secret_is_told_whatever_the_servers_repeat(servers: Servers, small_tenant: Tenant, tmp_path: Path) -> None:
    ground = prepare(servers, small_tenant.url, tmp_path / "trials")
    trials = [("declining", "plugins"), ("declining", "variables"), ("failing", "addresses"), ("ending", "file")]
    found = search_for_secrets(ground, trials)
    assert found.leaks == ()
    assert found.cookies == ()
    assert found.unexpected == ()
    assert found.masked > 50
    assert found.told > 60


@pytest.mark.parametrize(
    "hidden",
    [
        lambda secret: secret,
        lambda secret: secret.upper(),
        lambda secret: secret[:10],
        lambda secret: f"{secret[:5]}\\n{secret[5:]}",
        lambda secret: quote(secret, safe=""),
        lambda secret: b64encode(f"ada:{secret}".encode()).decode(),
        lambda secret: b64encode(secret.encode()).decode().lower(),
    ],
)
def test_the_search_itself_finds_a_secret_in_every_form(hidden: Callable[[str], str]) -> None:
    canaries = Canaries()
    secret = canaries["one"]
    canaries.search("a place", f"before {hidden(secret)} after".encode())
    assert len(canaries.leaks) == 1


def test_what_a_tenant_holds_is_moved_as_it_is_but_not_told(
    servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path: Path
) -> None:
    signed = "s3://bucket/key?X-Amz-Signature=of-the-tenant&X-Amz-Expires=9"
    with servers.copy(small_server) as source, servers.start() as server:
        client = MlflowClient(source.url, source.url)
        client.create_model_version("small model", signed, tags={"note": "password=of-the-tenant"})
        report = migrated(source, server, tmp_path, source_id="http://ada:of-the-address@old:5000")
        there = MlflowClient(server.url, server.url).get_model_version("small model", "4")
    assert (there.source, there.tags["note"]) == (signed, "password=of-the-tenant")
    assert "of-the-tenant" not in str(report)
    with closing(look(tmp_path)) as ledger:
        assert ledger.setup()["source"] == "http://old:5000"
        assert "X-Amz-Signature=***" in str(anyio.run(ledger.notes, "model_version", [SourceId("small model/4")]))
    assert not any(b"of-the-" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
