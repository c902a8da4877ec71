"""Certificates: checked unless we are told not to, and ours shown where the server asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkexim.config import Endpoint
from bulkexim.ends.server import connected
from bulkexim.errors import FatalError, UsageError
from tests.support.tls import made_certificate, serving_tls

pytestmark = pytest.mark.anyio


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return made_certificate(tmp_path)


async def version(endpoint: Endpoint) -> str:
    async with connected(endpoint, "source") as server:
        return server.capabilities.text


async def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certificate: Path) -> None:
    async with serving_tls(certificate) as url:
        with pytest.raises(FatalError, match="no trust"):
            await version(Endpoint(uri=url))


async def test_it_is_accepted_from_the_authority_that_the_user_names(certificate: Path) -> None:
    async with serving_tls(certificate) as url:
        assert await version(Endpoint(uri=url, server_cert_path=str(certificate))) == "3.17.2"


async def test_checking_can_be_switched_off(certificate: Path) -> None:
    async with serving_tls(certificate) as url:
        assert await version(Endpoint(uri=url, insecure_tls=True)) == "3.17.2"


async def test_a_server_that_wants_our_certificate_gets_it(certificate: Path) -> None:
    async with serving_tls(certificate, wants_ours=True) as url:
        ours = Endpoint(uri=url, server_cert_path=str(certificate), client_cert_path=str(certificate))
        assert await version(ours) == "3.17.2"


async def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.pem"):
        await version(Endpoint(uri="https://localhost:1", server_cert_path=str(tmp_path / "nothing.pem")))
